"""deploy/systemd under a real systemd, in a container, on a made-up KSM folder."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration import containers_engine
from tests.integration.containers_engine import ROOT, podman
from tests.unit.nodeagent.support import build_root

REASON = containers_engine.why_not()
pytestmark = [
    pytest.mark.containers,
    pytest.mark.xdist_group("containers"),
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
    pytest.mark.timeout(1200),
]
TAG = "localhost/samepage-test-systemd:latest"
NAME = "samepage-test-systemd"
FOUND = {"run": "0", "pages_to_scan": "100"}
STUDENT = """
import ctypes, time
assert ctypes.CDLL(None).prctl(67, 1, 0, 0, 0) == 0
held = bytearray(b"x" * (64 << 20))
time.sleep(600)
"""
CONTAINERFILE = """
FROM {agent}
USER 0
RUN apt-get update -q && apt-get install -qy --no-install-recommends systemd curl
RUN mkdir /opt/samepage/bin && ln -s /usr/local/bin/samepage-agent /opt/samepage/bin/
RUN useradd --create-home student
ENTRYPOINT []
HEALTHCHECK NONE
CMD ["/lib/systemd/systemd"]
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def ksm(folder: Path) -> Path:
    return build_root(folder / "machine", **FOUND).sys / "kernel/mm/ksm"


@pytest.fixture(scope="module")
def machine(folder: Path, ksm: Path) -> Iterator[Callable[..., str]]:
    """Runs a command line in the machine; the units are installed as the page says."""
    agent = containers_engine.image("nodeagent")
    (folder / "Containerfile").write_text(CONTAINERFILE.format(agent=agent))
    mounts: list[str | Path] = []
    settings = containers_engine.CACHE / "apt-conf"
    if settings.exists():
        mounts = ["-v", f"{settings}:/etc/apt/apt.conf.d/99build:ro"]
    podman(
        "build", "-q", "--network=host", *mounts, "-t", TAG,
        "-f", folder / "Containerfile", folder, seconds=600,
    )  # fmt: skip
    podman("rm", "-f", "-t0", NAME, check=False)
    podman(
        "run", "-d", "--name", NAME, "--privileged", "--systemd=always", "--network=none",
        "-v", f"{ksm}:/sys/kernel/mm/ksm", "-v", f"{ROOT / 'deploy/systemd'}:/srv/units:ro", TAG,
    )  # fmt: skip

    def sh(line: str, *, check: bool = True) -> str:
        return podman("exec", NAME, "sh", "-c", line, check=check)

    try:
        wait_for("systemd", lambda: "running" in sh("systemctl is-system-running", check=False))
        sh("install -m 644 /srv/units/*.service /etc/systemd/system/ && systemctl daemon-reload")
        yield sh
    finally:
        podman("rm", "-f", "-t0", NAME, check=False)


@pytest.fixture
def running(machine: Callable[..., str]) -> Callable[..., str]:
    """The machine with its agent started."""
    machine("systemctl start samepage-agent samepage-reader")
    wait_for("an agent", lambda: "200" in machine(ASK.format(path="healthz"), check=False))
    return machine


ASK = "curl -s -i http://127.0.0.1:9747/{path}"


def wait_for(what: str, ready: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s"
        time.sleep(0.5)


def inside(name: str) -> str:
    """Commands in the file systems that a unit sees."""
    return f"nsenter -m -t $(systemctl show -p MainPID --value samepage-{name}) sh -c"


def test_the_agent_may_write_ksm_and_nothing_else(running: Callable[..., str]) -> None:
    assert running(f"{inside('agent')} 'echo 0 > /sys/kernel/mm/ksm/run'") == ""
    thp, swap = "/sys/kernel/mm/transparent_hugepage/enabled", "/proc/sys/vm/swappiness"
    for path in (thp, swap, "/etc/x", "/usr/x"):
        # Opened to write, with nothing written.
        said = running(f"{inside('agent')} ': >> {path}' 2>&1; true")
        assert "Read-only file system" in said or "ermission denied" in said, (path, said)
    assert running(f"{inside('agent')} 'ls /home'").strip() == ""
    assert "student" in running("ls /home")


@pytest.mark.parametrize(("name", "rights"), [("agent", "0"), ("reader", "4")])
def test_capabilities(running: Callable[..., str], name: str, rights: str) -> None:
    pid = f"$(systemctl show -p MainPID --value samepage-{name})"
    status = running(f"cat /proc/{pid}/status")
    for line in ("CapEff", "CapBnd", "CapPrm"):
        assert f"{line}:\t{rights.zfill(16)}\n" in status
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status


def test_the_reader_has_no_network(running: Callable[..., str]) -> None:
    pid = "$(systemctl show -p MainPID --value samepage-reader)"
    assert running(f"readlink /proc/{pid}/ns/net") != running("readlink /proc/1/ns/net")


def test_a_process_of_another_user_is_counted_and_merged(
    running: Callable[..., str], ksm: Path
) -> None:
    running("systemctl stop jupyter-ada 2>/dev/null; systemctl reset-failed", check=False)
    running(
        f"systemd-run --quiet --unit=jupyter-ada -p User=student python3 -c '{STUDENT.strip()}'"
    )

    def counted() -> bool:
        answer = running(ASK.format(path="v1/node")).partition("\n\n")[2]
        return int(json.loads(answer)["ksm"]["opted_in_processes"] or 0) >= 1

    wait_for("the count", counted)
    wait_for("merging", lambda: (ksm / "run").read_text().strip() == "1")
    # Per workload to root only, by the private socket. (Here all are of one container.)
    assert "private     merged" in running("/opt/samepage/bin/samepage-agent status")


def test_what_was_found_is_kept_over_a_kill_and_put_back(
    running: Callable[..., str], ksm: Path
) -> None:
    before = running("systemctl show -p MainPID --value samepage-agent")
    running("systemctl kill -s KILL samepage-agent")

    def again() -> bool:
        now = running("systemctl show -p MainPID --value samepage-agent")
        return now not in (before, "0\n") and "200" in running(
            ASK.format(path="healthz"), check=False
        )

    wait_for("the restart", again)
    running("systemctl stop samepage-agent")
    assert {name: (ksm / name).read_text().strip() for name in FOUND} == FOUND
    # The reader is a part of the agent.
    wait_for("the reader's end", lambda: "inactive" in running(
        "systemctl is-active samepage-reader", check=False
    ))  # fmt: skip
