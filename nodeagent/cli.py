"""`samepage-agent run | status | check | restore`."""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence

from nodeagent import __version__
from nodeagent.config import MODES, AgentConfig, load, resolve_paths
from nodeagent.errors import AgentError, KsmUnsupportedError
from nodeagent.log import configure

_EPILOG = """\
Every flag can also be given as a variable: --cpu-budget as NODEAGENT_CPU_BUDGET; the flag wins.

KSM merges equal pages of all processes that opted in, whoever they belong to. Who can guess a page
can find out whether somebody else has it: run the agent where users trust each other.

Exit status: 0 done, 1 failed, 2 bad setting, 3 no agent answers, 4 address in use, 5 second agent,
6 state cannot be kept, 7 kernel without KSM, 8 no permission, 9 another tuner runs."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samepage-agent",
        description="Merges equal memory of a node's notebooks, and shows what that saves.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"samepage-agent {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    places = argparse.ArgumentParser(add_help=False)
    places.add_argument("--state-dir", metavar="FOLDER", help="of KSM's original values")
    places.add_argument("--lock-file", metavar="FILE", help="one writer of KSM per machine")
    places.add_argument("--sys-root", metavar="FOLDER", help="where sysfs is (/sys)")
    places.add_argument("--proc-root", metavar="FOLDER", help="where the host's procfs is (/proc)")
    listen = argparse.ArgumentParser(add_help=False)
    listen.add_argument("--listen", metavar="HOST:PORT", help="address (127.0.0.1:9747)")

    run = commands.add_parser("run", parents=[places, listen], help="run until stopped")
    run.add_argument(
        "--mode", metavar="|".join(MODES), help="auto: tune where it may, else observe"
    )
    run.add_argument("--interval", metavar="S", help="seconds between readings at rest (10)")
    run.add_argument("--cpu-budget", metavar="CORES", help="for ksmd, over a minute (0.1)")
    run.add_argument("--pressure-cpu-budget", metavar="CORES", help="when memory is short (0.25)")
    run.add_argument("--burst-cpu", metavar="CORES", help="for seconds, inside the budget (0.5)")
    run.add_argument("--burst-bytes", metavar="BYTES", help="new memory worth a burst (33554432)")
    run.add_argument("--verify-interval", metavar="S", help="rest between check passes (600)")
    run.add_argument("--history-hours", metavar="H", help="kept for the picture (2)")
    run.add_argument("--allow-host", metavar="NAMES", help="further Host names, with commas")
    run.add_argument("--gpu-timeout", metavar="S", help="for a reading of the GPUs (3)")
    run.add_argument("--log-format", metavar="text|json", help="of the log on stderr (text)")
    for flag, field, value, text in (
        ("--dry-run", "dry_run", "yes", "decide and log, write nothing to KSM"),
        ("--no-gpu", "gpu", "no", "do not read GPUs"),
        ("--exit-with-parent", "exit_with_parent", "yes", "stop when the starter ends"),
    ):
        run.add_argument(flag, dest=field, action="store_const", const=value, help=text)
    commands.add_parser("status", parents=[listen], help="ask a running agent")
    commands.add_parser(
        "check", parents=[places, listen], help="what would work here, and what not"
    )
    commands.add_parser("restore", parents=[places], help="undo what a killed agent left in KSM")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns the exit status."""
    parent = os.getppid()
    flags = vars(_parser().parse_args(arguments))
    command = str(flags.pop("command"))
    try:
        config = load(os.environ, flags)
        return _COMMANDS[command](config, os.environ, parent)
    except AgentError as err:
        print(f"samepage-agent {command}: {err.message}. {err.fix} [{err.code}]", file=sys.stderr)
        return err.exit_code
    except KeyboardInterrupt:
        return 130


def _run(config: AgentConfig, env: Mapping[str, str], parent: int) -> int:
    from nodeagent.run import run

    configure(config.log_format)
    return run(config, env, parent=parent)


def _status(config: AgentConfig, env: Mapping[str, str], parent: int) -> int:
    from nodeagent.status import ask, summary

    print(summary(ask(config.listen), time.time()))
    return 0


def _check(config: AgentConfig, env: Mapping[str, str], parent: int) -> int:
    from nodeagent.preflight import findings

    found = findings(config, *resolve_paths(config, env))
    for finding in found:
        print(f"{finding.verdict:<5}{finding.topic}: {finding.text}")
        if finding.fix is not None:
            print(f"     -> {finding.fix}")
    return 1 if any(finding.verdict == "fail" for finding in found) else 0


def _restore(config: AgentConfig, env: Mapping[str, str], parent: int) -> int:
    from nodeagent.host import read_boot_id
    from nodeagent.ksm.lock import KsmLock
    from nodeagent.ksm.state import StateFile, restore
    from nodeagent.ksm.sysfs import KsmDir

    state_dir, lock_file = resolve_paths(config, env)
    ksm = KsmDir(config.sys_root)
    if not ksm.supported:
        raise KsmUnsupportedError(
            f"This kernel has no KSM: {ksm.path} does not exist", fix="There is nothing to restore."
        )
    state = StateFile(state_dir, boot_id=read_boot_id(config.proc_root), sys_root=config.sys_root)
    with KsmLock(lock_file):
        originals = state.load()
        if originals is None:
            print(f"Nothing to restore: {state.path} holds nothing of this boot.")
            return 0
        written, failed = restore(ksm, originals)
        if failed:
            raise failed[0]
        state.delete()
    print(f"KSM is as before the agent ({', '.join(written) or 'nothing had to change'}).")
    return 0


_COMMANDS = {"run": _run, "status": _status, "check": _check, "restore": _restore}
