"""What the README promises a newcomer, in a real browser on a real demo."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, TimeoutError, expect

from tests.browser.conftest import RunningDemo
from tests.browser.lab import Lab
from tests.integration.ksm_turn import ksm_turn_if_any as ksm_turn_if_any

# One demo tunes the machine's KSM: its tests run where the other users of KSM run, one at a time.
pytestmark = [
    pytest.mark.browser,
    pytest.mark.ksm,
    pytest.mark.xdist_group("ksm"),
    pytest.mark.timeout(600),
]

COURSE = "answers-from-data"


@pytest.fixture
def lab(page: Page, demo: RunningDemo) -> Iterator[Lab]:
    # A notebook that the last test left open would take the focus when its kernel is there.
    opened = Lab(page, f"{demo.url}&reset")
    yield opened
    assert opened.errors == []


def test_applications_have_a_section_of_their_own_with_icons(lab: Lab) -> None:
    sections = lab.launcher().locator(".jp-Launcher-sectionTitle")
    expect(sections.filter(has_text="Applications")).to_be_visible()
    titles = sections.all_text_contents()
    assert titles.index("Notebook") < titles.index("Applications") < titles.index("Console")
    for title in ("OpenRefine", "RStudio"):
        expect(lab.card(title).locator("svg").first).to_be_visible()


@pytest.mark.skipif(shutil.which("rserver") is not None, reason="RStudio Server is installed here")
def test_card_of_a_missing_program_is_dimmed_and_says_what_to_install(lab: Lab) -> None:
    card = lab.card("RStudio")
    expect(card).to_have_attribute("aria-disabled", "true")
    expect(card).to_contain_text("Not available")
    expect(card).to_have_class(re.compile("jp-Samepage-mod-unavailable"))
    # Playwright will not click what says that it is disabled; a keyboard can.
    card.focus()
    lab.page.keyboard.press("Enter")
    dialog = lab.page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("RStudio cannot start on this server")
    expect(dialog).to_contain_text(re.compile("install", re.IGNORECASE))
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    lab.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


@pytest.mark.skipif(
    not (shutil.which("openrefine") or shutil.which("refine")), reason="OpenRefine is not installed"
)
def test_clicking_openrefine_opens_the_real_one_and_a_csv_becomes_a_project(
    lab: Lab, tmp_path: Path
) -> None:
    csv = tmp_path / "harvest.csv"
    csv.write_text("fruit,kilos\napple,12\nquince,3\nmedlar,1\n")
    with lab.page.expect_popup() as popup:
        lab.card("OpenRefine").click()
    refine = popup.value
    refine.set_default_timeout(90_000)
    # The start page's title has more before the name.
    expect(refine).to_have_title(re.compile("^OpenRefine"), timeout=90_000)
    assert "/openrefine/" in refine.url
    create = refine.get_by_role("button", name=re.compile("Create project", re.IGNORECASE))
    for _ in range(3):
        refine.wait_for_load_state("networkidle")
        refine.locator("input[type=file]").first.set_input_files(csv)
        refine.get_by_role("button", name=re.compile("^Next")).first.click()
        try:
            create.wait_for(timeout=30_000)
            break
        except TimeoutError:
            refine.reload()  # OpenRefine shows its buttons before its scripts listen to them
    create.click()
    expect(refine.locator("#summary-bar")).to_contain_text("3 rows", timeout=60_000)
    expect(refine.get_by_text("medlar")).to_be_visible()
    assert "/openrefine/project?project=" in refine.url


def test_course_is_pulled_and_a_teachers_change_arrives_by_pull_now(
    lab: Lab, demo: RunningDemo
) -> None:
    course = lab.courses().locator("article").first
    expect(course).to_have_attribute("data-state", "up_to_date", timeout=60_000)
    demo.publish()
    course.get_by_role("button", name=re.compile("Pull now")).click()
    changes = course.locator(".jp-Samepage-changes")
    expect(changes).to_contain_text("NEWS.md", timeout=60_000)
    expect(changes).not_to_contain_text("01-first-steps.ipynb")
    expect(course).to_have_attribute("data-state", "up_to_date")
    new = changes.locator("button.jp-Samepage-changePath", has_text="NEWS.md").first
    name = "NEWS.md"
    new.click()
    expect(
        lab.page.locator("#jp-main-dock-panel .lm-TabBar-tabLabel", has_text=name)
    ).to_be_visible()
    course.get_by_role("button", name=re.compile("file browser")).click()
    expect(lab.page.locator(".jp-DirListing-item", has_text="01-first-steps.ipynb")).to_be_visible()


def test_notebook_of_the_course_runs(lab: Lab, demo: RunningDemo) -> None:
    lab.open_file(f"{COURSE}/01-first-steps.ipynb")
    lab.run_all_cells()
    # What the page shows depends on where it is scrolled to; the saved file has all of it.
    file = demo.state / "home" / "work" / COURSE / "01-first-steps.ipynb"
    deadline = time.monotonic() + 60
    outputs: list[str] = []
    while not outputs:
        assert time.monotonic() < deadline, "the notebook was not saved with its outputs"
        lab.page.keyboard.press("Control+s")
        lab.page.wait_for_timeout(500)
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        outputs = [out["output_type"] for cell in cells for out in cell.get("outputs", [])]
    assert "error" not in outputs


def test_status_bar_shows_memory_and_its_panel_the_node(lab: Lab, demo: RunningDemo) -> None:
    item = lab.page.locator(".jp-Samepage-statusButton")
    expect(item).to_have_text(re.compile(r"Mem [\d.,]+ [KMG]iB"))
    item.focus()
    lab.page.keyboard.press("Enter")
    panel = lab.page.locator(".jp-Samepage-statusPanel")
    expect(panel).to_contain_text("This server")
    expect(panel).to_contain_text(re.compile("KSM"))
    lab.page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    expect(item).to_be_focused()


def test_agents_page_is_for_people(page: Page, demo: RunningDemo) -> None:
    assert demo.agent_url is not None
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(demo.agent_url)
    expect(page.locator("body")).to_contain_text("Memory saved by merging")
    expect(page.locator("body")).to_contain_text(re.compile(r"KSM: (on|off)"))
    expect(page.locator("svg").first).to_be_visible()
    if not Path("/dev/nvidiactl").exists():
        expect(page.locator("body")).to_contain_text("No NVIDIA driver on this node")
    assert complaints == []
