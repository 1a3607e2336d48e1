"""What the agent can do on this machine: for `check`, and for the choice of the mode."""

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nodeagent.config import Address, AgentConfig, Mode
from nodeagent.errors import AgentError, ConfigError, KsmPermissionError, Problem
from nodeagent.gpu.reader import LIBRARY, library_loads
from nodeagent.host import find_process, read_memory
from nodeagent.http.app import bind
from nodeagent.kernels.count import KernelCount, sentence
from nodeagent.kernels.donate import FIX, donor_sentence
from nodeagent.ksm.decide import HOLD_AT
from nodeagent.ksm.lock import KsmLock
from nodeagent.ksm.sources import facts_of
from nodeagent.ksm.sysfs import ADVISOR, KsmDir

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of `check`."""

    verdict: Verdict
    topic: str
    text: str
    fix: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModeChoice:
    """The mode to run in, why, and what keeps the agent from more (None: nothing)."""

    mode: Mode
    why: str
    problem: Problem | None = None


def folder_problem(folder: Path) -> str | None:
    """Why files cannot be made in `folder` (which may not exist yet); None: they can."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return f"{place} is not a folder"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"{place} is not writable for this user"
    return None


def choose_mode(config: AgentConfig, ksm: KsmDir, lock: KsmLock, state_dir: Path) -> ModeChoice:
    """Settles `auto` and takes the lock when the answer is tune.

    Asked for tune outright, whatever forbids it is raised: KsmPermissionError, LockHeldError,
    StateError. With auto it becomes observe, with the reason shown.
    """
    if config.mode == "off":
        return ModeChoice(mode="off", why="switched off by --mode off")
    if config.mode == "observe":
        return ModeChoice(mode="observe", why="the agent was started to observe")
    if not config.merge:
        return ModeChoice(mode="observe", why="merging is switched off for this node (--merge no)")
    if not ksm.supported:
        return ModeChoice(mode="observe", why="this kernel has no KSM")
    try:
        _may_tune(config, ksm, state_dir)
        lock.acquire()
    except AgentError as err:
        if config.mode == "tune":
            raise
        return ModeChoice(
            mode="observe", why=f"the agent may not steer it: {err}", problem=err.problem
        )
    return ModeChoice(mode="tune", why="the agent may write KSM's settings")


def _may_tune(config: AgentConfig, ksm: KsmDir, state_dir: Path) -> None:
    if not ksm.writable and not config.dry_run:
        raise KsmPermissionError(
            f"{ksm.path / 'run'} is not writable for user {os.geteuid()} "
            f"({ksm.not_writable_because})",
            fix="Run the agent as root with the host's /sys mounted read-write.",
        )
    if find_process(config.proc_root, "ksmtuned") is not None:
        raise OtherTunerError(
            "ksmtuned runs on this machine and steers KSM",
            fix="Stop it (systemctl disable --now ksmtuned), then start the agent again.",
        )
    reason = folder_problem(state_dir)
    if reason is not None:
        raise StateDirError(
            f"Cannot keep KSM's original values in {state_dir}: {reason}",
            fix="Give a writable folder with --state-dir.",
        )


class OtherTunerError(AgentError):
    """Another program steers KSM."""

    code = "other-tuner"
    exit_code = 9


class StateDirError(AgentError):
    """The state folder cannot be used."""

    code = "state-dir"
    exit_code = 6


def findings(config: AgentConfig, state_dir: Path, lock_file: Path) -> list[Finding]:
    """All lines of `check`; changes nothing."""
    ksm = KsmDir(config.sys_root)
    found = [_memory(config)]
    if not ksm.supported:
        found.append(
            Finding(
                verdict="warn",
                topic="kernel",
                text=f"no KSM: {ksm.path} does not exist",
                fix="memory and GPUs are reported all the same; for merging use a kernel with "
                "CONFIG_KSM",
            )
        )
    else:
        found += [_kernel(ksm), _permission(ksm), _tuner(config, ksm), _lock(lock_file)]
        found += _opted_in(config, ksm)
        if (numa := _numa(config, ksm)) is not None:
            found.append(numa)
    found += [_state(state_dir), _port(config.listen), _gpu(config)]
    return found


def _memory(config: AgentConfig) -> Finding:
    try:
        total = read_memory(config.proc_root).total_bytes
    except AgentError as err:
        return Finding(verdict="fail", topic="memory", text=err.message, fix=err.fix)
    return Finding(verdict="ok", topic="memory", text=f"{total / 2**30:.1f} GiB")


def _kernel(ksm: KsmDir) -> Finding:
    missing = [
        name for name in ("smart_scan", "general_profit", "pages_scanned") if ksm.read(name) is None
    ]
    text = f"KSM in Linux {os.uname().release}"
    if ksm.read("general_profit") is None:
        # This file and prctl(PR_SET_MEMORY_MERGE) came with the same release.
        return Finding(
            verdict="warn",
            topic="kernel",
            text=f"{text}, as before 6.4: notebook kernels cannot opt in",
            fix="use Linux 6.4 or later, better 6.14, for the nodes of a class",
        )
    if missing:
        return Finding(
            verdict="warn",
            topic="kernel",
            text=f"{text}, without {', '.join(missing)}",
            fix="works; Linux 6.14 or later shows more and merges better",
        )
    return Finding(verdict="ok", topic="kernel", text=text)


def _permission(ksm: KsmDir) -> Finding:
    if ksm.writable:
        return Finding(verdict="ok", topic="permission", text=f"{ksm.path} is writable")
    return Finding(
        verdict="warn",
        topic="permission",
        text=f"{ksm.path} is not writable ({ksm.not_writable_because}): the agent only observes",
        fix="run it as root, with the host's /sys mounted read-write",
    )


def _tuner(config: AgentConfig, ksm: KsmDir) -> Finding:
    if find_process(config.proc_root, "ksmtuned") is not None:
        return Finding(
            verdict="warn",
            topic="other tuner",
            text="ksmtuned runs: the agent will only observe",
            fix="systemctl disable --now ksmtuned",
        )
    word = ksm.read_word(ADVISOR)
    if word not in (None, "none"):
        return Finding(
            verdict="warn",
            topic="other tuner",
            text=f"the kernel's own tuner is on ({ADVISOR} is {word})",
            fix="the agent turns it off while it runs, and on again when it stops",
        )
    return Finding(verdict="ok", topic="other tuner", text="none")


def _lock(lock_file: Path) -> Finding:
    if KsmLock(lock_file).held_elsewhere():
        return Finding(
            verdict="warn",
            topic="lock",
            text=f"another agent holds {lock_file}",
            fix="one agent per machine is enough: samepage-agent status",
        )
    return Finding(verdict="ok", topic="lock", text=f"{lock_file} is free")


def _opted_in(config: AgentConfig, ksm: KsmDir) -> list[Finding]:
    """Donors, uninvited processes and memory limits, as they are now."""
    try:
        sample = facts_of(config, ksm).read()
    except AgentError as err:
        return [Finding(verdict="warn", topic="opted in", text=err.message, fix=err.fix)]
    if (away := sample.blind) is not None:
        return [Finding(verdict="warn", topic="opted in", text=away.message, fix=away.fix)]
    seen = sample.opted_in
    if seen.processes is None:
        return [
            Finding(
                verdict="warn",
                topic="opted in",
                text="not visible to this user",
                fix="run it as root, with the host's /proc (hostPID)",
            )
        ]
    text = f"{seen.processes} processes with {(seen.candidate_bytes or 0) / 2**20:,.0f} MiB"
    found = [Finding(verdict="ok", topic="opted in", text=text)]
    if sample.uninvited:
        found.append(
            Finding(
                verdict="warn",
                topic="uninvited",
                text=f"{sample.uninvited} processes opted in that were not expected",
                fix="see them with samepage-agent status as root; --uninvited hold stops ksmd",
            )
        )
    for charge in sample.charges:
        if charge.worst_ratio > HOLD_AT:
            found.append(
                Finding(
                    verdict="warn",
                    topic="memory limit",
                    text=f"{charge.path} is charged {charge.working_bytes / 2**20:,.0f} of "
                    f"{charge.limit_bytes / 2**20:,.0f} MiB, {charge.worst_bytes / 2**20:,.0f} if "
                    "it writes to all it merged",
                    fix=f"a limit of {charge.safe_limit_bytes / 2**20:,.0f} MiB is safe; donors "
                    "(--donor-command) keep shared pages out of its account",
                )
            )
    found += _kernels(sample.kernels)
    limits = len(sample.charges)
    near = sum(charge.worst_ratio > HOLD_AT for charge in sample.charges)
    if limits and not near:
        text = f"{limits} with merged memory, none close"
        found.append(Finding(verdict="ok", topic="memory limits", text=text))
    return found


def _kernels(seen: KernelCount | None) -> list[Finding]:
    """How the kernels of each image started."""
    return [
        Finding(
            verdict="warn" if image.drifted or image.refused or image.unsuited else "ok",
            topic="kernels",
            text=sentence(image),
            fix="what drifted shares little; docs/kernels.md says what the causes mean"
            if image.drifted
            else None,
        )
        for image in (seen.images if seen is not None else ())
    ] + [
        Finding(
            verdict="warn" if donor.state in ("drifted", "stock") else "ok",
            topic="donors",
            text=donor_sentence(donor),
            fix=FIX if donor.state in ("drifted", "stock") else None,
        )
        for donor in (seen.donors if seen is not None else ())
    ]


def _numa(config: AgentConfig, ksm: KsmDir) -> Finding | None:
    """None on a machine of one node."""
    nodes = list((config.sys_root / "devices/system/node").glob("node[0-9]*"))
    across = ksm.read("merge_across_nodes")
    if len(nodes) < 2 or across is None:
        return None
    if across == 1:
        return Finding(
            verdict="ok",
            topic="NUMA",
            text=f"{len(nodes)} nodes, merged across: most is saved, some reads are farther",
        )
    return Finding(
        verdict="warn",
        topic="NUMA",
        text=f"{len(nodes)} nodes, merged within each: about {len(nodes)} copies are kept",
        fix="write 1 to merge_across_nodes before anything is merged to save more",
    )


def _state(state_dir: Path) -> Finding:
    reason = folder_problem(state_dir)
    if reason is not None:
        return Finding(
            verdict="fail",
            topic="state folder",
            text=f"{state_dir}: {reason}",
            fix="give a writable one with --state-dir",
        )
    if (state_dir / "ksm-state.json").exists():
        return Finding(
            verdict="warn",
            topic="state folder",
            text=f"{state_dir} holds the values of an agent that runs or was killed",
            fix="if none runs: samepage-agent restore",
        )
    return Finding(verdict="ok", topic="state folder", text=str(state_dir))


def _port(listen: Address) -> Finding:
    try:
        sockets = bind(listen)
    except (AgentError, ConfigError) as err:
        return Finding(verdict="fail", topic="address", text=err.message, fix=err.fix)
    for opened in sockets:
        with contextlib.suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)
        opened.close()
    return Finding(verdict="ok", topic="address", text=f"{listen} is free")


def _gpu(config: AgentConfig) -> Finding:
    if not config.gpu:
        return Finding(verdict="ok", topic="GPUs", text="switched off")
    if not library_loads():
        return Finding(
            verdict="ok", topic="GPUs", text=f"no NVIDIA driver ({LIBRARY} is not there)"
        )
    return Finding(verdict="ok", topic="GPUs", text="NVIDIA's library is there")
