"""The three images as images/build.sh makes them: what is in them, and what is not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.integration.containers_engine import (
    CACHE,
    MARK,
    image,
    inspect,
    podman,
    run,
    why_not,
)

IMAGES = ("nodeagent", "bundle", "singleuser")

pytestmark = [
    pytest.mark.containers,
    pytest.mark.xdist_group("containers"),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    # The first test of this group builds the images.
    pytest.mark.timeout(1200),
]


def inside(tag: str, *command: str, options: tuple[str, ...] = ()) -> str:
    """Standard output of a command in a fresh container without network or privileges."""
    return podman(
        "run", "--rm", "--network=none", "--read-only", "--cap-drop=all",
        "--security-opt=no-new-privileges", *options, f"--entrypoint={command[0]}",
        tag, *command[1:],
    )  # fmt: skip


def layers(tag: str) -> list[Path]:
    """The folders of the image's layers in podman's store, lowest first."""
    data = inspect(tag)["GraphDriver"]["Data"]
    return [Path(folder) for folder in (*data["LowerDir"].split(":")[::-1], data["UpperDir"])]


@pytest.mark.parametrize("name", IMAGES)
def test_labels_user_and_start(name: str) -> None:
    found = inspect(image(name))
    labels = {key.rpartition(".")[2]: value for key, value in found["Labels"].items()}
    assert labels["version"] == "0.1.0"
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", labels["revision"])
    assert labels["licenses"] == "BSD-3-Clause"
    assert labels["title"].startswith("Samepage")
    user = found["Config"]["User"]
    assert user not in {"", "0", "root"}
    assert not user.startswith("0:")


@pytest.mark.parametrize("name", ["nodeagent", "singleuser"])
def test_tini_and_healthcheck(name: str) -> None:
    found = inspect(image(name))
    assert found["Config"]["Entrypoint"][0] == "/usr/bin/tini"
    assert found["Healthcheck"]["Test"][0] == "CMD"


@pytest.mark.parametrize("name", IMAGES)
def test_bill_of_materials(name: str) -> None:
    text = inside(image(name), "cat", "/usr/share/doc/samepage/sbom.cdx.json")
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert problem is None, problem
    bill = json.loads(text)
    assert bill["metadata"]["component"]["name"] == f"samepage-{name}"
    found = {each["purl"].partition("@")[0] for each in bill["components"]}
    assert {"pkg:deb/debian/base-files", "pkg:pypi/jupyter-samepage"} <= found
    also = {
        "nodeagent": {"pkg:deb/debian/python3", "pkg:pypi/nvidia-ml-py"},
        "bundle": {"pkg:pypi/jupyter-server-proxy", "pkg:pypi/aiohttp"},
        "singleuser": {"pkg:deb/debian/openrefine", "pkg:pypi/jupyterlab", "pkg:deb/debian/tini"},
    }
    assert also[name] <= found


def test_agent_is_small_and_has_neither_jupyter_nor_tools() -> None:
    tag = image("nodeagent")
    assert inspect(tag)["Size"] < 120_000_000
    assert inside(tag, "samepage-agent", "--version").strip().endswith("0.1.0")
    tools = "for t in gcc cc node npm pip pip3 curl git; do command -v $t && echo has $t; done; :"
    assert inside(tag, "sh", "-c", tools) == ""
    here = inside(tag, "ls", "/opt/samepage").split()
    assert "nodeagent" in here
    assert not {"labext", "serverproxy", "jupyter_server", "traitlets"} & set(here)


def test_students_image_has_no_tools_of_the_build_and_whole_packages() -> None:
    tag = image("singleuser")
    tools = "for t in gcc g++ cc make node npm; do command -v $t && echo has $t; done; :"
    assert inside(tag, "sh", "-c", tools) == ""
    assert "No broken" in inside(tag, "python", "-m", "pip", "check")
    # Aligned kernels map these files; a read-only root could not write them later.
    missing = (
        "from pathlib import Path; import labext; root = Path(labext.__file__).parent; "
        "print([str(p) for p in root.rglob('*.py') "
        "if not list((p.parent / '__pycache__').glob(p.stem + '.*.pyc'))])"
    )
    assert inside(tag, "python", "-c", missing) == "[]\n"
    library = (
        "import ctypes; from labext.kernels.aligned.arrays import Arrays, library_file; "
        "print(Arrays(ctypes.CDLL(str(library_file())), huge=False).figures()['live'])"
    )
    assert inside(tag, "python", "-c", library) == "0\n"


def test_what_changes_last_is_smallest() -> None:
    """A commit of ours changes the last layers only: a few MB of the image."""
    told = run(["du", "-sk", *layers(image("singleuser"))])
    sizes = [int(line.split()[0]) / 1024 for line in told.splitlines()]
    big = max(place for place, size in enumerate(sizes) if size > 20)
    assert sum(sizes[big + 1 :]) < 10
    assert sum(sizes[: big + 1]) > 20 * sum(sizes[big + 1 :])


@pytest.mark.parametrize("name", IMAGES)
def test_no_layer_and_no_history_keeps_the_builds_settings(name: str) -> None:
    tag = image(name)
    folders = layers(tag)
    assert run(["grep", "-rlF", "--devices=skip", MARK, *folders], check=False) == ""
    for folder in folders:
        left = [*folder.glob("run/secrets/*"), *folder.glob("etc/apt/*/*build*")]
        left += [*folder.glob("etc/pip.conf"), *folder.glob("root/.npmrc")]
        assert [path for path in left if path.stat().st_size] == []
    history = podman("history", "--no-trunc", tag) + json.dumps(inspect(tag))
    assert MARK not in history
    assert str(CACHE) not in history.replace(str(CACHE / "store"), "")
