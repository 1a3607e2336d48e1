"""What is running, on disk: so that the guardian or the next server can end it. Stdlib only.

One file for each run in the server's runtime folder, written before the process exists (its mark
finds it then) and again with the process, removed when nothing of it is left.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from serverproxy.supervisor.saving import SaveStep

_PREFIX = "run-"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run. mark: value of the variable `environment.MARK` in its processes.

    pid, starttime: of the launched process, which leads its session and group; None before the
    launch. boot_id: of this system, so that no process of another boot is taken for ours.
    save_program, save_signal: as of `saving.SaveStep`; "" and 0: no such step.
    """

    name: str
    mark: str
    uid: int
    boot_id: str
    grace_s: float
    pid: int | None = None
    starttime: int | None = None
    save_program: str = ""
    save_signal: int = 0

    @property
    def save_step(self) -> SaveStep | None:
        """What comes before SIGTERM; None: nothing."""
        if not self.save_program or self.save_signal <= 0:
            return None
        return SaveStep(program=self.save_program, signal=self.save_signal)


def read_boot_id(proc: Path = Path("/proc")) -> str:
    """The kernel's random id of this boot; empty when it is not told."""
    try:
        return (proc / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def write_record(folder: Path, record: RunRecord) -> None:
    """Write or replace the record, mode 0600. OSError when the folder is gone or full."""
    write_private(folder / f"{_PREFIX}{record.mark}.json", json.dumps(asdict(record)))


def remove_record(folder: Path, mark: str) -> None:
    """Forget the run; a record that is gone already is fine."""
    (folder / f"{_PREFIX}{mark}.json").unlink(missing_ok=True)


def read_records(folder: Path) -> list[RunRecord]:
    """The records that can be read; damaged ones are left out."""
    records = []
    for file in sorted(folder.glob(f"{_PREFIX}*.json")):
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
            record = RunRecord(**fields)
        except (OSError, ValueError, TypeError):
            continue
        numbers = (record.pid, record.starttime)
        if all(number is None or isinstance(number, int) for number in numbers):
            records.append(record)
    return records


def write_private(file: Path, text: str) -> None:
    """Replace a file as a whole, mode 0600."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    fresh.replace(file)
