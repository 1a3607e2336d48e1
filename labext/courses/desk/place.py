"""A course's folder with our git data on it, for somebody who reads it or changes a file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labext.courses import gitenv
from labext.courses.address import parse
from labext.courses.errors import CourseError
from labext.courses.store import Store
from labext.courses.sync.engine import StateEngine, repository_of
from labext.courses.sync.repository import Repository
from labext.courses.target import resolve


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a course is. Everything here blocks."""

    root: Path
    target: str
    state_dir: Path

    def folder(self) -> Path:
        """The course's folder. Errors: CourseError when it is outside the server's."""
        return resolve(self.root, self.target)

    def store(self) -> Store:
        """What is remembered of it."""
        return Store(folder=self.state_dir, target=self.folder())

    def repository(self) -> Repository:
        """Our git data, to be read. Errors: CourseError when there is none yet."""
        folder = self.folder()
        path = repository_of(self.state_dir, folder)
        if not (folder.is_dir() and path.is_dir()):
            raise never_pulled(folder)
        return Repository(path, gitenv.environment(os.environ, parse("file:///"), folder))

    @contextlib.contextmanager
    def changing(self) -> Iterator[tuple[Repository, Path]]:
        """Repository and folder, while no pull runs. Errors: CourseError, OSError."""
        folder = self.folder()
        try:
            with self.store().locked(wait=False):
                repository = self.repository()
                environment = gitenv.environment(os.environ, parse("file:///"), folder)
                StateEngine(self.state_dir).recover(folder, environment)
                repository.prepare()
                yield repository, folder
        except BlockingIOError as err:
            raise busy(folder.name) from err


def busy(name: str) -> CourseError:
    """A pull runs."""
    return CourseError(
        "pulling",
        f"{name} is being pulled at this moment; nothing was done.",
        "Try again when the pull has ended.",
    )


def never_pulled(folder: Path) -> CourseError:
    """Nothing is known of the folder."""
    return CourseError(
        "never_pulled", f"No course was pulled into {folder.name} yet.", "Press Pull now."
    )
