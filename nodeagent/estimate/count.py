"""Counts equal pages in bounded memory. Pure.

Sampling is by content: of all copies of a page either every one is counted or none, so that the
share of equal pages is kept (Gibbons, Distinct Sampling, VLDB 2001). The sample halves whenever the
table is full, and every result is scaled back.
"""

import hashlib
import os
from dataclasses import dataclass

MAX_SHARING = 256
"""KSM's max_page_sharing: so many users share one kept page."""


@dataclass(frozen=True, kw_only=True)
class Possible:
    """Pages, scaled from the sample. A page shared by fork or KSM already counts for each user."""

    pages: int
    shared_now: int
    """Saved already: users less frames."""
    further: int
    """What merging would save in addition."""
    zero: int
    """Of `further`: pages of zeros."""

    @property
    def ratio(self) -> float:
        """All that merging can save, to all pages; 0..1."""
        return (self.shared_now + self.further) / self.pages if self.pages else 0.0


@dataclass(slots=True)
class _Content:
    users: dict[int, int]
    """Group number -> pages."""
    frames: set[int]
    zero: bool


class PageCounter:
    """Add pages, then ask. `most`: distinct contents kept, some 400 bytes each."""

    def __init__(self, *, most: int = 150_000, key: bytes | None = None) -> None:
        self._most = most
        self._mask = 0
        self._key = key or os.urandom(16)
        self._zero_digest = self.digest(bytes(4096))
        # So frequent that leaving it to chance would spoil the whole: never sampled.
        self._zeros = _Content({}, set(), True)
        self._contents: dict[int, _Content] = {}

    @property
    def sampled(self) -> float:
        """Part of the contents that is counted, 1 or less."""
        return 1 / (self._mask + 1)

    def digest(self, content: bytes) -> int:
        """64 bits, keyed anew for each counter: of no use to anybody else."""
        found = hashlib.blake2b(content, digest_size=8, key=self._key).digest()
        return int.from_bytes(found, "little")

    def add(self, group: int, content: bytes, frame: int) -> None:
        """Enter one page. `frame`: 0 when not known; pages of one frame are one page."""
        digest = self.digest(content)
        held: _Content | None
        if digest == self._zero_digest:
            held = self._zeros
        elif digest & self._mask:
            return
        else:
            held = self._contents.get(digest)
        if held is None:
            held = self._contents[digest] = _Content({}, set(), False)
            if len(self._contents) > self._most:
                self._thin()
        held.users[group] = held.users.get(group, 0) + 1
        if frame:
            held.frames.add(frame)

    def possible(self, group: int | None = None) -> Possible:
        """Of all pages, or the part of one group; the parts sum up to the whole."""
        pages = shared = further = zero = 0.0
        scale = self._mask + 1
        for content in (self._zeros, *self._contents.values()):
            users = sum(content.users.values())
            if not users:
                continue
            part = 1.0 if group is None else content.users.get(group, 0) / users
            part *= 1 if content.zero else scale
            if not part:
                continue
            frames = len(content.frames) or users
            kept = 0 if content.zero else -(-users // MAX_SHARING)
            pages += part * users
            shared += part * (users - frames)
            further += part * max(frames - kept, 0)
            zero += part * frames if content.zero else 0
        return Possible(
            pages=round(pages),
            shared_now=round(shared),
            further=round(further),
            zero=round(zero),
        )

    def _thin(self) -> None:
        while len(self._contents) > self._most:
            self._mask = self._mask << 1 | 1
            self._contents = {
                digest: content
                for digest, content in self._contents.items()
                if not digest & self._mask
            }
