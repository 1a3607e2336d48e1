"""Decides over many nodes for one consumer, and keeps what it has promised.

Where agents are asked over HTTP, the chosen node's agent confirms and keeps the reservation, so
that two hubs, or a hub that starts anew, cannot promise the same gigabytes. Where facts come from
the cluster's store, only this process knows its promises: they end after the policy's
`reservation_seconds`, and `adopt` takes over those of a former process.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nodeagent.errors import AgentError
from nodeagent.gpu.fleet.addresses import Place
from nodeagent.gpu.fleet.agents import AgentClient, AgentsError
from nodeagent.gpu.fleet.answer import Answer, answer_of
from nodeagent.gpu.fleet.evidence import Evidence, Gathered
from nodeagent.gpu.fleet.standings import Standings
from nodeagent.gpu.sharing.decide import decide_over
from nodeagent.gpu.sharing.ledger import Ledger, Reservation, release, reserve
from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.sharing.standing import Standing
from nodeagent.gpu.sharing.verdict import Decision

_GATHER_SHARE = 0.6
"""Of the time for an answer; the rest is for the confirmation."""
_RELEASE_SECONDS = 5.0


class NoEvidenceError(AgentError):
    """Nobody told anything in time."""

    code = "gpu-no-evidence"


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The answer and what was put into the ledger for it."""

    answer: Answer
    reservations: tuple[Reservation, ...] = ()


class Advisor:
    """`clock`: epoch seconds. `agents`: confirms placements there; None: nobody to confirm."""

    def __init__(
        self,
        evidence: Evidence,
        *,
        policy: Policy,
        agents: AgentClient | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._evidence = evidence
        self._policy = policy
        self._agents = agents
        self._clock = clock
        self._standings = Standings(policy)
        self._ledger = Ledger()
        self._held: dict[str, dict[Place, float]] = {}
        """Of each pod the agents that keep, or may keep, a reservation for it, and until when."""
        self._releases: dict[tuple[Place, str], asyncio.Task[None]] = {}

    async def look(self, request: Request, seconds: float) -> Answer:
        """The answer of this moment; nothing is reserved. NoEvidenceError: nobody told."""
        gathered = await self._gather(request.pod, seconds)
        return answer_of(self._decide(request, await self._judged(gathered)))

    async def place(self, request: Request, seconds: float) -> Placement:
        """The answer, reserved; the same again for the same pod. NoEvidenceError: nobody told.
        Given up half-way it leaves no reservation, and one elsewhere from an earlier try ends."""
        try:
            return await self._placed(request, seconds)
        except asyncio.CancelledError:
            self._ledger = release(self._ledger, request.pod)
            self._let_go(request.pod, but=None)
            raise

    async def _placed(self, request: Request, seconds: float) -> Placement:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        gathered = await self._gather(request.pod, seconds * _GATHER_SHARE)
        standings = await self._judged(gathered)
        addresses = {each.snapshot.node: each.address for each in gathered.found}
        while True:
            # No await between these two: the ledger is that of the decision.
            decision = self._decide(request, standings)
            self._keep(request.pod, decision)
            placed = Placement(answer=answer_of(decision), reservations=decision.reservations)
            place = _place(addresses.get(decision.node or ""))
            left = end - loop.time()
            if self._agents is None or not decision.reservations or place is None or left <= 0:
                self._let_go(request.pod, but=place)
                return placed
            # Noted before it is asked: an answer that comes too late is a reservation all the same.
            self._hold(request.pod, place)
            try:
                if (ending := self._releases.get((place, request.pod))) is not None:
                    await asyncio.wait({ending}, timeout=left)
                said = await self._agents.reserve(place, request, max(0.05, end - loop.time()))
            except AgentsError:
                # The node has just told its facts: they stand, and so does this ledger.
                self._let_go(request.pod, but=place)
                return placed
            if said.placed:
                self._let_go(request.pod, but=place)
                return self._confirmed_by(request, decision, said)
            # Somebody was faster there: the next candidate.
            self._ledger = release(self._ledger, request.pod)
            standings = tuple(each for each in standings if each.snapshot.node != decision.node)
            if not standings:
                self._let_go(request.pod, but=None)
                return Placement(answer=said)

    async def release(self, pod: str, seconds: float) -> None:
        """A pod that failed or ended. AgentsError: its node's agent did not take note (it will,
        when the reservation's time is over)."""
        self._ledger = release(self._ledger, pod)
        now = self._clock()
        held = [place for place, until in self._held.pop(pod, {}).items() if until > now]
        if self._agents is None:
            return
        asked = (self._agents.release(place, pod, seconds) for place in held)
        failed = [each for each in await asyncio.gather(*asked, return_exceptions=True) if each]
        if failed:
            raise failed[0]

    def adopt(self, reservations: Iterable[Reservation]) -> None:
        """Take over what a former process had promised, where nothing is known of the pod."""
        now = self._clock()
        by_pod: dict[str, list[Reservation]] = {}
        for each in reservations:
            if each.expires > now and not self._ledger.of(each.pod, now):
                by_pod.setdefault(each.pod, []).append(each)
        for entries in by_pod.values():
            self._ledger = reserve(
                self._ledger, entries, seen_version=self._ledger.version, now=now
            )

    @property
    def reserved(self) -> tuple[Reservation, ...]:
        """What holds now."""
        return self._ledger.live(self._clock())

    def close(self) -> None:
        """Drop the connections."""
        for task in list(self._releases.values()):
            task.cancel()
        self._evidence.close()
        if self._agents is not None:
            self._agents.close()

    async def _gather(self, pod: str, seconds: float) -> Gathered:
        gathered = await self._evidence.gather(seconds)
        if not gathered.found:
            told = "; ".join(f"{each.place}: {each.why}" for each in gathered.missing[:3])
            raise NoEvidenceError(
                f"No GPU facts for {pod} ({told or 'no node has any'})",
                fix="Check the agents' addresses and that they run (samepage-agent status).",
            )
        return gathered

    async def _judged(self, gathered: Gathered) -> tuple[Standing, ...]:
        return await self._standings.of(each.snapshot for each in gathered.found)

    def _decide(self, request: Request, standings: tuple[Standing, ...]) -> Decision:
        return decide_over(request, standings, self._policy, self._clock(), self._ledger)

    def _keep(self, pod: str, decision: Decision) -> None:
        if not decision.reservations:
            # What an earlier try had is not for this one.
            self._ledger = release(self._ledger, pod)
            return
        self._ledger = reserve(
            self._ledger,
            decision.reservations,
            seen_version=decision.ledger_version,
            now=self._clock(),
        )

    def _hold(self, pod: str, place: Place) -> None:
        now = self._clock()
        kept = {
            name: {where: until for where, until in places.items() if until > now}
            for name, places in self._held.items()
        }
        self._held = {name: places for name, places in kept.items() if places}
        self._held.setdefault(pod, {})[place] = now + self._policy.reservation_seconds

    def _let_go(self, pod: str, *, but: Place | None) -> None:
        """Have all agents but one forget the pod, in the background: a start that is tried again
        may get another node, and what the first keeps would be nobody's until its time is over."""
        held, now = self._held.get(pod, {}), self._clock()
        for place in [each for each in held if each != but]:
            if held.pop(place) > now and self._agents is not None:
                task = asyncio.get_running_loop().create_task(self._released(place, pod))
                self._releases[place, pod] = task
        if not held:
            self._held.pop(pod, None)

    async def _released(self, place: Place, pod: str) -> None:
        try:
            if self._agents is not None:
                # It ends there by itself, only later.
                with contextlib.suppress(AgentsError):
                    await self._agents.release(place, pod, _RELEASE_SECONDS)
        finally:
            self._releases.pop((place, pod), None)

    def _confirmed_by(self, request: Request, decision: Decision, said: Answer) -> Placement:
        """The node's agent may have chosen another GPU of its own: its word counts."""
        expires = self._clock() + self._policy.reservation_seconds
        kept = tuple(
            Reservation(
                pod=request.pod,
                user=request.user,
                node=said.node or decision.node or "",
                uuid=uuid,
                memory_bytes=said.need_bytes,
                mode=said.mode or "time_slicing",
                expires=expires,
            )
            for uuid in said.devices
        )
        self._ledger = reserve(
            self._ledger, kept, seen_version=self._ledger.version, now=self._clock()
        )
        return Placement(answer=said, reservations=kept)


def _place(address: str | None) -> Place | None:
    if address is None:
        return None
    if address.startswith("unix://"):
        return Place(base="http://localhost", socket_path=address.removeprefix("unix://"))
    return Place(base=address)
