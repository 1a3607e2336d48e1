"""Whether other users can reach this loopback interface, and so whether a gate is wanted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# login.defs: people's accounts; above them nobody, and the ranges of rootless containers.
_FIRST_UID, _LAST_UID = 1000, 60000
_NO_LOGIN = ("nologin", "false", "sync")


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """container: this is one. others: accounts of other people that can log in here.

    strangers: processes of other people's accounts. ambiguous: our user id is the one that the
    kernel shows for all it cannot name, so that it cannot tell others from us.
    """

    container: bool
    others: int
    strangers: int
    ambiguous: bool = False


@dataclass(frozen=True, kw_only=True)
class GateDecision:
    """wanted, and why in a sentence."""

    wanted: bool
    why: str


def decide(mode: str, facts: HostFacts) -> GateDecision:
    """Whether TCP ports of applications get a gate. Pure. mode: "on", "off", else automatic."""
    if mode == "off":
        return GateDecision(wanted=False, why="It is switched off (app_port_gate).")
    if facts.ambiguous:
        return GateDecision(
            wanted=False, why="This container cannot tell its own user from others."
        )
    if mode == "on":
        return GateDecision(wanted=True, why="It is switched on (app_port_gate).")
    if not facts.container:
        return GateDecision(wanted=True, why="Other users may log in on this machine.")
    if facts.others or facts.strangers:
        return GateDecision(wanted=True, why="This container is used by other people too.")
    return GateDecision(wanted=False, why="Nobody else uses this container.")


def read_facts(
    env: Mapping[str, str], *, root: Path = Path("/"), uid: int | None = None
) -> HostFacts:
    """Look at this machine. Blocks for a walk of /proc."""
    uid = os.geteuid() if uid is None else uid
    return HostFacts(
        container=_is_container(env, root),
        others=sum(1 for each in _accounts(root) if each != uid),
        strangers=_count_strangers(root / "proc", uid),
        ambiguous=_is_ambiguous(root / "proc", uid),
    )


def _is_container(env: Mapping[str, str], root: Path) -> bool:
    if "KUBERNETES_SERVICE_HOST" in env or env.get("container"):
        return True
    marks = (".dockerenv", "run/.containerenv", ".singularity.d", "run/systemd/container")
    return any((root / mark).exists() for mark in marks)


def _accounts(root: Path) -> list[int]:
    """User ids of people who can log in."""
    found = []
    try:
        text = (root / "etc/passwd").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) == 7 and fields[2].isdecimal() and not fields[6].endswith(_NO_LOGIN):
            number = int(fields[2])
            if _FIRST_UID <= number <= _LAST_UID:
                found.append(number)
    return found


def _count_strangers(proc: Path, uid: int) -> int:
    count = 0
    try:
        folders = [each for each in proc.iterdir() if each.name.isdigit()]
    except OSError:
        return 0
    for folder in folders:
        try:
            owner = folder.stat().st_uid
        except OSError:
            continue
        count += owner != uid and owner >= _FIRST_UID
    return count


def _is_ambiguous(proc: Path, uid: int) -> bool:
    try:
        overflow = int((proc / "sys/kernel/overflowuid").read_text())
        rows = [line.split() for line in (proc / "self/uid_map").read_text().splitlines()]
    except (OSError, ValueError):
        return False
    named = sum(int(row[2]) for row in rows if len(row) == 3)
    return uid == overflow and named < 2**32 - 1
