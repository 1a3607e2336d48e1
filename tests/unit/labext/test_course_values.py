"""The pure parts of a pull."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from labext.courses import credential, gitenv, protocol
from labext.courses.address import parse
from labext.courses.changes import summary
from labext.courses.errors import CourseError
from labext.courses.explain import remote_error
from labext.courses.model import Change, History, Progress
from labext.courses.preflight import choose
from labext.courses.progress import lines
from labext.courses.progress import parse as parse_progress
from labext.courses.protocol import Job, Result
from labext.courses.store import Store
from labext.courses.target import resolve
from labext.courses.task import failure

ADDRESS = parse("https://me:sesame-42@git.example/b.git")


@pytest.mark.parametrize(
    ("line", "phase", "percent"),
    [
        ("Receiving objects:  45% (9/20), 1.00 MiB | 2.00 MiB/s", "Receiving objects", 45),
        ("remote: Compressing objects: 100% (3/3), done.", "Compressing objects", 100),
        ("remote: Enumerating objects: 512, done.", "Enumerating objects", None),
        ("Updating files:   7% (1/14)", "Updating files", 7),
    ],
)
def test_progress(line: str, phase: str, percent: int | None) -> None:
    assert parse_progress(line) == Progress(phase=phase, percent=percent)


def test_other_lines_are_no_progress() -> None:
    assert parse_progress("Cloning into 'x'...") is None
    assert parse_progress("fatal: something: 45%") is None


def test_lines_that_git_overwrites() -> None:
    assert list(lines([b"a: 1", b"%\ra: 2%\r\n", b"\xff end"])) == ["a: 1%", "a: 2%", "� end"]


@pytest.mark.parametrize(
    ("text", "code", "state"),
    [
        ("fatal: unable to access 'x': Could not resolve host: y", "unreachable", "offline"),
        ("fatal: unable to access 'x': Failed to connect to y port 1", "unreachable", "offline"),
        ("fatal: x: The requested URL returned error: 503", "unreachable", "offline"),
        ("error: RPC failed\nfatal: early EOF", "unreachable", "offline"),
        ("ssh: connect to host h port 22: No route to host", "unreachable", "offline"),
        ("fatal: Authentication failed for 'x'", "access_denied", "failed"),
        ("fatal: could not read Username: terminal prompts disabled", "access_denied", "failed"),
        ("git@h: Permission denied (publickey).", "access_denied", "failed"),
        ("fatal: repository 'x' not found", "repository_not_found", "failed"),
        ("fatal: '/x' does not appear to be a git repository", "repository_not_found", "failed"),
        ("fatal: write error: No space left on device", "no_space", "failed"),
        ("", "git_failed", "failed"),
    ],
)  # fmt: skip
def test_what_git_said(text: str, code: str, state: str) -> None:
    error = remote_error(text, ADDRESS)
    assert (error.code, error.state) == (code, state)
    assert error.fix


def test_no_credentials_in_what_git_said() -> None:
    text = "fatal: unable to access 'https://me:sesame-42@git.example/b.git/': sesame-42"
    assert "sesame" not in remote_error(text, ADDRESS).message


def test_offline_with_a_copy_is_a_state_to_work_in() -> None:
    error = remote_error("Could not resolve host: git.example", ADDRESS)
    kept = failure(error, has_copy=True)
    assert kept.state == "offline"
    assert "You have the files of the last pull" in kept.message
    nothing = failure(error, has_copy=False)
    assert nothing.state == "failed"
    assert "has not been downloaded yet" in nothing.message


def test_the_branch_that_is_followed() -> None:
    text = "ref: refs/heads/trunk\tHEAD\n" + "a" * 40 + "\tHEAD\n"
    assert choose(text, ADDRESS, None).branch == "trunk"
    assert choose("b" * 40 + "\trefs/heads/x", ADDRESS, "x").commit == "b" * 40
    assert choose("b" * 40 + "\trefs/tags/v1", ADDRESS, "v1").ref == "refs/tags/v1"
    both = "a\trefs/heads/main\nb\trefs/heads/fall\n"
    assert choose(both, ADDRESS, "fall").branch == "fall"


@pytest.mark.parametrize("branch", [None, "master"])
def test_a_branch_that_was_renamed_is_followed(branch: str | None) -> None:
    assert choose("a\trefs/heads/main", ADDRESS, branch).ref == "refs/heads/main"


@pytest.mark.parametrize(
    ("text", "branch", "code"),
    [
        ("", None, "no_default_branch"),
        ("", "main", "branch_not_found"),
        ("a\trefs/heads/main", "fall", "branch_not_found"),
    ],
)
def test_branches_that_are_not_there(text: str, branch: str | None, code: str) -> None:
    with pytest.raises(CourseError) as caught:
        choose(text, ADDRESS, branch)
    assert caught.value.code == code


def test_summary() -> None:
    assert summary([]) == "Everything is up to date."
    changes = [Change(path="a", kind="new"), Change(path="b", kind="kept_yours")]
    changes.append(Change(path="c", kind="merged"))
    assert summary(changes) == (
        "Files from the course: 1 new, 1 merged with yours, 1 kept as you wrote them."
    )


def test_git_gets_the_token_neither_by_argument_nor_by_file(tmp_path: Path) -> None:
    env = gitenv.environment(
        {"PATH": "/bin", "GIT_DIR": "/elsewhere", "GIT_SSL_CAINFO": "/ca"}, ADDRESS, tmp_path / "t"
    )
    assert "GIT_DIR" not in env
    assert env["GIT_SSL_CAINFO"] == "/ca"
    assert env["GIT_TERMINAL_PROMPT"] == "0"
    # No header of every request: git would send it wherever a server redirects it.
    assert not [value for value in env.values() if "extraHeader" in value]
    assert ADDRESS.authorization is not None
    assert env[credential.BASIC] == ADDRESS.authorization.removeprefix("Basic ")
    place = urlsplit(ADDRESS.remote)
    asked = {"protocol": place.scheme, "host": place.netloc}
    assert credential.answer(asked, env) is not None
    assert credential.answer({**asked, "host": "elsewhere.example"}, env) is None
    assert credential.answer({**asked, "protocol": "http"}, env) is None


def test_a_broken_gitconfig_is_skipped(tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text("[user\nname = x\n")
    env = gitenv.environment({"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, ADDRESS, tmp_path)
    assert gitenv.without_broken_files(env)["GIT_CONFIG_GLOBAL"] == "/dev/null"
    (tmp_path / ".gitconfig").write_text("[user]\nname = x\n")
    assert "GIT_CONFIG_GLOBAL" not in gitenv.without_broken_files(env)


def test_links_out_of_the_root_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    (root / "in").symlink_to(root / "real")
    (root / "self").symlink_to(root)
    assert resolve(root, "in/course") == root / "real" / "course"
    for target in ("out", "out/x", "self"):
        with pytest.raises(CourseError, match="leads out of"):
            resolve(root, target)


def test_what_is_remembered(tmp_path: Path) -> None:
    store = Store(folder=tmp_path / "state", target=tmp_path / "course")
    assert store.load() == History()
    kept = History(
        last_pull=2.0,
        last_change=1.0,
        changes=(Change(path="a", kind="new"),),
        changes_truncated=True,
    )
    with store.locked():
        store.save(kept)
    assert store.load() == kept
    other = Store(folder=tmp_path / "state", target=tmp_path / "other")
    assert other.load() == History()


@pytest.mark.parametrize("text", ["", "[]", '{"changes": 5}', '{"last_pull": "x"}', '{"chan'])
def test_a_damaged_memory_is_an_empty_one(tmp_path: Path, text: str) -> None:
    store = Store(folder=tmp_path, target=tmp_path / "course")
    store.save(History(last_pull=1.0))
    next(tmp_path.glob("*.json")).write_text(text)
    assert store.load() == History()


def test_the_job_hides_its_address() -> None:
    job = Job(
        url="https://u:sesame@h/x",
        branch=None,
        depth=1,
        root="/r",
        target="t",
        state_dir="/s",
        timeout_seconds=1.0,
        connect_timeout_seconds=1.0,
    )
    assert "sesame" not in repr(job)
    assert Job.from_line(job.line()) == job


def test_results_travel() -> None:
    result = Result(
        state="up_to_date",
        message="ok",
        history=History(last_pull=1.0, changes=(Change(path="ä\udce4", kind="new"),)),
    )
    assert protocol.parse(protocol.result_line(result).encode()) == result
    progress = Progress(phase="x", percent=None)
    assert protocol.parse(protocol.progress_line(progress).encode()) == progress


@pytest.mark.parametrize("line", [b"", b"WARNING: x", b"5", b'{"event": "else"}', b"\xff"])
def test_other_lines_of_a_worker(line: bytes) -> None:
    assert protocol.parse(line) is None


def test_broken_events_are_other_lines() -> None:
    assert protocol.parse(json.dumps({"event": "result", "x": 1}).encode()) is None


def test_a_worker_without_a_job_says_so() -> None:
    import sys

    run = subprocess.run(
        [sys.executable, "-m", "labext.courses.worker"],
        input="{}\n",
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert run.returncode == 2
    assert "no job on standard input" in run.stderr
