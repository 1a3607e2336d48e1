"""Large bodies of known length take a shorter way through the proxy: nothing else may differ."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.proxy_server import api, connection, running
from tests.standins.jupyter_process import REPOSITORY, JupyterProcess
from tests.standins.largeapp import digest, words

MIB = 1 << 20
SIZE = 24 * MIB + 8  # no multiple of any buffer
_APP = REPOSITORY / "tests" / "standins" / "largeapp.py"
_ENTRIES = f"""
servers["large"] = dict(command=[P, {str(_APP)!r}, "{{port}}"])
servers["largeunix"] = dict(command=[P, {str(_APP)!r}, "{{unix_socket}}"], unix_socket=True)
def nothing(response):
    response.headers["X-Seen"] = "yes"
servers["largeseen"] = dict(command=[P, {str(_APP)!r}, "{{port}}"], rewrite_response=nothing)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterProcess]:
    with running(tmp_path_factory.mktemp("large"), more_config=_ENTRIES) as process:
        yield process


def checksum(answer: http.client.HTTPResponse) -> str:
    found, buffer = hashlib.sha256(), memoryview(bytearray(MIB))
    while count := answer.readinto(buffer):
        found.update(buffer[:count])
    return found.hexdigest()


def send(
    made: http.client.HTTPConnection, url: str, headers: dict[str, str], size: int = SIZE
) -> http.client.HTTPResponse:
    made.request("POST", url, body=words(size), headers={**headers, "Content-Length": str(size)})
    return made.getresponse()


def raw(server: JupyterProcess, method: str, path: str, *headers: str) -> socket.socket:
    """A connection on which the request's head has been sent."""
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    line = socket.create_connection((parts.hostname, parts.port or 80), timeout=30)
    lines = [f"{method} {parts.path}{path} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"Authorization: token {server.token}", *headers]
    line.sendall("\r\n".join([*lines, "", ""]).encode())
    return line


def read_until(line: socket.socket, end: bytes) -> bytes:
    seen = b""
    while end not in seen and (piece := line.recv(1 << 16)):
        seen += piece
    return seen


def wait_for(note: Path) -> str:
    deadline = time.monotonic() + 10
    while not (note.exists() and note.read_text()):
        assert time.monotonic() < deadline, "the application was not told"
        time.sleep(0.02)
    return note.read_text()


@pytest.mark.parametrize("app", ["large", "largeunix", "largeseen"])
def test_what_arrives_is_what_was_sent_and_the_connection_goes_on(
    server: JupyterProcess, app: str
) -> None:
    with connection(server) as (made, base, headers):
        for _ in range(2):
            made.request("GET", f"{base}{app}/whole?size={SIZE}", headers=headers)
            answer = made.getresponse()
            assert answer.headers["Content-Length"] == str(SIZE)
            assert checksum(answer) == digest(SIZE)
            line = made.sock
            answer = send(made, f"{base}{app}/take", headers)
            assert answer.read().decode() == f"{SIZE} {digest(SIZE)}"
            made.request("GET", f"{base}{app}/ready", headers=headers)
            assert made.getresponse().read() == b"ready"
            assert made.sock is line, "the connection was closed"


@pytest.mark.parametrize("path", ["whole?old&size={}", "until_close?size={}", "chunked?size={}"])
def test_older_and_unannounced_answers(server: JupyterProcess, path: str) -> None:
    with connection(server) as (made, base, headers):
        made.request("GET", f"{base}large/{path.format(SIZE)}", headers=headers)
        assert checksum(made.getresponse()) == digest(SIZE)


def test_answers_that_only_say_how_long_they_would_be(server: JupyterProcess) -> None:
    with connection(server) as (made, base, headers):
        made.request("HEAD", f"{base}large/whole?size={SIZE}", headers=headers)
        answer = made.getresponse()
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(SIZE))
        assert answer.read() == b""
        made.request("GET", f"{base}large/whole?status=304+Same&size={SIZE}", headers=headers)
        answer = made.getresponse()
        assert (answer.status, answer.read()) == (304, b"")
        made.request("GET", f"{base}large/ready", headers=headers)
        assert made.getresponse().read() == b"ready"


def test_a_large_part_of_a_larger_one(server: JupyterProcess) -> None:
    with connection(server) as (made, base, headers):
        span = f"bytes 8-{SIZE + 7}/{2 * SIZE}"
        query = f"status=206+Partial+Content&X-Range={span.replace(' ', '+')}&size={SIZE}"
        made.request("GET", f"{base}large/whole?{query}", headers=headers)
        answer = made.getresponse()
        assert (answer.status, answer.headers["X-Range"]) == (206, span)
        assert checksum(answer) == digest(SIZE)


def test_compressed_bodies_are_not_opened(server: JupyterProcess) -> None:
    with connection(server) as (made, base, headers):
        asking = {**headers, "Accept-Encoding": "gzip"}
        made.request("GET", f"{base}large/whole?encoding=gzip&size={SIZE}", headers=asking)
        answer = made.getresponse()
        assert answer.headers["Content-Encoding"] == "gzip"
        assert checksum(answer) == digest(SIZE)


@pytest.mark.parametrize("how", ["", "&reset"])
def test_a_part_is_never_passed_off_as_the_whole(server: JupyterProcess, how: str) -> None:
    with connection(server) as (made, base, headers):
        made.request("GET", f"{base}large/early?size={SIZE}{how}", headers=headers)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            made.getresponse().read()


def test_more_than_announced_does_not_reach_the_next_answer(server: JupyterProcess) -> None:
    with connection(server) as (made, base, headers):
        made.request("GET", f"{base}large/whole?size={SIZE}&more=100000", headers=headers)
        assert checksum(made.getresponse()) == digest(SIZE)
        made.request("GET", f"{base}large/ready", headers=headers)
        assert made.getresponse().read() == b"ready"


def test_who_leaves_during_a_download_ends_it(server: JupyterProcess, tmp_path: Path) -> None:
    note = tmp_path / "note"
    with raw(server, "GET", f"large/dribble?note={note}") as line:
        assert len(read_until(line, bytes(100_000))) > 100_000
    assert wait_for(note) == "nobody listens"


@pytest.mark.parametrize("size", [SIZE, 1 << 40])
def test_who_leaves_during_an_upload_has_sent_a_part(
    server: JupyterProcess, tmp_path: Path, size: int
) -> None:
    note = tmp_path / "note"
    with raw(server, "POST", f"large/take?note={note}", f"Content-Length: {size}") as line:
        for piece in words(SIZE // 2):
            line.sendall(piece)
    assert wait_for(note) == "incomplete"


def test_who_leaves_during_a_chunked_upload_has_not_ended_it(
    server: JupyterProcess, tmp_path: Path
) -> None:
    """The last chunk of length 0 would make the part a whole."""
    note = tmp_path / "note"
    with raw(server, "POST", f"large/take?note={note}", "Transfer-Encoding: chunked") as line:
        line.sendall(b"5\r\nfirst\r\n")
        with connection(server) as (made, base, headers):  # time for it to go on
            made.request("GET", f"{base}large/ready", headers=headers)
            made.getresponse().read()
    assert wait_for(note) == "incomplete"


@pytest.mark.parametrize("how", ["", "?close"])
def test_an_application_may_refuse_an_upload_half_way(server: JupyterProcess, how: str) -> None:
    with raw(server, "POST", f"large/refuse{how}", f"Content-Length: {SIZE}") as line:
        with suppress(ConnectionError):
            for piece in words(SIZE):
                line.sendall(piece)
        # What is still in the way when the connection is closed may cost the answer, as direct.
        with suppress(ConnectionError):
            seen = read_until(line, b"no")
            assert seen == b"" or seen.startswith((b"HTTP/1.1 413", b"HTTP/1.1 502"))
    with connection(server) as (made, base, headers):
        made.request("GET", f"{base}large/ready", headers=headers)
        assert made.getresponse().read() == b"ready"


def test_a_refusal_is_heard_while_the_upload_waits(server: JupyterProcess) -> None:
    with raw(server, "POST", "large/refuse", f"Content-Length: {SIZE}") as line:
        line.sendall(next(words(SIZE)))
        assert read_until(line, b"no").startswith(b"HTTP/1.1 413")


def test_both_ways_at_once(server: JupyterProcess) -> None:
    with raw(server, "POST", "large/back", f"Content-Length: {SIZE}") as line:

        def put() -> None:
            for piece in words(SIZE):
                line.sendall(piece)

        sender = threading.Thread(target=put)
        sender.start()
        answer = http.client.HTTPResponse(line)
        answer.begin()
        assert checksum(answer) == digest(SIZE)
        sender.join(10)
        assert not sender.is_alive()


def test_an_application_that_is_stopped_ends_the_answer(server: JupyterProcess) -> None:
    with connection(server) as (made, base, headers):
        made.request("GET", f"{base}largeunix/dribble", headers=headers)
        answer = made.getresponse()
        assert answer.read(100_000)
        api(server, "apps/largeunix/stop", "POST")
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read()


def test_a_long_transfer_is_use(server: JupyterProcess) -> None:
    with connection(server) as (made, base, headers):
        made.request("GET", f"{base}large/dribble", headers=headers)
        answer = made.getresponse()
        until = time.monotonic() + 3.5
        while time.monotonic() < until:
            assert answer.read(10_000)
        idle = api(server, "apps/large")["idle_seconds"]
        assert idle is not None
        assert idle < 2.5


def test_small_requests_are_answered_during_large_ones(server: JupyterProcess) -> None:
    """Were a transfer to hold the event loop, a small request would take as long as it does.

    Seconds are compared with seconds of the same machine; how long the loop is held at most is
    measured in CPU time, in tests/unit/proxy/test_bodies.py.
    """
    size = 384 * MIB
    running_still = threading.Barrier(3)
    done: list[int] = []

    def download() -> None:
        with connection(server) as (made, base, headers):
            made.request("GET", f"{base}web/big?size={size}", headers=headers)
            answer = made.getresponse()
            running_still.wait(30)
            buffer, got = bytearray(MIB), 0
            while count := answer.readinto(buffer):
                got += count
            done.append(got)

    threads = [threading.Thread(target=download) for _ in range(2)]
    for thread in threads:
        thread.start()
    taken = []
    with connection(server) as (made, base, headers):
        running_still.wait(30)
        start = time.perf_counter()
        while any(thread.is_alive() for thread in threads):
            begun = time.perf_counter()
            made.request("GET", f"{base}large/ready", headers=headers)
            assert made.getresponse().read() == b"ready"
            taken.append(time.perf_counter() - begun)
    seconds = time.perf_counter() - start
    assert done == [size, size]
    assert len(taken) > 10
    assert statistics.median(taken) < seconds / 10, taken


def test_with_tls_before_it(tmp_path: Path) -> None:
    """The browser's connection is then no plain socket."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = f"req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 2"
    subprocess.run(
        ["openssl", *made.split(), "-subj", "/CN=127.0.0.1"], check=True, capture_output=True
    )
    files = f"c.ServerApp.certfile, c.ServerApp.keyfile = {str(certificate)!r}, {str(key)!r}"
    with running(tmp_path / "server", more_config=f"{_ENTRIES}\n{files}") as server:
        parts = urlsplit(server.url)
        assert parts.hostname is not None
        trusting = ssl.create_default_context(cafile=certificate)
        trusting.check_hostname = False
        line = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=30, context=trusting)
        headers = {"Authorization": f"token {server.token}"}
        line.request("GET", f"{parts.path}large/whole?size={SIZE}", headers=headers)
        assert checksum(line.getresponse()) == digest(SIZE)
        answer = send(line, f"{parts.path}large/take", headers)
        assert answer.read().decode() == f"{SIZE} {digest(SIZE)}"
        line.close()
