"""A git server as a class meets it: little bandwidth for all, few at once, 429 above a rate.

    python -m benchmarks.course_throttle --root served --bytes-per-second 12500000

A real `git http-backend` (demo.git_server) behind a front that limits all answers together. Prints
its address and, when it is ended, one JSON object with what it answered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from demo.git_server import GitServer

ROOT = Path(__file__).resolve().parents[1]
_CHUNK = 64 * 1024
_MOST_HEADERS = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Limits:
    """bytes_per_second: of all answers together. at_once: requests; others wait.

    per_second: requests on average, with as many saved up as `burst`; above that 429, and
    Retry-After with `retry_seconds`.
    """

    bytes_per_second: float
    at_once: int
    per_second: float
    burst: int
    retry_seconds: int


@dataclass(kw_only=True)
class Answers:
    """What the server answered. packs: answers that carried objects."""

    requests: int = 0
    refused: int = 0
    packs: int = 0
    bytes: int = 0


class Bucket:
    """Lets `rate` units pass in a second, and `most` at once after a rest."""

    def __init__(self, rate: float, most: float, clock: Callable[[], float]) -> None:
        self._rate, self._most, self._clock = rate, most, clock
        self._level, self._then = most, clock()

    def take(self, units: float) -> float:
        """Take them; seconds to wait until they may pass, 0: now. It may go below empty."""
        self._fill()
        self._level -= units
        return max(0.0, -self._level / self._rate)

    def try_take(self, units: float) -> bool:
        """Take them unless that would have to wait."""
        self._fill()
        if self._level < units:
            return False
        self._level -= units
        return True

    def _fill(self) -> None:
        now = self._clock()
        self._level = min(self._most, self._level + (now - self._then) * self._rate)
        self._then = now


class Front:
    """Hands each request on to the git server on port `backend`, within `limits`."""

    def __init__(self, backend: int, limits: Limits) -> None:
        self.answers = Answers()
        self._backend = backend
        self._limits = limits
        self._bytes = Bucket(limits.bytes_per_second, _CHUNK, time.monotonic)
        self._rate = Bucket(limits.per_second, limits.burst, time.monotonic)
        self._turns = asyncio.Semaphore(limits.at_once)
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, which carries one request."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.answers.requests += 1
            if not self._rate.try_take(1):
                self.answers.refused += 1
                writer.write(
                    b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n"
                    b"Retry-After: %d\r\nConnection: close\r\n\r\n" % self._limits.retry_seconds
                )
                await writer.drain()
            else:
                async with self._turns:
                    await self._hand_on(head, reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def end(self) -> None:
        """Break off what is being answered."""
        for task in self._tasks:
            task.cancel()

    async def _hand_on(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        behind, ahead = await asyncio.open_connection("127.0.0.1", self._backend)
        feeding = asyncio.create_task(_feed(_closing(head), reader, ahead))
        size = 0
        try:
            while chunk := await behind.read(_CHUNK):
                size += len(chunk)
                await asyncio.sleep(self._bytes.take(len(chunk)))
                writer.write(chunk)
                await writer.drain()
        finally:
            feeding.cancel()
            ahead.close()
            self.answers.bytes += size
            # Lists of branches are small, and a pack of a course never is.
            if b"git-upload-pack HTTP" in head.split(b"\r\n", 1)[0] and size > 4096:
                self.answers.packs += 1


async def _feed(head: bytes, reader: asyncio.StreamReader, ahead: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        ahead.write(head)
        while chunk := await reader.read(_CHUNK):
            ahead.write(chunk)
            await ahead.drain()


def _closing(head: bytes) -> bytes:
    """The request's head, asking for one answer in this connection."""
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([lines[0], b"Connection: close", *lines[1:]])


async def _serve(root: Path, limits: Limits) -> Answers:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with GitServer(root) as backend:
        front = Front(backend.port, limits)
        server = await asyncio.start_server(
            front.answer, "127.0.0.1", 0, limit=_MOST_HEADERS, backlog=1024
        )
        async with server:
            port = server.sockets[0].getsockname()[1]
            print(f"http://127.0.0.1:{port}", flush=True)
            await stop.wait()
            front.end()
    return front.answers


class Throttled:
    """A running server: `url` of a repository, and what it has answered, once it is stopped."""

    def __init__(self, root: Path, limits: Limits) -> None:
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(limits).items()]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.course_throttle", "--root", str(root), *flags],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._address = self._process.stdout.readline().strip()
        if urlsplit(self._address).port is None:
            raise RuntimeError(f"The git server did not start: {self._address!r}")

    def url(self, name: str) -> str:
        """Of the repository NAME.git."""
        return f"{self._address}/{name}.git"

    def stop(self) -> Answers:
        """End it."""
        self._process.terminate()
        output, _ = self._process.communicate(timeout=60)
        return Answers(**json.loads(output.splitlines()[-1]))

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def throttled(root: Path, limits: Limits) -> Iterator[Throttled]:
    """Serve `root/*.git` until the block ends."""
    server = Throttled(root, limits)
    try:
        yield server
    finally:
        server.kill()


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.course_throttle")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--bytes-per-second", type=float, default=12.5e6)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--per-second", type=float, default=10.0)
    parser.add_argument("--burst", type=int, default=30)
    parser.add_argument("--retry-seconds", type=int, default=10)
    options = vars(parser.parse_args(arguments))
    root: Path = options.pop("root")
    answers = asyncio.run(_serve(root, Limits(**options)))
    print(json.dumps(asdict(answers)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
