"""A stand-in for RStudio's `rsession`: no R is in it, only what happens to a session's data.

As the real one (rstudio/rstudio `src/cpp/session`):
- SIGUSR2 interrupts R, writes the session and ends; SIGUSR1 does when R is idle; SIGTERM and
  SIGKILL end it without (SessionSuspend.cpp, SessionMain.cpp).
- what was written is taken back, and removed, by the next session: below RSTUDIO_DATA_HOME or
  ~/.local/share/rstudio (core/system/Xdg.cpp, r/session/RSuspend.cpp).
- RS_INITIAL_WD is the working folder of a session that takes nothing back (SessionDirs.cpp).
- a client_init forgets the events that wait (SessionClientInit.cpp); get_events waits up to 50 s.
- requests other than events wait while R is busy.
- R_PROFILE is run at the start. This stand-in does not know R: it does what our start-up file does,
  by hand; tests/unit/serverproxy/test_rstudio_session.py runs that file in a real R.
- it is named rsession in /proc, as the real one is, which is a program and no script.
RPC of its own: `assign` {name: value}, `variables`, `busy` {seconds} (uses a CPU).
"""

import ctypes
import json
import os
import re
import signal
import socket
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote

POLL_S = 50.0
SAVE_S: float = globals().get("STANDIN_SAVE_S", 0.3)


class Session:
    def __init__(self) -> None:
        home = os.environ.get("RSTUDIO_DATA_HOME") or f"{os.environ['HOME']}/.local/share/rstudio"
        self.suspended = Path(home) / "sessions/active/session-1/suspended-session-data"
        self.variables: dict[str, object] = {}
        self.folder = os.environ.pop("RS_INITIAL_WD", "") or os.environ["HOME"]
        self.resumed = False
        if (self.suspended / "environment").is_file():
            saved = json.loads((self.suspended / "environment").read_text())
            self.variables, self.folder, self.resumed = saved["variables"], saved["folder"], True
            (self.suspended / "environment").unlink()
        self.changed = threading.Condition()
        self.events: list[dict[str, object]] = []
        self.client = 0
        self.busy = threading.Lock()
        self.interrupted = threading.Event()
        self.begun = False
        profile = Path(os.environ.pop("R_PROFILE", "") or "/nonexistent")
        text = profile.read_text() if profile.is_file() else ""
        found = re.search(r'folder <- "(.*)"', text)
        self.box = None if found is None else Path(found.group(1))

    def init(self) -> dict[str, object]:
        with self.changed:
            self.client += 1
            self.events.clear()
            self.changed.notify_all()
        if not self.begun:
            self.begun = True
            threading.Timer(0.2, self.begin).start()  # one second there
        return {
            "clientId": self.client,
            "pid": os.getpid(),
            "resumed": self.resumed,
            "initial_working_dir": self.folder,
            "environment": dict(os.environ),
        }

    def begin(self) -> None:
        if self.box is not None and self.box.is_dir():
            (self.box / "session").write_text(f"{os.getpid()}\n")
            self.take()

    def take(self) -> None:
        if self.box is None:
            return
        for wish in sorted((self.box / "open").glob("[!.]*")):
            path = unquote(wish.read_text().strip())
            wish.unlink()
            kind = "open_project" if path.endswith(".Rproj") else "jump_to_function"
            with self.changed:
                self.events.append({"type": kind, "data": {"file_name": path}})
                self.changed.notify_all()

    def wait_events(self) -> object:
        with self.changed:
            client = self.client
            self.changed.wait_for(lambda: self.events or self.client != client, POLL_S)
            if self.client != client:
                return {"error": {"code": 4, "message": "Invalid client id"}}
            found, self.events = self.events, []
            return {"result": found}

    def compute(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        with self.busy:
            while time.monotonic() < end and not self.interrupted.is_set():
                sum(range(20000))
            self.take()  # the task callback

    def suspend(self) -> None:
        self.interrupted.set()
        time.sleep(SAVE_S)
        self.suspended.mkdir(parents=True, exist_ok=True)
        saved = {"variables": self.variables, "folder": self.folder}
        fresh = self.suspended / "environment.part"
        fresh.write_text(json.dumps(saved))
        fresh.rename(self.suspended / "environment")
        os._exit(75)


class Handler(BaseHTTPRequestHandler):
    session: Session

    def address_string(self) -> str:
        return "local"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        session = self.session
        with session.busy:
            if self.path.startswith("/custom/samepage") and session.begun:
                session.take()
                self.answer(200, "taken")
            else:
                self.answer(404, {})

    def do_POST(self) -> None:
        session = self.session
        text = self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}"
        parameters = json.loads(text)
        method = self.path.rpartition("/")[2]
        if method == "get_events":
            self.answer(200, session.wait_events())
            return
        if method == "client_init":
            self.answer(200, {"result": session.init()})
            return
        with session.busy:
            if method == "assign":
                session.variables |= parameters
            elif method == "variables":
                self.answer(200, {"result": session.variables})
                return
            elif method == "busy":
                threading.Thread(
                    target=session.compute, args=(parameters["seconds"],), daemon=True
                ).start()
            self.answer(200, {"result": None})


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, _ = super().get_request()
        return connection, ("local", 0)


def main() -> None:
    ctypes.CDLL(None).prctl(15, b"rsession")  # PR_SET_NAME
    session = Session()

    def forced(*_: object) -> None:
        threading.Thread(target=session.suspend).start()

    def when_idle(*_: object) -> None:
        if not session.busy.locked():
            forced()

    signal.signal(signal.SIGUSR1, when_idle)
    signal.signal(signal.SIGUSR2, forced)
    Handler.session = session
    stream = sys.argv[sys.argv.index("--session-stream") + 1]
    Server(stream, Handler).serve_forever()


if __name__ == "__main__":
    main()
