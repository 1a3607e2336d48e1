"""Files of bounded size: records of decisions and snapshots for replay."""

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from nodeagent.gpu.sharing.record import Record, lines, snapshot_line
from nodeagent.gpu.snapshot import Snapshot

log = logging.getLogger("nodeagent.gpu")

LineMaker = Callable[[set[str]], Iterable[str]]
"""Called with the ids already in the file; gives the lines to append."""

_FILES = 8
_SNAPSHOT_SECONDS = 300.0


class RecordStore:
    """A ring of `gpu-NNNNNN.jsonl` in `folder`, together at most `most_bytes`; the oldest file goes
    first. Each file can be replayed by itself. A full or broken disk is said once and costs no
    decision."""

    def __init__(self, folder: Path, *, most_bytes: int) -> None:
        self._folder = folder
        self._file_bytes = max(1, most_bytes // _FILES)
        self._most_bytes = most_bytes
        self._written: set[str] = set()
        self._path: Path | None = None
        self._snapshot_at: float | None = None
        self._failed = False
        self._turn = threading.Lock()

    def keep(self, record: Record) -> None:
        """A decision, with what it was made of."""
        self._append(lambda written: lines(record, written))

    def keep_snapshot(self, snapshot: Snapshot) -> None:
        """One every five minutes, so that times without a question can be replayed too."""
        if self._snapshot_at is not None and (
            0 <= snapshot.taken - self._snapshot_at < _SNAPSHOT_SECONDS
        ):
            return
        self._snapshot_at = snapshot.taken
        self._append(lambda written: snapshot_line(snapshot, written))

    def files(self) -> list[Path]:
        """Oldest first."""
        return sorted(self._folder.glob("gpu-[0-9][0-9][0-9][0-9][0-9][0-9].jsonl"))

    def _append(self, make: LineMaker) -> None:
        with self._turn:
            self._append_alone(make)

    def _append_alone(self, make: LineMaker) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._path is None or self._size(self._path) >= self._file_bytes:
                self._next_file()
            if self._path is None:
                return
            text = "".join(f"{line}\n" for line in make(self._written))
            with self._path.open("a", encoding="utf-8") as target:
                target.write(text)
            self._trim()
            self._failed = False
        except OSError as err:
            if not self._failed:
                log.warning("GPU decisions are not recorded in %s: %s", self._folder, err)
            self._failed = True
            self._path = None

    def _next_file(self) -> None:
        """A new file: one that a killed agent left may end in half a line."""
        last = self.files()[-1:]
        number = int(last[0].stem.removeprefix("gpu-")) + 1 if last else 1
        self._path = self._folder / f"gpu-{number:06}.jsonl"
        self._written = set()

    def _trim(self) -> None:
        files = self.files()
        total = sum(self._size(path) for path in files)
        for path in files[:-1]:
            if total <= self._most_bytes:
                break
            total -= self._size(path)
            path.unlink()

    @staticmethod
    def _size(path: Path) -> int:
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0
