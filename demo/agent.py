"""The node agent in the demo: its command, and what it says about itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from demo.http import HOST, get_json

DEFAULT_PORT = 9747
LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path (unix(7), sun_path without its end)."""


def node_socket(path: Path) -> Path | None:
    """`path`, for JupyterLab; None: too long for a socket."""
    return path if len(os.fsencode(path)) <= LONGEST_SOCKET else None


def command(port: int, mode: str, node: Path | None) -> list[str]:
    """Tunes KSM where it may (root), observes elsewhere, unless `mode` says otherwise.

    `node`: a socket besides, on which the agent knows who asks and shows them their own GPU use.
    """
    return [
        sys.executable,
        "-m",
        "nodeagent",
        "run",
        "--exit-with-parent",
        "--mode",
        mode,
        "--listen",
        f"{HOST}:{port}",
        *([] if node is None else ["--node-socket", str(node)]),
    ]


def environment(base: dict[str, str]) -> dict[str, str]:
    """Without settings meant for another agent of this machine."""
    return {name: text for name, text in base.items() if not name.startswith("NODEAGENT_")}


def url(port: int) -> str:
    """The agent's page."""
    return f"http://{HOST}:{port}/"


def describe(port: int) -> str | None:
    """One line on what the agent does with KSM and why; None until it answers."""
    node = get_json(f"{url(port)}v1/node")
    if not isinstance(node, dict) or not isinstance(node.get("ksm"), dict):
        return None
    return sentence(node["ksm"], is_root=os.geteuid() == 0)


def sentence(ksm: dict[str, Any], *, is_root: bool) -> str:
    """What /v1/node says about KSM, in words. Pure."""
    problem = ksm.get("problem")
    if isinstance(problem, dict):
        return f"{problem.get('message')} {problem.get('fix') or ''}".strip()
    if not ksm.get("supported"):
        return "this kernel has no KSM, so no memory is merged"
    match ksm.get("mode"):
        case "tune":
            return "tuning KSM of this machine; it is put back as found at the end"
        case "observe":
            why = "as asked" if is_root else "tuning it needs root"
            return f"observing KSM only ({why})"
        case mode:
            return f"KSM is left alone (mode {mode})"
