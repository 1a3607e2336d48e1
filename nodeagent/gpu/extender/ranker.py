"""Ranks nodes for one pod after another, from facts that are fetched beside it.

A scheduler waits for the answer, so nothing is asked while it waits. Each answer leaves a claim of
this process on the GPU it thinks the pod will get, so that a class that starts within one round of
facts does not pile up on one card; it ends as the facts show the pod, or with the policy's
`reservation_seconds`. Where the scheduler chooses otherwise, a card looks fuller than it is until
then, and nothing else happens.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from nodeagent.gpu.canonical import ShapeError
from nodeagent.gpu.compact import expand
from nodeagent.gpu.extender.pods import request_of
from nodeagent.gpu.extender.points import points
from nodeagent.gpu.extender.protocol import Args
from nodeagent.gpu.fleet.evidence import Evidence, Gathered
from nodeagent.gpu.fleet.standings import Standings
from nodeagent.gpu.sharing.decide import survey
from nodeagent.gpu.sharing.ledger import Ledger, Reservation, release, reserve
from nodeagent.gpu.sharing.nodes import NodeRank, rank_nodes
from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.sharing.standing import Standing, stand
from nodeagent.gpu.sharing.survey import Survey

log = logging.getLogger("nodeagent.gpu.extender")

_MOST_SENT = 10_000
"""Names of nodes come from outside."""
_MOST_CLAIMS = 2_000
"""Names of pods too. Beyond it nothing is claimed: the order of the nodes stays right."""


class Ranker:
    """`clock`: epoch seconds."""

    def __init__(self, policy: Policy, *, clock: Callable[[], float] = time.time) -> None:
        self._policy = policy
        self._clock = clock
        self._known: Mapping[str, Standing] = {}
        self._sent: dict[str, tuple[str, Standing | None]] = {}
        self._ledger = Ledger()
        self.answered = 0
        self.neutral = 0

    @property
    def nodes(self) -> int:
        """How many nodes' facts are at hand."""
        return len(self._known)

    def learn(self, standings: Sequence[Standing]) -> None:
        """The facts of now, in place of the former ones."""
        self._known = {each.snapshot.node: each for each in standings}

    def scores(self, args: Args) -> list[tuple[str, int]]:
        """Points for each node; the same for all where the pod asks for no GPU."""
        self.answered += 1
        request = request_of(args.pod)
        if request is None:
            self.neutral += 1
            return [(node, 0) for node in args.nodes]
        standings = [
            each for node in args.nodes if (each := self._standing(node, args)) is not None
        ]
        found = survey(request, standings, self._policy, self._clock(), self._ledger)
        ranks = rank_nodes(found)
        self.neutral += 0 if ranks else 1
        self._claim(request, found, ranks)
        return points(args.nodes, ranks)

    def _standing(self, node: str, args: Args) -> Standing | None:
        known = self._known.get(node)
        text = args.texts.get(node)
        if known is not None or text is None:
            return known
        held = self._sent.get(node)
        if held is None or held[0] != text:
            try:
                held = (text, stand(expand(text), self._policy))
            except ShapeError as err:
                log.warning("the facts on node %s cannot be read: %s", node, err)
                held = (text, None)
            if len(self._sent) >= _MOST_SENT:
                self._sent.clear()
            self._sent[node] = held
        return held[1]

    def _claim(self, request: Request, found: Survey, ranks: Mapping[str, NodeRank]) -> None:
        fitting = [(rank.points, node) for node, rank in ranks.items() if rank.state == "fits"]
        if not fitting or request.want != "share":
            # Whole GPUs and instances are counted by the cluster itself.
            self._ledger = release(self._ledger, request.pod)
            return
        now = self._clock()
        if len(self._ledger.live(now)) >= _MOST_CLAIMS:
            return
        best = max(points for points, _ in fitting)
        node = min(node for points, node in fitting if points == best)
        claim = Reservation(
            pod=request.pod,
            user=request.user,
            node=node,
            uuid=ranks[node].uuid or "",
            memory_bytes=found.need,
            mode="time_slicing",
            expires=now + self._policy.reservation_seconds,
        )
        self._ledger = reserve(self._ledger, [claim], seen_version=self._ledger.version, now=now)


async def keep_learning(
    ranker: Ranker,
    evidence: Evidence,
    standings: Standings,
    stop: asyncio.Event,
    *,
    seconds: float,
) -> None:
    """Fetch the facts every so many seconds until `stop`. What a round misses is too old soon, and
    then unknown."""
    said = ""
    while not stop.is_set():
        gathered = await evidence.gather(seconds)
        ranker.learn(await standings.of(each.snapshot for each in gathered.found))
        if (text := _missing(gathered)) != said:
            said = text
            log.log(logging.WARNING if said else logging.INFO, "%s", said or "all agents answer")
        try:
            await asyncio.wait_for(stop.wait(), seconds)
        except TimeoutError:
            continue


def _missing(gathered: Gathered) -> str:
    named = "; ".join(f"{each.place}: {each.why}" for each in gathered.missing[:3])
    return f"{len(gathered.missing)} did not tell ({named})" if named else ""
