"""Real kernels, started by jupyter_client through our entry point."""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.factory import KernelProvisionerFactory

from labext.kernels import ledger as ledger_module
from labext.kernels.command import LAUNCHER
from labext.kernels.ledger import KernelLedger, KernelRecord
from labext.kernels.merged import read_ksm_stat
from labext.kernels.provisioner import SamepageProvisioner
from labext.kernels.support import probe

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
NOBODY = 65534

needs_merging = pytest.mark.skipif(
    not probe().available or read_ksm_stat(os.getpid()) is None,
    reason="this Linux has no PR_SET_MEMORY_MERGE",
)
Seen = Callable[[str], str]


def entry_points(folder: Path) -> Path:
    """The entry points of pyproject.toml as an installed distribution in `folder`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    group = "jupyter_client.kernel_provisioners"
    info = folder / "samepage_under_test-0.dist-info"
    info.mkdir(parents=True)
    rows = "".join(
        f"{name} = {target}\n" for name, target in project["entry-points"][group].items()
    )
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: samepage-under-test\nVersion: 0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{rows}")
    return folder


@pytest.fixture(autouse=True)
def ours_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = entry_points(tmp_path / "site")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("JUPYTER_DEFAULT_PROVISIONER_NAME", "samepage-provisioner")
    # The opt-in alone; test_kernels_aligned has the rest.
    monkeypatch.setenv("SAMEPAGE_ALIGNED", "0")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setattr(ledger_module.ledger, "records", {})
    KernelProvisionerFactory.clear_instance()
    yield folder
    KernelProvisionerFactory.clear_instance()
    KernelProvisionerFactory.provisioners.pop("samepage-provisioner", None)


@pytest.fixture
def records() -> dict[str, KernelRecord]:
    return ledger_module.ledger.records


class Session:
    """A running kernel and its client."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.client: BlockingKernelClient = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    @property
    def provisioner(self) -> SamepageProvisioner:
        assert isinstance(self.manager.provisioner, SamepageProvisioner)
        return self.manager.provisioner

    @property
    def pid(self) -> int:
        assert self.provisioner.pid is not None
        return int(self.provisioner.pid)

    def run(self, code: str) -> str:
        """What the cell printed; errors of the cell by name."""
        printed: list[str] = []

        def keep(message: dict[str, Any]) -> None:
            content = message["content"]
            printed.append(content.get("text") or content.get("ename") or "")

        self.client.execute_interactive(code, timeout=60, output_hook=keep)
        return "".join(printed)

    def end(self) -> None:
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)


Start = Callable[..., Session]


@pytest.fixture
def start() -> Iterator[Start]:
    sessions: list[Session] = []

    def begin(name: str = "python3", **kwargs: Any) -> Session:
        manager = KernelManager(kernel_name=name)
        for trait, value in kwargs.pop("traits", {}).items():
            manager.config["SamepageProvisioner"][trait] = value
        manager.start_kernel(**kwargs)
        session = Session(manager)
        sessions.append(session)
        return session

    yield begin
    for session in sessions:
        session.end()


def add_kernelspec(tmp_path: Path, name: str, **spec: object) -> None:
    folder = tmp_path / "jupyter" / "kernels" / name
    folder.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    stock: dict[str, object] = {"argv": argv, "display_name": name, "language": "x"}
    (folder / "kernel.json").write_text(json.dumps(stock | spec))


def merge_any(pid: int) -> bool | None:
    stat = read_ksm_stat(pid)
    return None if stat is None else stat.merge_any


def until(happened: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@needs_merging
def test_a_kernel_lives_its_whole_life_opted_in(
    start: Start, records: dict[str, KernelRecord]
) -> None:
    session = start()
    assert isinstance(session.provisioner, SamepageProvisioner)
    assert merge_any(session.pid) is True
    assert session.run("import os; print(os.getpid(), end='')") == str(session.pid)
    assert [record.outcome for record in records.values()] == ["on"]

    session.run("import subprocess, threading; started = threading.Event()")
    request = session.client.execute("print('begun', flush=True)\nwhile True: pass")
    until(lambda: session.client.get_iopub_msg(timeout=30)["msg_type"] == "stream")
    session.manager.interrupt_kernel()
    reply = session.client.get_shell_msg(timeout=30)
    while reply["parent_header"].get("msg_id") != request:
        reply = session.client.get_shell_msg(timeout=30)
    assert reply["content"]["ename"] == "KeyboardInterrupt"

    before = session.pid
    session.manager.restart_kernel(now=True)
    session.client.wait_for_ready(timeout=60)
    assert session.pid != before
    assert merge_any(session.pid) is True
    assert session.run("print('again', end='')") == "again"
    assert len(records) == 1
    assert next(iter(records.values())).pid == session.pid

    last = session.pid
    session.manager.shutdown_kernel()
    assert not Path(f"/proc/{last}").exists()
    assert not records


@needs_merging
def test_children_inherit_the_opt_in(start: Start) -> None:
    session = start()
    code = "import subprocess; print(subprocess.getoutput('cat /proc/self/ksm_stat'))"
    assert "ksm_merge_any: yes" in session.run(code)


FACTS = """
import json, os, signal, sys
status = open('/proc/self/status').read().splitlines()
print(json.dumps({
    'argv': sys.argv[:1] + sys.argv[1:2], 'orig': sys.orig_argv[1:4], 'executable': sys.executable,
    'path': sys.path, 'environment': dict(sorted(os.environ.items())), 'cwd': os.getcwd(),
    'ignored': [row for row in status if row.startswith(('SigIgn', 'SigBlk'))],
    'session': os.getsid(0) == os.getpid(), 'group': os.getpgid(0) == os.getpid(),
    'files': sorted(int(name) for name in os.listdir('/proc/self/fd'))[:3],
    'pipes': sum(os.readlink(f'/proc/self/fd/{n}').startswith('pipe:')
                 for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')),
    'main': getattr(sys.modules['ipykernel_launcher'], '__file__', None)
            if 'ipykernel_launcher' in sys.modules else None,
}), end='')
"""


def facts(session: Session) -> dict[str, Any]:
    seen: dict[str, Any] = json.loads(session.run(FACTS))
    return seen


def scrubbed(seen: Mapping[str, Any]) -> dict[str, Any]:
    """Without what differs between any two stock kernels."""
    own = {"JPY_SESSION_NAME", "SAMEPAGE_MERGE", "SAMEPAGE_ALIGNED"}
    environment = {k: v for k, v in seen["environment"].items() if k not in own}
    return {**seen, "environment": environment}


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_the_kernel_sees_what_a_stock_kernel_sees(start: Start, locale: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LC_")}
    environment |= {"LANG": locale, "EMPTY": "", "UMLAUT": "b\udcfcro"}
    stock = start(env={**environment, "SAMEPAGE_MERGE": "0"})
    ours = start(env={**environment})
    assert scrubbed(facts(ours)) == scrubbed(facts(stock))


def test_the_kernel_from_inside_sees_what_a_stock_kernel_sees(start: Start) -> None:
    stock = scrubbed(facts(start(traits={"merge": False})))
    session = start(traits={"inside": True})
    inside = scrubbed(facts(session))
    assert inside.pop("orig") != stock.pop("orig")  # the one known difference
    assert inside == stock
    assert session.run("import multiprocessing as m; print(m.active_children(), end='')") == "[]"


@needs_merging
def test_from_inside_opts_in(start: Start, records: dict[str, KernelRecord]) -> None:
    session = start(traits={"inside": True})
    assert merge_any(session.pid) is True
    assert [record.outcome for record in records.values()] == ["on"]


@needs_merging
@pytest.mark.parametrize(
    "how", [{"env": {**os.environ, "SAMEPAGE_MERGE": "0"}}, {"traits": {"merge": False}}]
)
def test_switched_off(start: Start, records: dict[str, KernelRecord], how: dict[str, Any]) -> None:
    session = start(**how)
    assert merge_any(session.pid) is False
    assert [record.outcome for record in records.values()] == ["off"]


@needs_merging
def test_switched_off_by_the_kernelspec(start: Start, tmp_path: Path) -> None:
    add_kernelspec(tmp_path, "private", metadata={"samepage": {"merge": False}})
    assert merge_any(start("private").pid) is False


def test_a_kernelspec_with_its_own_provisioner_is_left_alone(tmp_path: Path) -> None:
    own = {"kernel_provisioner": {"provisioner_name": "local-provisioner"}}
    add_kernelspec(tmp_path, "elsewhere", metadata=own)
    manager = KernelManager(kernel_name="elsewhere")
    manager.start_kernel()
    try:
        assert not isinstance(manager.provisioner, SamepageProvisioner)
    finally:
        manager.shutdown_kernel(now=True)


@needs_merging
def test_kernels_of_other_languages_opt_in(tmp_path: Path) -> None:
    sleep = shutil.which("sleep")
    assert sleep is not None
    add_kernelspec(tmp_path, "other", argv=["sleep", "600"])
    manager = KernelManager(kernel_name="other")
    manager.start_kernel()
    try:
        assert isinstance(manager.provisioner, SamepageProvisioner)
        pid = manager.provisioner.pid
        assert pid is not None
        assert merge_any(pid) is True
        # exec has happened by the time the start returns: signals reach the program itself.
        assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x00600\x00"
        manager.signal_kernel(signal.SIGTERM)
        until(lambda: not manager.is_alive())
    finally:
        manager.shutdown_kernel(now=True)


def test_a_missing_program_fails_as_stock_does(tmp_path: Path) -> None:
    add_kernelspec(tmp_path, "missing", argv=["no-such-kernel-program", "{connection_file}"])
    with pytest.raises(FileNotFoundError, match="no-such-kernel-program"):
        KernelManager(kernel_name="missing").start_kernel()


def test_a_program_that_cannot_run_fails_as_stock_does(tmp_path: Path) -> None:
    broken = tmp_path / "broken-kernel"
    broken.write_bytes(b"\x7fELF nothing")
    broken.chmod(0o755)
    add_kernelspec(tmp_path, "broken", argv=[str(broken), "{connection_file}"])
    with pytest.raises(OSError, match="Exec format error"):
        KernelManager(kernel_name="broken").start_kernel()


@pytest.mark.parametrize(
    ("launcher", "reason"),
    [
        pytest.param("raise SystemExit(3)", "ended before", id="dies"),
        pytest.param("syntax error(", "ended before", id="does not compile"),
        pytest.param("import time; time.sleep(600)", "no answer within", id="hangs"),
    ],
)
def test_a_broken_launcher_means_a_stock_kernel_in_the_same_start(
    start: Start,
    records: dict[str, KernelRecord],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    launcher: str,
    reason: str,
) -> None:
    broken = tmp_path / "launch.py"
    broken.write_text(launcher)
    monkeypatch.setattr("labext.kernels.command.LAUNCHER", broken)
    session = start(traits={"launch_timeout": 0.5})
    assert session.run("print('runs', end='')") == "runs"
    (record,) = records.values()
    assert record.outcome == "refused"
    assert reason in (record.reason or "")
    assert record.pid == session.pid
    assert merge_any(session.pid) is not True


def session_program(
    site: Path, *, before: list[str], python: str = sys.executable, **more: Any
) -> dict[str, Any]:
    """A session in a program of its own, behind the command `before`."""
    environment = {**os.environ, **more.pop("environment", {})}
    paths = [str(site), str(ROOT), *more.pop("paths", [])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    done = subprocess.run(
        [*before, python, str(HERE / "kernels_session.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **more,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.skipif(
    platform.machine() not in {"x86_64", "aarch64"}, reason="the filter knows two machines"
)
@pytest.mark.parametrize(
    ("action", "reason"), [("errno", "Operation not permitted"), ("kill", "ended before")]
)
def test_behind_a_seccomp_filter_kernels_start_as_stock(
    ours_by_default: Path, action: str, reason: str
) -> None:
    before = [sys.executable, str(HERE / "kernels_seccomp.py"), action]
    answer = session_program(ours_by_default, before=before)
    assert answer["printed"] == "42"
    assert answer["outcome"] == "refused"
    assert reason in answer["reason"]
    assert answer["merge_any"] is not True
    assert answer["state"] == "failed"
    assert reason in answer["message"]


def reachable_python() -> str | None:
    """A Python of our version that an unprivileged user can start."""
    minor = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, shutil.which(minor, path="/usr/local/bin:/usr/bin")):
        if candidate is None:
            continue
        ask = [candidate, "-c", "import sys; print(sys.version_info[:2] == (%d, %d))"]
        ask[2] %= sys.version_info[:2]
        try:
            done = subprocess.run(
                ask, user=NOBODY, cwd="/", capture_output=True, text=True, check=False
            )
        except PermissionError:
            continue
        if done.returncode == 0 and done.stdout.strip() == "True":
            return candidate
    return None


@needs_merging
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody without rights")
def test_no_privilege_is_needed(ours_by_default: Path) -> None:
    python, setpriv = reachable_python(), shutil.which("setpriv")
    if python is None or setpriv is None:
        pytest.skip("no Python of this version that other users can start, or no setpriv")
    with tempfile.TemporaryDirectory() as home:
        site = Path(shutil.copytree(ours_by_default, Path(home) / "site"))
        kernels = Path(home) / "jupyter" / "kernels" / "python3"
        kernels.mkdir(parents=True)
        argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": argv, "display_name": "p", "language": "python"}
        (kernels / "kernel.json").write_text(json.dumps(spec))
        os.chown(home, NOBODY, NOBODY)
        Path(home).chmod(0o755)
        drop = [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        drop += ["--no-new-privs", "--bounding-set=-all"]
        environment = {
            "HOME": home,
            "JUPYTER_PATH": f"{home}/jupyter",
            "JUPYTER_RUNTIME_DIR": f"{home}/runtime",
            "IPYTHONDIR": f"{home}/ipython",
        }
        packages = [path for path in sys.path if path.endswith("site-packages")]
        answer = session_program(
            site, before=drop, python=python, environment=environment, paths=packages, cwd=home
        )
    assert answer["printed"] == "42"
    assert answer["outcome"] == "on"
    assert answer["merge_any"] is True
    assert answer["state"] == "ok"


def test_the_launcher_says_why_and_runs_the_command() -> None:
    reader, writer = os.pipe()
    environment = {"PATH": os.environ["PATH"], "ONLY": "this"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(LAUNCHER), str(writer), "own", "env"],
        pass_fds=(writer,),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    os.close(writer)
    with os.fdopen(reader) as report:
        assert re.fullmatch(r"merge (yes|no .+)\n", report.read())
    assert dict(row.split("=", 1) for row in done.stdout.splitlines()) == environment


def test_ledgers_do_not_share_their_records() -> None:
    assert KernelLedger().records is not KernelLedger().records
