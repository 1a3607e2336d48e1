"""The verdicts of the proxy benchmark, over made-up measurements."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.proxy import CLIENTS, Found, notes, targets_table
from benchmarks.proxy_bulk import DIRECTIONS, Transfer, Transfers
from benchmarks.proxy_load import Block, Load
from benchmarks.proxy_ready import Case, Delays
from benchmarks.proxy_sockets import Sockets

GIB = 1 << 30


def load(clients: int, way: str, *latencies: float) -> Load:
    block = Block(latencies=latencies, seconds=sum(latencies), cpu_seconds=0.001)
    return Load(clients=clients, way=way, blocks=[block, block])


def transfers(*rates: float, growth: int = 0) -> Transfers:
    """rates: bytes per second."""
    return Transfers(
        done=[
            Transfer(
                status=200,
                complete=True,
                size=GIB,
                seconds=GIB / rate,
                growth=growth,
                cpu_seconds=0.5,
                all_cpu_seconds=1.5,
                ran=0.6 * GIB / rate,
                waited=0.3 * GIB / rate,
            )
            for rate in rates
        ]
    )


def sockets(way: str, alive: int) -> Sockets:
    return Sockets(
        way=way,
        opened=200,
        alive=alive,
        latencies=[0.001],
        opening=0.1,
        cpu_seconds=0.1,
        resident_each=1.0,
    )


GOOD = Found(
    ready={
        Case(kind="listens", seconds=2): Delays(
            by_route=[[5.0, 5.0], [0.1, 0.2], [0.2, 0.3]], pages=[0.01, 0.02]
        )
    },
    loads={
        (clients, way): load(clients, way, *latencies)
        for clients in CLIENTS
        for way, latencies in (("stock", (0.002, 0.004)), ("ours", (0.001, 0.003)))
    },
    # The machine was slow in the second round, for both alike.
    bulk={
        (direction, way): transfers(*rates)
        for direction in DIRECTIONS
        for way, rates in (
            ("direct", (1e9, 1e8)),
            ("relay", (0.95e9, 0.95e8)),
            ("splice", (0.95e9, 0.95e8)),
            ("ours", (0.9e9, 0.9e8)),
        )
    },
    size=GIB,
    line={
        (direction, way): transfers(*rates)
        for direction in DIRECTIONS
        for way, rates in (("direct", (1e9, 1e8)), ("ours", (0.9e9, 0.9e8)))
    },
    stock_bulk={},
    stock_size=GIB,
    stock_large={
        "download": Transfer(status=599, complete=False, size=GIB, seconds=1),
        "upload": Transfer(status=None, complete=False, size=GIB, seconds=1),
    },
    sockets=[sockets("direct", 200), sockets("ours", 200)],
)


def missed(found: Found) -> list[str]:
    return [row[0] for row in targets_table(found).rows if row[2] != "met"]


def test_all_met() -> None:
    assert missed(GOOD) == []
    assert any(row[1] == "90%" for row in targets_table(GOOD).rows)


@pytest.mark.parametrize(
    ("found", "target"),
    [
        pytest.param(
            replace(
                GOOD,
                ready={
                    Case(kind="answers", seconds=5.6): Delays(
                        by_route=[[0.0], [0.4], [0.1]], pages=[0.01]
                    )
                },
            ),
            "delay after",
            id="late",
        ),
        pytest.param(
            replace(
                GOOD,
                ready={
                    Case(kind="answers", seconds=5.6): Delays(
                        by_route=[[0.0], [0.1], [0.1]], pages=[0.01, 0.3]
                    )
                },
            ),
            "start page",
            id="no page",
        ),
        pytest.param(
            replace(GOOD, loads=dict(GOOD.loads) | {(1, "ours"): load(1, "ours", 0.0035, 0.0035)}),
            "requests/s, 1 at once",
            id="slow",
        ),
        pytest.param(
            replace(GOOD, loads=dict(GOOD.loads) | {(16, "ours"): load(16, "ours", 0.0001, 0.005)}),
            "p99, 16 at once",
            id="one late",
        ),
        pytest.param(
            replace(GOOD, bulk=dict(GOOD.bulk) | {("upload", "ours"): transfers(0.7e9, 0.7e8)}),
            "upload, at least",
            id="slow upload",
        ),
        pytest.param(
            replace(
                GOOD,
                bulk=dict(GOOD.bulk) | {("upload", "ours"): transfers(1e9, 1e8, growth=70 << 20)},
            ),
            "memory",
            id="memory",
        ),
        pytest.param(
            replace(GOOD, sockets=[sockets("ours", 199)]), "200 websockets", id="dead socket"
        ),
    ],
)
def test_each_target_can_be_missed(found: Found, target: str) -> None:
    (only,) = missed(found)
    assert only.startswith(target)


def test_the_notes_tell_what_stock_answered_and_where_time_goes() -> None:
    good = notes(GOOD)
    assert "Stock, download of 1024 MiB: HTTP 599, incomplete." in good
    assert "Stock, upload of 1024 MiB: connection closed." in good
    assert not any("Where the time" in note for note in good)
    slow = replace(GOOD, bulk=dict(GOOD.bulk) | {("upload", "ours"): transfers(0.7e9, 0.7e8)})
    (told,) = [note for note in notes(slow) if note.startswith("Where the time of the upload")]
    assert "ran 60% of it, waited 30% for a CPU" in told
    assert "1.50 s of CPU per GiB together" in told
