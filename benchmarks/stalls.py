"""How long the server's event loop stands still while the bundle works."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .jupyter import Server
from .spread import percentile

_PULLED = frozenset({"up_to_date", "failed", "offline"})


@dataclass(frozen=True, kw_only=True)
class Stalls:
    """One scenario, in milliseconds. `loop_*`: stalls of the server's own (see `loop_probe`);
    `waited_worst`: the longest wait for a CPU; `answer_*`: /api/status as a client sees it."""

    name: str
    seconds: float
    loop_p99: float
    loop_worst: float
    waited_worst: float
    answer_median: float
    answer_worst: float
    note: str = ""

    def cells(self) -> list[str]:
        """As a row of the table."""
        loop = [f"{self.loop_p99:.1f}", f"**{self.loop_worst:.1f}**", f"{self.waited_worst:.1f}"]
        answers = [f"{self.answer_median:.1f}", f"{self.answer_worst:.1f}"]
        return [self.name, f"{self.seconds:.1f}", *loop, *answers, self.note]


COLUMNS = (
    "scenario",
    "seconds",
    "loop stall p99, ms",
    "loop stall worst, ms",
    "worst wait for a CPU, ms",
    "/api/status median, ms",
    "/api/status worst, ms",
    "note",
)


def measure(server: Server, name: str, work: Callable[[], str]) -> Stalls:
    """Do `work` (which returns a note) while a client asks for /api/status every 20 ms."""
    server.json("api/status")
    server.json("benchmark/loop")  # start anew
    answers: list[float] = []
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.02):
            begun = time.monotonic()
            server.ask("api/status")
            answers.append((time.monotonic() - begun) * 1000)

    client = threading.Thread(target=ask)
    client.start()
    try:
        note = work()
    finally:
        done.set()
        client.join()
    seen = json.loads(server.ask("benchmark/loop")[1])
    return Stalls(
        name=name,
        seconds=seen["seconds"],
        loop_p99=percentile(seen["lags"], 0.99),
        loop_worst=max(seen["lags"]),
        waited_worst=max(seen["waited"]),
        answer_median=percentile(answers, 0.5),
        answer_worst=max(answers),
        note=note,
    )


def rest(seconds: float) -> Callable[[], str]:
    """Nothing but the client."""

    def work() -> str:
        time.sleep(seconds)
        return ""

    return work


def pull_course(server: Server, at_most: float = 120) -> Callable[[], str]:
    """The bundle's "Pull now" until the course is there; asks for its state as the sidebar does."""

    def work() -> str:
        (course,) = _courses(server)
        status, body = server.ask(f"samepage/api/courses/{course['id']}/pull", method="POST")
        if status != 202:
            raise RuntimeError(f"The pull was answered {status}: {body[:300]!r}")
        deadline = time.monotonic() + at_most
        while time.monotonic() < deadline:
            time.sleep(0.25)
            (course,) = _courses(server)
            if course["state"] in _PULLED and course["last_pull"] is not None:
                return f"ended as {course['state']}"
        raise RuntimeError(f"The course was not pulled within {at_most:.0f} s: {course}")

    return work


def _courses(server: Server) -> list[dict[str, object]]:
    courses = server.json("samepage/api/courses")["courses"]
    assert isinstance(courses, list)
    return courses


def hammer(
    server: Server, paths: tuple[str, ...], *, seconds: float, clients: int
) -> Callable[[], str]:
    """Several clients that ask for the bundle's endpoints without a pause."""

    def work() -> str:
        ended = time.monotonic() + seconds
        counts: list[int] = []

        def ask() -> None:
            count = 0
            while time.monotonic() < ended:
                status, _ = server.ask(paths[count % len(paths)])
                if status != 200:
                    raise RuntimeError(f"{paths[count % len(paths)]} answered {status}")
                count += 1
            counts.append(count)

        threads = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(counts) != clients:
            raise RuntimeError("A client stopped before its time")
        return f"{sum(counts) / seconds:.0f} requests/s from {clients} clients"

    return work


@contextmanager
def hanging_agent() -> Iterator[str]:
    """The address of an "agent" that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.settimeout(0.1)
        kept: list[socket.socket] = []
        closing = threading.Event()

        def take() -> None:
            while not closing.is_set():
                try:
                    kept.append(listener.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            closing.set()
            thread.join()
            for connection in kept:
                connection.close()
