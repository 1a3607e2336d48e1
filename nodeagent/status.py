"""`samepage-agent status`: asks a running agent and tells in a few lines."""

import http.client
import json
from typing import Any

from nodeagent.config import Address
from nodeagent.errors import AgentError
from nodeagent.http.words import age_text, bytes_text, percent_text

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
