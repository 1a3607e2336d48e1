"""Private repositories: the secret opens the course, and is found nowhere else."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labext.courses.access import checked
from labext.courses.address import parse
from labext.courses.explain import remote_error
from labext.courses.rules import Auth, Rules
from tests.integration.courses_classroom import Classroom
from tests.integration.courses_gate import Rule, gate
from tests.integration.courses_upstream import Teacher, git

ROOT = Path(__file__).parents[2]
TOKEN = "sesame-4711-open"


@pytest.fixture
def room(tmp_path: Path) -> Classroom:
    room = Classroom(tmp_path)
    room.teacher.publish({"a.txt": "a\n"})
    return room


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """As Kubernetes mounts it: through links that are swapped when the secret is renewed."""
    folder = tmp_path / "secret"
    (folder / "..1").mkdir(parents=True)
    (folder / "..1" / "token").write_text(f"{TOKEN}\n")
    (folder / "..data").symlink_to("..1")
    (folder / "token").symlink_to("..data/token")
    return folder / "token"


def rules(token: Path, **changes: object) -> Rules:
    return Rules(auth=Auth(token_file=str(token), username="me", **changes))  # type: ignore[arg-type]  # by name


def test_a_token_opens_the_course(room: Classroom, secret: Path) -> None:
    rule = Rule(login=("me", TOKEN))
    with gate(room.teacher.served, rule) as address:
        url = f"{address}/course.git"
        assert room.try_pull(url=url).code == "access_denied"
        room.pull(url=url, rules=rules(secret))
        assert room.files() == {"a.txt": "a\n"}
        assert rule.given() == {f"me:{TOKEN}"}


def test_a_renewed_token_is_used_at_once(room: Classroom, secret: Path) -> None:
    rule = Rule(login=("me", TOKEN))
    with gate(room.teacher.served, rule) as address:
        url = f"{address}/course.git"
        room.pull(url=url, rules=rules(secret))
        rule.login = ("me", "another-8812-one")
        refused = room.try_pull(url=url, rules=rules(secret))
        assert (refused.state, refused.code) == ("failed", "access_denied")
        data = secret.parent / "..data"
        (secret.parent / "..2").mkdir()
        (secret.parent / "..2" / "token").write_text("another-8812-one")
        (secret.parent / "..data_tmp").symlink_to("..2")
        (secret.parent / "..data_tmp").rename(data)
        room.teacher.publish({"b.txt": "b\n"})
        room.pull(url=url, rules=rules(secret))
        assert room.files() == {"a.txt": "a\n", "b.txt": "b\n"}


def test_a_redirect_does_not_carry_the_token_to_another_host(room: Classroom, secret: Path) -> None:
    stranger = Rule(login=("me", TOKEN))
    with gate(room.teacher.served, stranger) as elsewhere:
        rule = Rule(redirect=elsewhere)
        with gate(room.teacher.served, rule) as address:
            url = f"{address}/course.git"
            assert room.try_pull(url=url, rules=rules(secret)).code == "access_denied"
            inside = url.replace("http://", f"http://me:{TOKEN}@")
            assert room.try_pull(url=inside).code == "access_denied"
    assert stranger.seen
    assert stranger.given() == set()


def _with_submodule(room: Classroom, url: str) -> None:
    sub = Teacher(room.teacher.work.parent, "sub")
    sub.publish({"s.txt": "s\n"})
    commit = git(sub.work, "rev-parse", "HEAD")
    work = room.teacher.work
    (work / ".gitmodules").write_text(f'[submodule "s"]\n\tpath = sub\n\turl = {url}\n')
    git(work, "update-index", "--add", "--cacheinfo", f"160000,{commit},sub")
    git(work, "add", ".gitmodules")
    git(work, "commit", "-qm", "sub")
    room.teacher.push()


def test_a_submodule_elsewhere_gets_the_token_only_when_told(room: Classroom, secret: Path) -> None:
    stranger = Rule(login=("me", TOKEN))
    rule = Rule(login=("me", TOKEN))
    with (
        gate(room.teacher.served, stranger) as elsewhere,
        gate(room.teacher.served, rule) as address,
    ):
        _with_submodule(room, f"{elsewhere}/sub.git")
        url = f"{address}/course.git"
        result = room.pull(url=url, rules=rules(secret))
        assert "Not included: sub" in result.message
        assert stranger.seen
        assert stranger.given() == set()
        host = elsewhere.removeprefix("http://")
        room.pull(url=url, rules=rules(secret, hosts=(host,)))
        assert room.files()["sub/s.txt"] == "s\n"
        assert stranger.given() == {f"me:{TOKEN}"}


def test_a_submodule_on_the_same_host_is_opened_too(room: Classroom, secret: Path) -> None:
    with gate(room.teacher.served, Rule(login=("me", TOKEN))) as address:
        _with_submodule(room, "../sub.git")
        room.pull(url=f"{address}/course.git", rules=rules(secret))
        assert room.files()["sub/s.txt"] == "s\n"


@pytest.mark.parametrize("content", [None, "", "two words", "bad\x00"])
def test_a_secret_that_is_not_there_is_named(
    room: Classroom, tmp_path: Path, content: str | None
) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content)
    result = room.try_pull(url="http://127.0.0.1:1/course.git", rules=rules(token))
    assert (result.state, result.code) == ("failed", "no_secret")
    assert str(token) in result.message
    assert "two words" not in result.message


def test_a_server_that_repeats_the_token_does_not_publish_it(secret: Path) -> None:
    address = checked(parse("https://git.example/course.git"), Auth(token_file=str(secret)))
    error = remote_error(f"fatal: unable to access: {TOKEN} was revoked", address)
    assert TOKEN not in json.dumps([error.message, error.fix])
    assert "***" in error.message


class Watch:
    """Looks at the command lines of all processes, again and again."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._stop = threading.Event()
        self.found: list[str] = []
        self.looks = 0
        self.gits = 0
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.002):
            self.looks += 1
            for process in os.listdir("/proc"):  # noqa: PTH208 - quick
                if process.isdigit():
                    with contextlib.suppress(OSError):
                        line = Path("/proc", process, "cmdline").read_bytes()
                        self.gits += line.startswith(b"git\0")
                        if self._secret in line:
                            self.found.append(line.decode("utf-8", "replace"))


def _everywhere(secret: str, *folders: Path) -> list[Path]:
    return [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and secret.encode() in path.read_bytes()
    ]


def test_the_token_is_nowhere(room: Classroom, secret: Path, tmp_path: Path) -> None:
    """By the command line tool, as a hook does it: folder, state, output, process list."""
    with gate(room.teacher.served, Rule(login=("me", TOKEN))) as address:
        manifest = tmp_path / "samepage-course.yml"
        manifest.write_text(
            f"version: 1\ncourses:\n- id: c\n  url: {address}/course.git\n  target: course\n"
            f"  auth: {{token_file: {secret}, username: me}}\n"
        )
        command = [sys.executable, "-m", "labext.courses.cli", "pull", "--manifest", str(manifest)]
        command += ["--root", str(room.root), "--state-dir", str(room.state)]
        env = {**room.environ, "PYTHONPATH": str(ROOT)}
        said = ""
        with Watch(TOKEN.encode()) as watch:
            for round_ in range(3):
                room.teacher.publish({"a.txt": f"{round_}\n"})
                done = subprocess.run(command, env=env, capture_output=True, text=True)
                assert done.returncode == 0, done.stderr
                said += done.stdout + done.stderr
            doctor = [*command[:3], "doctor", *command[4:], "--json"]
            said += subprocess.run(doctor, env=env, capture_output=True, text=True).stdout
    assert room.files() == {"a.txt": "2\n"}
    assert watch.looks > 10
    assert watch.gits > 0
    assert watch.found == []
    assert TOKEN not in said
    assert _everywhere(TOKEN, room.root, room.state) == []
    environment = subprocess.run(
        ["git", "config", "--list"], cwd=room.repository, capture_output=True, text=True
    ).stdout
    assert TOKEN not in environment


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A throw-away ssh server on a free port, and its folder with keys."""
    server = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(server).exists() or shutil.which("ssh") is None:
        pytest.skip("needs openssh-server and openssh-client")
    if os.geteuid() != 0:
        pytest.skip("a throw-away sshd needs root here")
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "student", "other"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
        )
    (folder / "authorized").write_text((folder / "student.pub").read_text())
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nUsePAM no\nPermitRootLogin prohibit-password\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [server, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
        yield port, folder
    finally:
        process.terminate()
        process.communicate()


def test_a_deploy_key_opens_the_course(room: Classroom, sshd: tuple[int, Path]) -> None:
    port, keys = sshd
    url = f"ssh://root@127.0.0.1:{port}{room.teacher.bare}"
    host = (keys / "host.pub").read_text()
    known = keys / "known hosts"
    known.write_text(f"[127.0.0.1]:{port} {host}")
    auth = Auth(ssh_key_file=str(keys / "student"), known_hosts=str(known))
    room.pull(url=url, rules=Rules(auth=auth))
    assert room.files() == {"a.txt": "a\n"}
    # A key that the server does not know.
    wrong = Auth(ssh_key_file=str(keys / "other"), known_hosts=str(known))
    result = room.try_pull(url=url, rules=Rules(auth=wrong))
    assert (result.state, result.code) == ("failed", "access_denied")
    # A server that is not the one in the list: nothing is asked of it.
    known.write_text(f"[127.0.0.1]:{port} {(keys / 'other.pub').read_text()}")
    result = room.try_pull(url=url, rules=Rules(auth=auth))
    assert (result.state, result.code) == ("failed", "access_denied")
    secret = (keys / "student").read_text().splitlines()[1]
    assert _everywhere(secret, room.root, room.state) == []


def test_a_key_that_others_may_read_is_named(room: Classroom, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("x")
    key.chmod(0o644)
    auth = Auth(ssh_key_file=str(key))
    result = room.try_pull(url="ssh://git@127.0.0.1:1/course.git", rules=Rules(auth=auth))
    assert (result.code, "0400" in str(result.fix)) == ("open_key", True)
