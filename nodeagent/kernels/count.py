"""How many kernels of an image started alike, and what makes the others differ. Pure.

Of the kernels of one class (see `crowd`) what most students have is the reference.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nodeagent.kernels.crowd import Crowd, Kind, alike, kind_of
from nodeagent.kernels.differ import differences
from nodeagent.kernels.table import KernelNote, Table
from nodeagent.workloads.owner import Owner

MOST_IMAGES = 20
MOST_CAUSES = 5
MOST_UNLIKE = 200
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
class UnlikeKernels:
    """Kernels of one student that are not aligned alike, for the operator."""

    kind: str
    name: str
    """Of the owner."""
    image: str
    state: str
    """drifted, refused or unsuited."""
    kernels: int
    cause: str


@dataclass(frozen=True, kw_only=True)
class Told:
    """A kernel that drifted from most of its class, for the student whose server asks."""

    asker: str
    kernel: str
    code: str
    """Of `differ`."""
    name: str
    """"" where the name is not from this kernel."""


@dataclass(frozen=True, kw_only=True)
class DonorKernel:
    """A donor's kernel beside the students'. `pid`: of the process that tells."""

    pid: int
    state: str
    """alike; drifted: unlike most students' kernels; stock: not aligned; alone: nobody to compare
    with."""
    image: str
    """The students' image that it was compared with; "": none."""
    cause: str
    """"": alike or alone."""
    students: int
    """Who agree on what it was compared with."""
    asked: str
    """Hash of what it was compared with: another value after a restart is worth another look."""


@dataclass(frozen=True, kw_only=True)
class KernelCount:
    """Of the whole node. `silent`: students whose server tells nothing, or may not be read."""

    images: tuple[ImageCount, ...]
    silent: int
    unlike: tuple[UnlikeKernels, ...] = ()
    told: tuple[Told, ...] = ()
    donors: tuple[DonorKernel, ...] = ()

    def total(self, name: str) -> int:
        """Sum of one of the counts over all images."""
        return sum(getattr(image, name) for image in self.images)

    def donors_in(self, state: str) -> int:
        """Donors' kernels in a state."""
        return sum(donor.state == state for donor in self.donors)


class Survey:
    """The tables of one reading, by image and class."""

    def __init__(self, tables: Iterable[tuple[Owner, Table]]) -> None:
        self.tables = tuple(tables)
        by_image: dict[str, list[tuple[Owner, KernelNote]]] = {}
        for owner, table in self.tables:
            for note in table.kernels:
                by_image.setdefault(name_of(table, note), []).append((owner, note))
        self.crowds: dict[tuple[str, Kind], Crowd] = {}
        counted = [self._image(name, notes) for name, notes in by_image.items()]
        counted.sort(key=lambda each: (-_size(each[0]), each[0].image))
        images = [image for image, _ in counted]
        shown, rest = images[:MOST_IMAGES], images[MOST_IMAGES:]
        if rest:
            names = ("alike", "drifted", "refused", "unsuited", "off")
            sums = {name: sum(getattr(image, name) for image in rest) for name in names}
            shown.append(ImageCount(image=OTHERS, **sums))
        unlike = [each for _, found in counted for each in found]
        self.count = KernelCount(images=tuple(shown), silent=0, unlike=tuple(unlike[:MOST_UNLIKE]))

    def _image(
        self, name: str, notes: Sequence[tuple[Owner, KernelNote]]
    ) -> tuple[ImageCount, list[UnlikeKernels]]:
        states = Counter(note.state for _, note in notes)
        causes: Counter[str] = Counter()
        unlike: Counter[tuple[Owner, str, str]] = Counter()
        classes: dict[Kind, list[tuple[Owner, KernelNote]]] = {}
        for owner, note in notes:
            if note.mark is not None and note.state == "aligned":
                classes.setdefault(kind_of(note, note.mark), []).append((owner, note))
            elif note.reason is not None and note.state != "off":
                causes[note.reason] += 1
                unlike[owner, note.state, note.reason] += 1
        drifted = 0
        for kind, found in classes.items():
            marks = [(owner, note.mark) for owner, note in found if note.mark is not None]
            crowd = self.crowds[name, kind] = Crowd(marks)
            for owner, mark in marks:
                if not alike(mark, crowd.reference):
                    drifted += 1
                    words = [each.words for each in differences(mark, crowd.reference)]
                    causes.update(words[:MOST_CAUSES])
                    unlike[owner, "drifted", words[0]] += 1
        image = ImageCount(
            image=name,
            alike=states["aligned"] - drifted,
            drifted=drifted,
            refused=states["refused"],
            unsuited=states["unsuited"],
            off=states["off"],
            causes=tuple(cause for cause, _ in causes.most_common(MOST_CAUSES)),
        )
        return image, [
            UnlikeKernels(
                kind=owner.kind, name=owner.name, image=name, state=state, kernels=n, cause=cause
            )
            for (owner, state, cause), n in unlike.items()
        ]


def count(tables: Iterable[tuple[Owner, Table]]) -> KernelCount:
    """Over all servers of the node."""
    return Survey(tables).count


def name_of(table: Table, note: KernelNote) -> str:
    """The image of a kernel as its hub calls it, else its Python."""
    if table.image:
        return table.image
    if note.mark is None:
        return "not told"
    return f"Python {note.mark.tag}" + (f" in {note.mark.prefix}" if note.mark.prefix else "")


def _size(image: ImageCount) -> int:
    return image.alike + image.drifted + image.refused + image.unsuited + image.off


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
