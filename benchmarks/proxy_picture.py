"""The picture of `benchmarks.proxy`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from .proxy_bulk import DIRECTIONS, Direction, Transfers
from .proxy_load import Load
from .proxy_ready import ROUTES, Case, Delays
from .proxy_sockets import Sockets
from .spread import percentile, spread

_COLOURS = {
    "direct": "0.75",
    "relay": "tab:cyan",
    "splice": "tab:blue",
    "stock": "tab:gray",
    "ours": "tab:orange",
}
_ROUTE_COLOURS = ("tab:gray", "tab:orange", "peru")


def picture(
    ready: Mapping[Case, Delays],
    loads: Mapping[tuple[int, str], Load],
    bulk: Mapping[tuple[Direction, str], Transfers],
    sockets: Sequence[Sockets],
    file: Path,
) -> None:
    """Four panels: starts, small requests, large bodies, websockets."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(13, 8))
    _bars(
        axes[0][0],
        [f"{case.kind}\nafter {case.seconds:g} s" for case in ready],
        {
            route: [spread(every.by_route[number]).median for every in ready.values()]
            for number, route in enumerate(ROUTES)
        },
        dict(zip(ROUTES, _ROUTE_COLOURS, strict=True)),
    )
    axes[0][0].set_ylabel("delay after the first answer, s")
    counts = sorted({load.clients for load in loads.values()})
    _bars(
        axes[0][1],
        [f"{count} at once" for count in counts],
        {
            way: [spread(loads[count, way].rates()).median for count in counts]
            for way in ("stock", "ours")
        },
        _COLOURS,
    )
    axes[0][1].set_ylabel("small requests/s")
    _bars(
        axes[1][0],
        list(DIRECTIONS),
        {
            way: [spread(bulk[direction, way].rates()).median for direction in DIRECTIONS]
            for way in ("direct", "relay", "splice", "ours")
        },
        _COLOURS,
    )
    axes[1][0].set_ylabel("large bodies, MB/s")
    shares = [number / 200 for number in range(1, 200)]
    for each in sockets:
        values = [1000 * percentile(each.latencies, share) for share in shares]
        axes[1][1].plot(values, shares, color=_COLOURS[each.way], label=each.way, linewidth=2)
    axes[1][1].set_xscale("log")
    axes[1][1].set_xlabel(f"echo on {sockets[0].opened} websockets, ms")
    axes[1][1].set_ylabel("share of messages")
    axes[1][1].legend(loc="lower right")
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _bars(
    axis: Any,
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    colours: Mapping[str, str],
) -> None:
    width = 0.8 / len(series)
    for number, (label, values) in enumerate(series.items()):
        places = [at + (number - (len(series) - 1) / 2) * width for at in range(len(groups))]
        drawn = axis.bar(places, values, width, label=label, color=colours[label])
        axis.bar_label(
            drawn,
            fmt=lambda value: f"{value:.2f}" if value < 20 else f"{value:.0f}",
            fontsize="x-small",
        )
    axis.set_xticks(range(len(groups)), groups, fontsize="small")
    axis.margins(y=0.35)
    axis.legend(loc="upper right", fontsize="small")
