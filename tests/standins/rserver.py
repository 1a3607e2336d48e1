"""A stand-in for RStudio Server's `rserver`: no RStudio is in it.

It reads its command line by the option table that is put before this text (see rserver_table.py)
and exits on an option it does not know, as boost::program_options makes the real one do. It then
answers HTTP on the address it was given and tells what it was started with and what it received.
"""

import json
import os
import signal
import socket
import socketserver
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

OPTIONS: dict[str, str] = globals().get("TABLE", {})
VERSION: str = globals().get("TABLE_VERSION", "")


def read_options(arguments: list[str]) -> dict[str, str]:
    chosen = {}
    for argument in arguments:
        name, _, value = argument.removeprefix("--").partition("=")
        if name not in OPTIONS:
            print(f"unrecognised option '{argument}'", file=sys.stderr)
            sys.exit(1)
        chosen[name] = value
    return chosen


class Handler(BaseHTTPRequestHandler):
    def address_string(self) -> str:
        return "local"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "to" in query:
            self.send_response(302)
            self.send_header("Location", query["to"][0])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = json.dumps(
            {
                "standin": VERSION,
                "pid": os.getpid(),
                "path": self.path,
                "argv": sys.argv[1:],
                "headers": dict(self.headers.items()),
                "environment": {key: os.environ.get(key) for key in ("USER", "RS_LOGGER_TYPE")},
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class UnixServer(socketserver.ThreadingUnixStreamServer):
    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, _ = super().get_request()
        return connection, ("local", 0)


def main() -> None:
    if "--help" in sys.argv:
        for name, default in OPTIONS.items():
            print(f"  --{name} arg (={default})   description")
        return
    if "--version" in sys.argv:
        print(f"{VERSION} (Stand-in) for Nowhere")
        return
    chosen = read_options(sys.argv[1:])
    for name in ("secure-cookie-key-file", "database-config-file"):
        if name in chosen and not Path(chosen[name]).is_file():
            sys.exit(f"{name}: {chosen[name]} is not a file")
    server: socketserver.BaseServer
    if "www-socket" in chosen:
        server = UnixServer(chosen["www-socket"], Handler)
    else:
        address = chosen.get("www-address", "0.0.0.0")
        server = socketserver.ThreadingTCPServer((address, int(chosen["www-port"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.serve_forever()


if __name__ == "__main__":
    main()
