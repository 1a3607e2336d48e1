"""JupyterLab in a page, in the words of the tests."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, TimeoutError, expect

COURSES_TAB = 'li[data-id="jupyter-samepage-courses"]'

# What plain JupyterLab itself logs in headless Chromium, and requests that an installation without
# network cannot make. Anything else on the console fails a test.
HARMLESS = re.compile(
    r"Failed to load resource: net::ERR_|favicon|ResizeObserver loop|\[vite\]|"
    r"api/(kernels|sessions|terminals)/.*(404|400)",
)


class Lab:
    """One JupyterLab page; `errors` collects what its console and scripts complain about."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "console",
            lambda message: (
                self.errors.append(f"{message.text} ({message.location.get('url', '')})")
                if message.type == "error" and not HARMLESS.search(message.text)
                else None
            ),
        )
        page.goto(url)
        expect(page.locator("#jupyterlab-splash")).to_have_count(0, timeout=60_000)
        # The shell stays hidden until the last layout is back; a busy machine takes its time.
        expect(page.locator("#jp-main-dock-panel")).to_be_visible(timeout=60_000)

    def launcher(self) -> Locator:
        """The launcher, opened when it is not there."""
        # A second one hides the first.
        launcher = self.page.locator(".jp-Launcher").locator("visible=true").first
        if not launcher.is_visible():
            self.page.get_by_role("button", name=re.compile("New Launcher")).first.click()
        expect(launcher).to_be_visible()
        return launcher

    def card(self, title: str) -> Locator:
        """The launcher card of an application."""
        section = (
            self.launcher()
            .locator(".jp-Launcher-section")
            .filter(has=self.page.locator(".jp-Launcher-sectionTitle", has_text="Applications"))
        )
        return section.locator(".jp-LauncherCard").filter(has_text=title)

    def courses(self) -> Locator:
        """The Courses panel, opened when it is closed."""
        panel = self.page.locator("#jupyter-samepage-courses")
        if not panel.is_visible():
            self.page.locator(COURSES_TAB).click()
        expect(panel).to_be_visible()
        return panel

    def theme(self, name: str) -> None:
        """Switch to `name`, such as "JupyterLab Dark"."""
        self.page.get_by_role("menuitem", name="Settings", exact=True).click()
        self.page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Theme$")).hover()
        self.page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{name}$")).click()
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-name", name)

    def open_file(self, path: str) -> None:
        """Open a file through the URL, as a link in a course would."""
        base = self.page.url.split("/lab")[0]
        self.page.goto(f"{base}/lab/tree/{path}")
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0, timeout=60_000)

    def run_all_cells(self) -> None:
        """Run the open notebook and wait until its kernel is idle again."""
        notebook = self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        indicator = notebook.locator(".jp-Notebook-ExecutionIndicator")
        expect(indicator).to_have_attribute("data-status", "idle", timeout=60_000)
        # The notebook calls itself idle before it has a kernel; the status bar knows.
        expect(self.page.get_by_text(re.compile(r"\| Idle"))).to_be_visible(timeout=60_000)
        # An exercise that is still empty gets no number, so the last prompt says nothing.
        prompts = notebook.locator(".jp-CodeCell .jp-InputPrompt")
        begun = prompts.filter(has_text=re.compile(r"\[(\d+|\*)\]:"))
        for _ in range(5):
            self.page.get_by_role("menuitem", name="Run", exact=True).click()
            self.page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
            try:
                begun.first.wait_for(timeout=8_000)
                break
            except TimeoutError:
                continue  # the menu's command looks at a notebook that is not the current one yet
        expect(begun.first).to_be_visible()
        expect(prompts.filter(has_text="[*]:")).to_have_count(0, timeout=120_000)
        expect(indicator).to_have_attribute("data-status", "idle", timeout=120_000)

    def command(self, words: str) -> None:
        """Run the command that the palette finds first for `words`, by keyboard."""
        palette = self.page.locator("#modal-command-palette")
        found = palette.locator(".lm-CommandPalette-item")
        for _ in range(5):
            # The palette closes when the focus goes elsewhere, as it does after a dialog's end.
            expect(self.page.locator(".jp-Dialog")).to_have_count(0)
            self.page.keyboard.press("Control+Shift+C")
            try:
                palette.locator("input").fill(words, timeout=3_000)
                found.filter(has_text=words).first.wait_for(timeout=3_000)
                if words in (found.first.text_content() or ""):
                    self.page.keyboard.press("Enter")
                    return
            except TimeoutError:
                pass
            self.page.keyboard.press("Escape")
        raise AssertionError(f"the palette did not find {words!r}")

    def close_dialogs(self) -> None:
        """Nothing modal in the way of a picture."""
        for button in self.page.locator(".jp-Dialog button.jp-mod-accept").all():
            button.click()

    def picture(self, path: Path) -> None:
        """A screenshot without a text cursor or a hover."""
        self.page.mouse.move(640, 790)
        self.page.screenshot(path=path, animations="disabled", caret="hide")
