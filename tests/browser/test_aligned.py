"""A notebook in an aligned kernel, forked from the server's template, in a real browser."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from labext.kernels.support import node_merges, probe
from tests.browser.conftest import RunningDemo, start_demo, stop_demo
from tests.browser.lab import Lab
from tests.integration.ksm_turn import ksm_turn_if_any as ksm_turn_if_any

pytestmark = [
    pytest.mark.browser,
    pytest.mark.ksm,
    pytest.mark.xdist_group("ksm"),
    pytest.mark.timeout(600),
    pytest.mark.skipif(not probe().available, reason="this Linux cannot merge a whole process"),
    pytest.mark.skipif(not node_merges(), reason="no template is kept where KSM never ran"),
]
COURSE = "answers-from-data"
#: A template that has its modules has used this much CPU time, and waits.
LOADED_SECONDS = 0.6


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """With alignment asked for: the demo passes no variables of its caller on."""
    state = tmp_path_factory.mktemp("aligned")
    more = state / "config" / "jupyter_server_config.d"
    more.mkdir(parents=True)
    settings = {"aligned": True, "spare": True, "spare_delay_seconds": 0.0}
    (more / "aligned.json").write_text(json.dumps({"SamepageProvisioner": settings}))
    process, running = start_demo(state, "--stations", "4")
    try:
        yield running
    finally:
        stop_demo(process)


@pytest.fixture
def lab(page: Page, demo: RunningDemo) -> Iterator[Lab]:
    opened = Lab(page, f"{demo.url}&reset")
    yield opened
    assert opened.errors == []


Found = TypeVar("Found")


def until(look: Callable[[], Found | None], what: str, seconds: float = 60.0) -> Found:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


def words_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def template_of(demo: RunningDemo) -> psutil.Process | None:
    """What this demo's server forks its kernels from, once it is loaded."""
    token = str(demo.state / "token")
    for process in psutil.process_iter():
        try:
            if not words_of(process).rpartition("/")[2].startswith("start.py 3 "):
                continue
            server = process.parent()
            if server is None or server.environ().get("JUPYTER_TOKEN_FILE") != token:
                continue
            before = process.cpu_times().user
            time.sleep(0.3)
            if before > LOADED_SECONDS and process.cpu_times().user == before:
                return process
        except psutil.Error:
            continue
    return None


def ask(demo: RunningDemo, method: str, path: str) -> requests.Response:
    parts = urlsplit(demo.url)
    token = parse_qs(parts.query)["token"][0]
    return requests.request(
        method,
        f"{parts.scheme}://{parts.netloc}/{path}",
        headers={"Authorization": f"token {token}"},
        timeout=30,
    )


def end_kernels(demo: RunningDemo) -> None:
    """Those that a first try left."""
    for kernel in ask(demo, "GET", "api/kernels").json():
        assert ask(demo, "DELETE", f"api/kernels/{kernel['id']}").ok


def kernels_message(demo: RunningDemo) -> str:
    """What the status REST says of kernels."""
    answer = ask(demo, "GET", "samepage/api/status").json()
    return next(str(each["message"]) for each in answer["features"] if each["name"] == "kernels")


def notebook(lab: Lab) -> Locator:
    return lab.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")


def last_cell(lab: Lab) -> Locator:
    return notebook(lab).locator(".jp-CodeCell").last


def new_cell(lab: Lab, text: str) -> None:
    """A code cell below all others, with the cursor behind `text`."""
    page = lab.page
    cells = notebook(lab).locator(".jp-CodeCell")
    # Escape leaves the editor; B makes a cell below the active one.
    for _ in range(5):
        before = cells.count()
        notebook(lab).locator(".jp-Cell .jp-InputPrompt").last.click()
        page.keyboard.press("b")
        try:
            expect(cells).to_have_count(before + 1, timeout=3_000)
            break
        except AssertionError:
            continue
    last_cell(lab).locator(".cm-content").click()
    page.keyboard.type(text)


def run_cell(lab: Lab, text: str, expected: str) -> None:
    new_cell(lab, text)
    lab.page.keyboard.press("Control+Enter")
    expect(last_cell(lab).locator(".jp-OutputArea")).to_contain_text(expected, timeout=30_000)


def completes(lab: Lab, name: str) -> None:
    """The Tab key inserts `name`, or offers it."""
    # Lab says so when the completer listens to this editor.
    expect(last_cell(lab).locator(".jp-mod-completer-enabled")).to_have_count(1)
    offered = lab.page.locator(".jp-Completer-item", has_text=name)
    inserted = last_cell(lab).locator(".cm-content", has_text=name)
    for _ in range(5):
        lab.page.keyboard.press("Tab")
        try:
            expect(offered.or_(inserted)).to_be_visible(timeout=4_000)
            break
        except AssertionError:
            continue  # Lab waits for the kernel's answer for one second, then somebody asks again
    expect(offered.or_(inserted)).to_be_visible()


def test_notebook_in_a_forked_kernel(lab: Lab, demo: RunningDemo) -> None:
    end_kernels(demo)
    folder = demo.state / "home" / "work" / COURSE
    until((folder / "03-pandas.ipynb").exists, "the course is not there")
    # A first try may have left cells in a notebook of its own.
    notebook_file = f"{secrets.token_hex(3)}.ipynb"
    shutil.copy(folder / "03-pandas.ipynb", folder / notebook_file)
    template = until(lambda: template_of(demo), "the server prepared no template")
    lab.open_file(f"{COURSE}/{notebook_file}")
    lab.run_all_cells()

    (first,) = template.children()
    assert "-m ipykernel_launcher" in words_of(first)
    assert re.search(r"1 of 1 kernels opted in .*; 1 started aligned", kernels_message(demo))
    outputs = notebook(lab).locator(".jp-OutputArea-output")
    expect(outputs.filter(has_text="Traceback")).to_have_count(0)
    expect(outputs.filter(has_text="stormy hours")).to_have_count(1)

    new_cell(lab, "stations.drop_d")
    completes(lab, "drop_duplicates")

    new_cell(lab, "while True: pass")
    lab.page.keyboard.press("Control+Enter")
    expect(lab.page.get_by_text(re.compile(r"\| Busy"))).to_be_visible(timeout=20_000)
    lab.page.keyboard.press("Escape")
    lab.page.keyboard.press("i")
    lab.page.keyboard.press("i")
    expect(last_cell(lab).locator(".jp-OutputArea")).to_contain_text(
        "KeyboardInterrupt", timeout=20_000
    )

    lab.page.keyboard.press("Escape")
    lab.page.keyboard.press("0")
    lab.page.keyboard.press("0")
    lab.page.locator(".jp-Dialog button.jp-mod-accept").click()
    until(lambda: not first.is_running(), "the first kernel still runs")
    expect(lab.page.get_by_text(re.compile(r"\| Idle"))).to_be_visible(timeout=60_000)
    run_cell(lab, "print('counts' in globals(), 6 * 7)", "False 42")
    assert re.search(r"1 of 1 kernels opted in .*; 1 started aligned", kernels_message(demo))
    assert template.is_running()
    assert len(template.children()) == 1
