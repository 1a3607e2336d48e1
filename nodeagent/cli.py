"""`samepage-agent run | reader | status | check | estimate | donors | unmerge | ...`."""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from nodeagent import __version__
from nodeagent.config import MODES, AgentConfig, load, resolve_paths
from nodeagent.donors.command import keep_donors
from nodeagent.errors import AgentError, KsmUnsupportedError
from nodeagent.estimate.command import add_flags as estimate_flags
from nodeagent.estimate.command import run_estimate
from nodeagent.gpu.extender.flags import add_flags as extender_flags
from nodeagent.http.words import lines_of
from nodeagent.log import configure

_EPILOG = """\
Every flag can also be given as a variable: --cpu-budget as NODEAGENT_CPU_BUDGET; the flag wins.

KSM merges equal pages of all processes that opted in, whoever they belong to. Who can guess a page
can find out whether somebody else has it: run the agent where users trust each other.

Exit status: 0 done, 1 failed, 2 bad setting, 3 no agent answers, 4 address in use, 5 second agent,
6 state cannot be kept, 7 kernel without KSM, 8 no permission, 9 another tuner runs, 10 unmerging
would take more memory than there is."""


class _Parser(argparse.ArgumentParser):
    """Takes no flag by its beginning, nor do its commands, which are made of the same class: a flag
    added later must not change what a unit's or a manifest's line means."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="samepage-agent",
        description="Merges equal memory of a node's notebooks, and shows what that saves.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"samepage-agent {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    places = _Parser(add_help=False)
    places.add_argument("--state-dir", metavar="FOLDER", help="of KSM's original values")
    places.add_argument("--lock-file", metavar="FILE", help="one writer of KSM per machine")
    places.add_argument("--sys-root", metavar="FOLDER", help="where sysfs is (/sys)")
    places.add_argument("--proc-root", metavar="FOLDER", help="where the host's procfs is (/proc)")
    listen = _Parser(add_help=False)
    listen.add_argument("--listen", metavar="HOST:PORT", help="address (127.0.0.1:9747)")

    facts = _Parser(add_help=False)
    facts.add_argument("--facts-socket", metavar="FILE", help="between reader and tuner (none)")
    facts.add_argument("--facts-uids", metavar="UIDS", help="believed there besides root (none)")

    run = commands.add_parser("run", parents=[places, listen, facts], help="run until stopped")
    run.add_argument("--node-socket", metavar="FILE", help="totals for every user here (none)")
    run.add_argument(
        "--mode", metavar="|".join(MODES), help="auto: tune where it may, else observe"
    )
    run.add_argument("--merge", metavar="yes|no", help="may kernels here opt in (yes)")
    run.add_argument("--align", metavar="yes|no", help="may kernels here start aligned (yes)")
    run.add_argument("--interval", metavar="S", help="seconds between readings at rest (10)")
    run.add_argument("--cpu-budget", metavar="CORES", help="for ksmd, over a minute (0.1)")
    run.add_argument("--pressure-cpu-budget", metavar="CORES", help="when memory is short (0.25)")
    run.add_argument("--burst-cpu", metavar="CORES", help="for seconds, inside the budget (0.5)")
    run.add_argument("--burst-bytes", metavar="BYTES", help="new memory worth a burst (33554432)")
    run.add_argument("--verify-interval", metavar="S", help="rest between check passes (600)")
    run.add_argument("--history-hours", metavar="H", help="kept for the picture (2)")
    run.add_argument("--allow-host", metavar="NAMES", help="further Host names, with commas")
    run.add_argument("--gpu-timeout", metavar="S", help="for a reading of the GPUs (3)")
    run.add_argument("--gpu-interval", metavar="S", help="between readings of the GPUs (5)")
    run.add_argument("--gpu-data", metavar="FOLDER", help="records and history of GPUs (none)")
    run.add_argument("--gpu-record-bytes", metavar="BYTES", help="of such records (67108864)")
    run.add_argument("--gpu-publish", metavar="none|lease|node", help="facts kept there (none)")
    run.add_argument("--gpu-publish-round", metavar="S", help="at least so often (30)")
    run.add_argument("--gpu-policy", metavar="FILE", help="bounds for sharing GPUs (none)")
    run.add_argument("--gpu-exempt", metavar="PATTERNS", help="never flagged, with commas (none)")
    run.add_argument("--pod-resources", metavar="FILE", help="the kubelet's socket")
    run.add_argument("--node-name", metavar="NAME", help="in the cluster (NODE_NAME)")
    _course_cache_flags(run)
    run.add_argument("--limit-guard", metavar="hold|warn", help="near a memory limit (hold)")
    run.add_argument("--invite-cgroup", metavar="REGEX", help="cgroups that should opt in (any)")
    run.add_argument("--invite-uids", metavar="UIDS", help="users that should opt in (any)")
    run.add_argument("--uninvited", metavar="warn|hold", help="when others opt in (warn)")
    run.add_argument("--donor-command", metavar="COMMAND", help="makes a kernel's memory (none)")
    run.add_argument("--donor-warm", metavar="S", help="until a donor says ready (60)")
    run.add_argument("--token-file", metavar="FILE", help="for numbers per workload over HTTP")
    run.add_argument("--log-format", metavar="text|json", help="of the log on stderr (text)")
    for flag, field, value, text in (
        ("--dry-run", "dry_run", "yes", "decide and log, write nothing to KSM"),
        ("--no-gpu", "gpu", "no", "do not read GPUs"),
        ("--exit-with-parent", "exit_with_parent", "yes", "stop when the starter ends"),
    ):
        run.add_argument(flag, dest=field, action="store_const", const=value, help=text)
    reader = commands.add_parser(
        "reader", parents=[places, facts], help="read processes for a run that may not"
    )
    reader.add_argument("--invite-cgroup", metavar="REGEX", help="cgroups that should opt in (any)")
    reader.add_argument("--invite-uids", metavar="UIDS", help="users that should opt in (any)")
    reader.add_argument("--log-format", metavar="text|json", help="of the log on stderr (text)")
    reader.add_argument(
        "--check", dest="action", action="store_const", const="check", help="does one answer?"
    )
    status = commands.add_parser("status", parents=[places, listen], help="ask a running agent")
    status.add_argument(
        "--quiet", dest="action", action="store_const", const="quiet", help="exit status only"
    )
    commands.add_parser(
        "check", parents=[places, listen, facts], help="what would work here, and what not"
    )
    estimate = commands.add_parser("estimate", help="what would merge, before it is switched on")
    estimate_flags(estimate)
    donors = commands.add_parser("donors", help="keep the processes that own the shared pages")
    donors.add_argument("--count", type=int, default=2, metavar="N", help="how many (2)")
    donors.add_argument("--donor-warm", metavar="S", help="until a donor says ready (60)")
    donors.add_argument("donor", nargs=argparse.REMAINDER, metavar="-- PROGRAM ...")
    commands.add_parser(
        "unmerge", parents=[places, facts], help="take all merging back, if it fits"
    )
    commands.add_parser("restore", parents=[places], help="undo what a killed agent left in KSM")
    cache = commands.add_parser(
        "course-cache", help="the courses kept for all notebooks of this node, once or from cron"
    )
    cache.add_argument("action", choices=("fetch", "status", "prune"))
    _course_cache_flags(cache)
    gpu = commands.add_parser("gpu", help="decisions on sharing GPUs, made again")
    gpu_actions = gpu.add_subparsers(dest="gpu_action", required=True, metavar="ACTION")
    replay = gpu_actions.add_parser("replay", help="make recorded decisions again and compare")
    replay.add_argument("file", metavar="FILE", help="JSON lines; - is standard input")
    replay.add_argument("--json", action="store_true", help="each decision as a line of JSON")
    replay.add_argument("--explain", action="store_true", help="with every GPU not taken")
    replay.add_argument(
        "--ask", metavar="JSON", help="this request of every recorded snapshot instead"
    )
    replay.add_argument("--gpu-policy", metavar="FILE", help="bounds for what --ask asks (none)")
    top = gpu_actions.add_parser("top", parents=[places, listen], help="this node's GPUs, live")
    top.add_argument("--once", action="store_true", help="once, not live")
    top.add_argument("--json", action="store_true", help="everything once, as JSON")
    top.add_argument("--seconds", type=float, default=2.0, metavar="S", help="between looks (2)")
    top.add_argument("--token-file", metavar="FILE", help="ask over --listen with this token")
    advise = gpu_actions.add_parser(
        "advise", help="what the NVIDIA device plugin should be told, and why; sets nothing"
    )
    advise.add_argument("--gpu-data", metavar="FOLDER", help="of the agent's measurements")
    advise.add_argument("--gpu-policy", metavar="FILE", help="bounds for sharing GPUs (none)")
    advise.add_argument("--node-name", metavar="NAME", help="in the cluster (NODE_NAME)")
    advise.add_argument("--json", action="store_true", help="as JSON")
    pause = gpu_actions.add_parser(
        "pause", parents=[places], help="let go of the driver, to reset a GPU or change MIG"
    )
    pause.add_argument("--seconds", type=float, default=300.0, metavar="S", help="0 ends it (300)")
    snooze = gpu_actions.add_parser(
        "snooze", parents=[places], help="leave an owner unflagged for a while"
    )
    snooze.add_argument("owner", metavar="OWNER", help="as gpu top shows it")
    snooze.add_argument("--hours", type=float, default=24.0, metavar="H", help="0 ends it (24)")
    snooze.add_argument("--by", default=os.environ.get("USER", "root"), help="whose word it is")
    extender_flags(gpu_actions.add_parser("extender", help="rank nodes for kube-scheduler"))
    return parser


def _course_cache_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--course-cache", metavar="FOLDER", help="of the courses kept here (none)")
    parser.add_argument("--course-cache-urls", metavar="URLS", help="courses, with commas")
    parser.add_argument("--course-cache-list", metavar="FILE", help="manifest, or a URL per line")
    parser.add_argument("--course-cache-credentials", metavar="FILE", help="of private courses")
    parser.add_argument("--course-cache-interval", metavar="S", help="between questions (120)")
    parser.add_argument("--course-cache-retention", metavar="DAYS", help="of dropped versions (30)")


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns the exit status."""
    parent = os.getppid()
    flags = vars(_parser().parse_args(arguments))
    command, action = str(flags.pop("command")), str(flags.pop("action", None) or "")
    try:
        if command == "estimate":
            return run_estimate(flags)
        if command == "gpu":
            return _gpu(flags)
        count, donor = int(flags.pop("count", 2)), flags.pop("donor", [])
        config = load(os.environ, flags)
        if command == "donors":
            return keep_donors(config, donor, count, os.environ)
        if command == "course-cache":
            return _course_cache(action, config, os.environ)
        if command == "reader":
            return _reader(action, config)
        if command == "status":
            return _status(config, os.environ, quiet=action == "quiet")
        return _COMMANDS[command](config, os.environ, parent)
    except AgentError as err:
        text = f"samepage-agent {command}: {err.message}. {err.fix} [{err.code}]"
        print(lines_of(text), file=sys.stderr)
        return err.exit_code
    except KeyboardInterrupt:
        return 130


def _run(config: AgentConfig, env: Mapping[str, str], parent: int) -> int:
    from nodeagent.run import run

    configure(config.log_format)
    return run(config, env, parent=parent)


def _reader(action: str, config: AgentConfig) -> int:
    from nodeagent.reader.serve import check_reader, run_reader

    if action == "check":
        return check_reader(config)
    configure(config.log_format)
    return run_reader(config)


def _status(config: AgentConfig, env: Mapping[str, str], *, quiet: bool) -> int:
    from nodeagent.status import ask, ask_workloads, summary, workload_lines

    node = ask(config.listen)
    if quiet:
        return 0
    print(lines_of(summary(node, time.time())))
    workloads = ask_workloads(resolve_paths(config, env)[0])
    if workloads is not None:
        print(lines_of(workload_lines(workloads)))
    return 0


def _check(config: AgentConfig, env: Mapping[str, str], parent: int) -> int:
    from nodeagent.preflight import findings

    found = findings(config, *resolve_paths(config, env))
    for finding in found:
        print(lines_of(f"{finding.verdict:<5}{finding.topic}: {finding.text}"))
        if finding.fix is not None:
            print(lines_of(f"     -> {finding.fix}"))
    return 1 if any(finding.verdict == "fail" for finding in found) else 0


def _course_cache(action: str, config: AgentConfig, env: Mapping[str, str]) -> int:
    from nodeagent.coursecache.command import run_command

    configure(config.log_format)
    return run_command(action, config, env)


def _gpu(flags: Mapping[str, object]) -> int:
    if flags["gpu_action"] == "extender":
        from nodeagent.gpu.extender.command import run_extender

        return run_extender(flags, os.environ)
    from nodeagent.gpu.operator import run_action

    return run_action(dict(flags), os.environ)


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


def _unmerge(config: AgentConfig, env: Mapping[str, str], parent: int) -> int:
    from nodeagent.http.words import bytes_text
    from nodeagent.ksm.lock import KsmLock
    from nodeagent.ksm.sources import facts_of
    from nodeagent.ksm.sysfs import KsmDir
    from nodeagent.ksm.unmerge import unmerge

    ksm = KsmDir(config.sys_root)
    # The lock: a running agent would merge everything again.
    with KsmLock(resolve_paths(config, env)[1]):
        done = unmerge(ksm, facts_of(config, ksm).read())
    print(f"Every process has pages of its own again: {bytes_text(done.saved_bytes)} came back.")
    return 0


_COMMANDS = {
    "run": _run,
    "check": _check,
    "restore": _restore,
    "unmerge": _unmerge,
}
