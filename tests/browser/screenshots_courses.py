"""Pictures of courses: the panel, a comparison, the teacher's cell below one's own.

`python -m tests.browser.screenshots_courses [light|dark ...]`; a demo without agent is enough.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Literal, cast

from playwright.sync_api import Browser, expect

from tests.browser import chromium
from tests.browser.conftest import RunningDemo, start_demo, stop_demo
from tests.browser.coursework import COURSE, NOTEBOOK, row, tool, until
from tests.browser.coursework import work as folder_of
from tests.browser.lab import Lab
from tests.browser.test_courses import answer, sees_note

IMAGES = Path(__file__).parents[2] / "docs" / "images"
Scheme = Literal["light", "dark"]


def shoot(running: Browser, demo: RunningDemo, scheme: Scheme) -> None:
    """All pictures of one theme."""
    context = chromium.new_context(running, scheme)
    lab = Lab(context.new_page(), f"{demo.url}&reset")
    lab.theme("JupyterLab Dark" if scheme == "dark" else "JupyterLab Light")
    course = lab.courses().locator("article").first
    expect(course).to_have_attribute("data-state", "up_to_date", timeout=60_000)
    course.get_by_role("button", name=re.compile("Pull now")).click()
    expect(row(lab, NOTEBOOK)).to_contain_text("Merged", timeout=60_000)
    row(lab, NOTEBOOK).hover()
    lab.close_dialogs()
    lab.page.wait_for_timeout(6000)  # until the notification is gone
    row(lab, NOTEBOOK).hover()
    panel = lab.courses().bounding_box()
    assert panel is not None
    lab.page.screenshot(
        path=IMAGES / f"courses-{scheme}.png",
        clip={"x": 0, "y": 0, "width": panel["x"] + panel["width"] + 8, "height": 400},
        animations="disabled",
    )
    tool(lab, NOTEBOOK, "Compare").click()
    expect(lab.page.locator(".jp-Samepage-cell .cm-merge-a").first).to_be_visible()
    lab.page.wait_for_timeout(1000)
    lab.picture(IMAGES / f"compare-{scheme}.png")
    lab.open_file(f"{COURSE}/{NOTEBOOK}")
    bar = lab.page.locator(".jp-Samepage-noteBar")
    until(lambda: sees_note(lab))
    bar.scroll_into_view_if_needed()
    lab.page.wait_for_timeout(2000)
    lab.picture(IMAGES / f"course-cell-{scheme}.png")
    lab.page.goto("about:blank")
    context.close()


def main(schemes: list[str]) -> int:
    """The exit status."""
    executable = chromium.find()
    if executable is None:
        print("No Chromium here. On Debian or Ubuntu: apt-get install chromium", file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    for scheme in schemes or ["light", "dark"]:
        print(f"courses, {scheme} ...", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            process, demo = start_demo(Path(folder), "--stations", "4", "--no-agent")
            try:
                until((folder_of(demo) / NOTEBOOK).is_file)
                answer(demo)
                demo.publish()
                with chromium.browser(executable) as running:
                    shoot(running, demo, cast(Scheme, scheme))
            finally:
                stop_demo(process)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
