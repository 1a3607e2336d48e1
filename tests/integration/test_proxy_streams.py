"""Requests and answers of any size and shape go through supervised applications."""

from __future__ import annotations

import hashlib
import http.client
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.integration.proxy_server import WEBAPP, connection, running
from tests.standins.jupyter_process import JupyterProcess
from tests.standins.webapp import BLOCK

MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterProcess]:
    with running(tmp_path_factory.mktemp("streams")) as process:
        yield process


def download(server: JupyterProcess, path: str) -> tuple[int, int]:
    """Status and bytes, read in pieces."""
    with connection(server) as (made, base, headers):
        made.request("GET", f"{base}{path}", headers=headers)
        answer = made.getresponse()
        size, piece = 0, bytearray(MIB)
        while count := answer.readinto(piece):
            size += count
        return answer.status, size


def upload(server: JupyterProcess, path: str, mebibytes: int, *, chunked: bool = False) -> str:
    with connection(server) as (made, base, headers):
        made.putrequest("POST", f"{base}{path}")
        for name, value in headers.items():
            made.putheader(name, value)
        if chunked:
            made.putheader("Transfer-Encoding", "chunked")
        else:
            made.putheader("Content-Length", str(mebibytes * MIB))
        made.endheaders()
        piece = BLOCK * 4
        assert len(piece) == MIB
        for _ in range(mebibytes):
            made.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            made.send(b"0\r\n\r\n")
        answer = made.getresponse()
        text = answer.read().decode()
        assert answer.status == 200, text
        return text


def test_a_download_of_150_mb_arrives(server: JupyterProcess) -> None:
    """Mends: above 100 MB stock answers 599 (jupyter-server-proxy#281); see the next test."""
    size = 150 * 1000 * 1000
    assert download(server, f"web/big?size={size}") == (200, size)
    assert download(server, f"unix/big?size={size}&chunked") == (200, size)


def test_stock_fails_there(tmp_path: Path) -> None:
    with running(tmp_path, supervised=False) as stock:
        assert download(stock, "web/big?size=150000000")[0] == 599


@pytest.mark.parametrize("app", ["web", "unix"])
def test_a_gibibyte_each_way_takes_no_memory(server: JupyterProcess, app: str) -> None:
    process = psutil.Process(server.process.pid)
    download(server, f"{app}/big?size={MIB}")
    before = process.memory_info().rss
    assert download(server, f"{app}/big?size={1024 * MIB}") == (200, 1024 * MIB)
    assert '"in_order": true' in upload(server, f"{app}/upload", 1024)
    assert process.memory_info().rss - before < 64 * MIB


def test_a_slow_reader_holds_the_application_back(server: JupyterProcess) -> None:
    """Backpressure: what nobody reads is not piled up in the server."""
    process = psutil.Process(server.process.pid)
    download(server, f"web/big?size={MIB}")
    before = process.memory_info().rss
    with connection(server) as (made, base, headers):
        made.request("GET", f"{base}web/big?size={512 * MIB}", headers=headers)
        answer = made.getresponse()
        assert answer.read(MIB)
        # Read slowly enough that an unbounded server would have swallowed everything by now.
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            answer.read(4096)
            time.sleep(0.05)
        assert process.memory_info().rss - before < 32 * MIB


def test_a_slow_application_holds_the_sender_back(server: JupyterProcess) -> None:
    process = psutil.Process(server.process.pid)
    upload(server, "web/upload", 1)
    before = process.memory_info().rss
    text = upload(server, "web/upload?slow=0.002", 128)
    assert f'"bytes": {128 * MIB}' in text
    assert process.memory_info().rss - before < 32 * MIB


def test_chunked_uploads(server: JupyterProcess) -> None:
    text = upload(server, "web/upload", 8, chunked=True)
    assert f'"bytes": {8 * MIB}, "in_order": true' in text
    assert '"encoding": "chunked"' in text


def test_the_answer_may_begin_before_the_question_ends(server: JupyterProcess) -> None:
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as line:
        line.sendall(
            f"POST {parts.path}web/echo HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Authorization: token {server.token}\r\nTransfer-Encoding: chunked\r\n\r\n"
            "5\r\nfirst\r\n".encode()
        )
        seen = b""
        while b"first" not in seen:
            seen += line.recv(4096)
        line.sendall(b"6\r\nsecond\r\n0\r\n\r\n")
        while b"second" not in seen:
            seen += line.recv(4096)
    assert seen.startswith(b"HTTP/1.1 200")


def test_expect_continue_is_answered_by_us(server: JupyterProcess) -> None:
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as line:
        line.sendall(
            f"POST {parts.path}web/anything HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Authorization: token {server.token}\r\nContent-Length: 4\r\n"
            "Expect: 100-continue\r\nConnection: close\r\n\r\n".encode()
        )
        assert line.recv(4096).startswith(b"HTTP/1.1 100")
        line.sendall(b"body")
        seen = b""
        while piece := line.recv(4096):
            seen += piece
    assert b"HTTP/1.1 200" in seen
    assert b'"body_bytes": 4' in seen
    assert b'"Expect"' not in seen


def test_events_come_one_by_one(server: JupyterProcess) -> None:
    with connection(server) as (made, base, headers):
        # Any Accept: stock streams only when it is exactly text/event-stream.
        made.request("GET", f"{base}web/events?count=4", headers={**headers, "Accept": "*/*"})
        answer = made.getresponse()
        late = []
        while line := answer.readline():
            if line.startswith(b"data:"):
                late.append(time.time() - float(line.split()[2]))
        assert len(late) == 4
        assert max(late) < 0.15, late


@pytest.mark.parametrize("code", [200, 201, 204, 205, 206, 301, 304, 400, 404, 416, 500, 503])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_statuses_and_methods(server: JupyterProcess, code: int, method: str) -> None:
    answer = server.session().request(
        method,
        f"{server.url}web/answer/{code}",
        params={"X-One": "ü", "ETag": '"e"'} | ({} if code in (204, 304) else {"body": "text"}),
        headers={"If-None-Match": '"e"'},
        allow_redirects=False,
        timeout=30,
    )
    assert answer.status_code == code
    assert answer.headers["ETag"] == '"e"'
    assert answer.headers["X-One"].encode("latin-1").decode() == "ü"
    if method == "HEAD" or code in (204, 304):
        assert answer.text == ""
        assert "Transfer-Encoding" not in answer.headers
    elif code != 205:
        assert answer.text == "text"
    if method == "HEAD" and code == 200:
        assert answer.headers["Content-Length"] == "4"


def test_ranges(server: JupyterProcess) -> None:
    whole = WEBAPP.read_bytes()
    answer = server.session().get(
        f"{server.url}web/ranged", headers={"Range": "bytes=10-19"}, timeout=30
    )
    assert (answer.status_code, answer.content) == (206, whole[10:20])
    assert answer.headers["Content-Range"] == f"bytes 10-19/{len(whole)}"
    assert answer.headers["Content-Length"] == "10"


def test_compressed_bodies_pass_untouched(server: JupyterProcess) -> None:
    with connection(server) as (made, base, headers):
        made.request(
            "GET", f"{base}web/answer/200?Content-Encoding=br&body=notbrotli", headers=headers
        )
        answer = made.getresponse()
        assert answer.headers["Content-Encoding"] == "br"
        assert answer.read() == b"notbrotli"


def test_repeated_headers_stay_repeated(server: JupyterProcess) -> None:
    answer = server.session().get(
        f"{server.url}web/answer/200?Set-Cookie=a%3D1&Set-Cookie=b%3D2&Connection=X-Gone&X-Gone=1",
        timeout=30,
    )
    cookies = answer.raw.headers.getlist("Set-Cookie")
    assert [cookie for cookie in cookies if not cookie.startswith("username-")] == ["a=1", "b=2"]
    assert "X-Gone" not in answer.headers


def test_paths_and_queries_arrive_as_they_were_written(server: JupyterProcess) -> None:
    with connection(server) as (made, base, headers):
        path = "a%2Fb//c%3Fd/%C3%A4;p=1/..x?q=%20+&q=2&empty="
        made.request("GET", f"{base}web/{path}", headers=headers)
        answer = made.getresponse().read().decode()
        assert f'"path": "/{path}"' in answer


def test_a_broken_answer_is_not_passed_off_as_whole(server: JupyterProcess) -> None:
    for how in ("", "&chunked"):
        with connection(server) as (made, base, headers):
            made.request("GET", f"{base}web/big?size={8 * MIB}&break{how}", headers=headers)
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                made.getresponse().read()


def test_a_visitor_who_leaves_ends_the_request(server: JupyterProcess, tmp_path: Path) -> None:
    note = tmp_path / "note"
    with connection(server) as (made, base, headers):
        made.request("GET", f"{base}web/sleepy?seconds=60&note={note}", headers=headers)
        time.sleep(0.5)
    deadline = time.monotonic() + 10
    while not note.exists():
        assert time.monotonic() < deadline, "the application still works for nobody"
        time.sleep(0.05)


def test_rewrite_response_sees_the_body(server: JupyterProcess) -> None:
    session = server.session()
    for _ in range(2):
        answer = session.get(f"{server.url}rewriting/answer/200?body=a-cat", timeout=30)
        assert (answer.text, answer.headers["I-Like"]) == ("a-dog", "tacos")
        assert answer.headers["Content-Length"] == "5"


def test_rewriting_headers_alone_needs_no_buffer(server: JupyterProcess) -> None:
    size = 150 * 1000 * 1000
    assert download(server, f"labelling/big?size={size}") == (200, size)
    answer = server.session().get(f"{server.url}labelling/a/teapot%20x", timeout=30)
    assert (answer.status_code, answer.headers["Seen-Path"]) == (418, "/a/teapot x")


def test_an_upload_limit_of_the_operator(tmp_path: Path) -> None:
    with running(tmp_path, more_config="c.Samepage.app_upload_bytes = 1000") as server:
        session = server.session()
        good = session.post(f"{server.url}web/upload", data=bytes(1000), timeout=30)
        assert good.status_code == 200
        answer = session.post(f"{server.url}web/upload", data=bytes(1001), timeout=30)
        assert answer.status_code == 413
        assert "1000 bytes" in answer.json()["message"]


def test_content_is_what_was_sent(server: JupyterProcess) -> None:
    answer = server.session().get(f"{server.url}web/big?size=5000000", timeout=60)
    wanted = (BLOCK * 20)[:5000000]
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(wanted).digest()
