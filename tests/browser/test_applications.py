"""Applications from a user's side: start page, Running sidebar, open here, what failed and why."""

from __future__ import annotations

import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from demo.state import Paths
from tests.browser.conftest import RunningDemo, start_demo, stop_demo
from tests.browser.lab import Lab

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(300),
]

# Milliseconds for a start, a stop or a restart to be seen, on a busy machine.
MOMENT = 30_000

# Third-party entries of jupyter-server-proxy, as an operator writes them. The mill takes its time,
# and tells which process answers; the still needs a file before it can run at all.
MILL = """
import http.server, os, sys, time
print("the miller wakes up", flush=True)
time.sleep(2)
class Mill(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        page = f"<title>Mill</title><h1>The mill turns</h1><p>process {os.getpid()}</p>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Mill).serve_forever()
"""
STILL = """
import pathlib, sys
print("looking for the mash", flush=True)
if not pathlib.Path(sys.argv[2]).exists():
    sys.exit(f"no mash at {sys.argv[2]}")
"""
SYMBOL = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle cx="4" cy="4" r="4"/></svg>'
)


@pytest.fixture(scope="module")
def mash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the still needs; it is not there yet."""
    return tmp_path_factory.mktemp("still") / "mash.txt"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, mash: Path) -> Iterator[RunningDemo]:
    """A demo of its own, with two more applications and a table in the file browser."""
    paths = Paths(state=tmp_path_factory.mktemp("workshop"))
    paths.make()
    programs = paths.state / "programs"
    programs.mkdir()
    (programs / "mill.py").write_text(MILL)
    (programs / "still.py").write_text(STILL + MILL)
    (programs / "mill.svg").write_text(SYMBOL)
    servers = {
        "mill": {
            "command": [sys.executable, str(programs / "mill.py"), "{port}"],
            "launcher_entry": {"title": "Mill", "icon_path": str(programs / "mill.svg")},
        },
        "still": {
            "command": [sys.executable, str(programs / "still.py"), "{port}", str(mash)],
            "launcher_entry": {"title": "Still"},
        },
    }
    (paths.config / "jupyter_server_config.py").write_text(
        f"c.ServerProxy.servers = {servers!r}\n"  # the demo itself writes the .json beside it
    )
    (paths.work / "harvest.csv").write_text("fruit,kilos\napple,12\nquince,3\nmedlar,1\n")
    (paths.work / "harvest.R").write_text("x <- 1\n")
    process, running = start_demo(paths.state, "--no-agent", "--stations", "1")
    try:
        yield running
    finally:
        stop_demo(process)


@pytest.fixture(params=["JupyterLab Light", "JupyterLab Dark"], ids=["light", "dark"])
def lab(page: Page, workshop: RunningDemo, request: pytest.FixtureRequest) -> Iterator[Lab]:
    # A workspace of its own: what the test before left open is not there.
    workspace = f"/lab/workspaces/{uuid.uuid4().hex}?"
    opened = Lab(page, workshop.url.replace("/lab?", workspace))
    expect(opened.card("Mill")).to_be_visible()
    opened.theme(request.param)
    yield opened
    assert opened.errors == []


def running(lab: Lab) -> Locator:
    """The Running sidebar, opened when it is closed."""
    sidebar = lab.page.locator("#jp-running-sessions")
    if not sidebar.is_visible():
        lab.page.locator('li[data-id="jp-running-sessions"]').click()
    expect(sidebar).to_be_visible()
    return sidebar


def row(lab: Lab, title: str) -> Locator:
    """An application in the Running sidebar."""
    return running(lab).locator(".jp-Samepage-runningItem").filter(has_text=title)


def post(lab: Lab, path: str) -> None:
    """What another window of the same user does."""
    base = lab.page.url.split("/lab")[0]
    cookies = {cookie.get("name"): cookie.get("value") for cookie in lab.page.context.cookies()}
    answer = lab.page.request.post(
        f"{base}/samepage/api/{path}", headers={"X-XSRFToken": str(cookies.get("_xsrf"))}
    )
    assert answer.ok, answer.text()


@pytest.fixture
def nothing_runs(lab: Lab) -> None:
    post(lab, "apps/stop-all")


def contrast(of: Locator) -> float:
    """Contrast ratio of a text and what is behind it. Source: WCAG 2.2, 1.4.3."""
    found: Any = of.evaluate(
        """element => {
          const channels = text => text.match(/[0-9.]+/g).map(Number);
          const text = channels(getComputedStyle(element).color);
          let behind = element;
          let color = [0, 0, 0, 0];
          while (behind && (color.length > 3 && color[3] === 0)) {
            color = channels(getComputedStyle(behind).backgroundColor);
            behind = behind.parentElement;
          }
          const light = rgb => rgb.slice(0, 3).map(c => c / 255)
            .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
            .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
          // A text may be translucent: it is seen mixed with what is behind it.
          const alpha = text.length > 3 ? text[3] : 1;
          const seen = text.slice(0, 3).map((c, at) => c * alpha + color[at] * (1 - alpha));
          const [a, b] = [light(seen), light(color)].sort((x, y) => y - x);
          return (a + 0.05) / (b + 0.05);
        }"""
    )
    return float(found)


@pytest.mark.usefixtures("nothing_runs")
def test_start_page_is_there_at_once_and_becomes_the_application(lab: Lab) -> None:
    with lab.page.expect_popup() as popup:
        lab.card("Mill").click()
    mill = popup.value
    expect(mill.get_by_role("heading", name="Starting Mill")).to_be_visible()
    expect(mill.get_by_role("button", name="Cancel")).to_be_visible()
    expect(mill.get_by_role("heading", name="The mill turns")).to_be_visible(timeout=MOMENT)
    assert mill.url.endswith("/mill/")
    lab.page.bring_to_front()
    expect(lab.card("Mill").get_by_role("img", name="Running")).to_be_visible(timeout=MOMENT)


@pytest.mark.usefixtures("nothing_runs")
def test_running_section_restarts_and_stops(lab: Lab) -> None:
    post(lab, "apps/mill/start")
    mill = row(lab, "Mill")
    expect(mill).to_contain_text(re.compile(r"Starting|Running"), timeout=MOMENT)
    expect(mill).to_contain_text(re.compile(r"Running \d+ s · \d+ MiB"), timeout=MOMENT)
    assert contrast(mill.locator(".jp-Samepage-runningWords span").last) >= 4.5
    with lab.page.expect_popup() as popup:
        mill.get_by_role("button", name="Open Mill").press("Enter")
    process = popup.value.get_by_text(re.compile(r"process \d+"))
    before = process.text_content()
    mill.get_by_role("button", name="Restart Mill").press("Enter")
    expect(mill).to_contain_text("Starting", timeout=MOMENT)
    expect(mill).to_contain_text("Running", timeout=MOMENT)
    popup.value.reload()
    expect(process).not_to_have_text(before or "")
    mill.get_by_title("Stop Mill").click()
    expect(mill).to_have_count(0, timeout=MOMENT)
    expect(lab.card("Mill").get_by_role("img")).to_have_count(0)


@pytest.mark.usefixtures("nothing_runs")
def test_stop_all_asks_first(lab: Lab) -> None:
    post(lab, "apps/mill/start")
    mill = row(lab, "Mill")
    expect(mill).to_contain_text("Running", timeout=MOMENT)
    section = running(lab).locator(".jp-AccordionPanel-title").filter(has_text="Applications")
    section.get_by_role("button", name="Stop All").click()
    dialog = lab.page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("Stop all applications?")
    dialog.get_by_role("button", name="Stop All").click()
    expect(mill).to_have_count(0, timeout=MOMENT)


@pytest.mark.usefixtures("nothing_runs")
def test_lab_tab_says_that_its_application_was_stopped_and_starts_it_again(lab: Lab) -> None:
    lab.command("Mill in a Lab Tab")
    page = lab.page.frame_locator('iframe[title="Mill"]')
    expect(page.get_by_role("heading", name="Starting Mill")).to_be_visible()
    expect(page.get_by_role("heading", name="The mill turns")).to_be_visible(timeout=MOMENT)
    mill = row(lab, "Mill")
    expect(mill).to_contain_text("Running", timeout=MOMENT)
    mill.get_by_title("Stop Mill").click()
    tab = lab.page.locator("#jupyter-samepage-app-mill")
    expect(tab.get_by_role("status")).to_contain_text("Mill is not running", timeout=MOMENT)
    expect(tab.locator("iframe")).to_have_count(0)
    tab.get_by_role("button", name="Start again").press("Enter")
    expect(page.get_by_role("heading", name="The mill turns")).to_be_visible(timeout=MOMENT)


@pytest.mark.usefixtures("nothing_runs")
def test_failed_application_says_why_and_runs_once_the_cause_is_gone(lab: Lab, mash: Path) -> None:
    mash.unlink(missing_ok=True)
    with lab.page.expect_popup() as popup:
        lab.card("Still").click()
    page = popup.value
    expect(page.get_by_role("heading", name="Still did not start")).to_be_visible(timeout=MOMENT)
    expect(page.locator("body")).to_contain_text("exit code 1")
    expect(page.locator("body")).to_contain_text("no mash at")
    # Three tries a minute: a test that is tried again may have to wait.
    expect(page.get_by_role("button", name="Try again")).to_be_enabled(timeout=2 * MOMENT)
    page.close()
    lab.page.bring_to_front()
    still = row(lab, "Still")
    expect(still).to_contain_text("Failed: Still ended with exit code 1", timeout=MOMENT)
    expect(lab.card("Still").get_by_role("img", name="Failed")).to_be_visible()
    still.get_by_role("button", name="Still: why it failed").press("Enter")
    dialog = lab.page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("Still failed")
    expect(dialog).to_contain_text("no mash at")
    dialog.get_by_role("button", name="Show log").click()
    log = lab.page.get_by_role("region", name="Log of Still")
    expect(log).to_contain_text("looking for the mash")
    mash.write_text("apples\n")
    still.get_by_role("button", name="Retry Still").click()
    expect(still).to_contain_text("Running", timeout=MOMENT)
    expect(log).to_contain_text("the miller wakes up")  # the log is live


@pytest.mark.skipif(
    not (shutil.which("openrefine") or shutil.which("refine")), reason="OpenRefine is not installed"
)
@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("lab", ["JupyterLab Light"], indirect=True, ids=["light"])
def test_open_in_openrefine_makes_a_project_of_the_file(lab: Lab) -> None:
    lab.page.locator(".jp-DirListing-item", has_text="harvest.csv").click(button="right")
    with lab.page.expect_popup() as popup:
        lab.page.locator(".lm-Menu-itemLabel", has_text="Open in OpenRefine").click()
    refine = popup.value
    refine.set_default_timeout(90_000)
    expect(refine.get_by_role("heading", name="Starting OpenRefine")).to_be_visible()
    expect(refine).to_have_url(re.compile(r"/openrefine/project\?project=\d+"), timeout=90_000)
    expect(refine.locator("#summary-bar")).to_contain_text("3 rows", timeout=90_000)
    expect(refine.get_by_text("medlar")).to_be_visible()
    lab.page.bring_to_front()
    lab.page.locator(".jp-Samepage-statusButton").click()
    panel = lab.page.locator(".jp-Samepage-statusPanel")
    section = panel.locator("section").filter(
        has=lab.page.get_by_role("heading", name="Applications")
    )
    expect(section).to_contain_text(re.compile(r"OpenRefine\s*[\d.]+ [MG]iB"))


@pytest.mark.skipif(shutil.which("rserver") is not None, reason="RStudio Server is installed here")
@pytest.mark.parametrize("lab", ["JupyterLab Light"], indirect=True, ids=["light"])
def test_context_menu_says_why_a_file_cannot_be_opened(lab: Lab) -> None:
    lab.page.locator(".jp-DirListing-item", has_text="harvest.R").click(button="right")
    item = lab.page.locator(".lm-Menu-item", has_text="Open in RStudio")
    expect(item).to_contain_text(re.compile("not available: .*not installed"))
    expect(item).to_have_class(re.compile("lm-mod-disabled"))
    expect(lab.page.locator(".lm-Menu-item", has_text="Open in OpenRefine")).to_be_hidden()


@pytest.mark.parametrize("lab", ["JupyterLab Light"], indirect=True, ids=["light"])
def test_third_party_application_has_one_card_with_its_icon(lab: Lab) -> None:
    cards = lab.launcher().locator(".jp-LauncherCard").filter(has_text="Mill")
    expect(cards).to_have_count(1)
    expect(lab.card("Mill").locator("svg image")).to_have_attribute(
        "href", re.compile("^data:image/svg")
    )
