"""How much an equal layout would add: a guess from two processes, with pointers blanked out. Pure.

Equal interpreters build nearly equal heaps at other addresses: what differs is pointers, where a
page begins, and hash seeds. Of two processes the 8-byte words that look like addresses are blanked;
then 64-byte pieces of the one are looked for at any 16-byte step of the other (as rsync does). A
page that is found to nine tenths is taken to become equal when the processes start aligned.

It is a guess, good to some ten percent of the memory: hash values inside objects count as unlike
though alignment makes them equal, data that differs in pointers only counts as equal. Measured:
70 % for two stock kernels, idle or after the usual imports, where aligned ones merged 76 %.
"""

import array
from dataclasses import dataclass

PIECE, STEP = 64, 16
ENOUGH = 0.9
_LOW, _HIGH = 0x5000_0000_0000, 0x8000_0000_0000
_BLANK = 0x5A5A_5A5A_5A5A_5A5A


@dataclass(frozen=True, kw_only=True)
class Alignable:
    """Of `pages` compared, so many would become equal."""

    pages: int
    equal: int

    @property
    def ratio(self) -> float | None:
        """0..1; None: nothing was compared."""
        return self.equal / self.pages if self.pages else None


def blank(content: bytes) -> bytes:
    """The page with its pointers blanked. Length: a multiple of 8."""
    words = array.array("Q", content)
    return array.array("Q", [_BLANK if _LOW <= word < _HIGH else word for word in words]).tobytes()


class Pieces:
    """What the first process consists of."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    def add(self, content: bytes) -> None:
        """Enter a page."""
        page = blank(content)
        self._known.update(
            hash(page[start : start + PIECE]) for start in range(0, len(page), PIECE)
        )

    def found(self, content: bytes) -> float:
        """Share of the page that the first process holds too, 0..1."""
        page, known = blank(content), self._known
        start = covered = 0
        last = len(page) - PIECE
        while start <= last:
            if hash(page[start : start + PIECE]) in known:
                covered += PIECE
                start += PIECE
            else:
                start += STEP
        return covered / len(page)
