"""Aligned servers and kernels of two people behind a real hub, as the node's agent sees them."""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from labext.kernels.command import opt_in_survives_exec
from labext.kernels.support import probe
from nodeagent.ksm.processes import parse_ksm_stat
from nodeagent.status import ask_workloads
from tests.integration import hub as hubs
from tests.integration.agentrun import RunningAgent, agent
from tests.integration.frozen import freeze
from tests.integration.test_server_start import pages

pytestmark = [
    pytest.mark.skipif(hubs.missing() is not None, reason=str(hubs.missing())),
    pytest.mark.skipif(
        not (probe().available and opt_in_survives_exec(platform.release())),
        reason="this Linux cannot merge a whole process over exec",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="the agent needs root to see all processes"),
    pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed"),
    pytest.mark.xdist_group("hub"),
    pytest.mark.timeout(400),
]
PEOPLE = ("alice", "bob")
Given = TypeVar("Given")
Found = TypeVar("Found")


def until(happened: Callable[[], bool], what: Callable[[], str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def image() -> str:
    """No other kernel of this machine runs in this one."""
    return f"test.example/lab:{secrets.token_hex(6)}"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agent")


@pytest.fixture(scope="module")
def watcher(state: Path) -> Iterator[RunningAgent]:
    """It reads the real machine and changes nothing."""
    flags = ["--mode", "observe", "--no-gpu", "--interval", "1", "--state-dir", str(state)]
    with agent(*flags, log=state / "log") as running:
        yield running


@pytest.fixture(scope="module")
def hub(
    tmp_path_factory: pytest.TempPathFactory, watcher: RunningAgent, image: str
) -> Iterator[hubs.Hub]:
    variables = {
        "TEST_HUB_AGENT": f"http://127.0.0.1:{watcher.port}",
        "TEST_HUB_IMAGE": image,
        "TEST_HUB_TOKEN": secrets.token_hex(16),
    }
    programs = freeze(
        tmp_path_factory.mktemp("frozen") / "venv", "samepage-singleuser", "jupyterhub-singleuser"
    )
    variables["TEST_HUB_PROGRAMS"] = str(programs)
    folder = tmp_path_factory.mktemp("hub")
    with hubs.Hub(folder, config="aligned_config.py", variables=variables) as running:
        yield running


@pytest.fixture(scope="module")
def people(hub: hubs.Hub) -> dict[str, hubs.User]:
    return dict(zip(PEOPLE, at_once(hub.login, PEOPLE), strict=True))


def at_once(work: Callable[[Given], Found], what: Iterable[Given]) -> list[Found]:
    """The results of `work`, done for all at the same time."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(work, what))


def server_of(name: str, hub: hubs.Hub) -> psutil.Process | None:
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if (
                environment.get("JUPYTERHUB_USER") == name
                and environment.get("HOME") == str(hub.folder / "home" / name)
                and any("jupyterhub-singleuser" in word for word in process.cmdline())
            ):
                return process
        except psutil.Error:
            continue
    return None


def ensure(people: dict[str, hubs.User], hub: hubs.Hub) -> dict[str, psutil.Process]:
    """Both servers run, also after a test that ended them."""
    found = {}
    for name in PEOPLE:
        process = server_of(name, hub)
        if process is None:
            people[name] = hub.login(name)
            process = server_of(name, hub)
        assert process is not None, hub.tail()
        found[name] = process
    return found


def steady_pages(pid: int) -> dict[int, bytes]:
    """The pages of a server that answers requests meanwhile: its mappings come and go."""
    for _ in range(20):
        with contextlib.suppress(OSError):
            return pages(pid)
        time.sleep(0.2)
    return pages(pid)


def test_servers_of_two_people_have_pages_in_common(
    hub: hubs.Hub, people: dict[str, hubs.User]
) -> None:
    servers = ensure(people, hub)
    for process in servers.values():
        stat = parse_ksm_stat(Path(f"/proc/{process.pid}/ksm_stat").read_text())
        assert stat is not None
        assert stat.merge_any is not False
        # The hub's own process: nothing is in between that would keep signals from it.
        assert process.ppid() != 1
    assert "without alignment" not in hub.log.read_text(errors="replace")
    assert in_common(servers) > 0.3, hub.tail()


def in_common(servers: dict[str, psutil.Process]) -> float:
    first, second = (steady_pages(servers[name].pid) for name in PEOPLE)
    return sum(second.get(address) == content for address, content in first.items()) / len(first)


def kernel(user: hubs.User) -> str:
    answer = user.post("api/kernels", json={"name": "python3"}, timeout=120)
    assert answer.ok, answer.text
    return str(answer.json()["id"])


def kernels_message(user: hubs.User) -> str:
    features = user.get("samepage/api/status").json()["features"]
    return str(next(each["message"] for each in features if each["name"] == "kernels"))


def counts(state: Path, image: str) -> dict[str, Any]:
    found = ask_workloads(state)
    assert found is not None
    return next((dict(each) for each in found["images"] if each["image"] == image), {})


def test_the_agent_counts_their_aligned_kernels_by_image(
    hub: hubs.Hub,
    people: dict[str, hubs.User],
    watcher: RunningAgent,
    state: Path,
    image: str,
) -> None:
    ensure(people, hub)
    ids = dict(zip(PEOPLE, at_once(lambda name: kernel(people[name]), PEOPLE), strict=True))
    for name in PEOPLE:
        assert "1 started aligned" in kernels_message(people[name])

    def both_are_counted() -> bool:
        for user in people.values():
            assert user.get("api/contents").ok  # or the culler would end their servers
        return counts(state, image).get("alike") == 2

    until(
        both_are_counted,
        lambda: f"{ask_workloads(state)}\n{watcher.log.read_text()}",
        60,
    )
    assert counts(state, image)["drifted"] == 0
    total = watcher.node()["kernels"]
    assert total["alike"] >= 2
    assert image not in watcher.get("/metrics")[2].decode()

    def end(name: str) -> None:
        answer = people[name].session.delete(
            f"{people[name].base}api/kernels/{ids[name]}",
            headers={"X-XSRFToken": _xsrf(people[name])},
            timeout=60,
        )
        assert answer.ok, answer.text

    at_once(end, PEOPLE)
    until(lambda: not counts(state, image), lambda: f"still counted: {counts(state, image)}", 45)


def _xsrf(user: hubs.User) -> str:
    return next(
        cookie.value or ""
        for cookie in user.session.cookies
        if cookie.name == "_xsrf" and cookie.path == f"/user/{user.name}/"
    )


def test_activity_is_reported_and_an_idle_server_is_culled(
    hub: hubs.Hub, people: dict[str, hubs.User]
) -> None:
    """Alice works on, through the proxy; Bob's server is ended by the hub's culler."""
    servers = ensure(people, hub)

    def bob_has_ended() -> bool:
        assert people["alice"].get("api/contents").ok
        bob = servers["bob"]
        return not bob.is_running() or bob.status() == psutil.STATUS_ZOMBIE

    until(bob_has_ended, hub.tail, 120)
    assert servers["alice"].is_running()
    assert "Culling server bob" in hub.log.read_text(errors="replace")
