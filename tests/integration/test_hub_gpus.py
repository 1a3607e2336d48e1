"""GPUs given out by a real hub: a real agent on the stand-in driver, real servers as processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration import hub as hubs
from tests.integration.agentrun import RunningAgent, agent, wait_for
from tests.unit.nodeagent.gpu_rig import library, needs_cc

pytestmark = [
    pytest.mark.skipif(hubs.missing() is not None, reason=str(hubs.missing())),
    needs_cc,
    pytest.mark.xdist_group("hub"),
    pytest.mark.timeout(400),
]
TOKEN = "a-token-of-the-operator"
# One card is full; the other has room for one student of 6 GiB, not for two.
CARDS = """\
driver 580.65.06
count 2
gpu0.uuid GPU-full
gpu0.name Tesla T4
gpu0.total 16106127360
gpu0.used 15500000000
gpu0.free 600000000
gpu0.busy 0
gpu1.uuid GPU-room
gpu1.name Tesla T4
gpu1.total 12884901888
gpu1.used 1000000
gpu1.free 12880000000
gpu1.busy 0
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    folder = tmp_path_factory.mktemp("node")
    (folder / "cards").write_text(CARDS)
    (folder / "token").write_text(TOKEN)
    (folder / "token").chmod(0o600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_LIBRARY_PATH", str(library()))
        patch.setenv("SAMEPAGE_NVML_STANDIN", str(folder / "cards"))
        flags = ("--mode", "off", "--gpu-interval", "1", "--token-file", str(folder / "token"))
        with agent(*flags, "--state-dir", str(folder), log=folder / "log") as running:
            wait_for(lambda: running.node()["gpus"]["state"] == "ok", lambda: "no GPUs are seen")
            yield running


@pytest.fixture(scope="module")
def hub(node: RunningAgent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[hubs.Hub]:
    folder = tmp_path_factory.mktemp("hub")
    (folder / "token").write_text(TOKEN)
    variables = {
        "TEST_HUB_AGENT": f"http://127.0.0.1:{node.port}",
        "TEST_HUB_TOKEN_FILE": str(folder / "token"),
        "PYTHONPATH": str(hubs.ROOT),
    }
    with hubs.Hub(folder, config="gpu_config.py", variables=variables) as running:
        yield running


def environment(user: hubs.User) -> dict[str, str]:
    """Of the person's server, as the kernel knows it."""
    process = user.hub._process
    assert process is not None
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            given = child.environ()
        except psutil.NoSuchProcess:
            continue
        if given.get("JUPYTERHUB_USER") == user.name:
            return given
    raise AssertionError(f"no server of {user.name}")


def test_servers_get_gpus_while_there_is_room(hub: hubs.Hub, node: RunningAgent) -> None:
    first = environment(hub.login("alice"))
    assert first["NVIDIA_VISIBLE_DEVICES"] == first["CUDA_VISIBLE_DEVICES"] == "GPU-room"
    assert first["SAMEPAGE_COURSES"] == "https://courses.example.org/all.yml"
    # The agent keeps the promise, so the next one is not given the same gigabytes.
    headers = {"Authorization": f"Bearer {TOKEN}"}
    status, _, body = node.get("/v1/gpu/report", headers=headers)
    assert status == 200
    assert [entry["uuid"] for entry in json.loads(body)["ledger"]["entries"]] == ["GPU-room"]
    second = environment(hub.login("bob"))
    assert "NVIDIA_VISIBLE_DEVICES" not in second
    log = Path(hub.log).read_text()
    assert "Samepage: local/bob: wait: Full: " in log
