"""Small real web applications for the supervisor's tests, and what the tests look at."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from serverproxy.supervisor.app import ManagedApp
from serverproxy.supervisor.environment import MARK, app_environment
from serverproxy.supervisor.spec import Endpoint, LaunchSpec, TcpEndpoint
from serverproxy.supervisor.state import AppState, AppStatus
from serverproxy.supervisor.supervisor import Supervisor

ROOT = Path(__file__).parents[2]
PYTHON = (sys.executable, "-I", "-S")

# Options are words: `delay 1` waits before it listens, and so on. Writes each start to `starts`.
SERVER = r"""
import json, os, signal, socket, subprocess, sys, threading, time
where, options = sys.argv[1], json.loads(sys.argv[2])
def note(name, text=""):
    if name in options:
        with open(options[name], "a") as file:
            file.write((text or str(os.getpid())) + "\n")
note("starts")
print("hello", flush=True)
for line in options.get("say", []):
    print(line, file=sys.stderr, flush=True)
if "exit" in options:
    time.sleep(options.get("exit_after", 0))
    sys.exit(options["exit"])
if "helper" in options:
    subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
def save(number, frame):
    note("asked", "asked")
    if "save" in options:
        with open(options["save"], "w") as file:
            for step in range(int(options["save_s"] * 10)):
                file.write("row\n"); file.flush(); time.sleep(0.1)
            file.write("done\n")
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if options.get("deaf") else save)
time.sleep(options.get("delay", 0))
if where.isdigit():
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((options.get("host", "127.0.0.1"), int(where)))
else:
    server = socket.socket(socket.AF_UNIX)
    server.bind(where)
server.listen(16)
note("listening", str(time.time()))
if "chat" in options:
    def chat():
        while True:
            os.write(1, b"x" * (options["chat"] // 10 - 1) + b"\n"); time.sleep(0.1)
    threading.Thread(target=chat, daemon=True).start()
if options.get("daemon"):
    if os.fork(): os._exit(0)
    os.setsid()
    if os.fork(): os._exit(0)
    note("starts")
while True:
    peer, _ = server.accept()
    head = peer.recv(65536)
    note("requests", head.decode("latin-1").split("\r\n")[0])
    if b"GET /quit/" in head:
        peer.close()
        os._exit(int(head.split(b"/quit/")[1].split()[0]))
    time.sleep(options.get("think", 0))
    try:
        body = str(os.getpid()).encode()
        peer.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    except OSError:
        pass
    peer.close()
"""


def command(endpoint: Endpoint, options: Mapping[str, object]) -> list[str]:
    where = str(endpoint.port if isinstance(endpoint, TcpEndpoint) else endpoint.path)
    return [*PYTHON, "-c", SERVER, where, json.dumps(dict(options))]


def serving(**options: object) -> Callable[[Endpoint], LaunchSpec]:
    def make(endpoint: Endpoint) -> LaunchSpec:
        return spec(endpoint, command(endpoint, options))

    return make


def spec(endpoint: Endpoint, argv: list[str]) -> LaunchSpec:
    return LaunchSpec(argv=argv, env=app_environment(os.environ), endpoint=endpoint)


@contextmanager
def short_folder() -> Iterator[Path]:
    """pytest's own folders are too deep for socket addresses."""
    with tempfile.TemporaryDirectory(prefix="sp-") as folder:
        yield Path(folder)


@asynccontextmanager
async def supervisor(base: Path | None = None) -> AsyncIterator[Supervisor]:
    """A supervisor after which no task, descriptor or folder is left."""
    with short_folder() as folder:
        tasks, descriptors = asyncio.all_tasks(), open_descriptors()
        made = Supervisor(base=base or folder / "apps", start_times_file=folder / "starts.json")
        try:
            yield made
        finally:
            await made.close(grace_s=2)
        assert asyncio.all_tasks() == tasks
        assert open_descriptors() == descriptors
        if base is None and (folder / "apps").exists():
            assert list((folder / "apps").iterdir()) == []


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def eventually(
    check: Callable[[], object], within_s: float = 10.0, every_s: float = 0.02
) -> None:
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(every_s)


def wait_until(check: Callable[[], object], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


async def until(app: ManagedApp, *states: AppState, within_s: float = 10.0) -> AppStatus:
    deadline = time.monotonic() + within_s
    while (status := app.status).state not in states:
        left = deadline - time.monotonic()
        assert left > 0, f"still {status}"
        await app.wait_change(status.version, left)
    return status


async def fetch(endpoint: Endpoint, path: str = "/") -> bytes:
    if isinstance(endpoint, TcpEndpoint):
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    else:
        reader, writer = await asyncio.open_unix_connection(str(endpoint.path))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    with suppress(ConnectionError):
        answer = await reader.read()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return answer


def alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in {"Z", "X"}


def pids_in(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def marked() -> set[int]:
    """Every process that carries the mark of some application."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if f"{MARK}=".encode() in (entry / "environ").read_bytes() and alive(
                    int(entry.name)
                ):
                    found.add(int(entry.name))
    return found


# A server of its own process: starts an application, says so, and waits to be killed.
HOST = """
import asyncio, json, os, sys
from pathlib import Path
from tests.integration.supervisor_apps import serving
from serverproxy.supervisor.spec import AppPolicy
from serverproxy.supervisor.supervisor import Supervisor
async def main():
    base, grace, options = Path(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3])
    one = Supervisor(base=base, start_times_file=base.parent / "starts.json")
    app = one.add("web", AppPolicy(stop_grace_s=grace), serving(**options))
    await app.ensure_started()
    await app.wait_ready(20)
    print(app.status.pid, one.guardian_pid, flush=True)
    if sys.argv[4] == "leave":
        return
    await asyncio.sleep(600)
asyncio.run(main())
"""


@contextmanager
def host(
    base: Path, options: str, grace_s: float = 5.0, then: str = "stay"
) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """The process, the application's pid and the guardian's."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", HOST, str(base), str(grace_s), options, then],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline().split()
        assert len(line) == 2, "the server did not start its application"
        app, guardian = int(line[0]), int(line[1])
        try:
            yield process, app, guardian
        finally:
            for pid in (process.pid, guardian, app):
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)
