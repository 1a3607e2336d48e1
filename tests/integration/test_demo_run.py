"""The demo as a person runs it: a process with output, signals, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from demo import course_repository
from demo.http import free_port, get_json

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0
URL = re.compile(r"^ {4}(http://127\.0\.0\.1:(\d+)/lab\?token=(\w+))$", re.MULTILINE)

pytestmark = pytest.mark.timeout(300)


class Demo:
    """A running `python -m demo`, its output read along."""

    def __init__(self, state: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.state = state
        # Under nohup pytest hands on an ignored SIGHUP, and the demo rightly lives on then.
        fresh = ["env", "--default-signal=HUP"]
        demo = [sys.executable, "-m", "demo", "--stations", "1", "--state", str(state), *options]
        self.process = subprocess.Popen(
            [*fresh, *demo],
            cwd=ROOT,
            env=os.environ | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            self._lines.extend(lines)

    @property
    def output(self) -> str:
        return "".join(list(self._lines))

    def until(self, text: str) -> str:
        wait(lambda: text in self.output or self.process.poll() is not None, self.describe)
        assert text in self.output, self.describe()
        return self.output

    def ready(self) -> tuple[str, int, str]:
        """The URL it prints, with its port and token."""
        match = URL.search(self.until("Ctrl-C stops everything."))
        assert match is not None, self.output
        return match[1], int(match[2]), match[3]

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        status = self.process.wait(timeout=PATIENCE)
        self._reader.join(timeout=PATIENCE)
        assert not self._reader.is_alive(), "somebody still holds the demo's output"
        return status

    def describe(self) -> str:
        logs = [
            f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}"
            for path in sorted(self.state.glob("logs/*.log"))
        ]
        return "\n".join([self.output, *logs])

    def clean(self) -> None:
        """Whatever the test did, nothing stays."""
        with contextlib.suppress(psutil.NoSuchProcess):
            family = self.family()
            if self.process.poll() is None:
                self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=30)
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.kill()
        self.wait()


def wait(condition: Callable[[], bool], describe: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited too long\n{describe()}"
        time.sleep(0.05)


def is_gone(process: psutil.Process) -> bool:
    """Ended: a zombie waits for its parent only, which may be whatever adopts orphans here."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def command(process: psutil.Process) -> list[str]:
    """Its arguments; none of one that has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def new_kernel(port: int, token: str) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/kernels",
        method="POST",
        data=b"{}",
        headers={"Authorization": f"token {token}"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        assert answer.status == 201


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository, made once: each test starts where a second start would."""
    root = tmp_path_factory.mktemp("course")
    course_repository.ensure(root, stations=1)
    return root


@pytest.fixture
def start(tmp_path: Path, course: Path) -> Iterator[Callable[..., Demo]]:
    """start(OPTION...) runs the demo in `tmp_path/state`; start(..., state=...) elsewhere."""
    started: list[Demo] = []

    def begin(*options: str, state: Path | None = None, env: dict[str, str] | None = None) -> Demo:
        folder = state or tmp_path / "state"
        if not folder.exists():
            folder.mkdir()
            (folder / "git").mkdir()
            name = f"{course_repository.NAME}.git"
            subprocess.run(["cp", "-r", course / name, folder / "git" / name], check=True)
        demo = Demo(folder, *options, env=env)
        started.append(demo)
        return demo

    yield begin
    for demo in started:
        demo.clean()


def test_the_whole_way(start: Callable[..., Demo], tmp_path: Path) -> None:
    """Start, course in the folder, update and pull, second start refused, Ctrl-C."""
    home = tmp_path / "user"
    home.mkdir()
    demo = start("--no-agent", env={"HOME": str(home), "JUPYTER_TOKEN": "of-the-user"})
    url, port, token = demo.ready()
    steps = re.findall(r"^\[(\d)/4\] (\w+)", demo.output, re.MULTILINE)
    assert steps == [("1", "git"), ("2", "node"), ("3", "JupyterLab"), ("4", "course")]
    assert "with the bundle" in demo.output
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        assert b"JupyterLab" in answer.read()
    work = tmp_path / "state/home/work" / course_repository.NAME
    assert (work / "01-first-steps.ipynb").is_file()
    assert (work / "data/bike_counts.csv").stat().st_size > 1_000_000

    published = subprocess.run(
        [sys.executable, "-m", "demo", "publish-update", "--state", str(tmp_path / "state")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Published week 1" in published.stdout
    assert "Pull now" in published.stdout
    pull(port, token)
    wait(lambda: (work / "NEWS.md").is_file(), demo.describe)

    second = start("--no-agent")
    assert second.wait() == 1
    assert "already running" in second.output
    assert url in second.output
    assert demo.process.poll() is None

    new_kernel(port, token)
    family = demo.family()
    assert len(family) >= 2
    assert demo.end(signal.SIGINT) == 0
    assert "JupyterLab and its kernels ended." in demo.output
    assert demo.output.index("its kernels ended") < demo.output.index("git server ended")
    assert [process for process in family if not is_gone(process)] == []
    assert not listens(port)
    assert list(home.iterdir()) == [], "nothing of the user's is touched"

    again = start("--no-agent")
    assert again.ready() == (url, port, token)
    assert again.end(signal.SIGTERM) == 0


def pull(port: int, token: str) -> None:
    base = f"http://127.0.0.1:{port}/"
    page = urllib.request.Request(
        f"{base}samepage/api/courses/{course_repository.NAME}/pull",
        method="POST",
        data=b"{}",
        headers={"Authorization": f"token {token}"},
    )
    with urllib.request.urlopen(page, timeout=PATIENCE) as answer:
        assert answer.status == 202


def test_with_the_agent_observing(start: Callable[..., Demo], tmp_path: Path) -> None:
    demo = start("--agent-mode", "observe")
    _, port, token = demo.ready()
    page = re.search(r"node agent +(http://127\.0\.0\.1:\d+/) +observing KSM only", demo.output)
    assert page is not None, demo.describe()
    node = get_json(f"{page[1]}v1/node")
    assert node is not None
    assert node["ksm"]["mode"] == "observe"

    # JupyterLab asks on the socket, where the agent knows whose GPU use to show.
    socket = tmp_path / "state/node.sock"
    assert socket.is_socket()
    labs = [process for process in demo.family() if "jupyterlab" in command(process)]
    assert f"unix://{socket}" in {process.environ().get("SAMEPAGE_AGENT_URL") for process in labs}
    status = get_json(f"http://127.0.0.1:{port}/samepage/api/status", token)
    assert status is not None
    assert status["agent"]["state"] == "ok"

    # It may die; the demo goes on without it.
    notes: dict[str, Any] = json.loads((tmp_path / "state/children.json").read_text())
    agents = [
        process
        for process in demo.family()
        if str(process.pid) in notes and "nodeagent" in command(process)
    ]
    assert len(agents) == 1
    agents[0].kill()
    demo.until("The node agent ended; the rest works on without it")
    assert demo.process.poll() is None
    assert demo.end() == 0


def test_kill_leaves_no_process_and_the_next_start_heals(start: Callable[..., Demo]) -> None:
    demo = start("--agent-mode", "observe")
    url, port, token = demo.ready()
    new_kernel(port, token)
    family = demo.family()
    assert len(family) >= 3
    demo.process.kill()
    wait(lambda: all(is_gone(process) for process in family), demo.describe)
    again = start("--agent-mode", "observe")
    assert again.ready()[0] == url
    assert again.end(signal.SIGHUP) == 0
    lines = ["its kernels ended", "KSM is as it was found", "git server ended"]
    places = [again.output.index(line) for line in lines]
    assert places == sorted(places)


def test_ctrl_c_while_starting(start: Callable[..., Demo]) -> None:
    demo = start("--no-agent")
    demo.until("[2/4]")
    wait(lambda: bool(demo.family()), demo.describe)
    family = demo.family()
    assert demo.end() == 0
    assert "Ready" not in demo.output
    assert [process for process in family if not is_gone(process)] == []


def test_lab_that_dies_ends_the_demo_with_its_log(start: Callable[..., Demo]) -> None:
    demo = start("--no-agent")
    _, port, token = demo.ready()
    new_kernel(port, token)
    family = demo.family()
    for process in family:
        if "jupyterlab" in command(process):
            process.kill()
    assert demo.wait() == 1
    assert [process for process in family if not is_gone(process)] == []
    assert "JupyterLab ended by itself" in demo.output
    assert "lab.log" in demo.output
    assert "The git server ended." in demo.output


def test_a_port_in_use(start: Callable[..., Demo]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        demo = start("--no-agent", "--port", str(port))
        assert demo.wait() == 1
    assert f"Port {port} cannot be used" in demo.output
    assert "--port" in demo.output


def test_ports_of_the_last_start_taken(start: Callable[..., Demo], tmp_path: Path) -> None:
    """The course's address changes then; the clone of the last start must go on."""
    demo = start("--no-agent", "--port", str(free_port()))
    demo.ready()
    assert demo.end() == 0
    ports = json.loads((tmp_path / "state/ports.json").read_text())
    course_repository.publish_update(tmp_path / "state/git")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", ports["git"]))
        taken.listen()
        again = start("--no-agent")
        again.ready()
        work = tmp_path / "state/home/work" / course_repository.NAME
        assert (work / "NEWS.md").is_file(), again.describe()
        assert again.end() == 0


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine\n")
    demo = Demo(tmp_path / "file", "--no-agent")
    assert demo.wait() == 1
    assert "Cannot make the demo's folder" in demo.output
    assert (tmp_path / "file").read_text() == "mine\n"


def test_an_update_before_the_first_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo", "publish-update", "--state", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Start the demo once" in done.stdout
