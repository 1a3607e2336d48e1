"""The files an R session is started with: a shell script and a start-up file, run for real."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from serverproxy.rstudio_session import SessionFolder, r_string

needs_r = pytest.mark.skipif(shutil.which("R") is None, reason="there is no R on this machine")

# An rsession that tells what it was started with.
TELLER = """#!/bin/sh
printf '%s\\n' "$RS_INITIAL_WD" "$R_PROFILE" "$SAMEPAGE_R_PROFILE" "$EXTRA" "$@"
"""


@pytest.fixture
def folder(tmp_path: Path) -> SessionFolder:
    """With everything in its name that quoting can get wrong."""
    return SessionFolder(tmp_path / "pri vate's \"ö$(x)")


def run(folder: SessionFolder, *arguments: str, **env: str) -> list[str]:
    done = subprocess.run(
        [str(folder.wrapper), *arguments], env=env, check=True, capture_output=True, text=True
    )
    return done.stdout.splitlines()


def test_the_wrapper_passes_on_and_sets_once(folder: SessionFolder, tmp_path: Path) -> None:
    rsession = tmp_path / "r session"
    rsession.write_text(TELLER)
    rsession.chmod(0o755)
    first = tmp_path / "it's here $HOME"
    assert folder.write(rsession, first_folder=first, environment={"EXTRA": "a'b $c"})
    startup = str(folder.folder / "startup.R")
    assert run(folder, "-u", "alice x") == [str(first), startup, "", "a'b $c", "-u", "alice x"]
    # The second session is where the user left the first.
    assert run(folder, R_PROFILE="/site") == ["", startup, "/site", "a'b $c"]
    for file in (folder.folder, folder.wrapper, folder.folder / "startup.R"):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0


def test_a_file_system_without_programs_is_noticed(
    folder: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serverproxy.rstudio_session.is_executable", lambda file: False)
    assert not folder.write(Path("/bin/true"), first_folder=None, environment={})


def test_wishes_and_whether_somebody_looks(folder: SessionFolder) -> None:
    folder.write(Path("/bin/true"), first_folder=None, environment={})
    wish = folder.wish(Path("/home/a b/100% ö.R"))
    assert wish.read_text() == "/home/a%20b/100%25%20%C3%B6.R\n"
    assert list(folder.wishes.iterdir()) == [wish]
    assert not folder.session_runs()
    (folder.folder / "session").write_text(f"{os.getpid()}\n")
    assert folder.session_runs()
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    (folder.folder / "session").write_text(f"{gone.pid}\n")
    assert not folder.session_runs()
    # A new start knows nothing of the session before.
    (folder.folder / "session").write_text(f"{os.getpid()}\n")
    folder.write(Path("/bin/true"), first_folder=None, environment={})
    assert not folder.session_runs()


def test_text_for_r_is_plain() -> None:
    assert r_string('a"b\\c\nö') == '"a\\"b\\\\c\\n\\U{f6}"'


# What RStudio attaches to its sessions, as far as we use it.
TOOLS = """
tools_rstudio <- new.env()
assign(".rs.api.navigateToFile", function(filePath, ...)
  cat("OPENED", filePath, file.exists(filePath), "\\n"), tools_rstudio)
assign(".rs.api.getActiveProject", function() Sys.getenv("ACTIVE_PROJECT", NA), tools_rstudio)
assign(".rs.api.getActiveProject", function() {
  active <- Sys.getenv("ACTIVE_PROJECT")
  if (nzchar(active)) active else NULL
}, tools_rstudio)
assign(".rs.api.openProject", function(path, ...) cat("PROJECT", path, "\\n"), tools_rstudio)
attach(tools_rstudio, name = "tools:rstudio")
begin <- function() for (hook in getHook("rstudio.sessionInit")) hook(TRUE)
"""


class RealR:
    """An interactive R, started through the wrapper."""

    def __init__(self, folder: SessionFolder, home: Path, **env: str) -> None:
        self._process = subprocess.Popen(
            [str(folder.wrapper), "--interactive", "--no-save", "--no-readline", "--quiet"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=home,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **env},
        )
        self._count = 0

    def do(self, code: str) -> list[str]:
        """Lines it wrote while it ran the code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._count += 1
        end = f"END {self._count}"
        self._process.stdin.write(f"{code}\ncat('\\n', 'END {self._count}', '\\n', sep = '')\n")
        self._process.stdin.flush()
        lines: list[str] = []
        for line in self._process.stdout:
            if line.strip() == end:
                return [each for each in lines if not each.startswith((">", "+", "<"))]
            lines.append(line.rstrip())
        raise AssertionError(f"R ended:\n{lines}")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".Rprofile").write_text('cat("USER", Sys.getenv("R_PROFILE"), "\\n")\nmine <- 1\n')
    return home


@pytest.fixture
def r(folder: SessionFolder, home: Path) -> Iterator[RealR]:
    program = shutil.which("R")
    assert program is not None
    folder.write(Path(program), first_folder=None, environment={})
    one = RealR(folder, home)
    yield one
    one.close()


@needs_r
def test_files_open_at_the_start_while_it_runs_and_after_a_computation(
    r: RealR, folder: SessionFolder, home: Path
) -> None:
    file = home / "an äl 100%.R"
    file.write_text("")
    folder.wish(file)
    r.do(TOOLS)
    assert not folder.session_runs()
    assert f"OPENED {file} TRUE" in r.do("begin()")
    assert folder.session_runs()
    assert list(folder.wishes.iterdir()) == []
    # R's own HTTP server calls the handler as RStudio does, when R waits for input.
    (port,) = re.findall(
        r"PORT (\d+)", "\n".join(r.do("cat('PORT', tools::startDynamicHelp(TRUE))"))
    )
    folder.wish(file)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/custom/samepage", timeout=20) as answer:
        assert answer.read() == b"taken\n"
    assert list(folder.wishes.iterdir()) == []
    # Busy: the computation ends first.
    folder.wish(file)
    assert f"OPENED {file} TRUE" in r.do("invisible(sum(1:10))")


@needs_r
def test_projects_are_opened_unless_they_are_open(
    r: RealR, folder: SessionFolder, home: Path
) -> None:
    project = home / "course.Rproj"
    project.write_text("Version: 1.0\n")
    r.do(TOOLS)
    r.do("begin()")
    folder.wish(project)
    assert f"PROJECT {project}" in r.do("1")
    r.do(f"Sys.setenv(ACTIVE_PROJECT = '{home}')")
    folder.wish(project)
    assert not any(line.startswith("PROJECT") for line in r.do("1"))


@needs_r
def test_a_file_that_is_gone_is_told_and_stops_nothing(
    r: RealR, folder: SessionFolder, home: Path
) -> None:
    r.do(TOOLS.replace('cat("OPENED"', 'if (!file.exists(filePath)) stop("no file") else cat("X"'))
    folder.wish(home / "gone.R")
    told = "\n".join(r.do("begin()"))
    assert f"Samepage could not open {home / 'gone.R'}: no file" in told
    assert list(folder.wishes.iterdir()) == []


@needs_r
def test_profiles_run_as_ever_and_children_see_nothing_of_ours(
    folder: SessionFolder, home: Path
) -> None:
    program = shutil.which("R")
    assert program is not None
    folder.write(Path(program), first_folder=None, environment={})
    site = home / "site.R"
    site.write_text('site_ran <- TRUE\ncat("SITE", Sys.getenv("R_PROFILE"), "\\n")\n')
    one = RealR(folder, home, R_PROFILE=str(site))
    try:
        told = one.do("cat('BOTH', site_ran, mine, exists('outside'), '\\n')")
        assert f"SITE {site}" in told
        assert f"USER {site}" in told
        assert "BOTH TRUE 1 FALSE" in told
        told = one.do("cat('NOW', Sys.getenv(c('R_PROFILE', 'SAMEPAGE_R_PROFILE')), '\\n')")
        assert f"NOW {site}" in told
    finally:
        one.close()


@needs_r
def test_a_site_profile_that_fails_does_not_cost_the_opening(
    folder: SessionFolder, home: Path
) -> None:
    program = shutil.which("R")
    assert program is not None
    folder.write(Path(program), first_folder=None, environment={})
    site = home / "site.R"
    site.write_text('stop("broken site")\n')
    one = RealR(folder, home, R_PROFILE=str(site))
    try:
        one.do(TOOLS)
        (home / "a.R").write_text("")
        folder.wish(home / "a.R")
        assert f"OPENED {home / 'a.R'} TRUE" in one.do("begin()")
    finally:
        one.close()
