"""What a course says of the kernels that run in its folder: modules, and off switches.

The server extension knows the courses; a provisioner asks here at each start, so that a manifest
that changes counts from the next kernel on.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Loaded with a module that needs it as soon as a notebook uses it.
_COMPANIONS = {
    "numpy": "numpy.random",
    "matplotlib.pyplot": "matplotlib_inline.backend_inline",
}


@dataclass(frozen=True, kw_only=True)
class CourseKernels:
    """One course. `folder`: links followed. `preload`: modules, () where it names none."""

    folder: Path
    preload: tuple[str, ...] = ()
    merge: bool = True
    align: bool = True


def course_of(folder: Path, courses: Iterable[CourseKernels]) -> CourseKernels | None:
    """The course in which `folder` (links followed) lies, the innermost one. Pure."""
    found = [course for course in courses if folder.is_relative_to(course.folder)]
    return max(found, key=lambda course: len(course.folder.parts), default=None)


def modules_for(folder: Path | None, courses: Sequence[CourseKernels]) -> list[str] | None:
    """What to preload in `folder`; None: no course has a say. Pure.

    In a course, its own list. Elsewhere (and for a spare, None) those of all courses.
    """
    course = None if folder is None else course_of(folder, courses)
    wanted = [course] if course is not None else courses
    named = [module for each in wanted for module in each.preload]
    return completed(named) if named else None


def completed(modules: Iterable[str]) -> list[str]:
    """Each once, followed by what belongs to it. Pure."""
    found: dict[str, None] = {}
    for module in modules:
        found[module] = None
        if module in _COMPANIONS:
            found[_COMPANIONS[module]] = None
    return list(found)


class Courses:
    """Those of this server; none until the extension has set `source`."""

    def __init__(self) -> None:
        self.source: Callable[[], Sequence[CourseKernels]] = tuple

    def of(self, folder: str | Path | None) -> CourseKernels | None:
        """The course in whose folder a kernel starts. Reads links; None where that fails."""
        try:
            return course_of(Path(folder or Path.cwd()).resolve(), self.source())
        except OSError:
            return None

    def modules(self, folder: str | Path | None) -> list[str] | None:
        """As `modules_for`; `folder` None: for a spare."""
        try:
            place = None if folder is None else Path(folder).resolve()
        except OSError:
            place = None
        return modules_for(place, self.source())


#: One per process, as the ledger.
courses = Courses()
