"""`samepage-agent gpu advise`: prints what the NVIDIA device plugin should be told, and why."""

import json
import os
from dataclasses import asdict
from pathlib import Path

from nodeagent.errors import AgentError, ConfigError
from nodeagent.gpu.advise import Advice, advise, config_map
from nodeagent.gpu.build import HISTORY, read_policy
from nodeagent.gpu.history import read_rows


class NotEnoughError(AgentError):
    """Too little was measured to say anything."""

    code = "gpu-history"
    exit_code = 3


def run_advise(data: Path | None, policy: Path | None, node: str | None, *, as_json: bool) -> int:
    """0: advice was given, or there is nothing to share. NotEnoughError: nothing was measured."""
    if data is None:
        raise ConfigError(
            "--gpu-data is not given", fix="Give the folder that samepage-agent run keeps."
        )
    path = data / HISTORY
    try:
        rows = read_rows(path)
    except OSError as err:
        raise NotEnoughError(
            f"Cannot read {path}: {err.strerror}", fix="Run as the agent's user."
        ) from err
    if not rows:
        raise NotEnoughError(
            f"There are no measurements in {path}",
            fix="Start the agent with the same --gpu-data and come back in a week.",
        )
    found = advise(rows, read_policy(policy))
    name = node or os.environ.get("NODE_NAME") or os.uname().nodename
    text = config_map(found, name)
    if as_json:
        advice = [asdict(each) for each in found]
        print(json.dumps({"advice": advice, "config_map": text or None}))
        return 0
    # Comments: the whole output can be kept as one file.
    for each in found:
        print("\n".join(f"# {line}" for line in advice_lines(each)))
    print(text or "# There is nothing to share: leave the plugin as it is.", end="")
    if text:
        print("# Nothing was applied. kubectl apply it if you agree, then label the node")
        print(f"# nvidia.com/device-plugin.config={name}.")
    else:
        print()
    return 0


def advice_lines(advice: Advice) -> list[str]:
    """For people."""
    word = {
        "exclusive": "one at a time",
        "time_slicing": f"time-slicing, {advice.replicas} replicas",
        "mps": f"MPS, {advice.replicas} replicas",
        "unknown": "no advice",
    }[advice.sharing]
    cards = "1 GPU" if advice.gpus == 1 else f"{advice.gpus} GPUs"
    head = f"{advice.resource} ({advice.name or 'no name'}, {cards}, {advice.hours:.0f} h): {word}"
    return [head, *(f"  {sentence}" for sentence in advice.why)]
