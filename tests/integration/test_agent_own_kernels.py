"""A student's server asks the real agent about its own kernels."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from nodeagent.status import ask_workloads
from tests.integration.agentrun import REPO, RunningAgent, agent
from tests.unit.nodeagent.support import FakeRoot, build_root

LIB = "/home/ada/lib"
# A server with one kernel: tells of it as every server does, and asks for each line of its input.
SERVER = """
import asyncio, json, random, sys
from functools import partial
from labext.kernels.ledger import Alignment, KernelRecord, ledger, notice

folders, seed = json.loads(sys.argv[1]), int(sys.argv[2])
pages = random.Random(seed)
mark = {"python": "cpython-311 aa", "environment": {}, "modules": ["numpy"], "layout": str(seed),
        "folders": folders, "pages": [f"{pages.getrandbits(32):08x}" for _ in range(200)]}
ledger.note(KernelRecord(kernel_id="k1", pid=None, outcome="on",
            alignment=Alignment(state="aligned", fingerprint=mark)))

async def main(url):
    from labext.gpu_kernels import RunningKernel
    from labext.kernels.own_drift import PATH, KernelNotes
    from labext.node import NodeClient

    async def kernels():
        return (RunningKernel(id="k1", pid=1, state="idle", path="work/a.ipynb"),)

    client = NodeClient(url, 5.0)
    notes = KernelNotes(ledger, partial(client.get, PATH, word=notice.word), kernels)
    print(json.dumps(await notes.read()), flush=True)

print("ready", flush=True)
for url in sys.stdin:
    asyncio.run(main(url.strip()))
"""


class Server:
    """A student's server in a container of its own, as the agent sees it."""

    def __init__(self, process: subprocess.Popen[str], root: FakeRoot, number: int) -> None:
        self._process = process
        pid = process.pid
        cgroup = f"0::/docker/{number:064x}"
        root.process(pid, private_mib=100, rmap_items=25600, cgroup=cgroup, uid=1000)
        (root.proc / str(pid) / "fd").symlink_to(f"/proc/{pid}/fd")

    def asks(self, port: int) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"http://127.0.0.1:{port}\n")
        self._process.stdin.flush()
        return json.loads(self.says())

    def says(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def server(root: FakeRoot, number: int, folders: dict[str, str], seed: int) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, json.dumps(folders), str(seed)],
        cwd=REPO,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Server(process, root, number)
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


def test_a_server_learns_that_its_kernel_drifted_and_nobody_elses_does(tmp_path: Path) -> None:
    root = build_root(tmp_path)
    usual = {"/opt/site": "22"}
    with ExitStack() as stack:
        alike = [stack.enter_context(server(root, n, usual, 7)) for n in range(1, 4)]
        ada = stack.enter_context(server(root, 4, usual | {LIB: "5"}, 8))
        for each in (*alike, ada):
            assert each.says() == "ready\n"
        flags = ["--sys-root", str(root.sys), "--proc-root", str(root.proc)]
        flags += ["--state-dir", str(root.state), "--no-gpu"]
        running: RunningAgent = stack.enter_context(agent(*flags, log=tmp_path / "log"))
        assert ada.asks(running.port) == [
            {
                "kernel_id": "k1",
                "state": "drifted",
                "cause": "folder",
                "name": LIB,
                "path": "work/a.ipynb",
            }
        ]
        assert alike[0].asks(running.port) == []
        assert running.get("/v1/kernels/me")[0] == 401
        wrong = {"Authorization": f"Bearer {'0' * 32}"}
        status, _, body = running.get("/v1/kernels/me", headers=wrong)
        assert (status, json.loads(body)) == (200, {"kernels": []})
        assert running.node()["kernels"]["drifted"] == 1
        for path in ("/", "/metrics", "/v1/node"):
            assert LIB not in running.get(path)[2].decode()
        told = ask_workloads(root.state)
        assert told is not None
        (unlike,) = told["unlike_kernels"]
        assert (unlike["name"], unlike["kind"]) == (f"{4:064x}", "container")
        assert LIB in unlike["cause"]
