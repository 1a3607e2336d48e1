"""The start page in a real browser: light and dark, by keyboard, and in a frame of Lab."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import chromium
from tests.integration.proxy_server import api, running
from tests.standins.jupyter_process import JupyterProcess

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterProcess]:
    with running(tmp_path_factory.mktemp("startpage")) as process:
        yield process


@pytest.fixture(params=["light", "dark"])
def visitor(
    request: pytest.FixtureRequest, browser: Browser, server: JupyterProcess
) -> Iterator[Page]:
    scheme: Literal["light", "dark"] = request.param
    context = chromium.new_context(browser, scheme)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    page.goto(f"{server.url}api/status?token={server.token}")
    yield page
    context.close()
    assert not [text for text in wrong if "favicon" not in text]


def colours(page: Page) -> tuple[int, int]:
    """Brightness of text and page, 0 to 765."""
    found: list[int] = page.evaluate(
        """() => ['color', 'backgroundColor'].map(
            name => getComputedStyle(document.body)[name].match(/\\d+/g).slice(0, 3)
                .map(Number).reduce((a, b) => a + b))"""
    )
    return found[0], found[1]


def test_it_becomes_the_application(
    visitor: Page, server: JupyterProcess, request: pytest.FixtureRequest
) -> None:
    api(server, "apps/late/stop", "POST")
    visitor.goto(f"{server.url}late/?q=1#part")
    expect(visitor.get_by_role("heading")).to_have_text("Starting late")
    expect(visitor.get_by_role("status")).to_contain_text("first answer")
    expect(visitor.locator("#log")).to_contain_text("started, listening on")
    text, page = colours(visitor)
    assert (text > page) is ("dark" in request.node.name)
    assert abs(text - page) > 400
    expect(visitor.get_by_text("The application")).to_be_visible(timeout=15_000)
    assert visitor.url == f"{server.url}late/?q=1#part"


def test_cancel_and_start_again_by_keyboard(visitor: Page, server: JupyterProcess) -> None:
    api(server, "apps/late/stop", "POST")
    visitor.goto(f"{server.url}late/")
    expect(visitor.get_by_role("button", name="Cancel")).to_be_visible()
    visitor.keyboard.press("Tab")
    visitor.keyboard.press("Enter")
    expect(visitor.get_by_text("You cancelled the start.")).to_be_visible()
    expect(visitor.get_by_role("heading")).to_have_text("late is not running")
    expect(visitor.get_by_role("button", name="Start")).to_be_focused()
    visitor.keyboard.press("Enter")
    expect(visitor.get_by_text("The application")).to_be_visible(timeout=15_000)


def test_a_failure_is_explained(visitor: Page, server: JupyterProcess) -> None:
    visitor.goto(f"{server.url}boom/")
    expect(visitor.get_by_role("heading")).to_have_text("boom did not start")
    expect(visitor.get_by_text("Exit code 3.")).to_be_visible()
    expect(visitor.locator("#log")).to_contain_text("something is very wrong here")
    button = visitor.locator("#retry")
    expect(button).to_be_visible()


def test_in_a_frame_it_takes_the_theme_of_lab(visitor: Page, server: JupyterProcess) -> None:
    api(server, "apps/late/stop", "POST")
    # A page of the server's own that says what JupyterLab says of its theme.
    visitor.goto(f"{server.url}login")
    frame: Any = visitor.evaluate_handle(
        """address => {
            document.body.dataset.jpThemeLight = 'false';
            const frame = document.createElement('iframe');
            frame.sandbox = 'allow-same-origin allow-scripts allow-popups allow-forms';
            frame.src = address;
            document.body.appendChild(frame);
            return frame;
        }""",
        f"{server.url}late/",
    )
    content = frame.as_element().content_frame()
    expect(content.get_by_role("heading")).to_have_text("Starting late")
    assert content.evaluate("document.documentElement.dataset.theme") == "dark"
    expect(content.get_by_text("The application")).to_be_visible(timeout=15_000)
