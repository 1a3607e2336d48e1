"""The launcher in another language: icons, ranks and sections do not hang on English words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from demo.state import Paths
from tests.browser.conftest import RunningDemo, start_demo, stop_demo
from tests.browser.lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

ICON = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9z"/></svg>'


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """A demo in Simplified Chinese, with an application of a third party."""
    paths = Paths(state=tmp_path_factory.mktemp("studio"))
    paths.make()
    settings = paths.config / "lab/user-settings/@jupyterlab/translation-extension"
    settings.mkdir(parents=True)
    (settings / "plugin.jupyterlab-settings").write_text('{"locale": "zh_CN"}')
    icon = paths.state / "mill.svg"
    icon.write_text(ICON)
    entry = {"command": ["true"], "launcher_entry": {"title": "Mill", "icon_path": str(icon)}}
    (paths.config / "jupyter_server_config.py").write_text(
        f"c.ServerProxy.servers = {{'mill': {entry!r}}}\n"
    )
    process, running = start_demo(paths.state, "--no-agent", "--stations", "1")
    try:
        yield running
    finally:
        stop_demo(process)


def titles(found: Locator) -> list[str]:
    return [text.strip() for text in found.all_inner_texts()]


def test_in_chinese_cards_keep_icon_rank_and_section(page: Page, studio: RunningDemo) -> None:
    lab = Lab(page, f"{studio.url}&reset")
    launcher = page.locator(".jp-Launcher")
    expect(launcher).to_be_visible()
    section = launcher.locator(".jp-Launcher-section").filter(
        has=page.locator(".jp-Launcher-sectionTitle", has_text="应用")
    )
    cards = section.locator(".jp-LauncherCard")
    expect(cards.filter(has_text="Mill")).to_have_count(1)
    # Between JupyterLab's own sections for notebooks and consoles.
    sections = titles(launcher.locator(".jp-Launcher-sectionTitle"))
    assert sections[:3] == ["笔记本", "应用", "控制台"]
    labels = [name.split("\n")[0] for name in titles(cards)]
    assert [label.split(" ")[0] for label in labels] == ["OpenRefine", "RStudio", "Mill"]
    for card in cards.all():
        expect(card.locator(".jp-LauncherCard-icon svg")).to_be_visible()
    expect(cards.filter(has_text="Mill").locator("svg image")).to_have_count(1)
    # Courses and status speak it as well.
    page.locator('li[data-id="jupyter-samepage-courses"]').click()
    course = page.locator("#jupyter-samepage-courses article").first
    expect(course.locator(".jp-Samepage-state")).to_have_text("已是最新")
    expect(course.get_by_role("button", name="立即拉取")).to_be_visible()
    expect(page.locator(".jp-Samepage-statusButton")).to_contain_text("内存")
    assert lab.errors == []
