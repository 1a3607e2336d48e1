"""A student's GPU from the driver to the page: stand-in NVML, real agent, real Jupyter server."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.integration.agentrun import agent, wait_for
from tests.integration.jupyter_fixtures import *  # noqa: F403 - fixtures
from tests.integration.labext_server import Answer, Client
from tests.standins.gpu_agent import me
from tests.unit.nodeagent.support import build_root

CC = shutil.which("cc")
GIB = 2**30
CARD = "GPU-0123"
SCHEMAS: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "docs" / "openapi.yml").read_text(encoding="utf-8")
)["components"]
pytestmark = [
    pytest.mark.skipif(CC is None, reason="the stand-in library needs a C compiler"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a neighbour of another user needs root"),
]


class Rig:
    """The stand-in driver's file, and a real agent on it."""

    def __init__(self, folder: Path) -> None:
        self.cards = folder / "nvml.txt"
        self.socket = folder / "node.sock"
        self.write({})

    def write(self, processes: dict[int, int]) -> None:
        """A T4 with these processes, pid to bytes."""
        used = sum(processes.values())
        lines = [
            "count 1",
            f"gpu0.uuid {CARD}",
            "gpu0.name Tesla T4",
            f"gpu0.total {15 * GIB}",
            f"gpu0.used {used}",
            f"gpu0.free {15 * GIB - used}",
            "gpu0.busy 0",
            "gpu0.utils 0",
            f"gpu0.procs {len(processes)}",
            *(f"gpu0.proc{at} {pid} {size} C" for at, (pid, size) in enumerate(processes.items())),
        ]
        fresh = self.cards.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.replace(self.cards)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    # The path of a socket is short.
    folder = Path(tempfile.mkdtemp(prefix="own-"))
    try:
        made = Rig(folder)
        library = folder / "libnvidia-ml.so.1"
        source = Path(__file__).parents[1] / "standins/nvml/nvml_standin.c"
        subprocess.run([str(CC), "-shared", "-fPIC", "-o", library, source], check=True)
        # Processes are this machine's; KSM is not.
        sysfs = build_root(folder / "fake").sys
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LD_LIBRARY_PATH", str(folder))
            patch.setenv("SAMEPAGE_NVML_STANDIN", str(made.cards))
            flags = ("--sys-root", sysfs, "--state-dir", folder, "--node-socket", made.socket)
            more = ("--mode", "observe", "--gpu-interval", "1")
            with agent(*map(str, flags), *more, log=folder / "log"):
                yield made
    finally:
        shutil.rmtree(folder)


@pytest.fixture(name="jp_server_config")
def server_config(rig: Rig) -> dict[str, Any]:
    return {
        "ServerApp": {"jpserver_extensions": {"labext": True}},
        "Samepage": {"agent_url": f"unix://{rig.socket}", "agent_cache_seconds": 0.0},
    }


@pytest.fixture
def client(jp_fetch: Any, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Client:
    return Client(jp_fetch, jp_asyncio_loop)


@pytest.fixture
def neighbour() -> Iterator[int]:
    """A process of another user."""
    process = subprocess.Popen(["sleep", "600"], user=65534, group=65534)
    yield process.pid
    process.kill()
    process.wait()


@pytest.fixture
def child() -> Iterator[int]:
    """A program that this server's user started, but no kernel of it."""
    process = subprocess.Popen(["sleep", "600"])
    yield process.pid
    process.kill()
    process.wait()


class Server:
    """The Jupyter server's own parts, for a kernel with a notebook."""

    def __init__(self, app: Any, client: Client) -> None:
        self._app = app
        self._loop = client.loop

    def start(self, path: str) -> tuple[str, int]:
        """Id and process of a kernel that works on `path`."""
        return self._loop.run_until_complete(self._start(path))

    async def _start(self, path: str) -> tuple[str, int]:
        session = await self._app.session_manager.create_session(
            path=path, name=path, type="notebook", kernel_name="python3"
        )
        kernel = session["kernel"]["id"]
        return kernel, self._app.kernel_manager.get_kernel(kernel).provisioner.pid


@pytest.fixture
def server(jp_serverapp: Any, client: Client) -> Iterator[Server]:
    yield Server(jp_serverapp, client)
    client.loop.run_until_complete(jp_serverapp.kernel_manager.shutdown_all())


def test_a_student_sees_own_kernels_and_totals_and_no_neighbour(
    rig: Rig, client: Client, server: Server, neighbour: int, child: int
) -> None:
    kernel, pid = server.start("train.ipynb")
    rig.write({pid: 6 * GIB, child: GIB, neighbour: 2 * GIB})
    answer = client.wait_for(
        lambda told: len(told["processes"]) == 2 and told["gpus"][0]["sharers"] == 2, "gpu"
    )
    assert (answer["state"], answer["why"]) == ("ok", None)
    jsonschema.validate(answer, {"$ref": "#/components/schemas/Gpus", "components": SCHEMAS})
    (card,) = answer["gpus"]
    assert card["memory_used_bytes"]["value"] == 9 * GIB
    assert card["memory_free_bytes"]["value"] == 6 * GIB
    assert card["mine"] is True
    found = {each["kernel_id"]: each for each in answer["processes"]}
    assert set(found) == {kernel, None}
    assert found[kernel]["memory_bytes"]["value"] == 6 * GIB
    assert found[None]["name"] == "sleep"
    assert answer["kernels"][0]["path"] == "train.ipynb"
    assert str(neighbour) not in {str(each["pid"]) for each in answer["processes"]}
    # A kernel that was just started has been watched whole; nothing was seen of work.
    assert found[kernel]["duty_1m"]["status"] in ("ok", "unknown")
    assert found[kernel]["duty_1m"]["value"] in (0.0, None)


def test_what_is_given_back_is_gone(rig: Rig, client: Client, server: Server) -> None:
    kernel, pid = server.start("workers.ipynb")
    rig.write({pid: GIB})
    (process,) = client.wait_for(lambda told: len(told["processes"]) == 1, "gpu")["processes"]
    assert (process["kernel_id"], process["inner_pid"]) == (kernel, pid)
    rig.write({})
    answer = client.wait_for(lambda told: told["processes"] == [], "gpu")
    assert answer["gpus"][0]["mine"] is False


def test_a_reminder_is_put_off_over_http(rig: Rig, client: Client) -> None:
    def snooze(**body: object) -> Answer:
        asked = client.ask("gpu", "snooze", method="POST", body=json.dumps(body))
        return client.loop.run_until_complete(asked)

    assert snooze(gpu=CARD, seconds=60).json["until"] > time.time()
    assert snooze(gpu=CARD, seconds=0).json == {"gpu": CARD, "until": None}
    for wrong in ({}, {"gpu": CARD}, {"gpu": 1, "seconds": 5}, {"gpu": CARD, "seconds": True}):
        answer = snooze(**wrong)
        assert (answer.status, answer.json["code"]) == (400, "bad_request")
        assert answer.json["fix"]
    assert snooze(gpu=CARD, seconds=1e9).status == 400


def test_the_stand_in_of_other_tests_has_the_agents_shape(rig: Rig, client: Client) -> None:
    """Those that need an hour's idleness ask a stand-in for the agent: it must not go astray."""
    from labext.node import NodeClient

    rig.write({os.getpid(): GIB})
    told: dict[str, Any] = {}

    def seen() -> bool:
        found = client.loop.run_until_complete(
            NodeClient(f"unix://{rig.socket}", 5.0).get("/v1/gpu/me")
        )
        told.update(found)
        return bool(found["processes"])

    wait_for(seen, lambda: str(told))
    from tests.standins.gpu_agent import process

    assert me().keys() == told.keys()
    assert me()["gpus"][0].keys() <= told["gpus"][0].keys()
    assert process(1).keys() == told["processes"][0].keys()
    readings = [value for value in told["gpus"][0].values() if isinstance(value, dict)]
    assert {frozenset(each) for each in readings} == {frozenset(me()["gpus"][0]["name"])}
