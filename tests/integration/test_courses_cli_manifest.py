"""`samepage-course` with a manifest: hooks, cron, JSON, exit codes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.courses_classroom import Classroom
from tests.integration.courses_upstream import Teacher, unused_url

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "courses"


class Terminal:
    """Two courses in a manifest, and a shell."""

    def __init__(self, room: Classroom, other: Teacher) -> None:
        self.room = room
        self.other = other
        self.manifest = room.root.parent / "samepage-course.yml"
        self.write("")

    def write(self, more: str) -> None:
        self.manifest.write_text(
            "version: 1\ncourses:\n"
            f"- {{id: one, url: '{self.room.url}', target: course, preload: [numpy], image: i:1}}\n"
            f"- {{id: two, url: '{self.other.bare.as_uri()}', target: deep/two}}\n{more}"
        )

    def env(self) -> dict[str, str]:
        return {**self.room.environ, "PYTHONPATH": str(ROOT)}

    def run(self, *arguments: str, code: int = 0, **env: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "labext.courses.cli", *arguments],
            env={**self.env(), "SAMEPAGE_COURSES": str(self.manifest), **env},
            cwd=self.room.root,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code))


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    room, other = Classroom(tmp_path), Teacher(tmp_path, "two")
    room.teacher.publish({"a.txt": "a\n"})
    other.publish({"b.txt": "b\n"})
    return Terminal(room, other)


def test_all_courses_or_one(terminal: Terminal) -> None:
    said = terminal.run("pull", "one", "--quiet")
    assert said == "one: The course is here, with 1 file.\n  new: a.txt\n"
    assert not (terminal.room.root / "deep").exists()
    answer = terminal.json("pull")
    assert answer["ok"] is True
    assert [(c["id"], c["state"], len(c["changes"])) for c in answer["courses"]] == [
        ("one", "up_to_date", 0),
        ("two", "up_to_date", 1),
    ]
    assert (terminal.room.root / "deep/two/b.txt").read_text() == "b\n"
    terminal.room.write({"a.txt": "mine\n"})
    status = terminal.json("status")
    assert [course["changed_by_you"] for course in status["courses"]] == [["a.txt"], []]
    assert "-a\n+mine\n" in terminal.run("diff")
    assert terminal.json("restore", "--course", "one", "a.txt")["restored"] == ["a.txt"]
    assert terminal.room.files()["a.txt"] == "a\n"
    assert "name the course" in terminal.run("restore", code=2)
    assert terminal.json("doctor")["ok"] is True
    listing = terminal.json("list")
    assert listing["preload"] == ["numpy"]
    assert [course["image"] for course in listing["courses"]] == ["i:1", None]


def test_one_that_fails_does_not_keep_the_others(terminal: Terminal) -> None:
    terminal.write(f"- {{id: gone, url: '{unused_url()}', target: gone}}\n")
    answer = terminal.json("pull", code=1)
    assert answer["ok"] is False
    assert [course["state"] for course in answer["courses"]] == [
        "up_to_date",
        "up_to_date",
        "failed",
    ]
    # Offline is no failure where there are files.
    terminal.write("")
    moved = terminal.other.bare.rename(terminal.other.bare.with_name("away.git"))
    assert "There is no git repository" in terminal.run("pull", "two", code=1)
    moved.rename(terminal.other.bare)
    terminal.manifest.write_text(
        terminal.manifest.read_text().replace(terminal.other.bare.as_uri(), unused_url())
    )
    assert "You have the files of the last pull" in terminal.run("pull", "two", "--quiet")


def test_mistakes(terminal: Terminal) -> None:
    assert "has no course 'three' (it has: one, two)" in terminal.run("pull", "three", code=2)
    assert "--branch needs --target" in terminal.run("pull", "--branch", "x", code=2)
    assert "not both" in terminal.run("pull", "one", "--target", "x", code=2)
    assert "name a folder" in terminal.run("status", code=2, SAMEPAGE_COURSES="")
    terminal.manifest.write_text("version: 1\ncourses:\n- {id: a, urll: x}\n")
    assert "did you mean 'url'" in terminal.run("check", str(terminal.manifest), code=1)
    answer = terminal.json("check", str(terminal.manifest), code=1)
    assert len(answer["problems"]) == 2
    assert f"{terminal.manifest}:3:" in terminal.run("pull", code=1)
    assert "fix" in json.loads(terminal.run("pull", "--json", code=1))
    terminal.write("")
    assert "is fine: one, two." in terminal.run("check", str(terminal.manifest))


def test_the_inline_manifest_and_a_part_by_hand(terminal: Terminal) -> None:
    text = terminal.manifest.read_text()
    said = terminal.run("pull", "one", SAMEPAGE_COURSES="", SAMEPAGE_COURSES_YAML=text)
    assert "one: The course is here" in said
    terminal.room.teacher.publish({"labs/x.txt": "x\n"})
    part = ("pull", "--url", terminal.room.url, "--target", "part", "--include", "labs")
    terminal.run(*part)
    found = [path.name for path in (terminal.room.root / "part").rglob("*") if path.is_file()]
    assert found == ["x.txt"]
    refused = terminal.run(*part, "--token-file", "/nowhere", code=2)
    assert "--token-file: a token needs an https address" in refused


@pytest.mark.parametrize("kind", ["postStart", "cron"])
def test_the_examples_in_the_docs_are_run(terminal: Terminal, kind: str, tmp_path: Path) -> None:
    """With next to no environment, as Kubernetes and cron give it."""
    page = (DOCS / "manifest.md").read_text()
    lines = [line.strip() for line in page.splitlines() if "samepage-course pull" in line]
    line = next(line for line in lines if ("--json" in line) == (kind == "cron"))
    if kind == "postStart":
        line = line.partition('"-c", ')[2].strip().rstrip("]").strip().strip('"')
    else:
        line = line.split(None, 5)[5]
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "samepage-course"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m labext.courses.cli "$@"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    line = line.replace("/etc/samepage-course.yml", str(terminal.manifest))
    line = line.replace("/usr/local/bin/samepage-course", "samepage-course")
    for _ in range(2):
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            env={"HOME": str(terminal.room.root), "PATH": f"{programs}:{os.defpath}"},
            cwd="/",
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (line, done.stderr)
    assert terminal.room.files()["a.txt"] == "a\n"
    assert (terminal.room.root / "deep/two/b.txt").exists()
    if kind == "cron":
        log = json.loads((terminal.room.root / ".samepage-course.json").read_text())
        assert log["ok"] is True


def test_a_failed_pull_does_not_fail_the_hook(terminal: Terminal) -> None:
    """A hook that fails ends the pod: the example says `|| true`."""
    page = (DOCS / "manifest.md").read_text()
    line = next(line for line in page.splitlines() if "samepage-course pull" in line)
    assert "|| true" in line
