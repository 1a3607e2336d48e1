"""What an application behind our entries sees of the user's Jupyter credentials."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from pathlib import Path

from tests.standins.jupyter_process import start_jupyter

BACKEND = """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(dict(self.headers.items())).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_openrefine_sees_neither_token_nor_cookies(tmp_path: Path) -> None:
    backend = tmp_path / "backend.py"
    backend.write_text(textwrap.dedent(BACKEND))
    # The same options as OpenRefine's entry, with a backend that tells what it got.
    more = (
        "c.ServerProxy.servers['echo'] = dict(openrefine.describe(), "
        f"command=[{sys.executable!r}, {str(backend)!r}, '{{port}}'])\n"
        "c.ServerProxy.servers['plain'] = dict("
        f"command=[{sys.executable!r}, {str(backend)!r}, '{{port}}'])"
    )
    server = start_jupyter(tmp_path, {"PATH": os.environ["PATH"]}, more_config=more)
    try:
        session = server.session()
        session.cookies.set("username-8888", "2|secret-login-cookie")
        seen = json.loads(session.get(f"{server.url}echo/", timeout=60).text)
        assert seen["Authorization"] == ""
        assert seen["Cookie"] == ""
        assert seen["Host"] == "127.0.0.1"
        assert server.token not in str(seen)
        assert "secret-login-cookie" not in str(seen)
        # The control: without our options the proxy hands both over.
        plain = json.loads(session.get(f"{server.url}plain/", timeout=60).text)
        assert server.token in plain["Authorization"]
        assert "secret-login-cookie" in plain["Cookie"]
    finally:
        server.stop()
