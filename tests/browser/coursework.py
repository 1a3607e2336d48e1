"""The Courses panel and the files of a course, in the words of the tests."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.browser.conftest import RunningDemo
from tests.browser.lab import Lab

COURSE = "answers-from-data"
NOTEBOOK = "03-pandas.ipynb"


def work(demo: RunningDemo) -> Path:
    """The student's folder of the course."""
    return demo.state / "home" / "work" / COURSE


def source(demo: RunningDemo, name: str) -> str:
    """What is in a cell of the student's notebook, by its id."""
    content = json.loads((work(demo) / NOTEBOOK).read_text(encoding="utf-8"))
    return next(str("".join(cell["source"])) for cell in content["cells"] if cell["id"] == name)


def until(done: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def course_of(lab: Lab) -> Locator:
    """The course in the panel, once it is up to date."""
    course = lab.courses().locator("article").first
    expect(course).to_have_attribute("data-state", "up_to_date", timeout=60_000)
    return course


def row(lab: Lab, path: str) -> Locator:
    changes = course_of(lab).locator(".jp-Samepage-changes")
    line = changes.locator(f'.jp-Samepage-change[data-samepage-file="{path}"]')
    return line.locator("visible=true").first


def tool(lab: Lab, path: str, name: str) -> Locator:
    line = row(lab, path)
    line.hover()
    return line.get_by_role("button", name=re.compile(name))


def pull(lab: Lab) -> None:
    course_of(lab).get_by_role("button", name=re.compile("Pull now")).click()


def active_notebook(lab: Lab) -> Locator:
    return lab.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
