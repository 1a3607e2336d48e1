"""Draws docs/images/dashboard-*.png: `make dashboard-pictures`.

A small class of real kernels comes to this machine within minutes, a real agent tunes its KSM, a
real Prometheus scrapes the agent. What each panel of deploy/dashboards asks is asked of that
Prometheus, and its answers are drawn. Needs root (students have users of their own), `prometheus`
and a C compiler.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.memory_students import Seat, Way, cells, prepare, seats
from benchmarks.memory_ways import wait_for_lock
from benchmarks.reachable import end_on_signal, ensure
from scripts.dashboards import cards, prometheus
from scripts.dashboards.__main__ import rendered
from scripts.dashboards.answers import Span, ask
from scripts.dashboards.drawing import draw
from scripts.dashboards.themes import THEMES
from tests.integration.agentrun import RunningAgent, agent

IMAGES = Path(__file__).parents[2] / "docs" / "images"
NODE = "node-1"
NOTEBOOK = "02-numpy.ipynb"
TOKEN = "only-for-this-picture"
EVERY = 1.0
_MIB = 2**20


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.dashboards.picture")
    parser.add_argument("--students", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=150, help="that are shown (150)")
    options = parser.parse_args(arguments)
    program = prometheus.find()
    if program is None:
        print(
            "No Prometheus here. On Debian or Ubuntu: apt-get install prometheus", file=sys.stderr
        )
        return 1
    if os.geteuid() != 0:
        print(
            "The students of the picture are users of their own: run this as root", file=sys.stderr
        )
        return 1
    ensure("scripts.dashboards.picture")
    end_on_signal()
    with tempfile.TemporaryDirectory(prefix="samepage-dashboards-") as name:
        folder = Path(name)
        prepare(folder, stations=4)
        with _agent(folder) as running, _prometheus(program, folder, running) as asked:
            begin = time.time() + 3
            with seats(options.students, _way(), folder) as students:
                _class_comes(students, folder, begin, begin + options.seconds)
                _draw(asked, Span(begin=begin, end=time.time(), scraped=EVERY))
    return 0


def _way() -> Way:
    return Way(
        provisioner="samepage-provisioner", settings={"SamepageProvisioner": {"spare": False}}
    )


@contextlib.contextmanager
def _agent(folder: Path) -> Iterator[RunningAgent]:
    token = folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    driver = folder / "nvml.txt"
    cards.write(driver, (), time.time())
    (folder / "library").mkdir()
    before = dict(os.environ)
    os.environ["LD_LIBRARY_PATH"] = str(cards.library(folder / "library"))
    os.environ["SAMEPAGE_NVML_STANDIN"] = str(driver)
    wait_for_lock()
    # Minutes are to show what takes longer within the usual budget.
    flags = ["--mode", "tune", "--interval", "1", "--cpu-budget", "0.5", "--burst-cpu", "0.9"]
    flags += ["--gpu-interval", "1", "--gpu-data", str(folder / "gpu")]
    flags += ["--state-dir", str(folder / "state"), "--token-file", str(token)]
    try:
        with agent(*flags, log=folder / "agent.log") as running:
            yield running
    finally:
        os.environ.clear()
        os.environ.update(before)


def _prometheus(
    program: str, folder: Path, running: RunningAgent
) -> contextlib.AbstractContextManager[prometheus.Prometheus]:
    address = f"127.0.0.1:{running.port}"
    jobs = (
        prometheus.Job(name="samepage", address=address, instance=NODE),
        prometheus.Job(
            name="samepage-workloads",
            address=address,
            instance=NODE,
            path="/metrics/workloads",
            token_file=folder / "token",
        ),
    )
    return prometheus.running(program, folder / "prometheus", jobs, every=EVERY)


def _class_comes(students: Sequence[Seat], folder: Path, begin: float, end: float) -> None:
    """One student after the other opens the notebook; the last part of the time is rest."""
    present: list[int] = []
    stop = threading.Event()
    driver = threading.Thread(target=_drive, args=(folder, present, stop))
    driver.start()
    try:
        apart = (end - begin) * 0.6 / len(students)
        for number, seat in enumerate(students):
            time.sleep(max(0.0, begin + number * apart - time.time()))
            _decide(folder, number)
            seat.tell("start")
            assert seat.pid is not None
            present.append(seat.pid)
            errors = seat.tell("run", cells=cells(NOTEBOOK))["errors"]
            if errors:
                raise RuntimeError(f"A cell failed: {errors[0]}")
        time.sleep(max(0.0, end - time.time()))
    finally:
        stop.set()
        driver.join()


def _drive(folder: Path, present: Sequence[int], stop: threading.Event) -> None:
    while not stop.wait(0.5):
        cards.write(folder / "nvml.txt", tuple(present), time.time())


def _decide(folder: Path, number: int) -> None:
    """Ask for a GPU for this student, as a hub does; the fifth wants one for itself."""
    request: dict[str, Any] = {"pod": f"hub/student-{number}", "memory_bytes": 1500 * _MIB}
    if number == 4:
        request["want"] = "exclusive"
    connection = http.client.HTTPConnection("localhost", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(folder / "state" / "agent.sock"))
    connection.request("POST", "/v1/gpu/decide", json.dumps({"request": request, "reserve": True}))
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"No decision: {said}")


def _draw(asked: prometheus.Prometheus, span: Span) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    for path, text in rendered().items():
        board = json.loads(text)
        shown = [panel for panel in board["panels"] if panel["type"] != "row"]
        answers = {panel["id"]: ask(asked, panel, span) for panel in shown}
        for scheme, theme in THEMES.items():
            file = IMAGES / f"dashboard-{path.stem.removeprefix('samepage-')}-{scheme}.png"
            draw(board, answers, span, theme, file)
            print(file.relative_to(IMAGES.parents[1]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
