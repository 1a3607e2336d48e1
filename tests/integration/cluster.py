"""A cluster that somebody lends: the one of KUBECONFIG. Nothing here makes one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

#: Where the cluster's nodes pull the agent and the students' image from.
AGENT = os.environ.get("SAMEPAGE_TEST_NODEAGENT_IMAGE", "")
STUDENT = os.environ.get("SAMEPAGE_TEST_SINGLEUSER_IMAGE", "")
SHIPPED = "localhost/samepage-nodeagent:0.1.0"


def why_not() -> str | None:
    """Why no cluster can be tested; None when one can."""
    if not os.environ.get("KUBECONFIG"):
        return "no cluster: KUBECONFIG is not set"
    if shutil.which("kubectl") is None:
        return "no kubectl here"
    if not AGENT:
        return "name the agent's image, as the cluster pulls it, in SAMEPAGE_TEST_NODEAGENT_IMAGE"
    return None


def kubectl(*words: str, stdin: str | None = None, check: bool = True, seconds: float = 240) -> str:
    """Standard output; a failure shows the command and what the cluster said."""
    done = subprocess.run(
        ["kubectl", *words],
        input=stdin, capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert not check or done.returncode == 0, f"kubectl {words}: {done.stderr[-2000:]}"
    return done.stdout + ("" if check else done.stderr)


def objects(kind: str, namespace: str, **labels: str) -> list[Any]:
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    found = kubectl("-n", namespace, "get", kind, "-l", selector, "-o", "json")
    return list(json.loads(found)["items"])
