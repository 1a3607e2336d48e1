"""Runs an estimate: reads, counts, within a share of one core."""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nodeagent.estimate.alignment import ENOUGH as ENOUGH_EQUAL
from nodeagent.estimate.alignment import Alignable, Pieces
from nodeagent.estimate.choose import Chosen
from nodeagent.estimate.count import PageCounter, Possible
from nodeagent.estimate.pages import PAGE, pages, zero_frame
from nodeagent.workloads.owner import Owner

Progress = Callable[[int, int], None]
"""Called with (bytes read, bytes to read)."""

_MAX_ALIGN_PAGES = 16_384


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The answer. Pages are of `page_bytes`."""

    processes: int
    total: Possible
    owners: tuple[tuple[Owner, Possible], ...]
    """The most memory first."""
    alignable: Alignable | None
    """None: not asked for, or fewer than two processes."""
    sampled: float
    page_bytes: int
    cpu_seconds: float


class Pace:
    """Sleeps so that this process stays below `cores` of one core."""

    def __init__(self, cores: float) -> None:
        self._cores = cores
        self._wall = time.monotonic()
        self._cpu = time.process_time()

    def wait(self) -> None:
        """Call often; returns at once where nothing is owed."""
        owed = (time.process_time() - self._cpu) / self._cores - (time.monotonic() - self._wall)
        if owed > 0.01:
            time.sleep(owed)


def estimate(
    proc: Path,
    chosen: Sequence[Chosen],
    *,
    cores: float = 0.5,
    most: int = 150_000,
    alignment: bool = True,
    progress: Progress = lambda done, of: None,
) -> Estimate:
    """Blocks; seconds per GB of private memory. EstimateError: not permitted."""
    begun = time.process_time()
    pace, counter, zero = Pace(cores), PageCounter(most=most), zero_frame()
    owners = sorted({each.owner for each in chosen})
    numbers = {owner: number for number, owner in enumerate(owners)}
    to_read, done = sum(each.private_bytes for each in chosen), 0
    for each in chosen:
        group = numbers[each.owner]
        for chunk in pages(proc, each.pid):
            for page in chunk:
                if page.frame == 0 or page.frame != zero:
                    counter.add(group, page.content, page.frame)
            done += len(chunk) * PAGE
            progress(min(done, to_read), to_read)
            pace.wait()
    parts = [(owner, counter.possible(numbers[owner])) for owner in owners]
    return Estimate(
        processes=len(chosen),
        total=counter.possible(),
        owners=tuple(sorted(parts, key=lambda part: -part[1].pages)),
        alignable=_align(proc, chosen, pace) if alignment else None,
        sampled=counter.sampled,
        page_bytes=PAGE,
        cpu_seconds=time.process_time() - begun,
    )


def _align(proc: Path, chosen: Sequence[Chosen], pace: Pace) -> Alignable | None:
    """Of the two that are most alike in size: the likeliest to be the same kind of kernel."""
    ordered = sorted(chosen, key=lambda each: each.private_bytes)
    pairs = list(itertools.pairwise(ordered))
    if not pairs:
        return None
    first, second = min(
        pairs,
        key=lambda pair: (
            (pair[1].private_bytes - pair[0].private_bytes) / max(pair[0].private_bytes, 1)
        ),
    )
    pieces, counted = Pieces(), 0
    for chunk in pages(proc, first.pid):
        for page in chunk:
            pieces.add(page.content)
        pace.wait()
    equal = 0
    # Spread over the whole process, when it is large.
    every = max(1, second.private_bytes // PAGE // _MAX_ALIGN_PAGES)
    seen = 0
    for chunk in pages(proc, second.pid):
        for page in chunk:
            seen += 1
            if seen % every:
                continue
            counted += 1
            equal += pieces.found(page.content) >= ENOUGH_EQUAL
        pace.wait()
    return Alignable(pages=counted, equal=equal)
