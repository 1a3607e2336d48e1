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

from playwright.sync_api import Browser, Locator, expect

from benchmarks.memory_ways import wait_for_lock
from tests.browser import chromium, screenshots_courses, screenshots_gpu
from tests.browser.conftest import RunningDemo, start_demo, stop_demo
from tests.browser.lab import Lab

IMAGES = Path(__file__).parents[2] / "docs" / "images"
COURSE = "answers-from-data"
FIGURE = "04-matplotlib.ipynb"
Scheme = Literal["light", "dark"]


def shoot(running: Browser, demo: RunningDemo, scheme: Scheme) -> None:
    """All pictures of one theme."""
    context = chromium.new_context(running, scheme)
    lab = Lab(context.new_page(), f"{demo.url}&reset")
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
    # As narrow as it comes, JupyterLab cuts the names of its own sections.
    widen(lab, running_list, 400)
    lab.page.wait_for_timeout(1000)
    lab.page.screenshot(
        path=IMAGES / f"running-{scheme}.png",
        clip={"x": 0, "y": 0, "width": 900, "height": 560},
        animations="disabled",
    )
    running_list.get_by_title("Stop OpenRefine").click()
    whole(lab, scheme)
    assert demo.agent_url is not None
    page = context.new_page()
    page.set_viewport_size({"width": 1000, "height": 760})
    page.goto(demo.agent_url)
    page.wait_for_timeout(1000)
    page.screenshot(path=IMAGES / f"agent-{scheme}.png", animations="disabled", full_page=True)
    context.close()


def whole(lab: Lab, scheme: Scheme) -> None:
    """All at once: course, notebook with a figure, applications, memory."""
    page = lab.page
    page.set_viewport_size({"width": 1440, "height": 900})
    lab.open_file(f"{COURSE}/{FIGURE}")
    lab.run_all_cells()
    widen(lab, lab.courses(), 250)
    beside_each_other(lab)
    notebook = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer")
    figure = notebook.locator(".jp-OutputArea-output img").first
    notebook.evaluate("box => box.scrollTo(0, 0)")
    for _ in range(40):
        # Cells out of sight are not there yet.
        if figure.count():
            break
        notebook.evaluate("box => box.scrollBy(0, 100)")
        page.wait_for_timeout(100)
    at, frame = figure.bounding_box(), notebook.bounding_box()
    assert at is not None
    assert frame is not None
    # The memory panel covers what is far below.
    notebook.evaluate("(box, by) => box.scrollBy(0, by)", at["y"] - frame["y"] - 130)
    page.locator(".jp-Samepage-statusButton").click()
    popup = page.locator(".jp-Samepage-statusPanel")
    expect(popup).to_contain_text("Sharing equal memory saves", timeout=30_000)
    page.wait_for_timeout(7000)  # until the notifications are gone
    page.screenshot(path=IMAGES / f"lab-{scheme}.png", animations="disabled", caret="hide")
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 1280, "height": 800})


def widen(lab: Lab, sidebar: Locator, width: float) -> None:
    """Make the left sidebar this wide, in pixels."""
    now = sidebar.bounding_box()
    assert now is not None
    if abs(now["width"] - width) > 10:
        drag(lab, now["x"] + now["width"] + 3, 400, now["x"] + width, 400)


def beside_each_other(lab: Lab) -> None:
    """The launcher's tab to the right of the notebook."""
    page = lab.page
    tab = page.locator(".lm-DockPanel-tabBar .lm-TabBar-tab", has_text="Launcher")
    if tab.count() == 0:
        page.get_by_role("button", name=re.compile("New Launcher")).first.click()
    expect(tab).to_be_visible()
    begin, dock = tab.bounding_box(), page.locator("#jp-main-dock-panel").bounding_box()
    assert begin is not None
    assert dock is not None
    drag(
        lab, begin["x"] + 40, begin["y"] + begin["height"] / 2,
        dock["x"] + dock["width"] - 30, dock["y"] + dock["height"] / 2,
    )  # fmt: skip


def drag(lab: Lab, left: float, top: float, to_left: float, to_top: float) -> None:
    """With the mouse, from one place to another."""
    mouse = lab.page.mouse
    mouse.move(left, top)
    mouse.down()
    mouse.move((left + to_left) / 2, (top + to_top) / 2, steps=8)
    mouse.move(to_left, to_top, steps=8)
    mouse.up()


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
    # Its agent is to steer KSM, which another on this machine may do now.
    wait_for_lock()
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
