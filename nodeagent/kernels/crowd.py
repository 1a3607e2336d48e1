"""What most aligned kernels of one class look like. Pure.

A class is what should be alike: one image, Python and list of modules. Each student has one vote
in it, whatever its server says of how many kernels.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeVar

from nodeagent.kernels.table import KernelNote, Mark
from nodeagent.workloads.owner import Owner

ALIKE = 0.8
"""Share of equal sampled pages. Two kernels of one class have 99 %, a shifted heap leaves 8."""
_MOST_CANDIDATES = 8

Value = TypeVar("Value")


def shared_pages(one: Mark, other: Mark) -> float | None:
    """Share of equal sampled pages, 0 to 1; None: one of them has no sample."""
    if not one.pages or not other.pages:
        return None
    equal = sum(a == b for a, b in zip(one.pages, other.pages, strict=False))
    return equal / max(len(one.pages), len(other.pages))


def alike(one: Mark, other: Mark) -> bool:
    """By their pages; by their layout where one has no sample."""
    share = shared_pages(one, other)
    return one.layout == other.layout if share is None else share >= ALIKE


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What makes a class within an image. Another build of the same Python does not, nor does a
    module that was dropped: those are drift."""

    prefix: str
    tag: str
    modules: frozenset[str]


def kind_of(note: KernelNote, mark: Mark) -> Kind:
    """The class of an aligned kernel."""
    return Kind(prefix=mark.prefix, tag=mark.tag, modules=frozenset((*mark.modules, *note.dropped)))


class Crowd:
    """The aligned kernels of one class."""

    def __init__(self, marks: Iterable[tuple[Owner, Mark]]) -> None:
        self._marks = list(marks)
        self.owners = frozenset(owner for owner, _ in self._marks)
        votes: dict[str, dict[Owner, Mark]] = {}
        for owner, mark in self._marks:
            votes.setdefault(mark.layout, {}).setdefault(owner, mark)
        layouts = sorted(votes, key=lambda layout: (-len(votes[layout]), layout))
        # Made of what most say in each place: nobody can put a page of their own into it.
        references = [_commonest(list(votes[each].values())) for each in layouts[:_MOST_CANDIDATES]]
        self._candidates = [
            (reference, frozenset(owner for owner, mark in self._marks if alike(mark, reference)))
            for reference in references
        ]

    @property
    def reference(self) -> Mark:
        """What most students' kernels look like."""
        return max(self._candidates, key=lambda each: len(each[1]))[0]

    @property
    def voters(self) -> int:
        """Students with a kernel like the reference."""
        return max(len(owners) for _, owners in self._candidates)

    def most_others(self, owner: Owner, least: int) -> Mark | None:
        """What most of the others' kernels look like: more than half of them and at least `least`
        students. None: they do not agree, or are too few for one not to be told from another."""
        others = len(self.owners - {owner})
        reference, count = max(
            ((mark, len(owners - {owner})) for mark, owners in self._candidates),
            key=lambda each: each[1],
        )
        return reference if count >= least and 2 * count > others else None


def _commonest(marks: Sequence[Mark]) -> Mark:
    """Of kernels with one layout, one of each student."""
    with_pages = [mark.pages for mark in marks if mark.pages]
    length = _most([len(pages) for pages in with_pages]) if with_pages else 0
    columns = zip(*(pages for pages in with_pages if len(pages) == length), strict=True)
    return Mark(
        python=_most([mark.python for mark in marks]),
        modules=_most([mark.modules for mark in marks]),
        environment=_pairs(marks, "environment"),
        folders=_pairs(marks, "folders"),
        layout=marks[0].layout,
        pages=tuple(_most(column) for column in columns) or None,
        prefix=marks[0].prefix,
        versions=_pairs(marks, "versions"),
    )


def _pairs(marks: Sequence[Mark], name: str) -> dict[str, str]:
    found = [attrgetter(name)(mark) for mark in marks]
    chosen = {
        key: _most([pairs.get(key) for pairs in found])
        for key in {key for pairs in found for key in pairs}
    }
    return {key: value for key, value in chosen.items() if value is not None}


def _most(values: Sequence[Value]) -> Value:
    """The commonest; of equally common ones the first."""
    return Counter(values).most_common(1)[0][0]
