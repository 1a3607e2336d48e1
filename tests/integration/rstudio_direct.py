"""RStudio's entry under the supervisor, without a Jupyter server: quick, and as any user.

`python -m tests.integration.rstudio_direct FOLDER` runs it once and prints what was found.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from serverproxy import rstudio
from serverproxy.supervised import StartRequest, wishes_of
from serverproxy.supervisor.environment import app_environment
from serverproxy.supervisor.spec import AppPolicy, Endpoint, LaunchSpec, TcpEndpoint
from serverproxy.supervisor.supervisor import Supervisor

BASE_URL = "/user/alice/"


async def run_once(folder: Path) -> dict[str, Any]:
    """Start it, ask for its page and an R session, stop it.

    Gives the page's text as `told`, the private folder's mode and what is left of it.
    """
    wishes = wishes_of(rstudio.describe()["command"])
    assert wishes is not None

    def launch(endpoint: Endpoint) -> LaunchSpec:
        start = wishes.start(StartRequest(endpoint=endpoint, base_url=BASE_URL))
        env = app_environment(os.environ) | dict(start.environment)
        return LaunchSpec(argv=start.argv, env=env, endpoint=endpoint)

    one = Supervisor(base=folder / "run", start_times_file=folder / "starts.json")
    try:
        policy = AppPolicy(stop_grace_s=20, save=wishes.save)
        app = one.add("rstudio", policy, launch, endpoint=wishes.endpoint)
        await app.ensure_started()
        endpoint = await app.wait_ready(30)
        head, _, body = (await fetch(endpoint)).partition(b"\r\n\r\n")
        told = json.loads(body)
        options = dict(part.removeprefix("--").split("=", 1) for part in told["argv"])
        private = Path(options["secure-cookie-key-file"]).parent
        found = {
            "told": told,
            "options": options,
            "cookies": [line for line in head.decode().split("\r\n") if "Set-Cookie" in line],
            "mode": private.stat().st_mode & 0o777,
            "database": (private / "database/rstudio.sqlite").exists(),
        }
        await app.stop()
        return found | {"left": private.exists(), "private": str(private)}
    finally:
        await one.close(grace_s=5)


async def fetch(endpoint: Endpoint) -> bytes:
    """The answer to GET / as it came."""
    if isinstance(endpoint, TcpEndpoint):
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    else:
        reader, writer = await asyncio.open_unix_connection(str(endpoint.path))
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    await writer.wait_closed()
    return answer


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run_once(Path(sys.argv[1])))))
