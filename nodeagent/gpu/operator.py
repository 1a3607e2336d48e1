"""`samepage-agent gpu replay | top | advise | snooze | pause`: what an operator types."""

import http.client
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nodeagent.config import load, resolve_paths
from nodeagent.errors import ConfigError
from nodeagent.gpu.advise_command import run_advise
from nodeagent.gpu.build import read_policy
from nodeagent.gpu.command import ask_file, replay_file
from nodeagent.gpu.top_command import ask_report, run_top
from nodeagent.http.app import PRIVATE_SOCKET
from nodeagent.http.private import read_token
from nodeagent.status import NoAgentError, OverSocket


def run_action(flags: dict[str, Any], env: Mapping[str, str]) -> int:
    """Any of them, and replay; the exit status."""
    action = flags.pop("gpu_action")
    if action == "replay":
        policy = flags["gpu_policy"]
        if flags["ask"] is not None:
            path = load(env, {"gpu_policy": policy}).gpu_policy
            return ask_file(flags["file"], flags["ask"], read_policy(path), as_json=flags["json"])
        if policy is not None:
            raise ConfigError(
                "--gpu-policy is given without --ask",
                fix="Recorded decisions are made again by their recorded policies; leave it out.",
            )
        return replay_file(flags["file"], as_json=flags["json"], explain=flags["explain"])
    actions = {
        "top": top_here,
        "advise": advise_here,
        "snooze": snooze_here,
        "pause": pause_here,
    }
    return actions[action](flags, env)


def top_here(flags: dict[str, Any], env: Mapping[str, str]) -> int:
    """Live, or once. NoAgentError: nobody answers, at the first question."""
    once, as_json = bool(flags.pop("once")), bool(flags.pop("json"))
    seconds = float(flags.pop("seconds"))
    if not 0.2 <= seconds <= 3600:
        raise ConfigError(f"--seconds is {seconds:g}", fix="Give seconds from 0.2 to 3600.")
    config = load(env, flags)
    state_dir, _ = resolve_paths(config, env)
    token = None if config.token_file is None else read_token(config.token_file)
    listen = None if token is None else config.listen

    def source() -> dict[str, Any]:
        return ask_report(state_dir, listen, token)

    return run_top(source, once=once, as_json=as_json, seconds=seconds, out=sys.stdout)


def advise_here(flags: dict[str, Any], env: Mapping[str, str]) -> int:
    """From the history file; no agent is asked."""
    as_json = bool(flags.pop("json"))
    config = load(env, flags)
    return run_advise(config.gpu_data, config.gpu_policy, config.node_name, as_json=as_json)


def snooze_here(flags: dict[str, Any], env: Mapping[str, str]) -> int:
    """Tells the running agent. NoAgentError: nobody answers."""
    owner, hours, by = str(flags.pop("owner")), float(flags.pop("hours")), str(flags.pop("by"))
    _tell(flags, env, "/v1/gpu/snooze", {"owner": owner, "seconds": hours * 3600, "by": by})
    print(f"{owner} is not flagged for {hours:g} h." if hours else f"{owner} is flagged again.")
    return 0


def pause_here(flags: dict[str, Any], env: Mapping[str, str]) -> int:
    """Tells the running agent; it has let go when this returns. NoAgentError: nobody answers."""
    seconds = float(flags.pop("seconds"))
    _tell(flags, env, "/v1/gpu/pause", {"seconds": seconds})
    print(f"The agent keeps off the GPUs for {seconds:g} s." if seconds else "It reads them again.")
    return 0


def _tell(flags: dict[str, Any], env: Mapping[str, str], path: str, body: dict[str, Any]) -> None:
    place: Path = resolve_paths(load(env, flags), env)[0] / PRIVATE_SOCKET
    connection = OverSocket(place)
    try:
        connection.request("POST", path, body=json.dumps(body))
        answer = connection.getresponse()
        found = json.loads(answer.read(1_000_000))
    except (OSError, ValueError, http.client.HTTPException) as err:
        why = getattr(err, "strerror", None) or err
        raise NoAgentError(
            f"No agent answers on {place}: {why}", fix="Run as the agent's user."
        ) from err
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise ConfigError(found.get("message", "refused"), fix=found.get("fix", "See the log."))
