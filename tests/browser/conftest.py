"""A real demo and a real browser for the whole module."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from demo.http import free_port
from tests.browser import chromium

ROOT = Path(__file__).parents[2]

# Playwright's own 5 s are for a browser that has the machine to itself.
expect.set_options(timeout=15_000)


@dataclass(frozen=True, kw_only=True)
class RunningDemo:
    """Addresses of a running demo. agent_url: None when it runs without."""

    state: Path
    url: str
    output: str

    @property
    def agent_url(self) -> str | None:
        found = re.search(r"node agent\s+(http://\S+)", self.output)
        return found[1] if found else None

    def publish(self) -> None:
        """Be the teacher."""
        subprocess.run(
            [sys.executable, "-m", "demo", "publish-update", "--state", str(self.state)],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )


def start_demo(state: Path, *options: str) -> tuple[subprocess.Popen[str], RunningDemo]:
    """Start `python -m demo` and wait for its URL."""
    port = free_port(None)
    process = subprocess.Popen(
        [sys.executable, "-m", "demo", "--state", str(state), "--port", str(port), *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    ready = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                lines.append(line)
                if "Ctrl-C stops everything" in line:
                    ready.set()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    if not ready.wait(180) or process.poll() is not None:
        process.kill()
        pytest.fail("the demo did not start:\n" + "".join(lines))
    output = "".join(lines)
    url = re.search(r"http://\S+/lab\?token=\w+", output)
    assert url is not None, output
    return process, RunningDemo(state=state, url=url[0], output=output)


def stop_demo(process: subprocess.Popen[str]) -> None:
    """Ctrl-C; a demo that does not stop within a minute fails."""
    process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 60
    while process.poll() is None:
        assert time.monotonic() < deadline, "the demo did not stop"
        time.sleep(0.1)
    assert process.returncode == 0


# Not for the whole session: its agent holds KSM's lock, which tests of the agent want.
@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    process, running = start_demo(tmp_path_factory.mktemp("demo"), "--stations", "8")
    try:
        yield running
    finally:
        stop_demo(process)


# Not for the whole session: Playwright keeps an event loop running, in which no other can start.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = chromium.find()
    if executable is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium; on Debian or Ubuntu: apt-get install chromium")
        pytest.skip("no Chromium; on Debian or Ubuntu: sudo apt-get install chromium")
    with chromium.browser(executable) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = chromium.new_context(browser)
    yield context.new_page()
    context.close()
