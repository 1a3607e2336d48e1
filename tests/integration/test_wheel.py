"""A wheel built from the tree works by itself in an empty environment: one half each."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder

import hatch_build

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints.txt"

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("wheel")]


def run(*command: str | Path, env: dict[str, str] | None = None, check: bool = True) -> str:
    """Standard output of `command`; a failure shows both streams."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=env, cwd="/"
    )
    if check and done.returncode:
        pytest.fail(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return re.sub(r"\x1b\[\d*m", "", done.stdout + done.stderr)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    (built,) = out.glob("*.whl")
    return built


def hatchling(out: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """A build by the backend itself, in a second. Its PATH has no compiler."""
    empty = out / "empty"
    empty.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SAMEPAGE")}
    kept.pop("CC", None)
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        env={**kept, "PATH": str(empty), **settings},
        capture_output=True,
        text=True,
        check=False,
    )


def libraries(wheel: Path) -> list[str]:
    return [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]


needs_compiler = pytest.mark.skipif(
    not hatch_build.compilers(os.uname().machine, os.environ), reason="no C compiler here"
)
no_zig = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is not None, reason="Zig is here, which compiles too"
)


class Environment:
    """An empty virtual environment with the wheel and one extra in it, and a home of its own."""

    def __init__(self, folder: Path, wheel: Path, extra: str) -> None:
        venv.create(folder / "env", with_pip=True)
        self.bin = folder / "env" / "bin"
        home = folder / "home"
        home.mkdir()
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("JUPYTER", "PYTHON", "SAMEPAGE", "NODEAGENT", "VIRTUAL_ENV"))
        }
        self.env = {**kept, "HOME": str(home), "PATH": f"{self.bin}:{kept['PATH']}"}
        constraints = ["-c", str(CONSTRAINTS)] if CONSTRAINTS.exists() else []
        # pip's own settings (mirror, certificates) may live in the real home.
        self.run(
            "python",
            "-m",
            "pip",
            "install",
            "-q",
            "--no-compile",
            *constraints,
            f"{wheel}[{extra}]",
            env={**self.env, "HOME": os.environ.get("HOME", "/")},
        )

    def run(self, command: str, *args: str, env: dict[str, str] | None = None) -> str:
        return run(self.bin / command, *args, env=env or self.env)

    @property
    def site(self) -> Path:
        (site,) = self.bin.parent.glob("lib/python3*/site-packages")
        return site

    def packages(self) -> set[str]:
        listed: list[dict[str, str]] = json.loads(
            run(
                self.bin / "python",
                "-m",
                "pip",
                "list",
                "--format",
                "json",
                "--disable-pip-version-check",
                env=self.env,
            )
        )
        return {re.sub(r"[-_.]+", "-", item["name"]).lower() for item in listed}


@pytest.fixture(scope="module")
def notebook(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("notebook"), wheel, "notebook")


@pytest.fixture(scope="module")
def agent(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("agent"), wheel, "nodeagent")


def test_wheel_holds_packages_and_built_extension_but_no_sources_of_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    data = [name.split(".data/data/")[1] for name in names if ".data/data/" in name]
    assert "etc/jupyter/jupyter_server_config.d/jupyter-samepage.json" in data
    assert "share/jupyter/labextensions/jupyter-samepage/package.json" in data
    assert "share/jupyter/labextensions/jupyter-samepage/install.json" in data
    assert any(re.search(r"/static/remoteEntry\.\w+\.js$", name) for name in data)
    assert not [name for name in names if "/lab/src/" in name or "node_modules" in name]
    assert {name.split("/")[0] for name in names if "-0" not in name.split("/")[0]} == {
        "hubext",
        "labext",
        "serverproxy",
        "nodeagent",
    }


def test_notebook_extra_enables_everything_by_itself(notebook: Environment) -> None:
    server = notebook.run("jupyter", "server", "extension", "list")
    assert re.search(r"labext\s+enabled", server), server
    assert re.search(r"labext \d+\.\d+\.\d+\S* OK", server), server
    lab = notebook.run("jupyter", "labextension", "list")
    assert re.search(r"jupyter-samepage v\S+.* enabled .*OK", lab), lab
    entries = notebook.run(
        "python",
        "-W",
        "error",
        "-c",
        "from importlib.metadata import entry_points as e;"
        "print({p.name: p.load()()['launcher_entry']['title']"
        " for p in e(group='jupyter_serverproxy_servers')})",
    )
    assert "'openrefine': 'OpenRefine'" in entries
    assert "'rstudio': 'RStudio'" in entries
    assert "nvidia-ml-py" not in notebook.packages()


@needs_compiler
def test_wheel_holds_the_library_of_this_machine_and_not_its_source(
    wheel: Path, notebook: Environment
) -> None:
    name = f"arrays-{os.uname().machine}.so"
    assert wheel.name.endswith("-py3-none-any.whl")
    assert libraries(wheel) == [f"labext/kernels/aligned/{name}"]
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".c")]
    released = notebook.run(
        "python",
        "-c",
        "import ctypes, pathlib, labext;"
        f"path = pathlib.Path(labext.__file__).parent / 'kernels' / 'aligned' / '{name}';"
        "print(path, ctypes.CDLL(str(path)).samepage_arrays_release())",
    )
    assert released.strip() == f"{notebook.site}/labext/kernels/aligned/{name} 0"


@no_zig
def test_build_without_a_compiler_warns_and_gives_a_wheel_without_the_library(
    tmp_path: Path,
) -> None:
    done = hatchling(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "could not be compiled: no C compiler was found (looked for $CC, cc," in done.stderr
    assert "Without it everything works" in done.stderr
    (built,) = tmp_path.glob("*.whl")
    assert libraries(built) == []
    assert "labext/kernels/server_start.py" in zipfile.ZipFile(built).namelist()


@no_zig
def test_build_that_requires_the_library_fails_without_a_compiler(tmp_path: Path) -> None:
    done = hatchling(tmp_path, SAMEPAGE_ARRAYS="require")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "SAMEPAGE_ARRAYS=require: there is no wheel without this library."
    )
    assert not list(tmp_path.glob("*.whl"))


def test_sdist_carries_the_source_of_the_library_and_its_build() -> None:
    """What the backend answers, file by file: a whole sdist reads all of the tree's .venv."""
    config = SdistBuilder(str(ROOT)).config
    for name in ("hatch_build.py", "labext/kernels/native/arrays.c"):
        assert (ROOT / name).is_file()
        assert config.include_path(name)
    assert not config.include_path("labext/kernels/aligned/arrays-x86_64.so")


def test_nodeagent_extra_needs_no_jupyter_and_no_gpu(agent: Environment) -> None:
    packages = agent.packages()
    assert not {name for name in packages if "jupyter" in name} - {"jupyter-samepage"}
    assert not packages & {"traitlets", "nbgitpuller", "ipython", "psutil"}
    checked = run(agent.bin / "samepage-agent", "check", env=agent.env, check=False)
    assert "NVIDIA" in checked
    assert "Traceback" not in checked


def test_plain_install_brings_no_dependency(wheel: Path) -> None:
    metadata = next(
        zipfile.ZipFile(wheel).read(name).decode()
        for name in zipfile.ZipFile(wheel).namelist()
        if name.endswith(".dist-info/METADATA")
    )
    plain = [
        line
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist:") and "extra ==" not in line
    ]
    assert plain == []
