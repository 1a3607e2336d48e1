"""GPUs for the picture, by the stand-in of NVIDIA's library: no machine of ours that makes pictures
has one. Their names say so. What the agent makes of the driver's answers is real."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "tests" / "standins" / "nvml" / "nvml_standin.c"
_GIB = 2**30
_TOTAL = 16 * _GIB
_CARDS = 3


def library(folder: Path) -> Path:
    """The folder of the built stand-in. RuntimeError: there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise RuntimeError("The stand-in library needs a C compiler: apt-get install gcc libc6-dev")
    target = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(target), str(SOURCE)], check=True)
    return folder


def write(file: Path, kernels: Sequence[int], now: float) -> None:
    """What the driver says at epoch seconds `now`: each kernel has memory on one of three GPUs.

    Those of the first two GPUs train in turns, those of the third hold their memory idle.
    """
    lines = ["driver 590.01", f"count {_CARDS}"]
    for card in range(_CARDS):
        mine = [pid for at, pid in enumerate(kernels) if at % _CARDS == card]
        used = [round((0.9 + 0.7 * (at % 3)) * _GIB) for at in range(len(mine))]
        works = [card < 2 and math.sin(now / 9 + 2 * at + card) > -0.4 for at in range(len(mine))]
        loads = [round(30 + 15 * math.sin(now / 5 + at)) if work else 0
                 for at, work in enumerate(works)]  # fmt: skip
        busy = min(100, sum(loads))
        reserved = _GIB // 3
        facts = {
            "uuid": f"GPU-{card:04x}",
            "name": "Stand-in T4",
            "total": _TOTAL,
            "reserved": reserved,
            "used": sum(used),
            "free": _TOTAL - reserved - sum(used),
            "busy": busy,
            "membusy": busy // 3,
            "power": 10_000 + 550 * busy,
            "powerlimit": 70_000,
            "temp": round(38 + 0.3 * busy + card),
            "computemode": 0,
            "mig": "0 0",
            "ecc": 0,
            "procs": len(mine),
            "utils": len(mine),
        }
        for at, pid in enumerate(mine):
            facts[f"proc{at}"] = f"{pid} {used[at]} C"
            facts[f"util{at}"] = f"{pid} {round(now * 1e6)} {loads[at]} {loads[at] // 3}"
        lines += [f"gpu{card}.{name} {value}" for name, value in facts.items()]
    if len(kernels) >= _CARDS:
        # A program of the second GPU read where it had no memory: Xid 31.
        lines += ["events 1", "event0 1 8 31"]
    fresh = file.with_suffix(".new")
    fresh.write_text("\n".join(lines) + "\n")
    fresh.replace(file)
