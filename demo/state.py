"""The demo's own folder: paths, what is kept between starts, and the lock of the running one."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Where everything lies below the state folder; nothing is written outside of it."""

    state: Path

    @property
    def git(self) -> Path:
        """The served repositories."""
        return self.state / "git"

    @property
    def home(self) -> Path:
        """HOME of JupyterLab, its kernels and its applications."""
        return self.state / "home"

    @property
    def work(self) -> Path:
        """The folder JupyterLab shows."""
        return self.home / "work"

    @property
    def config(self) -> Path:
        """JUPYTER_CONFIG_DIR."""
        return self.state / "config"

    @property
    def runtime(self) -> Path:
        """JUPYTER_RUNTIME_DIR."""
        return self.state / "runtime"

    @property
    def logs(self) -> Path:
        """One log per process, of the last start."""
        return self.state / "logs"

    @property
    def manifest(self) -> Path:
        """The course manifest given to JupyterLab."""
        return self.config / "samepage-course.yml"

    @property
    def token(self) -> Path:
        """The token of JupyterLab, for this user only."""
        return self.state / "token"

    @property
    def ports(self) -> Path:
        """The ports of the last start, so that open tabs and clones stay valid."""
        return self.state / "ports.json"

    @property
    def children(self) -> Path:
        """The processes of the running demo, to be found again after a kill -9."""
        return self.state / "children.json"

    @property
    def node_socket(self) -> Path:
        """On which the agent answers JupyterLab."""
        return self.state / "node.sock"

    @property
    def lock(self) -> Path:
        """Locked as long as a demo runs here."""
        return self.state / "lock"

    def make(self) -> None:
        """Create the folders; the state folder is for this user only."""
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o700)
        for folder in (self.git, self.work, self.config, self.runtime, self.logs):
            folder.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Ports on loopback; None: not chosen yet."""

    git: int | None = None
    lab: int | None = None
    agent: int | None = None


def read_ports(paths: Paths) -> Ports:
    """The ports of the last start; none where the file is missing or damaged."""
    kept = read_json(paths.ports)
    return Ports(**{name: _port(kept.get(name)) for name in ("git", "lab", "agent")})


def write_ports(paths: Paths, ports: Ports) -> None:
    """Keep the ports for the next start."""
    write_json(paths.ports, asdict(ports))


def _port(value: object) -> int | None:
    return value if isinstance(value, int) and 0 < value < 65536 else None


def ensure_token(paths: Paths) -> str:
    """The token of this state folder; a new one where there is none. Blocks others from reading."""
    try:
        kept = paths.token.read_text(encoding="ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        kept = ""
    if len(kept) >= 32 and kept.isalnum():
        return kept
    token = secrets.token_hex(24)
    paths.token.unlink(missing_ok=True)
    with os.fdopen(os.open(paths.token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(token)  # no newline: Jupyter takes the file as it is
    return token


def read_json(path: Path) -> dict[str, Any]:
    """The object in the file; empty where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace the file at once, so that a reader never sees half of it."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    new.replace(path)


class AlreadyRunningError(Exception):
    """Another demo uses this state folder. `url` and `pid` are None while it is starting."""

    def __init__(self, url: str | None, pid: int | None) -> None:
        super().__init__("the demo is already running")
        self.url = url
        self.pid = pid


class Lock:
    """Held by the one running demo of a state folder; the kernel frees it whatever happens."""

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            with self._file:
                self._file.seek(0)
                holder = _holder(self._file.read())
            raise AlreadyRunningError(holder.get("url"), holder.get("pid")) from err
        self.note(None)

    def note(self, url: str | None) -> None:
        """Tell whoever finds the lock taken where this demo is."""
        self._file.seek(0)
        self._file.truncate()
        json.dump({"pid": os.getpid(), "url": url}, self._file)
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._file:
            self._file.seek(0)
            self._file.truncate()


def _holder(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
