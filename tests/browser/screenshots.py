"""Rewrites the pictures of docs/images: `python -m tests.browser.screenshots [light|dark ...]`.

A real demo with two notebooks running, so that there is memory to merge, in both themes.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal, cast

from playwright.sync_api import Browser, expect

from tests.browser import chromium, screenshots_courses, screenshots_gpu
from tests.browser.conftest import RunningDemo, start_demo, stop_demo
from tests.browser.lab import Lab

IMAGES = Path(__file__).parents[2] / "docs" / "images"
COURSE = "answers-from-data"
Scheme = Literal["light", "dark"]


def shoot(running: Browser, demo: RunningDemo, scheme: Scheme) -> None:
    """All pictures of one theme."""
    context = chromium.new_context(running, scheme)
    lab = Lab(context.new_page(), demo.url)
    lab.theme("JupyterLab Dark" if scheme == "dark" else "JupyterLab Light")
    lab.launcher()
    lab.courses()
    lab.page.wait_for_timeout(3000)
    lab.picture(IMAGES / f"launcher-{scheme}.png")
    course = lab.courses().locator("article").first
    demo.publish()
    course.get_by_role("button", name=re.compile("Pull now")).click()
    expect(course.locator(".jp-Samepage-changes")).to_contain_text("NEWS.md", timeout=60_000)
    expect(course).to_have_attribute("data-state", "up_to_date", timeout=60_000)
    lab.close_dialogs()
    item = lab.page.locator(".jp-Samepage-statusButton")
    item.click()
    popup = lab.page.locator(".jp-Samepage-statusPanel")
    expect(popup).to_contain_text("Sharing equal memory saves", timeout=30_000)
    lab.page.wait_for_timeout(1000)
    lab.page.screenshot(path=IMAGES / f"lab-{scheme}.png", animations="disabled")
    lab.page.keyboard.press("Escape")
    start = context.new_page()
    start.set_viewport_size({"width": 900, "height": 420})
    start.goto(demo.url.split("/lab")[0] + "/openrefine/")
    expect(start.get_by_role("heading")).to_have_text("Starting OpenRefine")
    start.wait_for_timeout(1500)
    start.screenshot(path=IMAGES / f"start-page-{scheme}.png", animations="disabled")
    expect(start).to_have_title(re.compile("^OpenRefine"), timeout=90_000)
    lab.page.locator('li[data-id="jp-running-sessions"]').click()
    running_list = lab.page.locator("#jp-running-sessions")
    expect(running_list.get_by_text("OpenRefine").first).to_be_visible(timeout=30_000)
    lab.page.wait_for_timeout(1000)
    lab.page.screenshot(
        path=IMAGES / f"running-{scheme}.png",
        clip={"x": 0, "y": 0, "width": 660, "height": 560},
        animations="disabled",
    )
    running_list.get_by_title("Stop OpenRefine").click()
    assert demo.agent_url is not None
    page = context.new_page()
    page.set_viewport_size({"width": 1000, "height": 760})
    page.goto(demo.agent_url)
    page.wait_for_timeout(1000)
    page.screenshot(path=IMAGES / f"agent-{scheme}.png", animations="disabled")
    context.close()


def fill(running: Browser, demo: RunningDemo) -> None:
    """Two students' worth of the same notebook, then the time that merging takes."""
    context = chromium.new_context(running)
    for name in ("03-pandas", "02-numpy"):
        lab = Lab(context.new_page(), demo.url)
        lab.open_file(f"{COURSE}/{name}.ipynb")
        lab.run_all_cells()
    time.sleep(45)
    context.close()


def main(schemes: list[str]) -> int:
    """The exit status."""
    executable = chromium.find()
    if executable is None:
        print("No Chromium here. On Debian or Ubuntu: apt-get install chromium", file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        process, demo = start_demo(Path(folder))
        try:
            with chromium.browser(executable) as running:
                fill(running, demo)
                for scheme in schemes or ["light", "dark"]:
                    print(f"{scheme} ...", flush=True)
                    shoot(running, demo, cast(Scheme, scheme))
        finally:
            stop_demo(process)
    return screenshots_courses.main(schemes) or screenshots_gpu.main(schemes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
