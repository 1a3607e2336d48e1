"""What RStudio is told about a file, and what people are told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from serverproxy.errors import AppError
from serverproxy.rstudio_open import Opener
from serverproxy.rstudio_session import SessionFolder


class Asked:
    """An RStudio that takes the wishes when it is asked, unless R is busy."""

    def __init__(self, box: SessionFolder, busy: bool = False) -> None:
        self.box, self.busy, self.paths = box, busy, list[str]()
        self.taken: list[str] = []

    async def __call__(
        self, method: str, path: str, **_: Any
    ) -> tuple[int, Mapping[str, str], bytes]:
        self.paths.append(f"{method} {path}")
        if self.busy:
            raise TimeoutError
        for wish in self.box.wishes.glob("[!.]*"):
            self.taken.append(wish.read_text().strip())
            wish.unlink()
        return 200, {}, b"taken"


@pytest.fixture
def box(tmp_path: Path) -> SessionFolder:
    folder = SessionFolder(tmp_path / "session")
    folder.write(Path("/bin/true"), first_folder=None, environment={})
    return folder


def runs(box: SessionFolder) -> None:
    (box.folder / "session").write_text(f"{os.getpid()}\n")


def test_without_a_session_the_wish_waits_and_nobody_is_asked(box: SessionFolder) -> None:
    asked = Asked(box)
    opened = asyncio.run(Opener("RStudio", lambda: box).open(asked, Path("/a.R")))
    assert (opened.page, opened.note) == ("", None)
    assert asked.paths == []
    assert len(list(box.wishes.iterdir())) == 1


def test_a_session_is_asked_at_once(box: SessionFolder) -> None:
    runs(box)
    asked = Asked(box)
    opened = asyncio.run(Opener("RStudio", lambda: box).open(asked, Path("/a b.R")))
    assert opened.note is None
    assert (asked.paths, asked.taken) == (["GET custom/samepage"], ["/a%20b.R"])


def test_a_busy_session_is_told_and_keeps_the_wish(box: SessionFolder) -> None:
    runs(box)
    opened = asyncio.run(Opener("RStudio", lambda: box).open(Asked(box, True), Path("/a.R")))
    assert opened.note == "R is busy. a.R is shown in RStudio when it has finished."
    assert len(list(box.wishes.iterdir())) == 1


def test_without_our_files_people_are_told_what_to_do(box: SessionFolder) -> None:
    with pytest.raises(AppError, match="File > Open File"):
        asyncio.run(Opener("RStudio", lambda: None).open(Asked(box), Path("/a.R")))


@pytest.mark.parametrize(
    ("seconds", "path", "again"),
    [
        (59.0, "/rpc/client_init", True),
        (61.0, "/rpc/client_init", False),
        (0.0, "/rpc/console_input", False),
    ],
)
def test_a_page_that_begins_is_told_again(
    box: SessionFolder, seconds: float, path: str, again: bool
) -> None:
    runs(box)
    asked = Asked(box)
    now = [0.0]

    async def body() -> None:
        opener = Opener("RStudio", lambda: box, clock=lambda: now[0], settle_s=0.0)
        await opener.open(asked, Path("/a.R"))
        now[0] = seconds
        opener.on_use(path, asked)
        await _until(lambda: len(asked.taken) == 2 or not again)
        opener.on_use(path, asked)  # once is enough
        await asyncio.sleep(0.05)

    asyncio.run(body())
    assert asked.taken == ["/a.R"] * (2 if again else 1)


async def _until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0.01)
