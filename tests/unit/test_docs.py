"""The pages of docs/ agree with the code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_settings_page_is_what_the_settings_say() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "settings_page.py", "--check"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_of_a_page_exist(page: Path) -> None:
    targets = re.findall(
        r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", page.read_text(encoding="utf-8")
    )
    for target in {a or b for a, b in targets}:
        if re.match(r"[a-z]+:|#", target):
            continue
        assert (page.parent / target.split("#")[0]).exists(), f"{page.name} points to {target}"


def test_make_targets_that_are_named_exist() -> None:
    texts = [*PAGES, *(ROOT / "scripts").iterdir(), *(ROOT / "images").iterdir()]
    named: set[str] = set()
    for text in texts:
        if text.is_file():
            words = re.findall(
                r"[`']make ([a-z-]+)|^make ([a-z-]+)", text.read_text(), re.MULTILINE
            )
            named |= {a or b for a, b in words}
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "pins"} <= named
    assert named <= made


def test_python_and_javascript_halves_have_one_version() -> None:
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    lab = json.loads((ROOT / "labext" / "lab" / "package.json").read_text())["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert lab == python
    assert f"## {python}" in changelog
