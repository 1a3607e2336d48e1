"""The bundle in a volume beside an image that knows nothing of Samepage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.git_server import GitServer
from tests.integration.containers_engine import BASE, CACHE, image, podman, why_not
from tests.integration.containers_student import PRIVILEGES, Student, students, wait_for
from tests.integration.courses_upstream import Teacher

PLAIN = "localhost/samepage-test-plain:latest"
#: JupyterLab, JupyterHub, R and OpenRefine, as somebody else's image has them.
CONTAINERFILE = """\
FROM {tag}
USER root
RUN pip uninstall -q -y jupyter-samepage jupyter-server-proxy nbgitpuller simpervisor \
      aiohttp aiosignal aiohappyeyeballs frozenlist multidict propcache yarl && \
    rm -rf /usr/local/bin/samepage-* /usr/share/doc/samepage
USER 1000:100
ENTRYPOINT ["/usr/bin/tini", "-g", "--"]
"""

pytestmark = [
    pytest.mark.containers,
    pytest.mark.xdist_group("containers"),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    # The first test of this group builds the images.
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def plain() -> str:
    file = CACHE / "plain.Containerfile"
    file.write_text(CONTAINERFILE.format(tag=image("singleuser")))
    podman("build", "-q", "--network=none", "-t", PLAIN, "-f", file, CACHE / "dist", seconds=300)
    return PLAIN


def place(volume: Path) -> str:
    """What the init container says; `volume` is empty and the student's, as an emptyDir."""
    volume.chmod(0o777)
    return podman(
        "run", "--rm", *PRIVILEGES, "--network=none",
        f"--volume={volume}:/opt/samepage", image("bundle"), "/opt/samepage",
    )  # fmt: skip


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volume")
    assert place(folder) == "samepage bundle: 0.1.0 is in /opt/samepage\n"
    assert place(folder) == "samepage bundle: 0.1.0 is there already\n"
    return folder


@pytest.fixture(scope="module")
def student(
    plain: str, volume: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Student]:
    folder = tmp_path_factory.mktemp("course")
    Teacher(folder).publish({"week-1.md": "Welcome\n"})
    with GitServer(folder / "served") as server:
        ada = Student(
            name="plain",
            image=plain,
            environment={"SAMEPAGE_COURSE_URL": server.url("course")},
            volumes=(f"{volume}:/opt/samepage",),
            command=("/opt/samepage/bin/samepage-singleuser",),
        )
        with students(ada):
            yield ada


def test_the_image_itself_has_nothing_of_ours(plain: str) -> None:
    said = podman("run", "--rm", "--network=none", plain, "pip", "list")
    assert "samepage" not in said
    assert "jupyter-server-proxy" not in said.replace("_", "-")


def test_panel_courses_and_applications_answer(student: Student) -> None:
    status, found = student.ask("samepage/api/status")
    assert status == 200, found
    features = {each["name"]: each["state"] for each in found["features"]}
    assert features["kernels"] in {"ok", "off"}
    assert features["applications"] == "ok"

    def pulled() -> bool:
        _, told = student.ask("samepage/api/courses")
        return [each["state"] for each in told["courses"]] == ["up_to_date"]

    wait_for(pulled, told=student.log)
    assert student.run("cat", "/home/jovyan/course/week-1.md") == "Welcome\n"

    def version() -> bool:
        code, answer = student.ask("openrefine/command/core/get-version")
        return code == 200 and "full_version" in answer

    wait_for(version, told=student.log)
    status, page = student.ask("lab")
    assert status == 200
    assert '"name": "jupyter-samepage"' in page


def test_kernels_opt_in_and_see_nothing_of_the_bundle(student: Student) -> None:
    kernel = student.kernel()
    said = student.execute(
        kernel,
        "import os, sys, importlib.util as u\n"
        "print(open('/proc/self/ksm_stat').read())\n"
        "print([p for p in sys.path if 'samepage' in p], os.environ.get('PYTHONPATH'))\n"
        "print(u.find_spec('aiohttp'), u.find_spec('labext'))",
    )
    assert "ksm_merge_any: yes" in said
    assert said.endswith("[] None\nNone None\n")


def test_packages_of_the_image_are_the_servers(student: Student) -> None:
    """psutil is in both; the server has loaded the image's."""
    maps = student.run(
        "sh", "-c", "cat /proc/[0-9]*/maps 2>/dev/null | grep -o '/[^ ]*psutil[^ ]*'"
    )
    assert maps
    assert {line.startswith("/opt/jupyter/") for line in maps.splitlines()} == {True}


def test_an_image_without_jupyter_says_so(volume: Path) -> None:
    said = podman(
        "run", "--rm", "--network=none", f"--volume={volume}:/opt/samepage:ro", BASE,
        "sh", "-c", "/opt/samepage/bin/samepage-singleuser 2>&1; echo $?",
    )  # fmt: skip
    assert "this image has no jupyterhub-singleuser" in said
    assert said.endswith("127\n")


def test_a_read_only_volume_works_too(plain: str, volume: Path) -> None:
    grace = Student(
        name="plain-ro",
        image=plain,
        volumes=(f"{volume}:/opt/samepage:ro",),
        command=("/opt/samepage/bin/samepage-singleuser",),
    )
    with students(grace):
        assert grace.ask("samepage/api/status")[0] == 200
