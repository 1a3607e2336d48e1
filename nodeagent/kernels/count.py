"""How many kernels of an image started alike, and what makes the others differ. Pure.

Of the kernels of one class (image, Python, modules) the commonest fingerprint is the reference.
Each student has one vote, so that nobody can make the others look drifted by inventing kernels.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nodeagent.kernels.table import KernelNote, Mark, Table
from nodeagent.workloads.owner import Owner

ALIKE = 0.8
"""Share of equal sampled pages. Two kernels of one class have 99 %, a shifted heap leaves 8."""
MOST_IMAGES = 20
MOST_CAUSES = 5
_MOST_CANDIDATES = 8
OTHERS = "others"


@dataclass(frozen=True, kw_only=True)
class ImageCount:
    """Kernels of one image. `image`: as the hub calls it, else the Python it has; `others`: the
    sum of those beyond MOST_IMAGES."""

    image: str
    alike: int = 0
    drifted: int = 0
    """Aligned, and unlike the commonest."""
    refused: int = 0
    """Started as stock because something failed."""
    unsuited: int = 0
    """Started as stock because of the student's own folders or variables."""
    off: int = 0
    causes: tuple[str, ...] = ()
    """Why some are not alike, the most frequent first."""


@dataclass(frozen=True, kw_only=True)
class KernelCount:
    """Of the whole node. `silent`: students whose server tells nothing, or may not be read."""

    images: tuple[ImageCount, ...]
    silent: int

    def total(self, name: str) -> int:
        """Sum of one of the counts over all images."""
        return sum(getattr(image, name) for image in self.images)


def shared_pages(one: Mark, other: Mark) -> float | None:
    """Share of equal sampled pages, 0 to 1; None: one of them has no sample."""
    if not one.pages or not other.pages:
        return None
    equal = sum(a == b for a, b in zip(one.pages, other.pages, strict=False))
    return equal / max(len(one.pages), len(other.pages))


def differences(mark: Mark, reference: Mark) -> list[str]:
    """What the preload of `mark` saw that the reference did not, in words."""
    found: list[str] = []
    only = sorted(set(reference.modules) - set(mark.modules))
    if only:
        found.append(f"{', '.join(only)} was not preloaded")
    for folder in sorted(mark.folders.keys() | reference.folders.keys()):
        if folder not in reference.folders:
            found.append(f"{folder} is on its sys.path and on nobody else's")
        elif folder not in mark.folders:
            found.append(f"{folder} is missing on its sys.path")
        elif mark.folders[folder] != reference.folders[folder]:
            found.append(f"{folder} has other files in it")
    found += [
        f"the variable {name} is another one"
        for name in sorted(mark.environment.keys() | reference.environment.keys())
        if mark.environment.get(name) != reference.environment.get(name)
    ]
    return found or ["its memory is laid out differently, for no reason that was noted"]


def count(tables: Iterable[tuple[Owner, Table]], *, silent: int = 0) -> KernelCount:
    """Over all servers of the node."""
    by_image: dict[str, list[tuple[Owner, KernelNote]]] = {}
    for owner, table in tables:
        for note in table.kernels:
            by_image.setdefault(_name(table, note), []).append((owner, note))
    counted = sorted(
        (_image(name, notes) for name, notes in by_image.items()),
        key=lambda image: (-_size(image), image.image),
    )
    shown, rest = counted[:MOST_IMAGES], counted[MOST_IMAGES:]
    if rest:
        names = ("alike", "drifted", "refused", "unsuited", "off")
        sums = {name: sum(getattr(image, name) for image in rest) for name in names}
        shown.append(ImageCount(image=OTHERS, **sums))
    return KernelCount(images=tuple(shown), silent=silent)


def _name(table: Table, note: KernelNote) -> str:
    if table.image:
        return table.image
    return f"Python {note.mark.python}" if note.mark is not None else "not told"


def _size(image: ImageCount) -> int:
    return image.alike + image.drifted + image.refused + image.unsuited + image.off


def _image(name: str, notes: Sequence[tuple[Owner, KernelNote]]) -> ImageCount:
    states = Counter(note.state for _, note in notes)
    causes: Counter[str] = Counter()
    classes: dict[tuple[str, frozenset[str]], list[tuple[Owner, Mark]]] = {}
    for owner, note in notes:
        if note.mark is not None and note.state == "aligned":
            # A dropped module makes a kernel drift; it does not make a class of its own.
            wanted = frozenset((*note.mark.modules, *note.dropped))
            classes.setdefault((note.mark.python, wanted), []).append((owner, note.mark))
        elif note.reason is not None and note.state != "off":
            causes[note.reason] += 1
    drifted = 0
    for marks in classes.values():
        reference = _commonest(marks)
        for _, mark in marks:
            if not _alike(mark, reference):
                drifted += 1
                causes.update(differences(mark, reference)[:MOST_CAUSES])
    return ImageCount(
        image=name,
        alike=states["aligned"] - drifted,
        drifted=drifted,
        refused=states["refused"],
        unsuited=states["unsuited"],
        off=states["off"],
        causes=tuple(cause for cause, _ in causes.most_common(MOST_CAUSES)),
    )


def _alike(one: Mark, other: Mark) -> bool:
    share = shared_pages(one, other)
    return one.layout == other.layout if share is None else share >= ALIKE


def _commonest(marks: Sequence[tuple[Owner, Mark]]) -> Mark:
    voters: dict[str, set[Owner]] = {}
    first: dict[str, Mark] = {}
    for owner, mark in marks:
        voters.setdefault(mark.layout, set()).add(owner)
        first.setdefault(mark.layout, mark)
    candidates = sorted(voters, key=lambda layout: (-len(voters[layout]), layout))
    best = max(
        candidates[:_MOST_CANDIDATES],
        key=lambda layout: len({owner for owner, mark in marks if _alike(mark, first[layout])}),
    )
    return first[best]


def sentence(image: ImageCount) -> str:
    """`course:2026: 12 kernels aligned alike, 2 drifted: ...`."""
    words = [f"{image.alike} kernel{'' if image.alike == 1 else 's'} aligned alike"]
    words += [
        f"{number} {word}"
        for number, word in (
            (image.drifted, "drifted"),
            (image.refused, "could not be aligned"),
            (image.unsuited, "need a stock start"),
            (image.off, "switched off"),
        )
        if number
    ]
    return f"{image.image}: {', '.join(words)}" + (
        f": {'; '.join(image.causes)}" if image.causes else ""
    )


def as_json(found: KernelCount) -> list[Mapping[str, object]]:
    """For the operator's page."""
    return [{**vars(image), "causes": list(image.causes)} for image in found.images]
