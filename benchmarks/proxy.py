"""Applications behind our supervised proxy, behind stock jupyter-server-proxy, and without one.

python -m benchmarks.proxy [--rounds 6] [--mebibytes 1024] [--sockets 200] [--starts 2 5.6 8]
"""

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import proxy_bulk, proxy_load, proxy_ready, proxy_servers, proxy_sockets
from .page import DOCS, Page, Table
from .proxy_bulk import DIRECTIONS, Direction, Transfer, Transfers
from .proxy_load import Load
from .proxy_picture import picture
from .proxy_ready import ROUTES, Case, Delays
from .proxy_sockets import Sockets
from .spread import percentile, spread

READY_TARGET_S = 0.3
PAGE_TARGET_S = 0.2
SHARE_TARGET = 0.8
GROWTH_TARGET_MB = 64.0
CLIENTS = (1, 16)
LINE_BITS = 10e9
_LINE = f"{LINE_BITS / 1e9:.0f} Gbit/s"
# Stock ends a download above 100 MB with 599; this much it carries.
STOCK_BYTES = 64 << 20

METHOD = """
Two Jupyter servers run side by side in one environment with one configuration: *stock* is
jupyter-server-proxy as released, *ours* has our server extension loaded, which takes its routes
over. *direct* is the same small aiohttp application without a proxy. All measurements are of one
run and interleaved (direct, stock, ours, and back), so judge by the ratios: client, server and
application share this machine's cores. Requests carry a browser's login cookie. Shown are medians
with their quartiles over the rounds. MB is 10^6 bytes.

*Click to usable*: an application that listens only after so many seconds (or listens at once and
answers only then) notes the moment of its first possible answer. The delay is from there to the
200 of the application that somebody gets who asked before it was started: a program whose request
waits, and a browser that gets the start page, asks the REST interface for changes as the page's
script does, and reloads. Every start is of a fresh application; stock has no start page. Stock
doubles its pause after every look (about 2.5, 5.1 and 10.2 s after the click), so its delay is
luck: anything between nothing and what the start has taken.

*Small requests*: 1 KiB over kept connections, each client with one request at a time. *CPU* is the
Jupyter server's, user and system.

*Large bodies*: one connection, `Content-Length` given. The client is a socket of 1 MiB pieces
(`recv_into`; 256 KiB for `send`) that looks at nothing, the application is aiohttp. Growth is the
peak of the server's resident memory (VmHWM, reset before) less what it was before. *relay* is a
bare relay: bytes from one socket to the other through one buffer, without HTTP, login or anything
else (`benchmarks/proxy_relay.py`); no proxy in a process of its own can be expected to be faster.
*splice* is the same with splice(2), where the bytes never leave the kernel. *On a line* is a
client that takes or gives no more than its network would, 10 Gbit/s.

*Websockets*: all open at once, each sends 128 bytes a second, at a moment of its own, and waits for
the echo.
"""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one run measured.

    line: bodies of the full size for a client on a line. stock_large: stock's answers to such.
    """

    ready: Mapping[Case, Delays]
    loads: Mapping[tuple[int, str], Load]
    bulk: Mapping[tuple[Direction, str], Transfers]
    size: int
    line: Mapping[tuple[Direction, str], Transfers]
    stock_bulk: Mapping[tuple[Direction, str], Transfers]
    stock_size: int
    stock_large: Mapping[Direction, Transfer]
    sockets: Sequence[Sockets]


def measure(options: argparse.Namespace, folder: Path) -> Found:
    """Everything, in one run."""
    cases = [Case(kind=kind, seconds=each) for each in options.starts for kind in proxy_ready.KINDS]
    notes = folder / "notes"
    notes.mkdir()
    size = options.mebibytes << 20
    small = min(size, STOCK_BYTES)
    with proxy_servers.running(folder, proxy_ready.apps(cases, options.rounds, notes)) as ways:
        _say("small requests")
        loads = proxy_load.measure(
            ways.all(), CLIENTS, rounds=options.rounds, seconds=options.seconds
        )
        _say("websockets")
        sockets = proxy_sockets.measure(
            ways.all(), sockets=options.sockets, seconds=options.socket_seconds
        )
        _say("large bodies")
        every = (ways.direct, ways.relay, ways.splice, ways.ours)
        bulk = proxy_bulk.measure(every, rounds=options.rounds, size=size)
        _say("large bodies on a line")
        line = proxy_bulk.measure(
            (ways.direct, ways.ours), rounds=options.rounds, size=size, pace=LINE_BITS / 8
        )
        _say("bodies that stock carries")
        stock_bulk = proxy_bulk.measure((ways.stock, ways.ours), rounds=options.rounds, size=small)
        _say("starts")
        ready = proxy_ready.measure(ways, cases, options.rounds, notes)
        stock_large = {each: proxy_bulk.transfer(ways.stock, each, size) for each in DIRECTIONS}
    return Found(
        ready=ready,
        loads=loads,
        bulk=bulk,
        size=size,
        line=line,
        stock_bulk=stock_bulk,
        stock_size=small,
        stock_large=stock_large,
        sockets=sockets,
    )


def targets_table(found: Found) -> Table:
    """Each target with what was measured."""
    slowest = max(
        (spread(delays.by_route[route]).median, ROUTES[route], case)
        for case, delays in found.ready.items()
        for route in (1, 2)
    )
    pages = [page for delays in found.ready.values() for page in delays.pages]
    rows = [
        _target(
            f"delay after the application's first answer, at most {READY_TARGET_S:g} s",
            f"{slowest[0]:.2f} s ({slowest[1]}; {_case(slowest[2])})",
            slowest[0] <= READY_TARGET_S,
        ),
        _target(
            f"start page, within {1000 * PAGE_TARGET_S:.0f} ms",
            f"{1000 * spread(pages).median:.0f} ms, slowest of {len(pages)} "
            f"{1000 * max(pages):.0f} ms",
            max(pages) <= PAGE_TARGET_S,
        ),
    ]
    for clients in CLIENTS:
        ours, stock = found.loads[clients, "ours"], found.loads[clients, "stock"]
        faster = _ratio(ours.rates(), stock.rates())
        later = _ratio(ours.milliseconds(0.99), stock.milliseconds(0.99))
        rows += [
            _target(
                f"requests/s, {clients} at once, at least stock's",
                f"{faster:.2f} times stock's",
                faster >= 1,
            ),
            _target(
                f"p99, {clients} at once, at most stock's",
                f"{later:.2f} times stock's",
                later <= 1,
            ),
        ]
    for direction in DIRECTIONS:
        for where, bulk in (("", found.bulk), (f" on a line of {_LINE}", found.line)):
            share = _share(bulk, direction)
            rows.append(
                _target(
                    f"{direction}{where}, at least {SHARE_TARGET:.0%} of direct",
                    f"{share:.0%}",
                    share >= SHARE_TARGET and bulk[direction, "ours"].complete,
                )
            )
    growth = max(found.bulk[direction, "ours"].growth() for direction in DIRECTIONS)
    rows.append(
        _target(
            f"memory for them, below {GROWTH_TARGET_MB:.0f} MB",
            f"{growth:.1f} MB",
            growth < GROWTH_TARGET_MB,
        )
    )
    lines = next(each for each in found.sockets if each.way == "ours")
    rows.append(
        _target(
            f"{lines.opened} websockets open",
            f"{lines.alive} answer at the end",
            lines.alive == lines.opened,
        )
    )
    return Table(title="Targets", columns=("target", "measured", ""), rows=rows)


def ready_table(found: Found) -> Table:
    """Delays of every case by route."""
    rows = [
        [_case(case), *(spread(delays).text() for delays in every.by_route)]
        for case, every in found.ready.items()
    ]
    columns = ("application", *(f"{route}, s" for route in ROUTES))
    return Table(title="Click to usable: delay after the first answer", columns=columns, rows=rows)


def load_table(found: Found) -> Table:
    """Throughput, latency and CPU."""
    rows = []
    for load in found.loads.values():
        cpu = load.cpu_milliseconds()
        rows.append(
            [
                f"{load.clients}",
                load.way,
                spread(load.rates()).text(0),
                spread(load.milliseconds(0.5)).text(),
                spread(load.milliseconds(0.99)).text(),
                spread(cpu).text() if cpu else "",
            ]
        )
    columns = ("clients", "", "requests/s", "p50, ms", "p99, ms", "CPU per request, ms")
    return Table(title="Small requests", columns=columns, rows=rows)


def bulk_table(found: Found) -> Table:
    """The full size, ours against direct, and the size stock carries."""
    rows = []
    for where, every in (
        (f"{found.size >> 20} MiB", found.bulk),
        (f"{found.size >> 20} MiB on a line", found.line),
        (f"{found.stock_size >> 20} MiB", found.stock_bulk),
    ):
        for (direction, way), transfers in every.items():
            cpu = transfers.cpu_per_gibibyte()
            compared = (direction, "direct") in every and way != "direct"
            rows.append(
                [
                    f"{direction}, {where}",
                    way,
                    spread(transfers.rates()).text(0),
                    f"{_share(every, direction, way):.0%}" if compared else "",
                    spread(cpu).text() if cpu else "",
                    f"{spread(transfers.all_cpu_per_gibibyte()).median:.2f}",
                    "" if way == "direct" else f"{transfers.growth():.1f}",
                ]
            )
    columns = (
        "",
        "",
        "MB/s",
        "of direct",
        "CPU per GiB, s",
        "of all that take part, s",
        "largest growth, MB",
    )
    return Table(title="Large bodies", columns=columns, rows=rows)


def sockets_table(found: Found) -> Table:
    """Latency of the echoes."""
    rows = [
        [
            each.way,
            f"{each.alive} of {each.opened}",
            f"{each.opening:.2f}",
            f"{1000 * percentile(each.latencies, 0.5):.2f}",
            f"{1000 * percentile(each.latencies, 0.99):.2f}",
            "" if each.cpu_per_message is None else f"{1000 * each.cpu_per_message:.2f}",
            "" if each.resident_each is None else f"{each.resident_each / 1000:.0f}",
        ]
        for each in found.sockets
    ]
    columns = (
        "",
        "alive at the end",
        "opening all, s",
        "echo p50, ms",
        "echo p99, ms",
        "CPU per echo, ms",
        "memory of each, kB",
    )
    return Table(title="Websockets", columns=columns, rows=rows)


def notes(found: Found) -> list[str]:
    """What stock does with the full size, and what bounds the speed here."""
    told = [
        f"Stock, {direction} of {found.size >> 20} MiB: {_answer(transfer)}."
        for direction, transfer in found.stock_large.items()
    ]
    for direction in DIRECTIONS:
        ours = found.bulk[direction, "ours"]
        rate = spread(ours.rates()).median
        told.append(
            f"{direction.capitalize()} through ours: {rate:.0f} MB/s, {rate / 125:.1f} times what "
            "a network of 1 Gbit/s carries."
        )
        if _share(found.bulk, direction) < SHARE_TARGET:
            told += [_bound(found, direction), _where_the_time_goes(found, direction)]
    return told


def _bound(found: Found, direction: Direction) -> str:
    """How far a proxy could be from direct at best."""
    of_relay = _ratio(found.bulk[direction, "ours"].rates(), found.bulk[direction, "relay"].rates())
    shares = {way: _share(found.bulk, direction, way) for way in ("relay", "splice")}
    cpu = {
        way: spread(found.bulk[direction, way].cpu_per_gibibyte()).median
        for way in ("ours", *shares)
    }
    return (
        f"Why the {direction} stays below {SHARE_TARGET:.0%}: every byte crosses a second "
        f"connection, and a third process shares {os.cpu_count()} cores. A bare relay reaches "
        f"{shares['relay']:.0%} of direct, with splice(2) {shares['splice']:.0%}. Ours, with "
        f"login, headers and supervision, reaches {of_relay:.0%} of the bare relay's speed, and "
        f"takes {cpu['ours']:.2f} s of CPU per GiB; the relay {cpu['relay']:.2f} s, with splice(2) "
        f"{cpu['splice']:.2f} s."
    )


def _where_the_time_goes(found: Found, direction: Direction) -> str:
    """Of the server's main thread, and the CPU time of all that take part."""
    ours, direct = (found.bulk[direction, way] for way in ("ours", "direct"))
    ran, waited = (spread(shares).median for shares in ours.shares())
    return (
        f"Where the time of the {direction} goes: the server's thread, which receives and sends "
        f"every byte, ran {ran:.0%} of it, waited {waited:.0%} for a CPU that others had, and the "
        "rest for the client and the application. Client, server and application take "
        f"{spread(ours.all_cpu_per_gibibyte()).median:.2f} s of CPU per GiB together, direct "
        f"{spread(direct.all_cpu_per_gibibyte()).median:.2f} s; there are {os.cpu_count()} cores."
    )


def _answer(transfer: Transfer) -> str:
    if transfer.complete:
        return "complete"
    return "connection closed" if transfer.status is None else f"HTTP {transfer.status}, incomplete"


def _share(
    bulk: Mapping[tuple[Direction, str], Transfers], direction: Direction, way: str = "ours"
) -> float:
    return _ratio(bulk[direction, way].rates(), bulk[direction, "direct"].rates())


def _ratio(ours: Sequence[float], others: Sequence[float]) -> float:
    """Median of the rounds' ratios: what the machine does beside cancels within a round."""
    return spread([mine / other for mine, other in zip(ours, others, strict=True)]).median


def _case(case: Case) -> str:
    return f"{case.kind} after {case.seconds:g} s"


def _target(target: str, measured: str, met: bool) -> list[str]:
    return [target, measured, "met" if met else "**missed**"]


def _say(what: str) -> None:
    print(f"measuring {what}", flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="that count (default 6)")
    parser.add_argument("--seconds", type=float, default=3, help="of each stretch of requests (3)")
    parser.add_argument("--mebibytes", type=int, default=1024, help="of large bodies (1024)")
    parser.add_argument("--sockets", type=int, default=200, help="websockets at once (200)")
    parser.add_argument("--socket-seconds", type=float, default=15, help="that they talk (15)")
    parser.add_argument(
        "--starts",
        type=float,
        nargs="+",
        default=[2.0, 5.6, 8.0],
        metavar="S",
        help="seconds until applications answer (2 5.6 8)",
    )
    parser.add_argument("--output", type=Path, default=DOCS, help="folder of the page")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run everything and publish the page."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="samepage-benchmark-") as name:
        found = measure(options, Path(name))
    picture(found.ready, found.loads, found.bulk, found.sockets, options.output / "proxy.png")
    page = Page(
        name="proxy",
        title="Applications behind the proxy",
        method=METHOD,
        tables=[
            targets_table(found),
            ready_table(found),
            load_table(found),
            bulk_table(found),
            sockets_table(found),
        ],
        notes=notes(found),
        picture="proxy.png",
    )
    page.publish(options.output)


if __name__ == "__main__":
    main()
