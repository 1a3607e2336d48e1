"""The demo's folder: what is kept, what is damaged, who holds the lock."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from demo.state import (
    AlreadyRunningError,
    Lock,
    Paths,
    Ports,
    ensure_token,
    read_ports,
    write_ports,
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(state=tmp_path / "state")
    paths.make()
    return paths


def test_the_folder_is_for_this_user_only(paths: Paths) -> None:
    assert paths.state.stat().st_mode & 0o777 == 0o700


def test_the_token_is_kept_and_private(paths: Paths) -> None:
    token = ensure_token(paths)
    assert len(token) == 48
    assert ensure_token(paths) == token
    assert paths.token.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", [b"", b"short", b"\xff" * 48, b"with space" * 5])
def test_a_damaged_token_is_replaced(paths: Paths, damage: bytes) -> None:
    paths.token.write_bytes(damage)
    assert len(ensure_token(paths)) == 48
    assert paths.token.stat().st_mode & 0o777 == 0o600


def test_ports_are_kept(paths: Paths) -> None:
    assert read_ports(paths) == Ports()
    write_ports(paths, Ports(git=4000, lab=8888))
    assert read_ports(paths) == Ports(git=4000, lab=8888, agent=None)


@pytest.mark.parametrize("text", ["", "[1]", '{"git": "80", "lab": 99999, "agent": 0}', "{"])
def test_damaged_ports_are_forgotten(paths: Paths, text: str) -> None:
    paths.ports.write_text(text)
    assert read_ports(paths) == Ports()


def test_the_lock_tells_who_holds_it(paths: Paths) -> None:
    with Lock(paths.lock) as lock:
        with pytest.raises(AlreadyRunningError) as caught:
            Lock(paths.lock)
        assert (caught.value.url, caught.value.pid) == (None, os.getpid())
        lock.note("http://127.0.0.1:1/lab")
        with pytest.raises(AlreadyRunningError) as caught:
            Lock(paths.lock)
        assert caught.value.url == "http://127.0.0.1:1/lab"
    with Lock(paths.lock):
        pass


def test_a_lock_file_of_a_killed_demo_is_no_lock(paths: Paths) -> None:
    paths.lock.write_text('{"pid": 1, "url": "http://127.0.0.1:1/lab"}')
    with Lock(paths.lock):
        pass
