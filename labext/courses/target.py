"""Where a course may lie: inside the server's root folder, whatever links say."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from labext.courses.errors import CourseError


def problem_of(target: str) -> str | None:
    """Why `target` cannot be the folder of a course, judged by its text alone; None: it can."""
    path = PurePosixPath(target)
    if not target or target != target.strip() or any(ord(sign) < 32 for sign in target):
        return "it is empty or contains control characters or spaces at an end"
    if path.is_absolute() or target.startswith("~"):
        return "it must be relative to the server's root folder"
    if ".." in path.parts:
        return "it must not contain '..'"
    if not path.parts:
        return "it must name a folder below the server's root folder"
    if ".git" in (part.lower() for part in path.parts):
        return "it must not lie in a .git folder"
    return None


def resolve(root: Path, target: str) -> Path:
    """The folder of a course with every link followed. Reads the file system.

    Errors: CourseError when it would be outside `root`, or `root` itself.
    """
    real_root = root.resolve()
    place = (real_root / target).resolve()
    if place == real_root or not place.is_relative_to(real_root):
        raise CourseError(
            "outside_root",
            f"The folder {target} leads out of the folder that this server shows.",
            f"Remove or rename the link in {target}, or ask for another target of this course.",
        )
    return place
