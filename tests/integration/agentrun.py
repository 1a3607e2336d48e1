"""Starts and asks real agents for the integration tests."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

REPO = Path(__file__).parents[2]


class RunningAgent:
    """A `samepage-agent run` on a free port. `through`: a program that becomes it or starts it."""

    def __init__(self, *flags: str, log: Path, through: Sequence[str] = ()) -> None:
        self.log = log
        command = [
            *through,
            sys.executable,
            "-m",
            "nodeagent",
            "run",
            "--listen",
            "127.0.0.1:0",
            *flags,
        ]
        with log.open("w") as errors:
            self.process = subprocess.Popen(command, cwd=REPO, stderr=errors)
        self.port = 0
        wait_for(self._started, lambda: f"the agent did not start: {log.read_text()}")

    def _started(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the agent ended: {self.log.read_text()}")
        for line in self.log.read_text().splitlines():
            _, found, rest = line.partition("on http://127.0.0.1:")
            if found:
                self.port = int(rest.split(",")[0])
                with contextlib.suppress(OSError):
                    return self.get("/healthz")[0] == 200
        return False

    def get(
        self, path: str, *, method: str = "GET", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()
        finally:
            connection.close()

    def node(self) -> Any:
        return json.loads(self.get("/v1/node")[2])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=20)


@contextlib.contextmanager
def agent(*flags: str, log: Path) -> Iterator[RunningAgent]:
    running = RunningAgent(*flags, log=log)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


def command(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nodeagent", *arguments],
        cwd=REPO,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def wait_for(done: Callable[[], bool], what: Callable[[], str], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, what()
        time.sleep(0.05)
