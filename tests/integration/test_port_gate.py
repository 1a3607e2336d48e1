"""Other users get nothing from an application's TCP port; its own user gets everything."""

import asyncio
import errno
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from serverproxy.supervisor.environment import MARK
from serverproxy.supervisor.gate.spawn import probe, spawn_guarded
from serverproxy.supervisor.spec import AppPolicy, Endpoint, LaunchSpec, TcpEndpoint
from serverproxy.supervisor.state import AppState, AppStatus
from tests.integration.supervisor_apps import serving, supervisor, until

NOBODY = 65534
PYTHON = [sys.executable, "-I", "-S", "-c"]
BODY = b"the owner's data"
REPORT = probe()
pytestmark = [
    pytest.mark.skipif(not REPORT.guarded, reason=f"no gate here: {REPORT.reason}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed"),
]

_HTTP_SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b"the owner's data"
        self.send_response(200); self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Peer", "%s %s" % self.client_address[:2]); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
"""
_ONE_BY_ONE = (
    _HTTP_SERVER
    + """
class Handler(Handler):
    protocol_version = "HTTP/1.0"
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
)
_THREADED = (
    _HTTP_SERVER
    + """
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
)
# Several processes and threads block in accept on one socket.
_PREFORKED = (
    _HTTP_SERVER
    + """
import os, socket, socketserver, threading
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
for _ in range(2): os.fork()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
def work():
    while True:
        peer, address = listening.accept()
        server.process_request(peer, address)
threading.Thread(target=work, daemon=True).start()
work()
"""
)
_IPV6 = (
    _HTTP_SERVER
    + """
import socket
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()
Server(("::", int(sys.argv[1])), Handler).serve_forever()
"""
)
_ASYNCIO = """
import asyncio, sys
async def serve(reader, writer):
    host, port = writer.get_extra_info("peername")[:2]
    while True:
        try:
            await reader.readuntil(b"\\r\\n\\r\\n")
        except asyncio.IncompleteReadError:
            break
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 16\\r\\nX-Peer: %s %d\\r\\n\\r\\n"
                     b"the owner's data" % (host.encode(), port))
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=256)
    await server.serve_forever()
asyncio.run(main())
"""
_NODE = """
require("http").createServer((request, response) => {
  const {remoteAddress, remotePort} = request.socket;
  response.setHeader("X-Peer", remoteAddress + " " + remotePort);
  response.end("the owner's data");
}).listen(Number(process.argv[1]), "127.0.0.1");
"""
_JAVA = """
import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;
public class Served {
  public static void main(String[] words) throws Exception {
    var at = new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(words[0]));
    var server = HttpServer.create(at, 64);
    server.setExecutor(Executors.newFixedThreadPool(8));
    server.createContext("/", exchange -> {
      var body = "the owner's data".getBytes();
      var peer = exchange.getRemoteAddress();
      exchange.getResponseHeaders().set("X-Peer", "127.0.0.1 " + peer.getPort());
      exchange.sendResponseHeaders(200, body.length);
      exchange.getResponseBody().write(body);
      exchange.close();
    });
    server.start();
  }
}
"""


def free_port() -> int:
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        return int(probe_socket.getsockname()[1])


@contextmanager
def guarded(argv: list[str], port: int, seconds: float = 20) -> Iterator[subprocess.Popen[bytes]]:
    """The application behind a gate, listening; its group is gone afterwards."""
    process, report = spawn_guarded(
        argv, env=dict(os.environ), cwd=None, output=2, mark={MARK: "test"}
    )
    try:
        assert report.guarded, report.reason
        eventually(lambda: listens(port), seconds)
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, number)
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    continue


def listens(port: int) -> bool:
    try:
        return ask(port)[0] == BODY
    except (OSError, http.client.HTTPException):
        return False


def eventually(check: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, check
        time.sleep(0.02)


def ask(port: int, times: int = 1, host: str = "127.0.0.1") -> tuple[bytes, str]:
    """Body and X-Peer of the last of some requests on one connection."""
    made = http.client.HTTPConnection(host, port, timeout=10)
    try:
        for _ in range(times):
            made.request("GET", "/")
            answer = made.getresponse()
            body = answer.read()
        ours = made.sock.getsockname()[1] if made.sock is not None else None
        peer = answer.headers["X-Peer"]
        assert ours is None or peer.endswith(f" {ours}")
        return body, peer
    finally:
        made.close()


_STRANGER = """
import encodings.idna, os, socket, sys
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
for _ in range(int(sys.argv[2])):
    for host in sys.argv[3:]:
        got = b""
        try:
            with socket.create_connection((host, int(sys.argv[1])), timeout=10) as peer:
                peer.sendall(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
                while part := peer.recv(4096):
                    got += part
        except OSError as error:
            print(type(error).__name__, end=" ")
        print(len(got), flush=True)
"""


def stranger_gets(port: int, times: int = 3, *hosts: str) -> list[str]:
    """Last word of each try: how many bytes the other user got."""
    done = subprocess.run(
        [*PYTHON, _STRANGER, str(port), str(times), *(hosts or ("127.0.0.1",))],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Timeout" not in done.stdout
    return [line.split()[-1] for line in done.stdout.splitlines()]


def keeps_out_others(port: int) -> None:
    """What has to hold for every application, with both users at it at once."""
    with ThreadPoolExecutor(16) as pool:
        stranger = pool.submit(stranger_gets, port, 20)
        own = list(pool.map(lambda _: ask(port), range(100)))
        assert [body for body, _ in own] == [BODY] * 100
        assert all(peer.startswith(("127.0.0.1", "::ffff:127.0.0.1")) for _, peer in own)
        assert stranger.result() == ["0"] * 20
    assert ask(port)[0] == BODY


@pytest.mark.parametrize(
    "code",
    [_ONE_BY_ONE, _THREADED, _PREFORKED, _ASYNCIO, _IPV6],
    ids=["one-by-one", "threads", "processes", "asyncio", "ipv6"],
)
def test_python_servers(code: str) -> None:
    port = free_port()
    with guarded([*PYTHON, code, str(port)], port):
        keeps_out_others(port)
        if code in {_THREADED, _ASYNCIO}:
            assert ask(port, times=20)[0] == BODY  # one connection
        if code is _IPV6:
            hosts = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
            assert [ask(port, host=host)[0] for host in hosts] == [BODY] * 3
            assert stranger_gets(port, 1, *hosts) == ["0"] * 3


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_node() -> None:
    port = free_port()
    with guarded(["node", "-e", _NODE, str(port)], port):
        keeps_out_others(port)


@pytest.mark.skipif(shutil.which("javac") is None, reason="javac is not installed")
def test_java(tmp_path: Path) -> None:
    source = tmp_path / "Served.java"
    source.write_text(_JAVA)
    port = free_port()
    with guarded(["java", "-Xmx64m", str(source), str(port)], port, seconds=60):
        keeps_out_others(port)


OPEN_PYTHON = shutil.which("python3", path="/usr/bin:/bin:/usr/local/bin")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Our package where every user may read it."""
    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        open_path = Path(folder)
        open_path.chmod(0o755)
        shutil.copytree(Path(__file__).parents[2] / "serverproxy", open_path / "serverproxy")
        yield open_path


@pytest.mark.skipif(OPEN_PYTHON is None, reason="no interpreter that everybody may run")
def test_an_ordinary_user_needs_no_privilege(open_folder: Path) -> None:
    """The application of `nobody`: here it is root that gets nothing."""
    assert OPEN_PYTHON is not None
    port = free_port()
    code = """
import os, sys
sys.path.insert(0, sys.argv[1])
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
from serverproxy.supervisor.gate.spawn import spawn_guarded
process, report = spawn_guarded([sys.executable, "-I", "-S", "-c", *sys.argv[2:]],
    env=dict(os.environ), cwd=None, output=2, mark={})
print(report.guarded, report.reason, flush=True)
sys.stdin.read()
os.killpg(process.pid, 15)
print(process.wait(5))
"""
    asked = [OPEN_PYTHON, "-I", "-S", "-c", code, str(open_folder), _ONE_BY_ONE, str(port)]
    with subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout is not None
        assert user.stdin is not None
        assert user.stdout.readline() == "True None\n"
        eventually(lambda: int(stranger_gets(port, 1)[0]) > 0)  # that is its own user here
        with pytest.raises((ConnectionError, http.client.BadStatusLine)):
            ask(port)
        user.stdin.close()
        assert user.stdout.read().strip() == "-15"


def test_signals_interrupt_a_blocked_accept() -> None:
    """As without a gate: a handler runs at once, and the accept goes on or fails as asked."""
    port = free_port()
    code = """
import signal, socket, sys, threading, os, time
seen = []
signal.signal(signal.SIGUSR2, lambda *_: seen.append(1))
def bye(*_):
    raise SystemExit(7)
signal.signal(signal.SIGTERM, bye)
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    peer, _ = listening.accept()
    peer.recv(1000)
    peer.sendall(b"HTTP/1.0 200 OK\\r\\nX-Peer: %d\\r\\n\\r\\nthe owner's data" % len(seen))
    peer.close()
"""
    with guarded([*PYTHON, code, str(port)], port) as process:
        (application,) = members_running(process.pid, "create_server")
        for count in range(1, 20):
            application.send_signal(signal.SIGUSR2)
            eventually(partial(has_seen, port, count))
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(10) == 7
        assert time.monotonic() - began < 3


def has_seen(port: int, signals: int) -> bool:
    """Each connection is served, whatever came in between."""
    with socket.create_connection(("127.0.0.1", port), timeout=3) as peer:
        peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
        got = b""
        while part := peer.recv(4096):
            got += part
    return int(got.split(b"X-Peer: ")[1].split()[0]) == signals


def members_running(pid: int, word: str) -> list[psutil.Process]:
    return [
        each
        for each in psutil.Process(pid).children(recursive=True)
        if any(word in part for part in each.cmdline()) and "gate" not in " ".join(each.cmdline())
    ]


def test_other_sockets_and_flags_are_as_without_a_gate() -> None:
    """Unix sockets, errors, time limits, flags of accept4, and what reads as io_uring."""
    code = """
import ctypes, errno, fcntl, os, socket, sys, tempfile, threading
def fails(do):
    try:
        do()
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)
    return "worked"
results = []
with tempfile.TemporaryDirectory() as folder:
    unix = socket.socket(socket.AF_UNIX); unix.bind(folder + "/s"); unix.listen()
    client = socket.socket(socket.AF_UNIX); client.connect(folder + "/s")
    results.append(unix.accept()[0].fileno() > 0)
tcp = socket.create_server(("127.0.0.1", 0))
tcp.setblocking(False)
results.append(fails(tcp.accept))
def timed():
    try:
        tcp.settimeout(0.1); tcp.accept()
    except TimeoutError:
        raise OSError(errno.ETIMEDOUT, "")
results.append(fails(timed))
results.append(fails(socket.socket().accept))
libc = ctypes.CDLL(None, use_errno=True)
client = socket.create_connection(tcp.getsockname())
tcp.setblocking(True)
made = libc.accept4(tcp.fileno(), None, None, os.O_NONBLOCK)
results.append([os.get_blocking(made), fcntl.fcntl(made, fcntl.F_GETFD)])
client2 = socket.create_connection(tcp.getsockname())
address, length = ctypes.create_string_buffer(16), ctypes.c_int(4)
made = libc.accept4(tcp.fileno(), address, ctypes.byref(length), os.O_CLOEXEC)
results.append([os.get_blocking(made), fcntl.fcntl(made, fcntl.F_GETFD), length.value,
    address.raw[4:] == bytes(12)])
libc.accept4(tcp.fileno(), None, None, 0x40)
results.append(errno.errorcode[ctypes.get_errno()])
libc.accept4(9999, None, None, 0)
results.append(errno.errorcode[ctypes.get_errno()])
libc.syscall(425, 1, None)
results.append(errno.errorcode[ctypes.get_errno()])
print(results, flush=True)
"""
    read, write = os.pipe()
    process, report = spawn_guarded(
        [*PYTHON, code], env=dict(os.environ), cwd=None, output=write, mark={}
    )
    os.close(write)
    assert report.guarded
    with os.fdopen(read) as file:
        lines = file.read().splitlines()
    assert process.wait(10) == 0, lines
    assert lines[-1] == str(
        [
            True,
            "EAGAIN",
            "ETIMEDOUT",
            "EINVAL",
            [False, 0],
            [True, 1, 16, True],
            "EINVAL",
            "EBADF",
            "ENOSYS",
        ]
    )


@pytest.mark.parametrize(
    ("argv", "ended"),
    [(["sh", "-c", "exit 5"], 5), (["sh", "-c", "kill -9 $$"], -9), (["true"], 0)],
)
def test_it_ends_as_the_application_does(argv: list[str], ended: int) -> None:
    process, _ = spawn_guarded(argv, env=dict(os.environ), cwd=None, output=2, mark={})
    assert process.wait(10) == ended


def test_errors_of_a_launch_are_those_of_subprocess(tmp_path: Path) -> None:
    for argv, cwd, number in (
        (["no-such-command"], None, errno.ENOENT),
        (["/etc/passwd"], None, errno.EACCES),
        (["true"], tmp_path / "absent", errno.ENOENT),
    ):
        with pytest.raises(OSError, match=r"\w") as caught:
            spawn_guarded(argv, env=dict(os.environ), cwd=cwd, output=2, mark={})
        assert caught.value.errno == number
        assert caught.value.filename == (str(cwd) if cwd else argv[0])
    with pytest.raises(ValueError, match="null"):
        spawn_guarded(["a\0b"], env={}, cwd=None, output=2, mark={})


def guarded_spec(make: Callable[[Endpoint], LaunchSpec]) -> Callable[[Endpoint], LaunchSpec]:
    return lambda endpoint: replace(make(endpoint), guarded=True)


POLICY = AppPolicy(stop_grace_s=3, ready_timeout_s=15)


def gates_of(status: AppStatus) -> list[psutil.Process]:
    """Our own processes around the application: its first one, and the gate."""
    assert status.pid is not None
    first = psutil.Process(status.pid)
    rows = [first, *first.children(recursive=True)]
    return [row for row in rows if any("gate.process" in part for part in row.cmdline())]


def test_a_supervised_application_is_guarded_and_leaves_nothing() -> None:
    async def body() -> None:
        async with supervisor() as one:
            app = one.add("web", POLICY, guarded_spec(serving(helper=True)))
            await app.ensure_started()
            endpoint = await app.wait_ready(15)
            assert isinstance(endpoint, TcpEndpoint)
            assert app.status.gate is not None
            assert app.status.gate.guarded
            assert await asyncio.to_thread(stranger_gets, endpoint.port) == ["0"] * 3
            gates = gates_of(app.status)
            assert len(gates) == 2
            rows = [*gates, *gates[0].children(recursive=True)]
            assert (await app.stop()).state is AppState.STOPPED
            assert not [row for row in rows if row.is_running() and row.status() != "zombie"]

    asyncio.run(body())


def test_one_that_goes_to_the_background_stays_guarded(tmp_path: Path) -> None:
    async def body() -> None:
        async with supervisor() as one:
            make = serving(daemon=True, starts=str(tmp_path / "starts"))
            app = one.add("web", POLICY, guarded_spec(make))
            await app.ensure_started()
            endpoint = await app.wait_ready(15)
            assert isinstance(endpoint, TcpEndpoint)
            assert await asyncio.to_thread(stranger_gets, endpoint.port) == ["0"] * 3
            await asyncio.sleep(0)
            assert app.status.running
            await app.stop()
            assert app.status.failure is None

    asyncio.run(body())


def test_a_gate_that_is_killed_stops_the_application_with_a_name() -> None:
    async def body() -> None:
        async with supervisor() as one:
            app = one.add("web", POLICY, guarded_spec(serving()), title="Web")
            await app.ensure_started()
            await app.wait_ready(15)
            first, gate = gates_of(app.status)
            children = first.children(recursive=True)
            gate.kill()
            failure = (await until(app, AppState.FAILED)).failure
            assert failure is not None
            assert failure.code == "gate_died"
            assert not [row for row in children if row.is_running() and row.status() != "zombie"]

    asyncio.run(body())


def test_without_a_gate_the_application_runs_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter of somebody else that has a listener already: the kernel allows only one."""
    with_listener = """
import os, sys
sys.path.insert(0, sys.argv[1])
from serverproxy.supervisor.gate import kernel
from serverproxy.supervisor.gate.spawn import probe
import serverproxy.supervisor.gate.program as program
listener = kernel.install_filter()
print(probe())
"""
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [*PYTHON, with_listener, root], capture_output=True, text=True, timeout=60, check=False
    )
    assert "guarded=False" in done.stdout, done.stderr
    assert "busy" in done.stdout

    async def body() -> None:
        async with supervisor() as one:
            app = one.add("web", POLICY, guarded_spec(serving()))
            monkeypatch.setattr("serverproxy.supervisor.gate.spawn._PROGRAM", _REFUSED)
            await app.ensure_started()
            await app.wait_ready(15)
            gate = app.status.gate
            assert gate is not None
            assert (gate.guarded, gate.reason) == (False, "seccomp is not to be had")
            await app.stop()

    asyncio.run(body())


_REFUSED = """
import sys; sys.path.insert(0, sys.argv[1])
from serverproxy.supervisor.gate import kernel, process
def refuse():
    raise OSError("seccomp is not to be had")
kernel.install_filter = refuse
process.main(*map(int, sys.argv[2:4]))
"""


def test_an_unguarded_port_is_open_to_everybody() -> None:
    """So that the other tests here mean something."""

    async def body() -> None:
        async with supervisor() as one:
            app = one.add("web", POLICY, serving())
            await app.ensure_started()
            endpoint = await app.wait_ready(15)
            assert isinstance(endpoint, TcpEndpoint)
            got = await asyncio.to_thread(stranger_gets, endpoint.port, 1)
            assert int(got[0]) > 0

    asyncio.run(body())
