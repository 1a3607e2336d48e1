"""A read-only git server on loopback: smart HTTP through the real `git http-backend`.

    with GitServer(Path("repositories")) as server:
        subprocess.run(["git", "clone", server.url("course")])

serves every bare repository `repositories/NAME.git`. Requests and answers are streamed, so that a
large pack costs no memory here. Source for the CGI side: git-http-backend(1), RFC 3875.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import unquote, urlsplit

CHUNK_BYTES = 64 * 1024
IDLE_SECONDS = 120.0
REPOSITORY = re.compile(r"/([A-Za-z0-9][A-Za-z0-9._-]*)\.git(?:/|\Z)")

# Given by environment, they reach http-backend and the upload-pack below it alike.
BACKEND_CONFIG = {
    "safe.directory": "*",
    "http.receivepack": "false",
    "uploadpack.allowFilter": "true",
    "uploadpack.allowReachableSHA1InWant": "true",
}


class GitServerError(Exception):
    """The git server cannot start: no git, no folder, or the port is taken."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """One answered request: `sent_bytes` counts the body; `problem` is what git wrote to stderr."""

    method: str
    target: str
    status: int
    sent_bytes: int
    seconds: float
    problem: str | None = None


AccessLog = Callable[[Access], None]


class _ClientGoneError(ConnectionError):
    """The client hung up, or broke off its own request."""


class GitServer:
    """Serve `root/*.git` from construction to `close()`, or to the end of a `with` block.

    `port` 0 takes a free one. `bytes_per_second` slows each answer down, to make progress visible.
    `on_access` is called from the thread that answered. Errors: GitServerError.
    """

    def __init__(
        self,
        root: Path,
        port: int = 0,
        host: str = "127.0.0.1",
        *,
        bytes_per_second: int | None = None,
        on_access: AccessLog | None = None,
    ) -> None:
        if bytes_per_second is not None and bytes_per_second <= 0:
            raise ValueError(f"bytes_per_second is {bytes_per_second}; give a number above 0")
        root = root.resolve()
        if not root.is_dir():
            raise GitServerError(f"Cannot serve git repositories from {root}: no such folder.")
        backend = _find_backend()
        try:
            self._http = _HttpServer((host, port), root, backend, bytes_per_second, on_access)
        except OSError as err:
            raise GitServerError(
                f"Cannot start the git server on {host}:{port}: {err.strerror or err}. "
                "Give another port, or 0 for any free one."
            ) from err
        self._closed = False
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, name="git-server"
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._http.server_port

    def url(self, name: str) -> str:
        """The clone URL of `root/NAME.git`; the repository need not exist yet."""
        return f"http://{self._http.server_name}:{self.port}/{name}.git"

    def throttle(self, bytes_per_second: int | None) -> None:
        """Change the speed limit of each answer from now on; None lifts it."""
        self._http.bytes_per_second = bytes_per_second

    def close(self) -> None:
        """Stop listening, break off running transfers, and wait for every thread. Safe twice."""
        if self._closed:
            return
        self._closed = True
        self._http.shutdown()
        self._thread.join()
        self._http.break_off()
        self._http.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _find_backend() -> Path:
    git = shutil.which("git")
    if git is None:
        raise GitServerError("Cannot start the git server: git is not installed (apt install git).")
    answer = subprocess.run([git, "--exec-path"], capture_output=True, text=True, check=True)
    backend = Path(answer.stdout.strip()) / "git-http-backend"
    if not backend.is_file():
        raise GitServerError(
            f"Cannot start the git server: {backend} is missing. "
            "Some distributions ship it in a package of its own, such as git-daemon."
        )
    return backend


class _HttpServer(ThreadingHTTPServer):
    """Keeps account of open sockets and child processes, so that close leaves neither behind."""

    daemon_threads = False
    block_on_close = True

    def __init__(
        self,
        address: tuple[str, int],
        root: Path,
        backend: Path,
        bytes_per_second: int | None,
        on_access: AccessLog | None,
    ) -> None:
        self.root = root
        self.backend = backend
        self.bytes_per_second = bytes_per_second
        self.on_access = on_access
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._processes: set[subprocess.Popen[bytes]] = set()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # The standard one looks its own name up, which takes seconds where DNS does not answer.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        host, port = self.socket.getsockname()[:2]
        self.server_address = (host, port)
        self.server_name, self.server_port = host, port

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._lock:
            self._sockets.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._sockets.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that hung up is no news
            super().handle_error(request, client_address)

    @contextlib.contextmanager
    def running(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Kill `process` and what it started when the block ends, or when the server closes."""
        with self._lock:
            self._processes.add(process)
            if self.closing.is_set():
                _kill_group(process)
        try:
            yield
        finally:
            with self._lock:
                self._processes.discard(process)
                _kill_group(process)
                process.wait()

    def break_off(self) -> None:
        """End every connection and child process; their threads then end by themselves."""
        with self._lock:
            self.closing.set()
            for process in self._processes:
                _kill_group(process)
            for connection in self._sockets:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # Only a process not yet waited for: its group id cannot be another's.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer
    protocol_version = "HTTP/1.1"
    server_version = "demo-git"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: `on_access` tells more."""

    def _answer(self) -> None:
        begun = time.monotonic()
        self._status, self._sent = 0, 0
        problem: str | None = None
        try:
            problem = self._refuse() or self._run_backend()
        except OSError as err:
            self.close_connection = True
            problem = f"the client hung up: {err}"
        finally:
            if self.server.on_access is not None:
                self.server.on_access(
                    Access(
                        method=self.command,
                        target=self.path,
                        status=self._status,
                        sent_bytes=self._sent,
                        seconds=time.monotonic() - begun,
                        problem=problem,
                    )
                )

    def _refuse(self) -> str | None:
        """Answer what is not for git http-backend; None when it is."""
        path = unquote(urlsplit(self.path).path)
        match = REPOSITORY.match(path)
        if match is None or ".." in path.split("/"):
            return self._plain(HTTPStatus.NOT_FOUND, "Not a repository: use /NAME.git")
        if not (self.server.root / f"{match[1]}.git").is_dir():
            return self._plain(HTTPStatus.NOT_FOUND, f"There is no repository {match[1]}.git here")
        if "git-receive-pack" in self.path:
            return self._plain(HTTPStatus.FORBIDDEN, "This server is read-only: push is refused")
        return None

    def _plain(self, status: HTTPStatus, text: str) -> str:
        body = f"{text}\n".encode()
        self.close_connection = True  # a request body may be unread
        self._start(status, {"Content-Type": "text/plain; charset=utf-8"}, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)
            self._sent = len(body)
        return text

    def _start(self, status: int, headers: Mapping[str, str], length: int | None) -> None:
        self._status = int(status)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        elif self.request_version == "HTTP/1.1":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.close_connection = True
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _run_backend(self) -> str | None:
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                [self.server.backend],
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
            assert process.stdin is not None
            assert isinstance(process.stdout, BufferedReader)
            feeder = threading.Thread(target=self._feed, args=(process.stdin,), name="git-request")
            with process.stdout, self.server.running(process):
                feeder.start()
                try:
                    self._relay(process.stdout)
                finally:
                    self._end_feeder(feeder, process)
            errors.seek(0)
            return errors.read(4096).decode(errors="replace").strip() or None

    def _end_feeder(self, feeder: threading.Thread, process: subprocess.Popen[bytes]) -> None:
        # The answer is complete; a client that is still sending is sending for nothing.
        feeder.join(1.0)
        if feeder.is_alive():
            self.close_connection = True
            _kill_group(process)
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RD)
            feeder.join()

    def _environment(self) -> dict[str, str]:
        address = urlsplit(self.path)
        env = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
        env |= {
            "GATEWAY_INTERFACE": "CGI/1.1",
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_HTTP_MAX_REQUEST_BUFFER": "100M",
            "PATH_INFO": unquote(address.path),
            "QUERY_STRING": address.query,
            "REQUEST_METHOD": self.command,
            "REMOTE_ADDR": str(self.client_address[0]),
            "SERVER_PROTOCOL": self.request_version,
            "GIT_CONFIG_COUNT": str(len(BACKEND_CONFIG)),
        }
        for number, (key, value) in enumerate(BACKEND_CONFIG.items()):
            env[f"GIT_CONFIG_KEY_{number}"] = key
            env[f"GIT_CONFIG_VALUE_{number}"] = value
        for header, name in (
            ("Content-Type", "CONTENT_TYPE"),
            ("Content-Length", "CONTENT_LENGTH"),
            ("Content-Encoding", "HTTP_CONTENT_ENCODING"),
            ("Git-Protocol", "GIT_PROTOCOL"),
        ):
            text = self.headers.get(header)
            if text is not None:
                env[name] = text
        return env

    def _feed(self, stdin: IO[bytes]) -> None:
        """Copy the request body to the backend, and end its input."""
        try:
            with stdin:
                for piece in self._body():
                    stdin.write(piece)
        except (OSError, ValueError):
            self.close_connection = True  # where the next request starts is unknown

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline(64).split(b";")[0], 16):
                yield from self._read_exactly(size)
                self.rfile.readline(8)
            while self.rfile.readline(8192).strip():  # trailers
                pass
        else:
            yield from self._read_exactly(int(self.headers.get("Content-Length") or 0))

    def _read_exactly(self, size: int) -> Iterator[bytes]:
        while size > 0:
            piece = self.rfile.read1(min(size, CHUNK_BYTES))
            if not piece:
                raise _ClientGoneError("the request ended early")
            size -= len(piece)
            yield piece

    def _relay(self, stdout: BufferedReader) -> None:
        """Copy the backend's answer to the client, as it comes."""
        status, headers = 200, dict[str, str]()
        seen_end = False
        while line := stdout.readline(8192):
            if not line.strip():
                seen_end = True
                break
            name, _, value = line.decode("latin-1").partition(":")
            if name.lower() == "status":
                status = int(value.split()[0])
            else:
                headers[name.strip()] = value.strip()
        if not seen_end:
            self._plain(HTTPStatus.BAD_GATEWAY, "git http-backend gave no answer")
            return
        length = headers.pop("Content-Length", None)
        chunked = length is None and self.request_version == "HTTP/1.1"
        self._start(status, headers, None if length is None else int(length))
        if self.command == "HEAD":
            return
        for piece in self._paced(stdout):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            self._sent += len(piece)
        if self.server.closing.is_set():
            raise _ClientGoneError("the git server closes")
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _paced(self, stdout: BufferedReader) -> Iterator[bytes]:
        due = time.monotonic()
        while True:
            speed = self.server.bytes_per_second
            # Ten pieces a second at least, or the client would see a limit as jumps.
            size = CHUNK_BYTES if speed is None else max(1, min(CHUNK_BYTES, speed // 10))
            piece = stdout.read1(size)
            if not piece:
                return
            yield piece
            if speed is not None:
                due = max(due, time.monotonic() - 0.2) + len(piece) / speed
                if self.server.closing.wait(max(0.0, due - time.monotonic())):
                    return


def main(arguments: list[str] | None = None) -> int:
    """Serve a folder of bare repositories until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.git_server",
        description="Serve bare git repositories (ROOT/NAME.git), read-only, on loopback.",
    )
    parser.add_argument("--root", type=Path, required=True, help="the folder with NAME.git in it")
    parser.add_argument("--port", type=int, default=0, help="default 0: any free port")
    parser.add_argument(
        "--bytes-per-second", type=int, default=None, help="speed limit of each answer"
    )
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    try:
        server = GitServer(
            options.root,
            options.port,
            bytes_per_second=options.bytes_per_second,
            on_access=lambda access: print(_log_line(access), flush=True),
        )
    except GitServerError as err:
        print(err, file=sys.stderr)
        return 1
    with server:
        names = sorted(path.stem for path in options.root.glob("*.git"))
        for url in [server.url(name) for name in names] or [server.url("NAME")]:
            print(f"serving {url}", flush=True)
        stop.wait()
    return 0


def _log_line(access: Access) -> str:
    line = (
        f"{access.method} {access.target} {access.status} "
        f"{access.sent_bytes} bytes {access.seconds:.3f} s"
    )
    return f"{line} ({access.problem})" if access.problem else line


if __name__ == "__main__":
    sys.exit(main())
