"""Whether the donors' kernels are what the students' kernels are. Pure.

A donor owns a page for the students only where its page equals theirs: one with another image,
Python or list of modules costs its memory and donates nothing.
"""

from collections.abc import Iterable
from hashlib import blake2b

from nodeagent.kernels.count import DonorKernel, Survey, name_of
from nodeagent.kernels.crowd import Crowd, alike
from nodeagent.kernels.differ import differences
from nodeagent.kernels.table import KernelNote, Mark, Table

FIX = (
    "Run the donors with the students' image, kernelspec and SAMEPAGE_* settings; "
    "samepage-agent status names the difference"
)


def compared(survey: Survey, tables: Iterable[tuple[int, Table]]) -> tuple[DonorKernel, ...]:
    """Each donor's kernels, with the students' class that is like it, else the one nearest."""
    return tuple(
        _compared(survey, pid, table, note) for pid, table in tables for note in table.kernels
    )


def _compared(survey: Survey, pid: int, table: Table, note: KernelNote) -> DonorKernel:
    mark = note.mark
    if mark is None or note.state != "aligned":
        cause = note.reason or "its kernel was started as stock"
        return DonorKernel(pid=pid, state="stock", image="", cause=cause, students=0, asked="")
    crowds = [(image, crowd) for (image, _), crowd in survey.crowds.items()]
    if not crowds:
        return DonorKernel(pid=pid, state="alone", image="", cause="", students=0, asked="")
    # A sidecar has no hub that tells the image's name: what it holds says which one it serves.
    own = name_of(table, note)
    image, crowd = max(
        crowds,
        key=lambda each: (
            alike(mark, each[1].reference),
            each[0] == own,
            each[1].reference.tag == mark.tag,
            each[1].voters,
        ),
    )
    same = alike(mark, crowd.reference)
    return DonorKernel(
        pid=pid,
        state="alike" if same else "drifted",
        image=image,
        cause="" if same else _cause(mark, crowd),
        students=crowd.voters,
        asked=_hash(crowd.reference),
    )


def _cause(mark: Mark, crowd: Crowd) -> str:
    return "; ".join(each.words for each in differences(mark, crowd.reference)[:3])


def _hash(mark: Mark) -> str:
    """Of what the preload saw. Pages are left out: they differ a little with every student."""
    seen = (
        mark.python,
        mark.prefix,
        mark.modules,
        *(sorted(pairs.items()) for pairs in (mark.environment, mark.folders, mark.versions)),
    )
    return blake2b(repr(seen).encode(), digest_size=8).hexdigest()


def donor_sentence(donor: DonorKernel) -> str:
    """`donor 12 holds other pages than the kernels of course:2026: ...`."""
    if donor.state == "stock":
        return f"donor {donor.pid} is not aligned and donates next to nothing: {donor.cause}"
    if donor.state == "alone":
        return f"donor {donor.pid} has no student's kernel to be compared with"
    if donor.state == "alike":
        return f"donor {donor.pid} is like the kernels of {donor.image}"
    return (
        f"donor {donor.pid} holds other pages than the kernels of {donor.image} "
        f"and donates next to nothing: {donor.cause}"
    )
