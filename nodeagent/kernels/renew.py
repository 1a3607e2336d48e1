"""When donors that drifted are worth starting anew. Pure but for what was advised before.

A donor starts as the students' kernels start: after an update of the packages both share, or of
the settings, a new one is like them again. One that is of another image never is. So each thing
that donors are unlike is tried once in AGAIN_SECONDS, and what students' servers say can make the
donors start once in PAUSE_SECONDS at most.
"""

from nodeagent.kernels.count import KernelCount

PAUSE_SECONDS = 600.0
SETTLE_SECONDS = 60.0
"""A majority that has just changed may change back: kernels of a class start one by one."""
AGAIN_SECONDS = 6 * 3600.0
LEAST_STUDENTS = 2


class DonorAdvice:
    """`number` goes up when the donors should start anew. Not safe for two threads."""

    def __init__(self) -> None:
        self.number = 0
        self._tried: dict[str, float] = {}
        self._since: tuple[str, float] | None = None
        self._last: float | None = None

    def look(self, found: KernelCount | None, now: float) -> bool:
        """Whether that is now. `now`: monotonic seconds."""
        unlike = next(
            (
                donor.asked
                for donor in (() if found is None else found.donors)
                if donor.state == "drifted" and donor.students >= LEAST_STUDENTS
            ),
            None,
        )
        self._tried = {what: at for what, at in self._tried.items() if now - at < AGAIN_SECONDS}
        if unlike is None or unlike in self._tried:
            self._since = None
            return False
        if self._since is None or self._since[0] != unlike:
            self._since = unlike, now
        waited = now - self._since[1] >= SETTLE_SECONDS
        if not waited or (self._last is not None and now - self._last < PAUSE_SECONDS):
            return False
        self._last, self._since = now, None
        self._tried[unlike] = now
        self.number += 1
        return True
