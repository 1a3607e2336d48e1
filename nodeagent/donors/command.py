"""`samepage-agent donors`: keeps donors running, such as in a sidecar with the students' image."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence

from nodeagent.config import Address, AgentConfig
from nodeagent.donors.follow import asking, follow
from nodeagent.donors.keep import DonorKeeper, DonorPlan
from nodeagent.errors import ConfigError
from nodeagent.log import configure


def keep_donors(
    config: AgentConfig, arguments: Sequence[str], count: int, env: Mapping[str, str]
) -> int:
    """Blocks until SIGTERM or SIGINT; 0. `arguments`: the program, after a `--`."""
    command = tuple(arguments[1:] if arguments[:1] == ["--"] else arguments) or config.donor_command
    if not command:
        raise ConfigError(
            "No program for the donors was given",
            fix="samepage-agent donors -- python3 ..., or NODEAGENT_DONOR_COMMAND.",
        )
    if not 1 <= count <= 8:
        raise ConfigError(f"--count is {count}", fix="Give 2; more than 8 is of no use.")
    configure(config.log_format)
    # Settings of the agent are no part of a student's environment.
    own = {name: value for name, value in env.items() if not name.startswith("NODEAGENT_")}
    plan = DonorPlan(command=command, env=own, count=count, warm_seconds=config.donor_warm)
    asyncio.run(_keep(plan, config.listen))
    return os.EX_OK


async def _keep(plan: DonorPlan, listen: Address) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    keeper = DonorKeeper(plan)
    await asyncio.gather(keeper.run(stop), follow(asking(listen), keeper, stop))
