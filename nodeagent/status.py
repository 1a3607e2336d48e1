"""`samepage-agent status`: asks a running agent and tells in a few lines."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from nodeagent.config import Address
from nodeagent.errors import AgentError
from nodeagent.http.app import PRIVATE_SOCKET
from nodeagent.http.words import age_text, bytes_text, percent_text
from nodeagent.kernels.count import ImageCount, sentence
from nodeagent.kernels.donate import FIX

_TIMEOUT = 5.0


class NoAgentError(AgentError):
    """Nobody, or somebody else, answers at the address."""

    code = "no-agent"
    exit_code = 3


def ask(listen: Address) -> dict[str, Any]:
    """The running agent's /v1/node. NoAgentError when it does not answer with one."""
    fix = "Start one with samepage-agent run, or give its address with --listen."
    # A wildcard is an address to listen on, not one to ask.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)
    connection = http.client.HTTPConnection(host, listen.port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/v1/node")
        answer = connection.getresponse()
        node = json.loads(answer.read(1_000_000))
        if answer.status == 503 and isinstance(node, dict) and "message" in node:
            raise NoAgentError(f"The agent on {listen} is not ready: {node['message']}", fix=fix)
        if not isinstance(node, dict) or "ksm" not in node or "memory" not in node:
            raise ValueError("not an agent's answer")
        return node
    except OSError as err:
        raise NoAgentError(f"No agent answers on {listen}: {err.strerror or err}", fix=fix) from err
    except (ValueError, http.client.HTTPException) as err:
        raise NoAgentError(f"What answers on {listen} is not an agent: {err}", fix=fix) from err
    finally:
        connection.close()


class OverSocket(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT)
        self.sock.connect(str(self._path))


def ask_workloads(state_dir: Path) -> dict[str, Any] | None:
    """/v1/workloads from the agent's own socket; None when this user may not or none is there."""
    connection = OverSocket(state_dir / PRIVATE_SOCKET)
    try:
        connection.request("GET", "/v1/workloads")
        answer = connection.getresponse()
        found = json.loads(answer.read(10_000_000))
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return found if answer.status == 200 and isinstance(found, dict) else None


def workload_lines(found: dict[str, Any], most: int = 20) -> str:
    """A table of /v1/workloads. Pure."""
    lines = [f"\n{'workload':<44}{'private':>11}{'merged':>11}{'saved':>11}{'profit':>11}"]
    for each in found["workloads"][:most]:
        name = f"{each['kind']} {each['name']}"
        mark = " (donor)" if each["donor"] else "" if each["invited"] else " (uninvited)"
        cells = "".join(
            f"{bytes_text(each[key]):>11}"
            for key in ("private_bytes", "merged_bytes", "saved_bytes", "profit_bytes")
        )
        lines.append(f"{name[: 43 - len(mark)] + mark:<44}{cells}")
    if len(found["workloads"]) > most:
        lines.append(f"and {len(found['workloads']) - most} more")
    lines += image_lines(found.get("images", []))
    lines += unlike_lines(found.get("unlike_kernels", []), most)
    lines += donor_lines(found.get("donor_kernels", []))
    for limit in found["limits"]:
        if limit["near"]:
            lines.append(
                f"near its limit: {limit['cgroup']} is charged {bytes_text(limit['charged_bytes'])}"
                f" of {bytes_text(limit['limit_bytes'])}, {bytes_text(limit['worst_bytes'])} if it "
                f"writes to all it merged; {bytes_text(limit['safe_limit_bytes'])} would be safe"
            )
    return "\n".join(lines)


def image_lines(images: list[dict[str, Any]]) -> list[str]:
    """How the kernels of each image started. Pure."""
    return [
        sentence(ImageCount(**(image | {"causes": tuple(image["causes"])}))) for image in images
    ]


def unlike_lines(unlike: list[dict[str, Any]], most: int) -> list[str]:
    """Whose kernels are not aligned alike, and why. Pure."""
    words = {"drifted": "drifted", "refused": "could not be aligned", "unsuited": "started stock"}
    lines = [
        f"{each['kind']} {each['name']}: {each['kernels']} of {each['image']} "
        f"{words.get(each['state'], each['state'])}: {each['cause']}"
        for each in unlike[:most]
    ]
    return lines + ([f"and {len(unlike) - most} more"] if len(unlike) > most else [])


def donor_lines(donors: list[dict[str, Any]]) -> list[str]:
    """Donors that donate next to nothing, and what to do. Pure."""
    lines = [
        f"donor {each['pid']} {_DONORS[each['state']]}"
        + (f" {each['image']}" if each["image"] else "")
        + f": {each['cause']}"
        for each in donors
        if each["state"] in _DONORS
    ]
    return lines + ([f"{FIX}."] if lines else [])


_DONORS = {"drifted": "holds other pages than the kernels of", "stock": "is not aligned"}


def summary(node: dict[str, Any], now: float) -> str:
    """A few readable lines of /v1/node. Pure."""
    ksm, memory, gpus = node["ksm"], node["memory"], node["gpus"]
    running = {True: "on", False: "off", None: "not read"}[ksm["running"]]
    lines = [
        f"{node['node']}: samepage-agent {node['version']}, "
        f"read {age_text(now - node['time'])} ago",
        f"KSM      {running}, mode {ksm['mode']}, {ksm['phase']}: {ksm['why']}",
        f"saved    {bytes_text(ksm['saved_bytes'])}"
        + (" (out of date)" if ksm["stale"] else "")
        + f", net of KSM's tables {bytes_text(ksm['profit_bytes'])}",
        f"ksmd     {percent_text(ksm['ksmd_cpu_ratio'])} of a core, "
        f"{'—' if ksm['full_scans'] is None else ksm['full_scans']} full scans, "
        f"{'—' if ksm['opted_in_processes'] is None else ksm['opted_in_processes']} "
        "processes opted in",
        f"memory   {bytes_text(memory['available_bytes'])} available "
        f"of {bytes_text(memory['total_bytes'])}",
        *_student_lines(node),
        f"GPUs     {gpus['message']}",
    ]
    for gpu in gpus["devices"]:
        busy = "—" if gpu["busy_percent"] is None else f"{gpu['busy_percent']} %"
        lines.append(
            f"         {gpu['index']} {gpu['name'] or '—'}: {bytes_text(gpu['memory_used_bytes'])} "
            f"of {bytes_text(gpu['memory_total_bytes'])}, busy {busy}"
        )
    if ksm["problem"] is not None:
        lines.append(f"problem  {ksm['problem']['message']} {ksm['problem']['fix']}")
    return "\n".join(lines)


def _student_lines(node: dict[str, Any]) -> list[str]:
    """Students, room and guards; nothing from an agent that does not tell them."""
    lines = []
    students = node.get("students")
    if students is not None:
        lines.append(f"students {room_text(students)}")
    kernels = node.get("kernels")
    if kernels is not None:
        lines += _kernel_lines(kernels)
    guards = node.get("guards")
    if guards is not None:
        lines.append(
            f"guards   {guards['donors']} donors, {guards['near_limit']} of "
            f"{guards['limited_containers']} memory limits close, "
            f"{guards['uninvited_processes']} uninvited processes"
        )
    return lines


def _kernel_lines(kernels: dict[str, Any]) -> list[str]:
    off = [
        text
        for name, text in (("merge", "merging"), ("align", "alignment"))
        if not kernels.get(name, True)
    ]
    words = [f"{' and '.join(off)} switched off for this node"] if off else []
    if kernels["alike"] is not None:
        words.append(
            f"{kernels['alike']} aligned alike, {kernels['drifted']} drifted, "
            f"{kernels['refused'] + kernels['unsuited']} not aligned"
        )
    return [f"kernels  {'; '.join(words)}"] if words else []


def room_text(students: dict[str, Any]) -> str:
    """What /v1/node says of students and room, in a sentence. Pure."""
    count = students["students"]
    if count is None:
        return f"not known: {students['why']}"
    here = f"{count} here"
    if students["room_for"] is None:
        return f"{here}; room for more not known: {students['why']}"
    without = students["room_unmerged"]
    compared = "" if without is None else f" (without merging {max(count + without, 0)} in all)"
    return (
        f"{here}, room for {students['room_for']} more, {count + students['room_for']} in all"
        f"{compared}; each {bytes_text(students['bytes_each'])}, of it "
        f"{bytes_text(students['unmerged_bytes_each'])} unshared"
    )
