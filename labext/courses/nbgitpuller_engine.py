"""The engine that classes know: a plain clone, then nbgitpuller's merge."""

from __future__ import annotations

from labext.courses.clone import first_pull
from labext.courses.engine import Delivery, Pull, Report
from labext.courses.folder import Place, inspect
from labext.courses.git import Git


class NbgitpullerEngine:
    """See `Engine`."""

    def pull(self, pull: Pull, report: Report) -> Delivery:
        """Clone when there is nothing yet, else merge."""
        place = inspect(pull.target, pull.address, Git(pull.target, pull.env))
        if place is not Place.CLONE:
            return first_pull(pull, report)
        # A first pull needs none of nbgitpuller, whose import takes a tenth of a second.
        from labext.courses.update import later_pull

        return later_pull(pull, report)
