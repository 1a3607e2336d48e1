"""Our provisioner becomes the default one in a real Jupyter Server, and only when it may."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from labext.kernels.merged import read_ksm_stat
from labext.kernels.support import probe

ROOT = Path(__file__).parents[2]
TOKEN = "under-test"

needs_merging = pytest.mark.skipif(
    not probe().available or read_ksm_stat(os.getpid()) is None,
    reason="this Linux has no PR_SET_MEMORY_MERGE",
)


def ask(url: str, *, method: str = "GET") -> object:
    request = urllib.request.Request(
        url, method=method, headers={"Authorization": f"token {TOKEN}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"null")


@contextmanager
def server(
    tmp_path: Path, *arguments: str, environment: Mapping[str, str]
) -> Iterator[tuple[psutil.Process, str, Path]]:
    """A server with the extension alone: its process, address and log."""
    log = tmp_path / "log"
    runtime = tmp_path / "runtime"
    command = [sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser"]
    command += [
        "--ServerApp.port=0",
        "--ServerApp.ip=127.0.0.1",
        f"--IdentityProvider.token={TOKEN}",
    ]
    command += ["--ServerApp.jpserver_extensions=kernels_extension=True", *arguments]
    paths = [str(tmp_path / "site"), str(ROOT), str(Path(__file__).parent)]
    full = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "SAMEPAGE"))}
    full |= {
        "PYTHONPATH": os.pathsep.join(paths),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        **environment,
    }
    with log.open("wb") as output:
        started = subprocess.Popen(command, env=full, cwd=tmp_path, stdout=output, stderr=output)
    try:
        yield psutil.Process(started.pid), _address(runtime, started, log), log
    finally:
        for child in psutil.Process(started.pid).children(recursive=True):
            child.terminate()
        started.terminate()
        started.wait(30)


def _address(runtime: Path, started: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert started.poll() is None, log.read_text()
        for file in runtime.glob("jpserver-*.json"):
            found = re.search(r'"url": "([^"]+)"', file.read_text())
            if found and _answers(found[1]):
                return found[1]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def _answers(url: str) -> bool:
    try:
        ask(f"{url}api/status")
    except urllib.error.URLError:  # the file is there a moment before the server listens
        return False
    return True


def kernel_of(process: psutil.Process, url: str) -> int:
    """Start a kernel over REST; its process id."""
    ask(f"{url}api/kernels", method="POST")
    # A kernel may be forked from the server's template.
    family = process.children(recursive=True)
    kernels = [child for child in family if "ipykernel_launcher" in child.cmdline()]
    assert len(kernels) == 1
    return int(kernels[0].pid)


def merge_any(pid: int) -> bool | None:
    stat = read_ksm_stat(pid)
    return None if stat is None else stat.merge_any


def install(folder: Path, target: str = "labext.kernels.provisioner:SamepageProvisioner") -> None:
    # The real name, first on the path: it hides the installed distribution and its entry points.
    info = folder / "jupyter_samepage-0.dist-info"
    info.mkdir(parents=True)
    group = "jupyter_client.kernel_provisioners"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: jupyter-samepage\nVersion: 0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\nsamepage-provisioner = {target}\n")


@needs_merging
def test_kernels_of_the_server_opt_in(tmp_path: Path) -> None:
    install(tmp_path / "site")
    with server(tmp_path, environment={}) as (process, url, log):
        assert merge_any(kernel_of(process, url)) is True
        assert "make_default: None" in log.read_text()


@pytest.mark.parametrize("how", ["configuration", "environment"])
def test_the_administrators_choice_stays(tmp_path: Path, how: str) -> None:
    install(tmp_path / "site")
    name = "local-provisioner"
    arguments = [f"--KernelProvisionerFactory.default_provisioner_name={name}"]
    environment = {"JUPYTER_DEFAULT_PROVISIONER_NAME": name}
    with server(
        tmp_path,
        *(arguments if how == "configuration" else []),
        environment=environment if how == "environment" else {},
    ) as (process, url, log):
        assert merge_any(kernel_of(process, url)) is not True
        assert "configured to start kernels with" in log.read_text()


@pytest.mark.parametrize(
    "chosen", [{}, {"JUPYTER_DEFAULT_PROVISIONER_NAME": "samepage-provisioner"}]
)
def test_an_installation_that_does_not_load_leaves_stock_kernels(
    tmp_path: Path, chosen: dict[str, str]
) -> None:
    install(tmp_path / "site", target="no_such_module:Provisioner")
    with server(tmp_path, environment=chosen) as (process, url, log):
        assert merge_any(kernel_of(process, url)) is not True
        assert "no_such_module" in log.read_text()
