"""ksmd's CPU of the last minute, kept beside the state file so that a restart does not forget it.

Otherwise an agent that is started over and over could spend its whole budget at each start. The
file outlives a clean stop, too; after a minute, or a reboot, what it holds counts for nothing.
"""

import contextlib
import itertools
import json
import logging
import math
from pathlib import Path

log = logging.getLogger("nodeagent.ksm")

Spent = tuple[tuple[float, float], ...]
"""(monotonic seconds, ksmd's CPU counter in seconds), oldest first."""

_FORMAT = 1
_MOST_ENTRIES = 200


class SpendingFile:
    """`ksm-spent.json` in the state folder, valid for one boot: the clock begins anew with it."""

    def __init__(self, folder: Path, *, boot_id: str) -> None:
        self.path = folder / "ksm-spent.json"
        self._boot_id = boot_id
        self._saved: Spent = ()
        self._failed = False

    def load(self, now: float) -> Spent:
        """What an earlier agent left; () when there is nothing of this boot, or nonsense."""
        try:
            held = json.loads(self.path.read_text(encoding="utf-8"))
            spent = tuple((float(time), float(cpu)) for time, cpu in held["spent"])
            fits = held["format"] == _FORMAT and held["boot_id"] == self._boot_id
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, KeyError, TypeError) as err:
            log.warning("%s cannot be used, the last minute counts as idle: %s", self.path, err)
            return ()
        numbers = [number for entry in spent for number in entry]
        ordered = all(
            one[0] <= two[0] and one[1] <= two[1] for one, two in itertools.pairwise(spent)
        )
        if not fits or not ordered or not all(map(math.isfinite, numbers)):
            return ()
        return spent if not spent or spent[-1][0] <= now else ()

    def save(self, spent: Spent) -> None:
        """Replace it when ksmd has used CPU since; never raises, a failure is logged once.

        Not synced to the disk: a crash of the machine ends the minute as well.
        """
        if self._saved and spent and spent[-1][1] == self._saved[-1][1]:
            return
        text = json.dumps(
            {"format": _FORMAT, "boot_id": self._boot_id, "spent": spent[-_MOST_ENTRIES:]}
        )
        draft = self.path.with_name(f"{self.path.name}.new")
        try:
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            draft.unlink(missing_ok=True)
            draft.touch(mode=0o600, exist_ok=False)
            draft.write_text(text, encoding="utf-8")
            draft.replace(self.path)
        except OSError as err:
            if not self._failed:
                log.warning("cannot keep what ksmd used in %s: %s", self.path, err.strerror)
            self._failed = True
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            return
        self._failed = False
        self._saved = spent
