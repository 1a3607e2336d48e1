"""What course and node say of kernels, in a real Jupyter server: modules and off switches."""

from __future__ import annotations

import json
import os
import platform
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from labext.kernels.command import opt_in_survives_exec
from labext.kernels.merged import read_ksm_stat
from labext.kernels.recipe import TOOLS
from labext.kernels.support import probe
from nodeagent.kernels.find import Tables
from nodeagent.kernels.table import KernelNote
from nodeagent.workloads.owner import Owner
from tests.integration.agentrun import agent
from tests.integration.test_kernels_default import ask, install, server
from tests.unit.nodeagent.support import build_root

pytestmark = [
    pytest.mark.skipif(
        not (probe().available and opt_in_survives_exec(platform.release())),
        reason="this Linux cannot merge a whole process over exec",
    ),
    pytest.mark.skipif(read_ksm_stat(os.getpid()) is None, reason="this Linux has no ksm_stat"),
    pytest.mark.xdist_group("kernels-course"),
    pytest.mark.timeout(240),
]
MANIFEST = """
version: 1
courses:
  - {id: waves, url: "https://git.example.org/waves.git", preload: [wave, colorsys]}
  - {id: exam, url: "https://git.example.org/exam.git", preload: [plistlib], align: false}
  - {id: secret, url: "https://git.example.org/secret.git", merge: false}
"""


class Running:
    """A Jupyter server with the extension."""

    def __init__(self, process: psutil.Process, url: str, root: Path) -> None:
        self.process = process
        self.url = url
        self.root = root

    def start(self, folder: str) -> KernelNote:
        """A notebook's kernel in `folder`; what the server tells of it."""
        (self.root / folder).mkdir(exist_ok=True)
        body = {"path": f"{folder}/a.ipynb", "type": "notebook", "name": "a"}
        request = urllib.request.Request(
            f"{self.url}api/sessions",
            method="POST",
            data=json.dumps(body | {"kernel": {"name": "python3"}}).encode(),
            headers={"Authorization": "token under-test"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            session = json.loads(answer.read())
        try:
            tables = Tables(Path("/proc"))
            descriptor = tables._search(str(self.process.pid))
            assert descriptor is not None
            found = tables._table(str(self.process.pid), descriptor, Owner(kind="user", name="0"))
            assert found is not None
            (note,) = found[1].kernels
            return note
        finally:
            ask(f"{self.url}api/sessions/{session['id']}", method="DELETE")

    def status_until(self, right: Callable[[Any], bool]) -> None:
        """As the status bar asks, until it knows of the agent."""
        deadline = time.monotonic() + 60
        while True:
            answer = ask(f"{self.url}samepage/api/status")
            if right(answer):
                return
            assert time.monotonic() < deadline, answer
            time.sleep(0.2)


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("node") / "node.sock"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, socket: Path) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    install(folder / "site")
    (folder / "root").mkdir()
    variables = {
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "SAMEPAGE_AGENT_URL": f"unix://{socket}",
        "SAMEPAGE_ALIGNED": "1",
        "SAMEPAGE_COURSES_YAML": MANIFEST,
    }
    arguments = [
        "--ServerApp.jpserver_extensions=labext=True",
        "--Samepage.pull_on_start=False",
        "--Samepage.agent_cache_seconds=0",
        "--SamepageProvisioner.spare=False",
        f"--ServerApp.root_dir={folder / 'root'}",
    ]
    with server(folder, *arguments, environment=variables) as (process, url, _):
        yield Running(process, url, folder / "root")


def test_a_kernel_follows_the_course_of_its_folder(running: Running) -> None:
    in_course = running.start("waves")
    assert in_course.state == "aligned", in_course.reason
    assert in_course.mark is not None
    assert in_course.mark.modules == ("wave", "colorsys", *TOOLS)
    exam = running.start("exam")
    assert (exam.state, exam.reason) == ("off", "the course's manifest says align: false")
    secret = running.start("secret")
    assert (secret.state, secret.reason) == ("off", "the course's manifest says merge: false")


def test_the_nodes_no_holds_also_while_its_agent_is_away(
    running: Running, socket: Path, tmp_path: Path
) -> None:
    root = build_root(tmp_path)
    flags = [
        *("--sys-root", str(root.sys), "--proc-root", str(root.proc), "--no-gpu"),
        *("--state-dir", str(root.state), "--node-socket", str(socket), "--interval", "1"),
    ]

    def start_of(state: str) -> KernelNote:
        running.status_until(lambda answer: answer["agent"]["state"] == state)
        return running.start("waves")

    with agent(*flags, "--align", "no", log=tmp_path / "log") as first:
        assert first.node()["kernels"]["align"] is False
        said = start_of("ok")
    sentence = "alignment is switched off for this node (its agent says so)"
    assert (said.state, said.reason) == ("off", sentence)
    away = start_of("absent")
    assert (away.state, away.reason) == ("off", sentence)
    with agent(*flags, "--merge", "no", log=tmp_path / "log") as second:
        assert second.node()["ksm"]["mode"] == "observe"
        said = start_of("ok")
    assert (said.state, said.reason) == (
        "off",
        "merging is switched off for this node (its agent says so)",
    )
    with agent(*flags, log=tmp_path / "log"):
        assert start_of("ok").state == "aligned"
