"""A teacher and a student, pulls in this process: fast enough for many, real git all the same."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from labext.courses import task
from labext.courses.protocol import Job, Result
from labext.courses.sync.engine import StateEngine, repository_of
from tests.integration.courses_upstream import Teacher, git

ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


class Classroom:
    """`base/home/course` of the student, `teacher` with one repository."""

    def __init__(self, base: Path) -> None:
        self.teacher = Teacher(base)
        self.root = base / "home"
        self.root.mkdir()
        self.state = base / "state"
        self.course = self.root / "course"
        self.environ = {**ENVIRON, "HOME": str(self.root)}
        self.url = self.teacher.bare.as_uri()
        self.history: list[str] = []

    @property
    def repository(self) -> Path:
        """The private repository."""
        return repository_of(self.state, self.course.resolve())

    def job(self, **changes: Any) -> Job:
        values: dict[str, Any] = {
            "url": self.url,
            "branch": None,
            "depth": 1,
            "root": str(self.root),
            "target": "course",
            "state_dir": str(self.state),
            "timeout_seconds": 60.0,
            "connect_timeout_seconds": 20.0,
        }
        return Job(**{**values, **changes})

    def try_pull(self, **changes: Any) -> Result:
        """Pull, whatever comes of it."""
        engine = StateEngine(self.state)
        return task.run(self.job(**changes), engine, lambda _: None, self.environ, time.time)

    def pull(self, **changes: Any) -> Result:
        """Pull; it must succeed."""
        result = self.try_pull(**changes)
        assert result.state == "up_to_date", (result.code, result.message)
        return result

    def write(self, files: dict[str, str | bytes | None]) -> None:
        """The student saves (None: deletes) files."""
        for name, content in files.items():
            file = self.course / name
            if content is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)

    def files(self) -> dict[str, str]:
        """Every file and link below the folder but the student's git data."""
        found = {}
        for path in sorted(self.course.rglob("*")):
            name = str(path.relative_to(self.course))
            if ".git" in Path(name).parts:
                continue
            if path.is_symlink():
                found[name] = f"-> {os.readlink(path)}"  # noqa: PTH115 - as text
            elif path.is_file():
                found[name] = path.read_bytes().decode("utf-8", "surrogateescape")
        return found

    def beside(self, name: str, word: str) -> list[str]:
        """Contents of files that were put beside `name`, under a name with `word` in it."""
        folder, _, last = name.rpartition("/")
        stem = f"{folder}/{last.partition('.')[0]}" if folder else last.partition(".")[0]
        return [text for path, text in self.files().items() if path.startswith(f"{stem}__{word}_")]

    def git(self, *arguments: str) -> str:
        """git in the student's folder."""
        return git(self.course, *arguments)

    def nothing_left(self) -> None:
        """No leftover of a pull."""
        assert not list(self.root.rglob(".samepage-*"))
        assert not list(self.repository.glob("samepage-journal*"))


def kinds(result: Result) -> dict[str, str]:
    """What a pull told, by path."""
    assert result.history is not None
    return {change.path: change.kind for change in result.history.changes}


def notebook(*cells: tuple[str, str] | dict[str, Any], **metadata: Any) -> str:
    """A notebook of code cells (id, source)."""
    return (
        json.dumps(
            {
                "cells": [cell if isinstance(cell, dict) else code(*cell) for cell in cells],
                "metadata": metadata,
                "nbformat": 4,
                "nbformat_minor": 5,
            },
            indent=1,
            sort_keys=True,
        )
        + "\n"
    )


def code(name: str, source: str, **changes: Any) -> dict[str, Any]:
    """A code cell."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": {},
        "outputs": [],
        "source": source.splitlines(keepends=True),
        **changes,
    }


def digest(folder: Path) -> str:
    """Of everything in a folder, names, contents and modes."""
    sum_ = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        sum_.update(f"{path.relative_to(folder)} {path.lstat().st_mode}".encode())
        if path.is_file() and not path.is_symlink():
            sum_.update(path.read_bytes())
    return sum_.hexdigest()
