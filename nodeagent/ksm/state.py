"""KSM's values from before the agent, kept so that even a killed agent's changes can be undone."""

import contextlib
import json
import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from nodeagent.errors import KsmError, StateError
from nodeagent.ksm.sysfs import ADVISOR, KsmDir

log = logging.getLogger("nodeagent.ksm")

KEPT = ("run", "pages_to_scan", "sleep_millisecs", "smart_scan", "use_zero_pages")
"""Number files the agent may change, in the order in which they are put back."""

_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Originals:
    """Values as found. `advisor`: None on kernels without the advisor."""

    numbers: Mapping[str, int]
    advisor: str | None


def read_originals(ksm: KsmDir) -> Originals:
    """The present values of everything the agent may change."""
    numbers = {name: value for name in KEPT if (value := ksm.read(name)) is not None}
    return Originals(numbers=numbers, advisor=ksm.read_word(ADVISOR))


class StateFile:
    """`ksm-state.json` in the state folder; valid for one boot of one sysfs."""

    def __init__(self, folder: Path, *, boot_id: str, sys_root: Path) -> None:
        self.path = folder / "ksm-state.json"
        self._boot_id = boot_id
        self._sys_root = str(sys_root)

    def load(self) -> Originals | None:
        """What a killed agent left; None when there is nothing of this boot.

        StateError: the file is there and cannot be read or understood.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as err:
            raise StateError(
                f"Cannot read {self.path}: {getattr(err, 'strerror', None) or err}",
                fix="Give another folder with --state-dir, or delete the file.",
            ) from err
        try:
            held = json.loads(text)
            numbers, advisor = dict(held["numbers"]), held["advisor"]
            known = held["format"] == _FORMAT and set(numbers) <= set(KEPT)
            typed = all(type(value) is int and value >= 0 for value in numbers.values())
            if not known or not typed or not isinstance(advisor, str | None):
                raise ValueError("unknown content")
            same = held["boot_id"] == self._boot_id and held["sys_root"] == self._sys_root
        except (ValueError, KeyError, TypeError) as err:
            raise StateError(
                f"{self.path} is not a state file of this agent: {err}",
                fix="Look at it, set KSM by hand if needed, then delete the file.",
            ) from err
        if not same:
            log.info("%s is from another boot or machine: discarded", self.path)
            self.delete()
            return None
        return Originals(numbers=numbers, advisor=advisor)

    def save(self, originals: Originals) -> None:
        """Write atomically and durably, before the first write to KSM. StateError on failure."""
        text = json.dumps(
            {
                "format": _FORMAT,
                "boot_id": self._boot_id,
                "sys_root": self._sys_root,
                "numbers": dict(originals.numbers),
                "advisor": originals.advisor,
            },
            indent=1,
        )
        draft = self.path.with_name(f"{self.path.name}.new")
        try:
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            draft.unlink(missing_ok=True)
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        except OSError as err:
            raise StateError(
                f"Cannot write {self.path}: {err.strerror}",
                fix="Give a writable folder with --state-dir. Without it KSM is left untouched.",
            ) from err

    def delete(self) -> None:
        """Remove the file; a missing file or folder is fine."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def restore(
    ksm: KsmDir, originals: Originals, *, keep: Collection[str] = ()
) -> tuple[list[str], list[KsmError]]:
    """Put the originals back; returns (what was written, what failed). Goes on after a failure.

    `keep`: names that somebody else has changed meanwhile; theirs to set. An original run=2
    (stopped and unmerged) is put back as 0: the same state of rest, without unmerging again.
    """
    written: list[str] = []
    failed: list[KsmError] = []

    def put(name: str, value: int | str) -> None:
        if name in keep:
            return
        try:
            if ksm.write(name, value):
                written.append(f"{name}={value}")
        except KsmError as err:
            failed.append(err)

    wanted = originals.advisor
    if wanted == "none":
        # While the advisor is on the kernel refuses pages_to_scan.
        put(ADVISOR, "none")
    advisor_now = ksm.read_word(ADVISOR)
    for name, value in originals.numbers.items():
        if name == "pages_to_scan" and advisor_now not in (None, "none"):
            continue
        put(name, 0 if name == "run" and value == 2 else value)
    if wanted not in (None, "none"):
        put(ADVISOR, wanted)
    return written, failed
