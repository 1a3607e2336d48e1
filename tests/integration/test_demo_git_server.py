"""The demo's git server, used by the real git."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from demo.git_server import Access, GitServer, GitServerError

BIG_BYTES = 24 * 1024 * 1024


def git(*arguments: str | Path, cwd: Path | None = None, check: bool = True) -> str:
    env = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    env |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }
    done = subprocess.run(
        ["git", *map(str, arguments)], cwd=cwd, env=env, capture_output=True, text=True, timeout=90
    )
    if check and done.returncode:
        raise AssertionError(f"git {arguments}: {done.stderr}")
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with course.git: three commits, one incompressible file of 24 MiB."""
    folder = tmp_path_factory.mktemp("served")
    work = tmp_path_factory.mktemp("work")
    git("init", "-q", "-b", "main", cwd=work)
    for number in range(3):
        (work / "notes.txt").write_text(f"lesson {number}\n")
        if number == 1:
            (work / "big.bin").write_bytes(os.urandom(BIG_BYTES))
        git("add", "-A", cwd=work)
        git("commit", "-q", "-m", f"Lesson {number}", cwd=work)
    git("clone", "-q", "--bare", work, folder / "course.git")
    return folder


@pytest.fixture
def log() -> list[Access]:
    return []


@pytest.fixture
def server(root: Path, log: list[Access]) -> Iterator[GitServer]:
    with GitServer(root, on_access=log.append) as running:
        yield running


def test_clone_brings_everything(server: GitServer, log: list[Access], tmp_path: Path) -> None:
    git("clone", "-q", server.url("course"), tmp_path / "clone")
    assert (tmp_path / "clone/notes.txt").read_text() == "lesson 2\n"
    assert (tmp_path / "clone/big.bin").stat().st_size == BIG_BYTES
    assert git("fsck", "--full", cwd=tmp_path / "clone").count("error") == 0
    assert {access.status for access in log} == {200}
    assert max(access.sent_bytes for access in log) > BIG_BYTES


def test_shallow_fetch_brings_one_commit(server: GitServer, tmp_path: Path) -> None:
    git("init", "-q", tmp_path)
    git("fetch", "-q", "--depth=1", server.url("course"), "main", cwd=tmp_path)
    assert git("rev-list", "--count", "FETCH_HEAD", cwd=tmp_path).strip() == "1"
    git("fetch", "-q", "--deepen=1", server.url("course"), "main", cwd=tmp_path)
    assert git("rev-list", "--count", "FETCH_HEAD", cwd=tmp_path).strip() == "2"


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_every_wire_protocol(server: GitServer, version: str) -> None:
    answer = git("-c", f"protocol.version={version}", "ls-remote", "--symref", server.url("course"))
    assert "ref: refs/heads/main\tHEAD" in answer


def test_protocol_version_two_is_really_spoken(server: GitServer) -> None:
    request = urllib.request.Request(
        f"{server.url('course')}/info/refs?service=git-upload-pack",
        headers={"Git-Protocol": "version=2"},
    )
    with urllib.request.urlopen(request) as answer:
        assert b"version 2" in answer.read()


def test_partial_clone(server: GitServer, tmp_path: Path) -> None:
    git("clone", "-q", "--filter=blob:none", "--no-checkout", server.url("course"), tmp_path / "c")
    packs = sum(path.stat().st_size for path in (tmp_path / "c/.git/objects/pack").iterdir())
    assert packs < BIG_BYTES // 10


def test_gzip_and_chunked_requests(server: GitServer) -> None:
    """git compresses a request with many haves, and sends a large one in chunks."""
    body = b"0014command=ls-refs\n0000"
    for headers in (
        {"Content-Encoding": "gzip"},
        {"Transfer-Encoding": "chunked"},
        {"Content-Encoding": "gzip", "Transfer-Encoding": "chunked"},
    ):
        data = gzip.compress(body) if "Content-Encoding" in headers else body
        connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
        try:
            connection.request(
                "POST",
                "/course.git/git-upload-pack",
                body=iter([data[:10], data[10:]]) if "Transfer-Encoding" in headers else data,
                headers={
                    "Content-Type": "application/x-git-upload-pack-request",
                    "Git-Protocol": "version=2",
                    **headers,
                },
                encode_chunked="Transfer-Encoding" in headers,
            )
            answer = connection.getresponse()
            assert answer.status == 200, headers
            assert b"refs/heads/main" in answer.read(), headers
        finally:
            connection.close()


def test_one_connection_serves_many_requests(server: GitServer) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        for _ in range(3):
            connection.request("GET", "/course.git/info/refs?service=git-upload-pack")
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.read().startswith(b"001e# service=git-upload-pack")
            assert connection.sock is not None
    finally:
        connection.close()


def test_two_clones_at_once(server: GitServer, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        jobs = [
            pool.submit(git, "clone", "-q", server.url("course"), tmp_path / str(number))
            for number in range(2)
        ]
        for job in jobs:
            job.result()
    assert (tmp_path / "0/notes.txt").read_text() == (tmp_path / "1/notes.txt").read_text()


def test_push_is_refused(server: GitServer, log: list[Access], tmp_path: Path) -> None:
    git("clone", "-q", "--depth=1", server.url("course"), tmp_path / "clone")
    (tmp_path / "clone/new.txt").write_text("mine\n")
    git("add", "-A", cwd=tmp_path / "clone")
    git("commit", "-q", "-m", "Mine", cwd=tmp_path / "clone")
    before = git("ls-remote", server.url("course"))
    assert "403" in git("push", "origin", "HEAD:main", cwd=tmp_path / "clone", check=False)
    assert git("ls-remote", server.url("course")) == before
    request = urllib.request.Request(
        f"{server.url('course')}/git-receive-pack",
        data=b"0000",
        headers={"Content-Type": "application/x-git-receive-pack-request"},
    )
    with pytest.raises(urllib.error.HTTPError, match="403") as caught:
        urllib.request.urlopen(request)
    caught.value.close()
    # The server notes a request when it is over, which may be after its client has the answer.
    deadline = time.monotonic() + 10
    while not any(access.method == "POST" and access.status == 403 for access in log):
        assert time.monotonic() < deadline, log
        time.sleep(0.01)
    for access in log:
        assert access.status != 403 or "read-only" in (access.problem or "")


@pytest.mark.parametrize(
    "path",
    ["", "other.git/info/refs", "course/HEAD", "../course.git/HEAD", "course.git/../../etc/passwd"],
)
def test_nothing_but_repositories(server: GitServer, path: str) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request("GET", f"/{path}")
        answer = connection.getresponse()
        assert answer.status == 404
        assert answer.read()
    finally:
        connection.close()


def test_throttle_slows_an_answer_down(server: GitServer, tmp_path: Path) -> None:
    server.throttle(16 * 1024 * 1024)
    begun = time.monotonic()
    git("clone", "-q", server.url("course"), tmp_path / "slow")
    assert 1.0 < time.monotonic() - begun < 20


def test_close_breaks_a_transfer_off_and_leaves_nothing(root: Path, tmp_path: Path) -> None:
    threads, children = threading.active_count(), psutil.Process().children(recursive=True)
    log: list[Access] = []
    server = GitServer(root, bytes_per_second=200_000, on_access=log.append)
    client = subprocess.Popen(
        ["git", "clone", "-q", server.url("course"), str(tmp_path / "clone")],
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 20
    while not any("git-upload-pack" in access.target for access in log):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    begun = time.monotonic()
    server.close()
    server.close()
    assert time.monotonic() - begun < 3
    assert client.communicate(timeout=20)[1]
    assert client.returncode != 0
    assert threading.active_count() == threads
    assert psutil.Process().children(recursive=True) == children
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0


def test_a_client_that_leaves_ends_the_child(root: Path) -> None:
    log: list[Access] = []
    with GitServer(root, bytes_per_second=100_000, on_access=log.append) as server:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("GET", "/course.git/info/refs?service=git-upload-pack")
        answer = connection.getresponse()
        want = answer.read().split(b"0000")[1][4:44]
        body = b"0032want " + want + b"\n00000009done\n"
        connection.request(
            "POST",
            "/course.git/git-upload-pack",
            body=body,
            headers={"Content-Type": "application/x-git-upload-pack-request"},
        )
        connection.getresponse().read(100)
        connection.close()
        deadline = time.monotonic() + 20
        while not any(access.method == "POST" for access in log):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (post,) = [access for access in log if access.method == "POST"]
        assert post.problem is not None
        assert "hung up" in post.problem
        assert not [
            child for child in psutil.Process().children(recursive=True) if "git" in child.name()
        ]


def test_a_port_in_use_is_a_clear_error(root: Path) -> None:
    with (
        GitServer(root) as server,
        pytest.raises(GitServerError, match=rf"{server.port}.*Give another port"),
    ):
        GitServer(root, server.port)


def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(GitServerError, match="no such folder"):
        GitServer(tmp_path / "none")


def test_by_command(root: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "demo.git_server", "--root", str(root)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        git("clone", "-q", "--depth=1", url, tmp_path / "clone")
        process.terminate()
        rest, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "POST /course.git/git-upload-pack 200" in rest
    finally:
        process.kill()
        process.wait()
