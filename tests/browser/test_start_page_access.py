"""The start page for everybody: axe-core's rules, less motion, and the reader's language."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.integration.proxy_server import api, running
from tests.standins.jupyter_process import JupyterProcess

pytestmark = pytest.mark.browser

AXE = files("axe_playwright_python").joinpath("axe.min.js")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterProcess]:
    # Slower than the rules are checked.
    more = 'servers["slow"] = dict(command=[P, W, "{port}", "--delay", "60"], timeout=90)'
    with running(tmp_path_factory.mktemp("access"), more_config=more) as process:
        yield process


Open = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, server: JupyterProcess) -> Iterator[Open]:
    contexts: list[Any] = []

    def visit(
        path: str, scheme: Literal["light", "dark"] = "light", language: str = "en-US"
    ) -> Page:
        context = browser.new_context(locale=language, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{server.url}api/status?token={server.token}")
        page.goto(f"{server.url}{path}")
        return page

    yield visit
    for context in contexts:
        context.close()
    api(server, "apps/slow/stop", "POST")


def violations(page: Page) -> list[str]:
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run()).violations")
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_rules_of_axe(
    visit: Open, server: JupyterProcess, scheme: Literal["light", "dark"]
) -> None:
    starting = visit("slow/", scheme)
    expect(starting.get_by_role("status")).to_contain_text("first answer")
    assert violations(starting) == []
    starting.get_by_role("button", name="Cancel").click()
    expect(starting.get_by_role("button", name="Start")).to_be_focused()
    assert violations(starting) == []
    failed = visit("boom/", scheme)
    expect(failed.get_by_role("heading")).to_have_text("boom did not start")
    expect(failed.locator("#log")).to_contain_text("something is very wrong here")
    assert violations(failed) == []


def test_every_control_is_reached_by_keyboard_and_shows_it(visit: Open) -> None:
    page = visit("slow/")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    reached = []
    for _ in range(3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style == "solid", reached
    assert reached == ["cancel", "SUMMARY", "log"]


def test_less_motion_where_it_is_asked_for(visit: Open) -> None:
    page = visit("slow/")
    expect(page.get_by_role("status")).to_contain_text("first answer")
    expect(page.locator("progress")).to_be_visible()
    page.emulate_media(reduced_motion="reduce")
    expect(page.locator("progress")).to_be_hidden()
    expect(page.locator("#time")).to_have_text("1 s", timeout=5_000)


@pytest.mark.parametrize(
    ("language", "tag", "starting", "cancelled"),
    [
        ("zh-CN", "zh-CN", "正在启动 slow", "您已取消启动。"),
        ("de-CH", "de", "slow wird gestartet", "Sie haben den Start abgebrochen."),
        ("fr-CH", "fr", "Démarrage de slow", "Vous avez annulé le démarrage."),
        ("es", "es", "Iniciando slow", "Usted canceló el inicio."),
        ("ja", "en", "Starting slow", "You cancelled the start."),
    ],
)
def test_it_speaks_the_language_of_its_reader(
    visit: Open, language: str, tag: str, starting: str, cancelled: str
) -> None:
    page = visit("slow/", language=language)
    assert page.evaluate("document.documentElement.lang") == tag
    expect(page.get_by_role("heading")).to_have_text(starting)
    page.locator("#cancel").click()
    expect(page.get_by_text(cancelled)).to_be_visible()


def test_failures_are_told_in_the_language_of_lab(visit: Open, server: JupyterProcess) -> None:
    page = visit("boom/", language="de")
    expect(page.get_by_role("heading")).to_have_text("boom ist nicht gestartet", timeout=15_000)
    expect(page.locator("#phase")).to_contain_text("boom endete")
    expect(page.locator("#fix")).to_contain_text("Protokoll")
