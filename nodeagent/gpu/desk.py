"""Where consumers ask: decides on this node's latest facts and keeps the reservations."""

import time
from collections import Counter
from collections.abc import Callable

from nodeagent.gpu.recorder import Recorder
from nodeagent.gpu.sharing.decide import decide_over
from nodeagent.gpu.sharing.ledger import Ledger, release, reserve
from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.sharing.record import Record, record_of
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.sharing.standing import Standing, stand
from nodeagent.gpu.sharing.verdict import Decision
from nodeagent.gpu.snapshot import Snapshot


class Desk:
    """One loop, one thread: a decision and its reservation are not interrupted by another. `keep`
    writes its record and is called in a thread of its own.

    The ledger is in memory: after a restart what was promised in the last minutes counts again when
    its container shows, and not before.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        keep: Callable[[Record], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.policy = policy
        self.ledger = Ledger()
        self.verdicts: Counter[str] = Counter()
        self._recorder = None if keep is None else Recorder(keep)
        self._clock = clock
        self._standing: Standing | None = None

    def decide(self, request: Request, snapshot: Snapshot, *, hold: bool) -> tuple[Decision, bool]:
        """The decision, and whether reservations for it are in the ledger. The same pod may ask
        again: it gets the same GPU and the ledger stays."""
        now = self._clock()
        if self._standing is None or self._standing.snapshot is not snapshot:
            self._standing = stand(snapshot, self.policy)
        seen = self.ledger
        decision = decide_over(request, [self._standing], self.policy, now, seen)
        self.verdicts[decision.verdict] += 1
        held = False
        if hold and decision.reservations:
            self.ledger = reserve(seen, decision.reservations, seen_version=seen.version, now=now)
            held = True
        if self._recorder is not None:
            self._recorder.add(record_of(request, [snapshot], self.policy, now, seen, decision))
        return decision, held

    async def recorded(self) -> None:
        """Until the decisions so far are on disk; see `Recorder.written`."""
        if self._recorder is not None:
            await self._recorder.written()

    def close(self) -> None:
        """Write what is not written yet."""
        if self._recorder is not None:
            self._recorder.close()

    def release(self, pod: str) -> int:
        """Give a pod's reservations back; the ledger's version."""
        self.ledger = release(self.ledger, pod)
        return self.ledger.version

    def live(self) -> Ledger:
        """Without what has expired."""
        return Ledger(version=self.ledger.version, entries=self.ledger.live(self._clock()))
