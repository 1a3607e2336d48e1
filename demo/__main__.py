"""`python -m demo`: run the demo, or publish a change to its course."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from demo import dataset, run
from demo.lab import CHECKOUT


def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="Run git server, node agent and JupyterLab with a course, all on loopback.",
    )
    parser.add_argument("action", nargs="?", choices=("run", "publish-update"), default="run")
    parser.add_argument(
        "--state",
        type=Path,
        default=CHECKOUT / ".demo",
        help="folder of everything the demo writes (default: .demo in the checkout)",
    )
    parser.add_argument(
        "--port", type=_port, default=None, help="JupyterLab's port (default: 8888, or a free one)"
    )
    agent = parser.add_mutually_exclusive_group()
    agent.add_argument("--no-agent", action="store_true", help="do without the node agent")
    agent.add_argument(
        "--agent-mode",
        choices=("auto", "tune", "observe", "off"),
        default="auto",
        help="what the agent does with KSM (default auto: tune as root, else observe)",
    )
    parser.add_argument(
        "--stations",
        type=int,
        choices=range(1, dataset.STATIONS + 1),
        metavar=f"1..{dataset.STATIONS}",
        default=dataset.STATIONS,
        help="size of the course's data; fewer for a quick look (default: all)",
    )
    options = parser.parse_args(arguments)
    if options.action == "publish-update":
        return run.publish(options.state)
    return run.run(
        run.Options(
            state=options.state,
            port=options.port,
            agent_mode=None if options.no_agent else options.agent_mode,
            stations=options.stations,
        )
    )


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise ValueError(text)
    return port


if __name__ == "__main__":
    sys.exit(main())
