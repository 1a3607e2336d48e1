"""Documents that are open while a course is pulled by itself, and a git server that is gone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from demo.git_server import GitServer
from demo.http import free_port
from demo.lab import COURSE_ID
from demo.state import Paths
from tests.browser.conftest import RunningDemo, start_demo, stop_demo
from tests.browser.coursework import (
    COURSE,
    NOTEBOOK,
    active_notebook,
    course_of,
    until,
    work,
)
from tests.browser.lab import Lab
from tests.browser.stage import Stage, stage_of

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

NEWS = "NEWS.md"
# Seconds between two pulls; nobody asks for them.
INTERVAL = 2.0
HAS_FOCUS = "node => node.contains(document.activeElement)"


@dataclass(kw_only=True)
class Room:
    """A demo that pulls at an interval, from a git server that can be taken away."""

    demo: RunningDemo
    git: GitServer
    weeks: int = 0

    def publish(self) -> None:
        """Be the teacher; `weeks` counts."""
        self.demo.publish()
        self.weeks += 1

    def text(self, name: str) -> str:
        return (work(self.demo) / name).read_text(encoding="utf-8")


@contextmanager
def lecture(state: Path) -> Iterator[Room]:
    paths = Paths(state=state)
    paths.make()
    git = GitServer(paths.git, free_port(None))
    course = {"id": COURSE_ID, "title": "Answers from data", "url": git.url(COURSE)}
    manifest = paths.config / "own-course.yml"
    manifest.write_text(
        json.dumps({"version": 1, "courses": [{**course, "branch": "main", "target": COURSE}]})
    )
    (paths.config / "jupyter_server_config.py").write_text(
        f"c.Samepage.courses = {str(manifest)!r}\n"
        f"c.Samepage.pull_interval_seconds = {INTERVAL}\n"
        "c.Samepage.pull_jitter_seconds = 0.0\n"
    )
    try:
        process, running = start_demo(paths.state, "--stations", "1", "--no-agent")
        try:
            opened = Room(demo=running, git=git)
            opened.publish()
            until(lambda: (work(running) / NEWS).is_file())
            yield opened
            git = opened.git
        finally:
            stop_demo(process)
    finally:
        git.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage[Room]]:
    with stage_of(lambda: lecture(tmp_path_factory.mktemp("room"))) as opened:
        yield opened


@pytest.fixture
def room(stage: Stage[Room], request: pytest.FixtureRequest) -> Room:
    return stage.enter(request)


@pytest.fixture
def lab(page: Page, room: Room) -> Iterator[Lab]:
    opened = Lab(page, f"{room.demo.url}&reset")
    course_of(opened)
    yield opened
    page.goto("about:blank")  # what is unsaved there does not count any more
    assert opened.errors == []


def editor(lab: Lab) -> Locator:
    """The news, in a text editor; what the student writes goes to its top."""
    lab.open_file(f"{COURSE}/{NEWS}?factory=Editor")
    content = lab.page.locator(".jp-FileEditor .cm-content")
    expect(content).to_contain_text("Week 1")
    content.click()
    lab.page.keyboard.press("Control+Home")
    return content


def question(lab: Lab) -> Locator:
    return lab.page.locator(".Toastify__toast", has_text="An update is ready for")


def update_waits(lab: Lab, room: Room, line: str) -> Locator:
    """The student writes, the teacher too; the text editor then."""
    content = editor(lab)
    with lab.page.expect_response(re.compile("/samepage/api/courses/.*/editing")):
        lab.page.keyboard.type(f"{line}\n")
    room.publish()
    expect(question(lab)).to_contain_text(f"{COURSE}/{NEWS}", timeout=60_000)
    # Everything else has arrived.
    assert f"Exercise of week {room.weeks}" in room.text(NOTEBOOK)
    assert f"Week {room.weeks}" not in room.text(NEWS)
    assert line not in room.text(NEWS)
    return content


def test_merge_now_saves_and_merges_what_is_unsaved(lab: Lab, room: Room) -> None:
    content = update_waits(lab, room, "my first line")
    question(lab).get_by_role("button", name="Merge now").click()
    until(lambda: f"Week {room.weeks}" in room.text(NEWS))
    assert room.text(NEWS).startswith("my first line\n# News")
    expect(content).to_contain_text(f"Week {room.weeks}")
    expect(content).to_contain_text("my first line")
    expect(lab.page.locator(".jp-mod-dirty")).to_have_count(0)
    expect(question(lab)).to_have_count(0)


def test_later_leaves_everything_until_it_is_saved(lab: Lab, room: Room) -> None:
    content = update_waits(lab, room, "my second line")
    question(lab).get_by_role("button", name="Later").click()
    expect(question(lab)).to_have_count(0)
    lab.page.keyboard.press("Control+End")
    expect(content).not_to_contain_text(f"Week {room.weeks}")
    expect(content).to_contain_text("my second line")
    content.click()
    lab.page.keyboard.press("Control+s")
    until(lambda: f"Week {room.weeks}" in room.text(NEWS))
    assert room.text(NEWS).startswith("my second line\n")
    expect(content).to_contain_text(f"Week {room.weeks}", timeout=60_000)
    expect(content).to_contain_text("my second line")
    expect(lab.page.locator(".jp-Dialog")).to_have_count(0)


def test_typing_with_autosave_during_pulls_loses_nothing(lab: Lab, room: Room) -> None:
    settings = room.demo.state / "config/lab/user-settings/@jupyterlab/docmanager-extension"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "plugin.jupyterlab-settings").write_text('{"autosaveInterval": 1}')
    editor(lab)
    words = [f"word{number:02}" for number in range(60)]
    try:
        for number, word in enumerate(words):
            if number in (15, 35):
                room.publish()
            lab.page.keyboard.type(f"{word} ", delay=25)
        lab.page.keyboard.press("Control+s")
        until(lambda: f"Week {room.weeks}" in room.text(NEWS))
        until(lambda: " ".join(words) in room.text(NEWS))
    finally:
        (settings / "plugin.jupyterlab-settings").unlink()
    assert [f"## Week {week}" in room.text(NEWS) for week in range(1, room.weeks + 1)]
    expect(lab.page.locator(".jp-Dialog")).to_have_count(0)


def test_an_open_notebook_shows_the_update_and_keeps_kernel_and_cursor(
    lab: Lab, room: Room
) -> None:
    lab.open_file(f"{COURSE}/{NOTEBOOK}")
    notebook = active_notebook(lab)
    expect(lab.page.get_by_text(re.compile(r"\| Idle"))).to_be_visible(timeout=60_000)
    cell = notebook.locator(".jp-CodeCell").first
    cell.locator(".cm-content").click()
    keys = lab.page.keyboard
    keys.press("Control+a")
    keys.type("marker = 6 * 7")
    keys.press("Control+Enter")
    expect(cell.locator(".jp-InputPrompt")).to_have_text("[1]:")
    keys.press("Control+s")
    keys.press("Enter")  # into the cell again
    keys.press("Home")
    for _ in range(3):
        keys.press("ArrowRight")
    until(lambda: "marker = 6 * 7" in room.text(NOTEBOOK))
    expect(lab.page.locator(".jp-mod-dirty")).to_have_count(0)
    read = re.compile(rf"/api/contents/{COURSE}/{NOTEBOOK}\?.*content=1")
    with lab.page.expect_response(read, timeout=60_000):
        room.publish()
    until(lambda: notebook.locator(".jp-mod-active").evaluate(HAS_FOCUS))
    keys.type("Z")
    expect(cell.locator(".cm-content")).to_have_text("marZker = 6 * 7")
    keys.press("Control+a")
    keys.type("print(marker + 1000)")
    keys.press("Control+Enter")
    expect(cell.locator(".jp-OutputArea-output")).to_have_text("1042")
    keys.press("Control+s")
    until(lambda: "marker + 1000" in room.text(NOTEBOOK))
    assert f"Exercise of week {room.weeks}" in room.text(NOTEBOOK)
    expect(lab.page.locator(".jp-Dialog")).to_have_count(0)


def test_without_the_git_server_yesterdays_files_and_a_quiet_note(lab: Lab, room: Room) -> None:
    before = room.text(NEWS)
    port = room.git.port
    room.git.close()
    course = lab.courses().locator("article").first
    expect(course).to_have_attribute("data-state", "offline", timeout=60_000)
    expect(course.locator(".jp-Samepage-state")).to_have_text("Offline")
    expect(course.locator(".jp-Samepage-courseMessage")).not_to_be_empty()
    # Also when it is asked for by hand.
    with lab.page.expect_response(re.compile("/samepage/api/courses/.*/pull")):
        course.get_by_role("button", name=re.compile("Pull now")).click()
    expect(course).to_have_attribute("data-state", "offline", timeout=60_000)
    assert room.text(NEWS) == before
    lab.open_file(f"{COURSE}/{NEWS}?factory=Editor")
    expect(lab.page.locator(".jp-FileEditor .cm-content")).to_contain_text("# News")
    expect(lab.page.locator(".Toastify__toast")).to_have_count(0)
    room.git = GitServer(room.demo.state / "git", port)
    expect(course).to_have_attribute("data-state", "up_to_date", timeout=60_000)
    expect(lab.page.locator(".Toastify__toast")).to_have_count(0)


def test_a_manifest_that_breaks_is_named_and_the_courses_stay(lab: Lab, room: Room) -> None:
    manifest = room.demo.state / "config" / "own-course.yml"
    good = manifest.read_text()
    base = lab.page.url.split("/lab")[0]

    def is_named() -> bool:
        answer = lab.page.request.get(f"{base}/samepage/api/courses").json()
        return answer["message"] is not None

    manifest.write_text(good[:-2])
    try:
        until(is_named)
        again = Lab(lab.page, f"{room.demo.url}&reset")  # the panel looks now and then only
        notice = again.courses().locator(".jp-Samepage-notice")
        expect(notice).to_contain_text("The courses are those of before", timeout=60_000)
        expect(again.courses().locator("article")).to_have_count(1)
    finally:
        manifest.write_text(good)
    until(lambda: not is_named())
    again = Lab(lab.page, f"{room.demo.url}&reset")
    expect(again.courses().locator("article")).to_have_count(1, timeout=60_000)
    expect(again.courses().locator(".jp-Samepage-notice")).to_have_count(0)
