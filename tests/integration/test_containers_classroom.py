"""Two students' containers and a node agent with the privileges of daemonset.yaml, on real KSM."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from demo.git_server import GitServer
from nodeagent.ksm.lock import KsmLock
from nodeagent.ksm.sysfs import KsmDir
from nodeagent.status import ask_workloads
from tests.browser import chromium
from tests.browser.lab import Lab
from tests.integration import containers_pod
from tests.integration.containers_engine import image, logs, podman, why_not
from tests.integration.containers_student import TOKEN, Student, free_port, students, wait_for
from tests.integration.courses_upstream import Teacher
from tests.integration.ksm_turn import turn

KSM = KsmDir()
MIB = 40
SETTINGS = ("run", "pages_to_scan", "sleep_millisecs", "smart_scan")
#: Equal in both kernels, page by page, and no page like another.
LESSON = f"""
import mmap, random
lesson = mmap.mmap(-1, {MIB} << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
source = random.Random(7)
for _ in range({MIB}):
    lesson.write(source.randbytes(1 << 20))
print(open("/proc/self/ksm_stat").read())
"""

pytestmark = [
    pytest.mark.containers,
    pytest.mark.ksm,
    pytest.mark.xdist_group("containers"),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    # The first test of this group builds the images.
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("course")
    Teacher(folder).publish({"week-1.md": "Welcome\n"})
    with GitServer(folder / "served") as server:
        yield server.url("course")


@pytest.fixture(scope="module")
def agent_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def agent() -> str:
    """Its image, built before the lock is taken."""
    return image("nodeagent")


@pytest.fixture(scope="module")
def pair(course: str, agent_port: int) -> Iterator[tuple[Student, ...]]:
    environment = {
        "SAMEPAGE_COURSE_URL": course,
        "SAMEPAGE_AGENT_URL": f"http://127.0.0.1:{agent_port}",
    }
    tag = image("singleuser")
    two = [Student(name=name, image=tag, environment=environment) for name in ("ada", "grace")]
    with students(*two) as running:
        yield running


@pytest.fixture
def ksm_lock() -> Iterator[None]:
    """This machine's KSM is ours; the agent in the container has a lock of its own."""
    with turn(), KsmLock():
        yield


def test_course_is_pulled_into_the_home(pair: tuple[Student, ...]) -> None:
    for student in pair:

        def pulled(student: Student = student) -> bool:
            _, found = student.ask("samepage/api/courses")
            return [each["state"] for each in found["courses"]] == ["up_to_date"]

        wait_for(pulled, told=student.log)
        assert student.run("cat", "/home/jovyan/course/week-1.md") == "Welcome\n"


def test_openrefine_answers_behind_the_server(pair: tuple[Student, ...]) -> None:
    student = pair[0]
    _, listed = student.ask("samepage/api/apps")
    (refine,) = [app for app in listed["apps"] if app["name"] == "openrefine"]
    assert refine["available"], refine["reason"]

    def version() -> Any:
        status, answer = student.ask("openrefine/command/core/get-version")
        return status == 200 and isinstance(answer, dict) and answer["version"]

    assert wait_for(version, told=student.log)[0] in "23"
    status, page = student.ask("openrefine/")
    assert status == 200
    assert "OpenRefine" in page


@pytest.mark.skipif(
    chromium.find() is None and not os.environ.get("CI"), reason="no Chromium is installed"
)
def test_launcher_button_opens_openrefine_in_a_browser(pair: tuple[Student, ...]) -> None:
    executable = chromium.find()
    assert executable is not None, "no Chromium; on Debian or Ubuntu: apt-get install chromium"
    # Not a fixture: while Playwright runs, no other event loop can start in this process.
    with chromium.browser(executable) as running:
        page = chromium.new_context(running).new_page()
        lab = Lab(page, f"http://127.0.0.1:{pair[0].port}/lab?reset&token={TOKEN}")
        with page.expect_popup() as opened:
            lab.card("OpenRefine").click()
        refine = opened.value
        expect(refine).to_have_title(re.compile("^OpenRefine"), timeout=90_000)
        expect(refine.get_by_text("working with messy data")).to_be_visible(timeout=30_000)
        expect(refine.get_by_role("listitem").filter(has_text="Create project")).to_be_visible()
        expect(refine.get_by_role("button", name="Choose File")).to_be_visible()
        assert refine.url.endswith("/openrefine/")
        assert lab.errors == []


def test_kernels_of_python_and_r(pair: tuple[Student, ...]) -> None:
    _, found = pair[0].ask("api/kernelspecs")
    assert {"python3", "ir"} <= set(found["kernelspecs"])
    assert "42" in pair[0].run("Rscript", "-e", "cat(6 * 7)")


def test_containers_run_as_students_do(pair: tuple[Student, ...]) -> None:
    for student in pair:
        status = student.run("cat", "/proc/1/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Uid"].split()[0] == "1000"
        assert int(fields["CapEff"], 16) == 0
        assert fields["NoNewPrivs"] == "1"
        assert fields["Seccomp"] == "2"
        assert student.run("sh", "-c", "touch /opt/x 2>&1 || true").endswith("system\n")
        podman("healthcheck", "run", student.id)


def test_memory_merges_across_containers_and_is_told_per_container(
    pair: tuple[Student, ...], agent: str, agent_port: int, tmp_path: Path, ksm_lock: None
) -> None:
    kernels = [(student, student.kernel()) for student in pair]
    before = {name: KSM.read(name) for name in SETTINGS}
    state, log = tmp_path / "state", tmp_path / "agent.log"
    state.mkdir(mode=0o755)

    with containers_pod.running(agent, state=state, port=agent_port, log=log) as names:

        def told() -> str:
            return "\n".join([*map(logs, names.values()), str(ask_workloads(state))])

        def merged() -> dict[str, Any] | None:
            found = ask_workloads(state) or {"workloads": []}
            mine = {
                each["name"]: each
                for each in found["workloads"]
                if each["kind"] == "container" and each["name"] in {s.id for s in pair}
            }
            whole = all(each["merged_bytes"] >= 0.9 * MIB * 2**20 for each in mine.values())
            return mine if len(mine) == len(pair) and whole else None

        wait_for(lambda: ask_workloads(state), told=told)
        # A lesson begins: what is new is merged at once, within the budget.
        for student, kernel in kernels:
            assert "ksm_merge_any: yes" in student.execute(kernel, LESSON)
        workloads = wait_for(merged, seconds=90, told=told)
        for each in workloads.values():
            assert each["private_bytes"] > each["merged_bytes"]
            # Each of the two saves about half of what both have in common, and the zero pages.
            # Other tests merge on this machine at the same time, which lifts the node's ratio.
            merged_and_zero = each["merged_bytes"] + (each["zero_bytes"] or 0)
            assert 0.4 * MIB * 2**20 < each["saved_bytes"] <= merged_and_zero

        _, seen = pair[0].ask("samepage/api/status")
        assert seen["agent"]["state"] == "ok", seen["agent"]
        assert seen["node"]["ksm"]["saved_bytes"] > 0.9 * MIB * 2**20
        assert "workloads" not in str(seen)

        assert KSM.read("run") == 1 or KSM.read("pages_to_scan") != before["pages_to_scan"]
        podman("stop", "-t", "30", names["tuner"])
        exited = podman("inspect", "--format", "{{.State.ExitCode}}", names["tuner"]).strip()
        assert exited == "0", told()
    assert {name: KSM.read(name) for name in SETTINGS} == before
    for student, kernel in kernels:
        assert "still here" in student.execute(kernel, "print('still here', len(lesson))")
