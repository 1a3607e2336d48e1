"""How soon a notebook can work: stock kernels, aligned ones, and one forked from a template.

python -m benchmarks.kernel_start [--rounds 8]
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from traitlets.config import Config

from labext.kernels.ledger import ledger
from labext.kernels.provisioner import SamepageProvisioner
from labext.kernels.recipe import DEFAULT_MODULES
from labext.kernels.spare import keeper
from labext.kernels.spare_policy import Surroundings

from .page import Page, Table
from .readings import cpu_seconds
from .spread import paired_differences, spread

HANDOVER_TARGET = 0.2
STOCK, ALIGNED, FORKED = "stock", "aligned, for itself", "aligned, forked"
WAYS = (STOCK, ALIGNED, FORKED)
_READY_SECONDS = 120.0
_QUIET_SECONDS = 0.5
_IMPORTS = "import " + ", ".join(DEFAULT_MODULES)

METHOD = f"""
Kernels are started as a Jupyter server starts them: by jupyter_client's AsyncKernelManager on a
running event loop, each with a connection file of its own. *answers* is the time from the call of
`start_kernel` to the kernel's reply to `kernel_info_request`; *imported*, to the reply to a first
cell that imports the course's modules (`{_IMPORTS}`). *stock* is jupyter_client's own local
provisioner. *{ALIGNED}* has to do the whole start while the student waits; *{FORKED}* is
forked from the template that the server keeps. *loop busy* is the longest time for which the
server's event loop could do nothing else meanwhile.

CPU seconds are those of the kernel's process until the cell's reply, with what it started. In
brackets those of the template, which is made once for all kernels of a server: nobody waits.

One run, the three ways interleaved after one uncounted round, their order turned in every round.
Before each start the machine was left alone for half a second. Shown are medians with their
quartiles; differences are of the same round.
"""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Seconds since `start_kernel` was called, and CPU seconds of the kernel."""

    launched: float
    answers: float
    imported: float
    cpu: float
    cpu_before: float
    loop_busy: float


def _surroundings() -> Surroundings:
    return Surroundings(
        wanted=True, limit_bytes=None, used_bytes=None, available_bytes=None, node_merges=True
    )


def _spec(way: str) -> KernelSpec:
    name = "local-provisioner" if way == STOCK else "samepage-provisioner"
    return KernelSpec(
        argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        display_name="Python",
        language="python",
        metadata={"kernel_provisioner": {"provisioner_name": name}},
    )


def _config(way: str) -> Config:
    if way == STOCK:
        return Config()
    return Config({"SamepageProvisioner": {"aligned": True, "spare": way == FORKED}})


async def _template_ready() -> float:
    """Prepare one and wait for it; the CPU seconds it took."""
    keeper.open(_surroundings)
    provisioner = SamepageProvisioner(
        kernel_id="template", kernel_spec=_spec(FORKED), config=_config(FORKED)
    )
    problem = provisioner.prepare_spare(os.environ, delay=0)
    if problem is not None:
        raise RuntimeError(f"There is no template: {problem}")
    deadline = time.monotonic() + _READY_SECONDS
    while not keeper.ready:
        if time.monotonic() > deadline:
            raise RuntimeError(f"There is no template: {keeper.why}")
        await asyncio.sleep(0.05)
    return sum(cpu_seconds(template.process.pid) or 0.0 for template in keeper._templates)


class _Pulse:
    """The longest pause of the event loop."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._task = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.002)
            self.longest = max(self.longest, time.monotonic() - before - 0.002)

    async def stop(self) -> float:
        """The longest so far, in seconds."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        return self.longest


async def one_start(way: str, home: Path) -> Start:
    """Start, import, end."""
    cpu_before = await _template_ready() if way == FORKED else 0.0
    home.mkdir()
    environment = {**os.environ, "HOME": str(home)}
    manager = AsyncKernelManager(kernel_name="python3", config=_config(way))
    manager._kernel_spec = _spec(way)
    await asyncio.sleep(_QUIET_SECONDS)
    pulse = _Pulse()
    await asyncio.sleep(0)
    began = time.monotonic()
    await manager.start_kernel(env=environment, cwd=str(home))
    launched = time.monotonic() - began
    client: Any = manager.client()
    assert isinstance(client, AsyncKernelClient)
    try:
        client.start_channels()
        client.kernel_info()
        await _reply(client, "kernel_info_reply")
        answers = time.monotonic() - began
        client.execute(_IMPORTS, silent=False)
        reply = await _reply(client, "execute_reply")
        imported = time.monotonic() - began
        loop_busy = await pulse.stop()
        if reply["content"]["status"] != "ok":
            raise RuntimeError(f"The cell failed: {reply['content']}")
        pid = int(getattr(manager.provisioner, "pid"))  # noqa: B009  # of local ones
        cpu = cpu_seconds(pid)
        assert cpu is not None
        _check(way, pid)
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
        keeper.close()
    return Start(
        launched=launched,
        answers=answers,
        imported=imported,
        cpu=cpu,
        cpu_before=cpu_before,
        loop_busy=loop_busy,
    )


def _check(way: str, pid: int) -> None:
    """The start was what it is counted as."""
    if way == STOCK:
        return
    record = next(each for each in ledger.records.values() if each.pid == pid)
    found = record.alignment
    if found is None or found.state != "aligned" or found.spare is not (way == FORKED):
        raise RuntimeError(f"This was not {way}: {found}")


async def _reply(client: Any, kind: str) -> dict[str, Any]:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        left = deadline - time.monotonic()
        message: dict[str, Any] = await client.get_shell_msg(timeout=max(left, 0.01))
        if message["header"]["msg_type"] == kind:
            return message


async def interleaved(folder: Path, rounds: int) -> dict[str, list[Start]]:
    """All ways in each round, after one that does not count."""
    found: dict[str, list[Start]] = {way: [] for way in WAYS}
    for number in range(rounds + 1):
        for way in WAYS if number % 2 else reversed(WAYS):
            start = await one_start(way, folder / f"{number}-{WAYS.index(way)}")
            print(
                f"round {number} {way}: answers {start.answers:.3f} s, "
                f"imported {start.imported:.3f} s, CPU {start.cpu:.2f} s",
                flush=True,
            )
            if number > 0:
                found[way].append(start)
    return found


def start_table(found: dict[str, list[Start]]) -> Table:
    """One row per way."""
    rows = []
    for way, starts in found.items():
        cpu = spread([each.cpu for each in starts]).text()
        if way == FORKED:
            cpu += f" [{spread([each.cpu_before for each in starts]).text()}]"
        rows.append(
            [
                way,
                *(
                    spread([getattr(each, name) for each in starts]).text(3)
                    for name in ("launched", "answers", "imported")
                ),
                cpu,
                f"{1000 * spread([each.loop_busy for each in starts]).median:.0f}",
            ]
        )
    columns = ("", "launched, s", "answers, s", "imported, s", "CPU, s", "loop busy, ms")
    return Table(title=f"Start of a kernel, {len(found[STOCK])} rounds", columns=columns, rows=rows)


def target_table(found: dict[str, list[Start]]) -> Table:
    """What was asked for."""
    stock = [each.imported for each in found[STOCK]]
    rows = []
    for way in (ALIGNED, FORKED):
        later = spread(paired_differences(stock, [each.imported for each in found[way]]))
        rows.append(
            [
                f"{way}: imported, against stock of the same round",
                f"{later.text(3)} s",
                "no later",
                _verdict(later.median <= 0),
            ]
        )
    handed = spread([each.answers for each in found[FORKED]])
    rows.append(
        [
            f"{FORKED}: answers",
            f"{handed.text(3)} s",
            f"below {HANDOVER_TARGET} s",
            _verdict(handed.median < HANDOVER_TARGET),
        ]
    )
    return Table(title="Targets", columns=("", "measured", "target", ""), rows=rows)


def _verdict(met: bool) -> str:
    return "met" if met else "**missed**"


def notes(found: dict[str, list[Start]]) -> Sequence[str]:
    """What else to know."""
    worst = max(each.answers for each in found[FORKED])
    return [f"The slowest of {len(found[FORKED])} forked kernels answered after {worst:.3f} s."]


def main() -> None:
    """Run everything and publish the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="that count (default 8)")
    parser.add_argument("--no-page", action="store_true", help="print the tables only")
    options = parser.parse_args()
    psutil.cpu_percent()
    with tempfile.TemporaryDirectory(prefix="samepage-benchmark-") as name:
        os.environ["JUPYTER_RUNTIME_DIR"] = str(Path(name) / "runtime")
        Path(name, "runtime").mkdir()
        found = asyncio.run(interleaved(Path(name), options.rounds))
    busy = psutil.cpu_percent()
    page = Page(
        name="kernel_start",
        title="How soon a kernel is ready",
        method=METHOD,
        tables=[start_table(found), target_table(found)],
        notes=[*notes(found), f"All processors were busy for {busy:.0f} % of the run."],
    )
    if options.no_page:
        for table in page.tables:
            print(table.markdown())
        print("\n".join(page.notes))
        return
    page.publish()


if __name__ == "__main__":
    main()
