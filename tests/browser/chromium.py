"""Headless Chromium for tests and screenshots: the system's own, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from playwright.sync_api import Browser, BrowserContext, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """Path of a Chromium: $SAMEPAGE_CHROMIUM, else the first on PATH; None when there is none."""
    named = os.environ.get("SAMEPAGE_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def browser(executable: str) -> Iterator[Browser]:
    """A headless browser. As root Chromium has no sandbox to offer."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb"],
        )
        try:
            yield running
        finally:
            running.close()


def new_context(
    running: Browser, scheme: Literal["light", "dark"] = "light", *, scale: float = 1
) -> BrowserContext:
    """A fresh profile with an English locale and a fixed window."""
    context = running.new_context(
        viewport={"width": 1280, "height": 800},
        locale="en-US",
        timezone_id="UTC",
        color_scheme=scheme,
        device_scale_factor=scale,
    )
    context.set_default_timeout(30_000)
    return context
