"""Reads the anonymous pages of a process, as KSM would see them. Root, read-only.

Source: Documentation/admin-guide/mm/pagemap.rst. Each page costs a copy; nothing is stopped or
changed, so a page may change while it is read, as it may under ksmd.
"""

import array
import ctypes
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nodeagent.errors import AgentError

PAGE = mmap.PAGESIZE
_PRESENT, _FILE, _SWAPPED = 1 << 63, 1 << 61, 1 << 62
_FRAME = (1 << 55) - 1
_CHUNK_PAGES = 512
_SPECIAL = ("[vdso]", "[vvar]", "[vsyscall]", "[vvar_vclock]")


class EstimateError(AgentError):
    """Pages cannot be read."""

    code = "estimate"


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """A private mapping; `name` is a file, [heap], [stack] or empty."""

    start: int
    end: int
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One anonymous page. `frame`: where it lies in memory; 0: this user is not told."""

    address: int
    frame: int
    content: bytes


def mappings(proc: Path, pid: int) -> list[Mapping]:
    """Private mappings of a process, in order; empty when it is gone. EstimateError: not ours."""
    try:
        text = (proc / str(pid) / "maps").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    except OSError as err:
        raise EstimateError(
            f"Cannot read the memory of process {pid}: {err.strerror}", fix="Run this as root."
        ) from err
    found = []
    for line in text.splitlines():
        fields = line.split(maxsplit=5)
        name = fields[5] if len(fields) > 5 else ""
        if fields[1][3] != "p" or name in _SPECIAL or name.startswith("/dev/"):
            continue
        start, _, end = fields[0].partition("-")
        found.append(Mapping(start=int(start, 16), end=int(end, 16), name=name))
    return found


def pages(proc: Path, pid: int) -> Iterator[list[Page]]:
    """Anonymous pages in memory, in chunks of at most 512. Ends early when the process ends.

    EstimateError: not permitted. Pages in swap are left out, as by KSM.
    """
    ranges = mappings(proc, pid)
    if not ranges:
        return
    try:
        pagemap = os.open(proc / str(pid) / "pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return
    except OSError as err:
        raise _refused(pid, err) from err
    try:
        memory = os.open(proc / str(pid) / "mem", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        os.close(pagemap)
        return
    except OSError as err:
        os.close(pagemap)
        raise _refused(pid, err) from err
    try:
        for each in ranges:
            for start in range(each.start, each.end, _CHUNK_PAGES * PAGE):
                end = min(each.end, start + _CHUNK_PAGES * PAGE)
                found = _chunk(pagemap, memory, start, end)
                if found:
                    yield found
    finally:
        os.close(pagemap)
        os.close(memory)


def _refused(pid: int, err: OSError) -> EstimateError:
    return EstimateError(
        f"Cannot read the memory of process {pid}: {err.strerror}",
        fix="Run this as root, with the host's /proc.",
    )


def _chunk(pagemap: int, memory: int, start: int, end: int) -> list[Page]:
    entries = array.array("Q")
    try:
        entries.frombytes(os.pread(pagemap, (end - start) // PAGE * 8, start // PAGE * 8))
    except OSError:
        return []
    # One read for a run of neighbours: a system call per page would be most of the cost.
    found: list[Page] = []
    count = len(entries)
    index = 0
    while index < count:
        if not _anonymous(entries[index]):
            index += 1
            continue
        first = index
        while index < count and _anonymous(entries[index]):
            index += 1
        try:
            held = os.pread(memory, (index - first) * PAGE, start + first * PAGE)
        except OSError:
            continue  # unmapped meanwhile
        for number in range(len(held) // PAGE):
            found.append(
                Page(
                    address=start + (first + number) * PAGE,
                    frame=entries[first + number] & _FRAME,
                    content=held[number * PAGE : (number + 1) * PAGE],
                )
            )
    return found


def _anonymous(entry: int) -> bool:
    return bool(entry & _PRESENT) and not entry & (_FILE | _SWAPPED)


def zero_frame() -> int:
    """The frame of the kernel's shared page of zeros; 0: this user is not told frames."""
    with mmap.mmap(-1, PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as untouched:
        untouched.read(1)  # Reading maps the shared page; only a write would make an own one.
        address = ctypes.addressof(ctypes.c_char.from_buffer(untouched))
        try:
            handle = os.open("/proc/self/pagemap", os.O_RDONLY)
        except OSError:
            return 0
        try:
            entry = int.from_bytes(os.pread(handle, 8, address // PAGE * 8), "little")
        finally:
            os.close(handle)
    return entry & _FRAME if entry & _PRESENT else 0
