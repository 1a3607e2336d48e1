"""A course as a teacher keeps it: a real repository, served by the real git."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Teacher",
    "GIT_AUTHOR_EMAIL": "teacher@example.org",
    "GIT_COMMITTER_NAME": "Teacher",
    "GIT_COMMITTER_EMAIL": "teacher@example.org",
}


def git(folder: Path, *arguments: str) -> str:
    """Run git in `folder`; its output."""
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=_ENV, check=True, capture_output=True, text=True
    ).stdout.strip()


class Teacher:
    """Works in `base/work` and publishes to `base/served/NAME.git`."""

    def __init__(self, base: Path, name: str = "course") -> None:
        self.served = base / "served"
        self.bare = self.served / f"{name}.git"
        self.work = base / f"work-{name}"
        self.bare.mkdir(parents=True)
        git(self.bare, "init", "-q", "--bare", "-b", "main")
        self.work.mkdir()
        git(self.work, "init", "-q", "-b", "main")
        git(self.work, "remote", "add", "origin", str(self.bare))

    def publish(self, files: dict[str, str | bytes | None], *, amend: bool = False) -> None:
        """Write (None: delete) `files`, commit, push; by force when the last commit is amended."""
        for name, content in files.items():
            file = self.work / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                file.unlink()
            else:
                file.write_bytes(content.encode() if isinstance(content, str) else content)
        git(self.work, "add", "-A")
        git(self.work, "commit", "-qm", "lesson", *(["--amend"] if amend else []))
        self.push()

    def push(self, branch: str = "main") -> None:
        """Make the branch upstream what it is here."""
        git(self.work, "push", "-qf", "origin", f"HEAD:{branch}")


@contextmanager
def silent_server() -> Iterator[str]:
    """A URL whose server takes connections and never says a word."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    stop = threading.Event()
    held: list[socket.socket] = []

    def accept() -> None:
        while not stop.is_set():
            try:
                held.append(listener.accept()[0])
            except TimeoutError:
                continue

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/course.git"
    finally:
        stop.set()
        thread.join()
        for connection in held:
            connection.close()
        listener.close()


def unused_url() -> str:
    """A URL where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/course.git"
