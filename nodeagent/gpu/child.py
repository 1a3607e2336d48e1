"""The process that talks to the NVIDIA driver: a line of JSON asks, a line of JSON answers.

Apart from the agent because a wedged driver hangs its caller, and because after a driver upgrade
only a new process can load the new library. Ends when its stdin closes, that is, with the agent.
"""

import json
import sys

from nodeagent.gpu.nvml import Nvml, NvmlFaultError


def main() -> int:
    """Serve until stdin closes; 0, or 1 after a fault (which the agent heals by a new process)."""
    nvml: Nvml | None = None
    for line in sys.stdin:
        answer: dict[str, object]
        try:
            nvml = nvml or Nvml()
            answer = nvml.read(json.loads(line))
        except NvmlFaultError as err:
            answer = {"error": str(err), "no_driver": err.no_driver}
        print(json.dumps(answer, separators=(",", ":")), flush=True)
        if "error" in answer:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
