"""A stand-in for RStudio Server's `rserver`: no RStudio is in it.

What it does as the real one, and where that was read (rstudio/rstudio, `src/cpp`):
- options by the table of a version, put before this text (see rserver_table.py); an unknown one is
  told as boost::program_options does, `unrecognised option '--x'`, with exit status 1
  (grst/rstudio-server-conda#1); `--name=value` and `--name value`; switches take 0, 1, true, false.
- it goes to the background by default only as root (server-options.json, server-daemonize), and
  changes to server-working-dir (server/ServerMain.cpp).
- it ends with status 1 when R or database.conf cannot be used (server/ServerREnvironment.cpp).
- cookies rs-csrf-token (HttpOnly, path of www-root-path) on the main page
  (server/auth/ServerAuthHandler.cpp, core/http/CSRFToken.cpp); /rpc needs the same value in the
  header X-RS-CSRF-Token (session/SessionHttpMethods.cpp).
- redirects are absolute, with host and port of the request (core/http/Response.cpp,
  setMovedTemporarily).
- an rsession is started by a request for it, never by /events (server/ServerSessionProxy.cpp), in
  a process group of its own and with a bare environment (core/system/PosixSystem.cpp, runProcess),
  and is reached by a socket in server-data-dir/rstudio-rsession.
- events/get_events is answered when there is an event, or after 50 s (server/ServerSessionProxy.cpp
  on the interval).
- `--check-config` from 2026.07 (server/ServerCheckConfig.cpp), `--test-config` before.
Its own: any other page tells, as JSON, what it was started with and what it received; `?to=` there
redirects to what is given.
"""

import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import uuid
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

OPTIONS: dict[str, str] = globals().get("TABLE", {})
VERSION: str = globals().get("TABLE_VERSION", "")

_SWITCH_VALUES = ("0", "1", "true", "false", "yes", "no", "on", "off")
_NO_VALUE = ("help", "version", "check-config", "test-config")


def fail(text: str) -> None:
    print(text, file=sys.stderr)
    sys.exit(1)


def default_of(name: str) -> str:
    value = OPTIONS[name]
    if value == "root":
        return "1" if os.geteuid() == 0 else "0"
    if value == "not root":
        return "0" if os.geteuid() == 0 else "1"
    return value


def read_options(arguments: list[str]) -> dict[str, str]:
    chosen = {name: default_of(name) for name in OPTIONS}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("--"):
            fail("too many positional options have been specified on the command line")
        name, equals, value = argument.removeprefix("--").partition("=")
        if name not in OPTIONS:
            fail(f"unrecognised option '--{name}'")
        if name in _NO_VALUE:
            chosen[name] = "1"
            continue
        if not equals:
            if not rest or rest[0].startswith("--"):
                fail(f"the required argument for option '--{name}' is missing")
            value = rest.pop(0)
        if OPTIONS[name] in ("0", "1", "root", "not root") and value not in _SWITCH_VALUES:
            fail(f"the argument ('{value}') for option '--{name}' is invalid")
        chosen[name] = value
    return chosen


def on(value: str) -> bool:
    return value in ("1", "true", "yes", "on")


class Sessions:
    """The rsession of the one user, started when it is asked for."""

    def __init__(self, chosen: dict[str, str]) -> None:
        streams = Path(chosen["server-data-dir"]) / "rstudio-rsession"
        streams.mkdir(parents=True, exist_ok=True)
        self.stream = streams / f"{os.environ.get('USER', 'user')}-d"
        self._program = chosen["rsession-path"]
        if not self._program.startswith("/"):
            self._program = str(Path(sys.argv[0]).resolve().parent / self._program)
        self._r = chosen["rsession-which-r"]
        self._wait_s = float(chosen["rsession-proxy-max-wait-secs"])
        self._libraries = chosen["rsession-ld-library-path"]
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            kept = ("PATH", "MANPATH", "LANG", "SHELL", "HOME")
            environment = {name: os.environ[name] for name in kept if name in os.environ}
            user = os.environ.get("USER", "user")
            environment |= {"USER": user, "LOGNAME": user, "R_HOME": "/usr/lib/R"}
            environment |= {"LD_LIBRARY_PATH": self._libraries, "STANDIN_R": self._r}
            self.stream.unlink(missing_ok=True)
            self._process = subprocess.Popen(
                [self._program, "-u", user, "--session-stream", str(self.stream)],
                env=environment,
                process_group=0,
            )

    def connect(self, *, launch: bool) -> HTTPConnection | None:
        deadline = time.monotonic() + self._wait_s
        while True:
            stream = socket.socket(socket.AF_UNIX)
            try:
                stream.connect(str(self.stream))
            except OSError:
                stream.close()
                if not launch or time.monotonic() > deadline:
                    return None
                self.launch()
                time.sleep(0.025)
                continue
            connection = HTTPConnection("localhost")
            connection.sock = stream
            return connection


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    chosen: dict[str, str]
    sessions: Sessions

    def address_string(self) -> str:
        return "local"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(
        self, status: int, body: bytes, kind: str = "application/json", **headers: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def cookie(self, name: str) -> str:
        cookies = SimpleCookie(self.headers.get("Cookie", ""))
        return cookies[name].value if name in cookies else ""

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        root = self.chosen["www-root-path"]
        if not on(self.chosen["auth-none"]) or split.path == "/auth-sign-in":
            back = "auth-sign-in?appUri=%2F" if split.path != "/auth-sign-in" else ""
            scheme = self.headers.get("X-Forwarded-Proto", "http")
            host = self.headers.get("Host", "localhost")
            self.answer(302, b"", Location=f"{scheme}://{host}{root}{back}")
            return
        query = parse_qs(split.query)
        if "to" in query:
            self.answer(302, b"", Location=query["to"][0])
            return
        if split.path.startswith(("/custom/", "/help/", "/files/")):
            self.relay(b"")
            return
        told = {
            "standin": VERSION,
            "pid": os.getpid(),
            "path": self.path,
            "argv": sys.argv[1:],
            "cwd": str(Path.cwd()),
            "uid": os.getuid(),
            "headers": dict(self.headers.items()),
            "environment": {
                key: os.environ.get(key) for key in ("USER", "RS_LOGGER_TYPE", "RSTUDIO_DATA_HOME")
            },
        }
        token = self.cookie("rs-csrf-token") or str(uuid.uuid4())
        path = root if root == "/" else root.rstrip("/")
        self.answer(
            200,
            json.dumps(told).encode(),
            Set_Cookie=f"rs-csrf-token={token}; path={path}; HttpOnly",
            X_Frame_Options="SAMEORIGIN" if self.chosen["www-frame-origin"] == "same" else "DENY",
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if not self.path.startswith(("/rpc/", "/events/")):
            self.answer(404, b"")
            return
        token = self.cookie("rs-csrf-token")
        if not token or self.headers.get("X-RS-CSRF-Token") != token:
            self.answer(200, json.dumps({"error": {"code": 3, "message": "Unauthorized"}}).encode())
            return
        self.relay(body)

    def relay(self, body: bytes) -> None:
        events = self.path.startswith("/events/")
        session = self.sessions.connect(launch=not events)
        if session is None:
            unavailable = {"error": {"code": 2, "message": "Unavailable"}}
            self.answer(200 if events else 503, json.dumps(unavailable).encode())
            return
        try:
            session.request(self.command, self.path, body=body)
            answer = session.getresponse()
            text = answer.read()
            self.answer(answer.status, text, answer.headers.get("Content-Type", "text/plain"))
        except (OSError, ValueError):
            self.answer(502, b"{}")
        finally:
            session.close()


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, _ = super().get_request()
        return connection, ("local", 0)


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True


def show_help() -> None:
    print("command-line options:")
    group = ""
    for name in OPTIONS:
        if name in _NO_VALUE:
            continue
        if name.split("-")[0] != group:
            group = name.split("-")[0]
            print(f"\n{group}:")
        default = default_of(name)
        print(f"  --{name} arg{f' (={default})' if default else ''}   Text that names --nothing")
    print("\ngeneral:\n  --help   print help message\n  --version   print version number")
    for name in ("test-config", "check-config"):
        if name in OPTIONS:
            print(f"  --{name}   test to ensure the config file is valid")


def check_files(chosen: dict[str, str]) -> bool:
    good = True
    for name in ("secure-cookie-key-file", "rsession-config-file", "database-config-file"):
        if chosen[name]:
            there = Path(chosen[name]).is_file()
            good = good and there
            print(f"[{'PASS' if there else 'FAIL'}] {name}: {chosen[name]}")
    return good


def prepare(chosen: dict[str, str]) -> None:
    r = chosen["rsession-which-r"]
    if r and not (Path(r).is_file() and os.access(r, os.X_OK)):
        fail(f"R binary ({r}) not executable")
    config = Path(chosen.get("database-config-file") or "/nonexistent")
    if config.is_file():
        values = dict(line.split("=", 1) for line in config.read_text().splitlines() if "=" in line)
        folder = Path(values.get("directory", ""))
        if values.get("provider") != "sqlite" or not folder.is_dir():
            fail(f"[rserver] ERROR database error: unable to open database file {folder}")
        (folder / "rstudio.sqlite").touch()
    key = Path(chosen["secure-cookie-key-file"] or "/tmp/rstudio-server/secure-cookie-key")
    if not key.exists():
        key.write_text(str(uuid.uuid4()))
    if "server-data-dir" in chosen:
        data = Path(chosen["server-data-dir"])
        data.mkdir(parents=True, exist_ok=True)
        data.chmod(0o1777)  # for the sessions of all its users


def main() -> None:
    if "--help" in sys.argv:
        show_help()
        return
    if "--version" in sys.argv:
        print(f"{VERSION} (Stand-in) for Nowhere")
        return
    chosen = read_options(sys.argv[1:])
    if on(chosen.get("check-config", "")) or on(chosen.get("test-config", "")):
        sys.exit(0 if check_files(chosen) else 1)
    chosen.setdefault("server-data-dir", chosen.get("server-working-dir", "/tmp"))
    if on(chosen["server-daemonize"]):
        if os.fork():
            os._exit(0)
        os.setsid()
        if os.fork():
            os._exit(0)
        Path(chosen.get("server-pid-file") or os.devnull).write_text(str(os.getpid()))
    prepare(chosen)
    os.chdir(chosen["server-working-dir"])
    chosen.setdefault("www-root-path", "/")
    Handler.chosen = chosen
    Handler.sessions = Sessions(chosen)
    server: socketserver.BaseServer
    if chosen.get("www-socket"):
        server = UnixServer(chosen["www-socket"], Handler)
    else:
        address = (chosen["www-address"], int(chosen["www-port"] or "80"))
        server = TcpServer(address, Handler)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    server.serve_forever()


if __name__ == "__main__":
    main()
