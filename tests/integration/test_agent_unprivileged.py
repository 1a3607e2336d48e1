"""The agent as a user who may not write to KSM: it observes, or says why it cannot tune."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = 65534

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user"),
    pytest.mark.skipif(not Path("/sys/kernel/mm/ksm").is_dir(), reason="this kernel has no KSM"),
]


# Nobody may be unable to read this Python's own folder, so all is imported before the user changes.
BECOME_NOBODY = f"""
import os, pkgutil, sys
import nodeagent
for module in pkgutil.walk_packages(nodeagent.__path__, "nodeagent."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
import encodings.ascii, encodings.idna, encodings.latin_1
import tornado.platform.asyncio
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
from nodeagent.cli import main
sys.exit(main(sys.argv[1:]))
"""


def start(state: Path, *options: str) -> subprocess.Popen[str]:
    """An agent as nobody. Its own folder lies in /tmp, as pytest's is closed to other users."""
    os.chown(state, NOBODY, NOBODY)
    return subprocess.Popen(
        [
            sys.executable, "-c", BECOME_NOBODY, "run",
            "--listen", "127.0.0.1:0", "--state-dir", str(state), "--no-gpu", *options,
        ],
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(state)},
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


@pytest.fixture
def state() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def first_reading(url: str) -> dict[str, Any]:
    """/v1/node as soon as the agent has read the node once; 503 before."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"{url}/v1/node", timeout=10) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as err:
            err.close()
            if err.code != 503:
                raise
            assert time.monotonic() < deadline, "no reading within 20 s"
            time.sleep(0.05)


def test_observes_and_says_what_tuning_needs(state: Path) -> None:
    agent = start(state)
    try:
        assert agent.stderr is not None
        url, log = None, ""
        for line in agent.stderr:
            log += line
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                url = found[0]
                break
        assert url is not None, log
        ksm = first_reading(url)["ksm"]
        assert ksm["mode"] == "observe"
        assert f"not writable for user {NOBODY}" in ksm["why"]
    finally:
        agent.terminate()
        agent.communicate(timeout=30)
    assert agent.returncode == 0


def test_asked_to_tune_it_ends_with_a_sentence(state: Path) -> None:
    agent = start(state, "--mode", "tune")
    _, log = agent.communicate(timeout=30)
    assert agent.returncode == 8, log
    assert "/sys/kernel/mm/ksm" in log
    assert "Traceback" not in log
    assert re.search(r"root|--mode observe", log), log
