"""What a student sees of a course that changes: news, comparison, take, copy, undo, cells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import chromium
from tests.browser.conftest import RunningDemo, start_demo, stop_demo
from tests.browser.coursework import (
    COURSE,
    NOTEBOOK,
    active_notebook,
    course_of,
    pull,
    row,
    source,
    tool,
    until,
    work,
)
from tests.browser.lab import Lab
from tests.browser.stage import Stage, stage_of

MINE = "counts.groupby(counts['time'].dt.hour)"
ANSWER = f"{MINE}['bikes'].mean().nlargest(3)"
pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@contextmanager
def classroom(state: Path) -> Iterator[RunningDemo]:
    """A student who has answered and written, and then the teacher's update. Without agent."""
    process, running = start_demo(state, "--stations", "4", "--no-agent")
    try:
        file = work(running) / NOTEBOOK
        until(file.is_file)
        answer(running)
        running.publish()
        yield running
    finally:
        stop_demo(process)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage[RunningDemo]]:
    with stage_of(lambda: classroom(tmp_path_factory.mktemp("demo"))) as opened:
        yield opened


@pytest.fixture
def demo(stage: Stage[RunningDemo], request: pytest.FixtureRequest) -> RunningDemo:
    return stage.enter(request)


def answer(demo: RunningDemo) -> None:
    """Be the student, in another program."""
    file = work(demo) / NOTEBOOK
    content = json.loads(file.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if cell["id"] == "pandas-14":
            cell["source"] = [ANSWER]
    file.write_text(json.dumps(content, indent=1), encoding="utf-8")


@pytest.fixture
def lab(page: Page, demo: RunningDemo) -> Iterator[Lab]:
    opened = Lab(page, f"{demo.url}&reset")
    yield opened
    page.goto("about:blank")  # as a student leaves: what is unsaved there does not count any more
    assert opened.errors == []


@pytest.fixture
def updated(lab: Lab, demo: RunningDemo) -> None:
    """The teacher's update is there; a test that comes first, or again, pulls it."""
    if not (work(demo) / "NEWS.md").exists():
        pull(lab)
    expect(row(lab, "NEWS.md")).to_be_visible(timeout=60_000)


def test_what_is_new_says_what_happened_to_each_file(lab: Lab) -> None:
    pull(lab)
    expect(row(lab, "NEWS.md")).to_contain_text("New", timeout=60_000)
    expect(row(lab, NOTEBOOK)).to_contain_text("Merged")
    assert row(lab, "NEWS.md").get_attribute("data-seen") == "false"
    expect(course_of(lab).locator(".jp-Samepage-badge")).to_have_text("2")
    expect(lab.page.locator("li.jp-Samepage-mod-unseen")).to_have_count(1)


@pytest.mark.usefixtures("updated")
def test_opening_a_file_counts_it_as_seen(lab: Lab) -> None:
    row(lab, "NEWS.md").get_by_role("button", name=re.compile("^NEWS.md")).click()
    tab = lab.page.locator("#jp-main-dock-panel .lm-TabBar-tabLabel", has_text="NEWS.md")
    expect(tab).to_be_visible()
    expect(row(lab, "NEWS.md")).to_have_attribute("data-seen", "true")
    expect(course_of(lab).locator(".jp-Samepage-badge")).to_have_text("1")


@pytest.mark.usefixtures("updated")
def test_versions_of_a_notebook_cell_by_cell(lab: Lab, demo: RunningDemo) -> None:
    tool(lab, NOTEBOOK, "Compare").click()
    view = lab.page.locator(".jp-Samepage-compare")
    cell = view.locator(".jp-Samepage-cell", has_text="differs").first
    expect(cell.locator(".cm-merge-a")).to_contain_text("nlargest(3)")
    expect(cell.locator(".cm-merge-b")).to_contain_text("each with its mean, as a table")
    expect(view.locator("summary").first).to_contain_text("cells are the same")
    view.get_by_role("combobox", name="Left").select_option("base")
    expect(cell.locator(".cm-merge-a")).to_contain_text("# Your code here")
    expect(cell.locator(".cm-merge-a")).not_to_contain_text("nlargest")
    # Nothing in it can be changed.
    cell.locator(".cm-merge-a .cm-content").focus()
    lab.page.keyboard.type("x = 1")
    expect(cell.locator(".cm-merge-a")).not_to_contain_text("x = 1")
    assert source(demo, "pandas-14") == ANSWER


@pytest.mark.usefixtures("updated")
def test_the_teachers_version_below_your_cell_with_the_keyboard_and_back(
    lab: Lab, demo: RunningDemo
) -> None:
    lab.open_file(f"{COURSE}/{NOTEBOOK}")
    notebook = active_notebook(lab)
    note = notebook.locator(".jp-Samepage-noteBar")
    until(lambda: sees_note(lab))
    use = note.get_by_role("button", name="Use this")
    use.focus()
    lab.page.keyboard.press("Enter")
    expect(note).to_have_count(0)
    code = notebook.locator(".jp-CodeCell")
    expect(code.filter(has_text="each with its mean, as a table")).to_have_count(1)
    expect(code.filter(has_text=MINE)).to_have_count(0)
    focused = "node => node.contains(document.activeElement)"
    until(lambda: notebook.locator(".jp-Cell.jp-mod-active").evaluate(focused))
    lab.page.keyboard.press("Control+z")
    until(lambda: sees_note(lab))
    expect(code.filter(has_text=MINE)).to_have_count(1)
    note.get_by_role("button", name="Remove").click()
    expect(note).to_have_count(0)
    expect(code.filter(has_text=MINE)).to_have_count(1)
    lab.page.keyboard.press("Control+s")
    until(lambda: "samepage-course-version" not in (work(demo) / NOTEBOOK).read_text())
    assert source(demo, "pandas-14") == ANSWER


def sees_note(lab: Lab) -> bool:
    """Scrolls on until it does: cells out of sight have no widgets yet."""
    bar = active_notebook(lab).locator(".jp-Samepage-noteBar")
    if bar.count():
        return True
    outer = active_notebook(lab).locator(".jp-WindowedPanel-outer")
    outer.evaluate(
        "(node) => { node.scrollTop = (node.scrollTop + 250) % (node.scrollHeight + 250); }"
    )
    return False


@pytest.mark.usefixtures("updated")
def test_taking_asks_keeps_yours_and_can_be_undone(lab: Lab, demo: RunningDemo) -> None:
    tool(lab, NOTEBOOK, "Take the teacher").click()
    dialog = lab.page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("Your version stays beside it")
    dialog.get_by_role("button", name="Cancel").click()
    assert source(demo, "pandas-14") == ANSWER
    tool(lab, NOTEBOOK, "Take the teacher").click()
    dialog.get_by_role("button", name="Take it").click()
    until(lambda: "each with its mean" in source(demo, "pandas-14"))
    beside = next(work(demo).glob("03-pandas__yours_*.ipynb"))
    assert "nlargest(3)" in beside.read_text(encoding="utf-8")
    taken = course_of(lab).locator('.jp-Samepage-newsItem[data-act="take"]')
    taken.get_by_role("button", name=re.compile("^Undo")).click()
    dialog.get_by_role("button", name="Undo", exact=True).click()
    until(lambda: source(demo, "pandas-14") == ANSWER)
    assert not beside.exists()
    expect(taken).to_have_count(0)


@pytest.mark.usefixtures("updated")
def test_one_cell_is_taken_in_the_comparison_and_can_be_undone(lab: Lab, demo: RunningDemo) -> None:
    tool(lab, NOTEBOOK, "Compare").click()
    view = lab.page.locator(".jp-Samepage-compare")
    before = (work(demo) / NOTEBOOK).read_bytes()
    ours = view.locator(".jp-Samepage-cell", has_text="nlargest(3)")
    ours.get_by_role("button", name=re.compile("^Use the teacher’s version of cell")).click()
    dialog = lab.page.locator(".jp-Dialog")
    expect(dialog).to_contain_text(f"It replaces yours in {NOTEBOOK}")
    dialog.get_by_role("button", name="Cancel").click()
    assert (work(demo) / NOTEBOOK).read_bytes() == before
    ours.get_by_role("button", name=re.compile("^Use the teacher’s version of cell")).click()
    dialog.get_by_role("button", name="Use it").click()
    until(lambda: "each with its mean" in source(demo, "pandas-14"))
    assert "nlargest" not in source(demo, "pandas-14")
    # The comparison shows it at once; the other cells are as they were.
    expect(ours).to_have_count(0)
    taken = course_of(lab).locator('.jp-Samepage-newsItem[data-act="take"]')
    taken.get_by_role("button", name=re.compile("^Undo")).click()
    dialog.get_by_role("button", name="Undo", exact=True).click()
    until(lambda: source(demo, "pandas-14") == ANSWER)
    expect(ours).to_have_count(1)
    assert (work(demo) / NOTEBOOK).read_bytes() == before


@pytest.mark.usefixtures("updated")
def test_a_fresh_copy_by_the_context_menu(lab: Lab, demo: RunningDemo) -> None:
    row(lab, NOTEBOOK).click(button="right")
    menu = lab.page.locator(".lm-Menu")
    expect(menu.locator(".lm-Menu-itemLabel", has_text="Compare with the Teacher")).to_be_visible()
    menu.locator(".lm-Menu-itemLabel", has_text="Get a Fresh Copy").click()
    until(lambda: list(work(demo).glob("03-pandas__course_*.ipynb")))
    assert source(demo, "pandas-14") == ANSWER
    expect(lab.page.locator(".Toastify__toast", has_text="The fresh copy is")).to_be_visible()


@pytest.mark.usefixtures("updated")
def test_undo_and_redo_of_a_pull_with_the_keyboard_only(lab: Lab, demo: RunningDemo) -> None:
    news = work(demo) / "NEWS.md"
    pulled = course_of(lab).locator('.jp-Samepage-newsItem[data-act="pull"]').first
    undo = pulled.get_by_role("button", name=re.compile("^Undo the pull"))
    course_of(lab).get_by_role("button", name=re.compile("Pull now")).focus()
    for _ in range(40):
        if undo.evaluate("node => node === document.activeElement"):
            break
        lab.page.keyboard.press("Tab")
    expect(undo).to_be_focused()
    lab.page.keyboard.press("Enter")
    dialog = lab.page.locator(".jp-Dialog")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    lab.page.keyboard.press("Tab")
    lab.page.keyboard.press("Enter")
    until(lambda: not news.exists())
    expect(pulled).to_have_attribute("data-undone", "true")
    lab.command("Redo the Last Undone Pull")
    until(news.exists)
    expect(pulled).to_have_attribute("data-undone", "false")


def test_unsaved_edits_are_saved_before_pull_now_and_merged(lab: Lab, demo: RunningDemo) -> None:
    lab.open_file(f"{COURSE}/README.md?factory=Editor")
    content = lab.page.locator(".jp-FileEditor .cm-content")
    content.click()
    lab.page.keyboard.press("Control+End")
    lab.page.keyboard.type("\nmy own line")
    demo.publish()
    pull(lab)
    expect(row(lab, NOTEBOOK)).to_have_attribute("data-seen", "false", timeout=60_000)
    assert "my own line" in (work(demo) / "README.md").read_text(encoding="utf-8")
    expect(lab.page.locator(".jp-Dialog")).to_have_count(0)


def test_dark_theme_has_readable_colours(browser: Browser, demo: RunningDemo) -> None:
    context = chromium.new_context(browser, "dark")
    lab = Lab(context.new_page(), f"{demo.url}&reset")
    if not (work(demo) / "NEWS.md").exists():
        pull(lab)
    lab.theme("JupyterLab Dark")
    tool(lab, NOTEBOOK, "Compare").click()
    view = lab.page.locator(".jp-Samepage-compare")
    expect(view).to_be_visible()
    brightness = view.evaluate(
        """node => {
          const sum = colour => colour.match(/\\d+/g).slice(0, 3).map(Number)
            .reduce((one, other) => one + other);
          const style = getComputedStyle(node);
          return [sum(style.backgroundColor), sum(style.color)];
        }"""
    )
    assert brightness[0] < 200 < 500 < brightness[1]
    lab.theme("JupyterLab Light")
    context.close()
