"""The proxy benchmark runs as a whole, small: its figures are not judged here, its working is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(150)
def test_a_small_run_makes_the_page(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    small = "--rounds 1 --seconds 0.2 --mebibytes 2 --sockets 5 --socket-seconds 1 --starts 0.6"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.proxy", *small.split(), "--output", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=140,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "proxy.md").read_text()
    assert "| 5 websockets open | 5 answer at the end | met |" in page
    for row in ("listens after 0.6 s", "answers after 0.6 s", "| 16 | stock |", "| 16 | ours |"):
        assert row in page
    for way in ("direct", "relay", "splice", "ours"):
        assert f"| download, 2 MiB | {way} |" in page
    assert "| upload, 2 MiB on a line | ours |" in page
    assert "Stock, download of 2 MiB: complete." in page
    assert (tmp_path / "proxy.png").stat().st_size > 10_000
