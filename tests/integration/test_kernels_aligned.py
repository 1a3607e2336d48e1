"""Aligned kernels: to a notebook they are stock kernels."""

import compileall
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.factory import KernelProvisionerFactory

from labext.kernels import ledger as ledger_module
from labext.kernels.aligned.arrays import library_file
from labext.kernels.array_memory import kept_bytes
from labext.kernels.command import ALIGNED
from labext.kernels.drift import shared_pages
from labext.kernels.ledger import KernelRecord
from labext.kernels.spare import keeper
from labext.kernels.spare_policy import Surroundings
from labext.kernels.status import alignment_words
from labext.kernels.support import probe
from labext.kernels.unlike import compare
from labext.memory import memory_limit

from .kernels_probes import PROBES

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not probe().available, reason="this Linux cannot merge")

ROOMY = Surroundings(
    wanted=True, limit_bytes=None, used_bytes=None, available_bytes=None, node_merges=True
)


class Session:
    """A running kernel and its client."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.connect()

    def connect(self) -> None:
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=90)

    @property
    def pid(self) -> int:
        return int(getattr(self.manager.provisioner, "pid"))  # noqa: B009 - of local ones

    def run(self, code: str) -> str:
        """What the cell printed; errors whole."""
        printed: list[str] = []

        def keep(message: dict[str, Any]) -> None:
            content = message["content"]
            printed.append(content.get("text") or "\n".join(content.get("traceback", ())))

        self.client.execute_interactive(code, timeout=120, output_hook=keep)
        return "".join(printed)

    def end(self) -> None:
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)


Start = Callable[..., Session]


def entry_points(folder: Path) -> Path:
    """The entry points of pyproject.toml as an installed distribution in `folder`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    group = "jupyter_client.kernel_provisioners"
    info = folder / "samepage_under_test-0.dist-info"
    info.mkdir(parents=True)
    rows = "".join(f"{k} = {v}\n" for k, v in project["entry-points"][group].items())
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: samepage-under-test\nVersion: 0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{rows}")
    return folder


def of_a_program(folder: Path) -> dict[str, str]:
    """The environment of a program that starts aligned kernels; its files are in `folder`."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(entry_points(folder / "site")), str(ROOT)]),
        "JUPYTER_DEFAULT_PROVISIONER_NAME": "samepage-provisioner",
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "SAMEPAGE_ALIGNED": "1",
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student's home with a user site, a startup file and a matplotlibrc."""
    home = tmp_path_factory.mktemp("home")
    site = home / ".local/lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    (site / "site-packages").mkdir(parents=True)
    (site / "site-packages" / "of_my_own.py").write_text("mine = 1\n")
    (home / "lib").mkdir()
    (home / "lib" / "helper.py").write_text("helped = 2\n")
    (home / "startup.py").write_text("from_startup = 3\n")
    (home / ".config/matplotlib").mkdir(parents=True)
    (home / ".config/matplotlib/matplotlibrc").write_text("lines.linewidth: 7.5\n")
    (home / "work").mkdir()
    return home


@pytest.fixture(scope="module")
def start(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    folder = tmp_path_factory.mktemp("jupyter")
    sessions: list[Session] = []
    # Here kernels may be forbidden to do it (PYTHONDONTWRITEBYTECODE), and would be unlike those
    # that start after somebody else did.
    compileall.compile_dir(ROOT / "labext/kernels/aligned", quiet=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(entry_points(folder / "site")))
        patch.setenv("JUPYTER_DEFAULT_PROVISIONER_NAME", "samepage-provisioner")
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        patch.setenv("JUPYTER_DATA_DIR", str(folder / "data"))
        patch.delenv("SAMEPAGE_ALIGNED", raising=False)
        patch.setattr(ledger_module.ledger, "records", {})
        patch.setattr(ledger_module.ledger, "dropped_modules", {})
        patch.setattr(ledger_module.ledger, "never_aligned_because", None)
        KernelProvisionerFactory.clear_instance()

        def begin(*, aligned: bool = True, traits: Any = None, **more: Any) -> Session:
            manager = KernelManager(kernel_name="python3")
            manager.config["SamepageProvisioner"]["aligned"] = aligned
            for name, value in (traits or {}).items():
                manager.config["SamepageProvisioner"][name] = value
            variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
            variables |= {
                "HOME": str(home),
                "IPYTHONDIR": str(home / ".ipython"),
                "PYTHONPATH": str(home / "lib"),
                "PYTHONSTARTUP": str(home / "startup.py"),
                "JPY_SESSION_NAME": "one.ipynb",
                "EMPTY": "",
                "SECRET": "s" * 40,
                "TZ": "Asia/Tokyo",
            }
            variables |= more.pop("environment", {})
            manager.start_kernel(env=variables, cwd=str(home / "work"), **more)
            session = Session(manager)
            sessions.append(session)
            return session

        yield begin
        for session in sessions:
            session.end()
        KernelProvisionerFactory.clear_instance()
        KernelProvisionerFactory.provisioners.pop("samepage-provisioner", None)


@pytest.fixture(scope="module", params=["its own", "forked"])
def aligned(start: Start, request: pytest.FixtureRequest) -> Session:
    """A kernel that was prepared for itself, and one that was forked from a template."""
    forked = request.param == "forked"
    if forked:
        keeper.open(lambda: ROOMY)
    try:
        session = start()
    finally:
        # Other tests' kernels are prepared for themselves; the template ends with this one's.
        keeper.close()
    record = record_of(session)
    assert record.alignment is not None
    assert record.alignment.state == "aligned", record.alignment.reason
    parent = int(Path(f"/proc/{session.pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert (parent != os.getpid()) is forked
    return session


@pytest.fixture(scope="module")
def stock(start: Start, aligned: Session) -> Session:
    """A fresh one beside each aligned kernel: what tests did in both must be the same."""
    return start(aligned=False)


def record_of(session: Session) -> KernelRecord:
    return next(r for r in ledger_module.ledger.records.values() if r.pid == session.pid)


def until(happened: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("name", PROBES)
def test_a_notebook_sees_what_it_sees_in_a_stock_kernel(
    stock: Session, aligned: Session, name: str
) -> None:
    expected, seen = stock.run(PROBES[name]), aligned.run(PROBES[name])
    assert expected.startswith(("{", "["))
    assert seen.startswith(("{", "[")), seen
    assert json.loads(seen) == json.loads(expected)


def test_modules_appear_only_when_they_are_imported(start: Start) -> None:
    code = "import json, sys; print(json.dumps(sorted(sys.modules)), end='')"
    stock, aligned = start(aligned=False), start()
    ours, theirs = set(json.loads(aligned.run(code))), set(json.loads(stock.run(code)))
    difference = ours ^ theirs
    # Documented in docs/kernels.md: our own helpers, and standard modules read earlier.
    surprising = {
        name
        for name in difference
        if not name.startswith(("_samepage_aligned", "_cython_", "scipy.optimize._highspy._core."))
    }
    # The last two are imported by chance of what a start has to look up.
    assert surprising <= {"gc", "secrets", "colorsys", "pyexpat", "xml.parsers.expat"}


def test_completions_are_those_of_a_stock_kernel(start: Start, home: Path) -> None:
    stock, aligned = start(aligned=False), start()
    where = (
        "import jedi, parso.cache; print(jedi.settings.cache_directory,"
        " parso.cache._default_cache_path, end='')"
    )
    for code in ("import os.pa", "frame.group", "name.up", "import pandas as pd\npd.read_c"):
        answers = []
        for session in (stock, aligned):
            session.run("import os, pandas; frame = pandas.DataFrame({'a': [1]}); name = 'x'")
            answers.append(completions(session, code))
        assert answers[0]
        assert answers[1] == answers[0]
    assert aligned.run(where) == stock.run(where)
    assert aligned.run(where).startswith(str(home))


def completions(session: Session, code: str) -> list[str]:
    reply = session.client.complete(code, len(code), reply=True, timeout=60)
    return sorted(reply["content"]["matches"])


def test_a_start_that_compiles_modules_is_like_the_others(start: Start) -> None:
    """As the first one after an installation: it begins again."""
    options: dict[str, Any] = {
        "environment": {"PYTHONDONTWRITEBYTECODE": ""},
        "traits": {"preload_modules": ["numpy"]},
    }
    before = fingerprint_of(start(**options))
    file = Path(cache_from_source(str(ROOT / "labext/kernels/aligned/student.py")))
    file.unlink()
    compiling = fingerprint_of(start(**options))
    assert file.exists()
    share = shared_pages(compiling, before)
    assert share is not None
    assert share > 0.9


def test_the_students_own_files_are_found(aligned: Session) -> None:
    assert aligned.run("import helper; print(helper.helped, from_startup, end='')") == "2 3"


def test_no_two_kernels_get_the_same_random_numbers(start: Start, aligned: Session) -> None:
    other = start()
    code = """
import random, uuid, secrets, tempfile, json
import numpy as np, numpy.random.bit_generator as source
print(json.dumps([random.random(), str(uuid.uuid4()), secrets.token_hex(), tempfile.mktemp(),
    np.random.rand(), np.random.default_rng().random(), np.random.SeedSequence().entropy,
    random.SystemRandom().random(), [int(n) for n in np.random.get_state()[1][:3]],
    int(np.random.mtrand._rand._bit_generator._seed_seq.entropy)], default=str), end='')
"""
    assert not set(map(str, json.loads(aligned.run(code)))) & set(
        map(str, json.loads(other.run(code)))
    )
    # The helper that shapes numbers during the preload is gone.
    genuine = "print(source.randbits == secrets.randbits, source.randbits.__name__, end='')"
    assert aligned.run(genuine) == "True getrandbits"


def test_two_kernels_are_alike(start: Start, aligned: Session) -> None:
    first, second = record_of(aligned).alignment, record_of(start()).alignment
    assert first is not None
    assert second is not None
    assert first.fingerprint is not None
    assert second.fingerprint is not None
    for part in ("python", "environment", "folders", "modules", "layout"):
        assert first.fingerprint[part] == second.fingerprint[part]
    pairs = list(zip(first.fingerprint["pages"], second.fingerprint["pages"], strict=True))
    assert sum(a == b for a, b in pairs) > 0.9 * len(pairs)


def test_two_kernels_of_different_students_have_nearly_all_pages_in_common(
    start: Start, tmp_path: Path
) -> None:
    sessions = []
    for name in ("bo", "maximiliana-josephine"):
        (tmp_path / name).mkdir()
        own = {
            "USER": name,
            "HOME": str(tmp_path / name),
            "JUPYTERHUB_API_TOKEN": os.urandom(16).hex(),
        }
        sessions.append(start(environment=own | {"IPYTHONDIR": str(tmp_path / name / "ipython")}))
    fingerprint_of(sessions[0])
    pids = [session.pid for session in sessions]
    if os.geteuid() and not os.access(f"/proc/{pids[0]}/mem", os.R_OK):
        pytest.skip("this user may not read the memory of its processes")
    idle = compare(pids)
    # As measured: 4 to 5 MB; 15 with holes left in the heap or parts of the start not preloaded.
    assert idle.private > 80e6
    assert idle.unlike < 9e6, idle
    for session in sessions:
        session.run("import numpy, pandas, matplotlib.pyplot, sklearn.linear_model")
    imported = compare(pids)
    assert imported.unlike < 12e6, imported


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """One of each kind that a server's standard error may be."""
    near, far = socket.socketpair()
    reader, writer = os.pipe()
    log = tmp_path / "log"
    log.write_text("before\n")
    terminal, line = os.openpty()
    with (
        near,
        far,
        log.open("ab") as file,
        os.fdopen(reader),
        os.fdopen(writer, "wb") as pipe,
        os.fdopen(terminal, "rb"),
        os.fdopen(line, "wb") as typed,
    ):
        yield {"file": file, "pipe": pipe, "socket": far, "terminal": typed}


def test_kernels_are_alike_whatever_their_streams_are(
    start: Start, aligned: Session, streams: dict[str, Any]
) -> None:
    expected = fingerprint_of(aligned)
    for kind, stream in streams.items():
        session = start(stdout=stream, stderr=stream)
        found = fingerprint_of(session)
        assert found["layout"] == expected["layout"], kind
        share = shared_pages(found, expected)
        assert share is not None
        assert share > 0.9, kind
    with_file = start(stderr=streams["file"], traits={"preload_modules": []})
    with_file.run("import os, sys; os.write(2, b'direct\\n'); print('python', file=sys.__stderr__)")
    log = Path(streams["file"].name).read_text()
    assert log.startswith("before\n")
    assert log.endswith("direct\npython\n")


def fingerprint_of(session: Session) -> Mapping[str, Any]:
    alignment = record_of(session).alignment
    assert alignment is not None
    assert alignment.state == "aligned", alignment.reason
    assert alignment.fingerprint is not None
    return alignment.fingerprint


def test_interrupt_restart_and_shutdown(start: Start) -> None:
    session = start()
    request = session.client.execute("print('begun', flush=True)\nwhile True: pass")
    until(lambda: session.client.get_iopub_msg(timeout=30)["msg_type"] == "stream")
    session.manager.interrupt_kernel()
    reply = session.client.get_shell_msg(timeout=30)
    while reply["parent_header"].get("msg_id") != request:
        reply = session.client.get_shell_msg(timeout=30)
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    before = session.pid
    session.client.stop_channels()
    session.manager.restart_kernel(now=True)
    session.connect()
    assert session.pid != before
    assert session.run("print('again', end='')") == "again"
    alignment = record_of(session).alignment
    assert alignment is not None
    assert alignment.state == "aligned"
    last = session.pid
    session.manager.shutdown_kernel()
    assert not Path(f"/proc/{last}").exists()


def test_the_kernel_watches_its_parent(aligned: Session) -> None:
    code = (
        "from ipykernel.kernelapp import IPKernelApp\n"
        "import os; print(IPKernelApp.instance().parent_handle == os.getppid(), end='')"
    )
    assert aligned.run(code) == "True"


def test_messages_name_the_user(start: Start) -> None:
    session = start(environment={"USER": "ada"}, traits={"preload_modules": []})
    fingerprint_of(session)
    code = "print(get_ipython().kernel.session.username, end='')"
    assert session.run(code) == "ada"


def test_the_debugger_answers(aligned: Session) -> None:
    client = aligned.client
    message = client.session.msg(
        "debug_request", {"type": "request", "seq": 1, "command": "debugInfo", "arguments": {}}
    )
    client.control_channel.send(message)
    reply = client.get_control_msg(timeout=30)
    assert reply["content"]["success"] is True


def test_a_module_that_fails_or_hangs_is_left_out_and_said(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module.ledger, "dropped_modules", {})
    modules = ["json.tool", "antigravity_missing", "this_fails.really", "idlelib.idle_test.htest"]
    session = start(traits={"preload_modules": modules})
    alignment = record_of(session).alignment
    assert alignment is not None
    assert alignment.state == "aligned"
    monkeypatch.setattr(ledger_module.ledger, "dropped_modules", {})
    slow = start(traits={"preload_modules": ["pandas"], "preload_module_seconds": 0.1})
    alignment = record_of(slow).alignment
    assert alignment is not None
    assert alignment.state == "aligned"
    # On a busy machine other modules may take as long.
    assert "longer than 0.1 s" in dict(alignment.dropped)["pandas"]
    assert slow.run("import pandas; print(pandas.DataFrame({'a': [1]}).a.sum(), end='')") == "1"


def test_a_folder_that_shadows_what_is_loaded_means_a_stock_kernel(
    start: Start, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("mine = True\n")
    session = start(environment={"PYTHONPATH": str(tmp_path)})
    alignment = record_of(session).alignment
    assert alignment is not None
    assert alignment.state == "unsuited"
    assert f"{tmp_path} has its own numpy" in (alignment.reason or "")
    assert session.run("import numpy; print(numpy.mine, end='')") == "True"


@pytest.mark.parametrize(
    "script",
    ["import sys; sys.exit(1)", "not python(", "import os, signal; os.kill(os.getpid(), 9)"],
    ids=["ends", "does not compile", "is killed"],
)
def test_a_broken_aligned_start_means_a_kernel_in_the_same_start(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    broken = tmp_path / "start.py"
    broken.write_text(script)
    monkeypatch.setattr("labext.kernels.recipe.ALIGNED", broken)
    session = start()
    assert session.run("print('runs', end='')") == "runs"
    record = record_of(session)
    assert record.outcome == "on"
    assert record.alignment is not None
    assert record.alignment.state == "refused"


def test_a_hanging_aligned_start_ends(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "start.py"
    broken.write_text("import time; time.sleep(600)")
    monkeypatch.setattr("labext.kernels.recipe.ALIGNED", broken)
    session = start(traits={"preload_seconds": 0.2})
    assert session.run("print('runs', end='')") == "runs"
    record = record_of(session)
    assert record.alignment is not None
    assert "no answer in time" in (record.alignment.reason or "")


def test_a_kernel_that_is_killed_is_noticed(start: Start) -> None:
    session = start(traits={"preload_modules": []})
    os.kill(session.pid, signal.SIGKILL)
    until(lambda: not session.manager.is_alive())


def test_a_shared_secret_moves_the_layout_and_nothing_else(
    start: Start, aligned: Session, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(os.urandom(32))
    traits = {"layout_secret_file": str(secret)}
    first, second = start(traits=traits), start(traits=traits)
    layouts = []
    for session in (first, second, aligned):
        alignment = record_of(session).alignment
        assert alignment is not None
        assert alignment.state == "aligned", alignment.reason
        assert alignment.fingerprint is not None
        layouts.append(alignment.fingerprint["layout"])
    assert layouts[0] == layouts[1] != layouts[2]
    for name in ("threads", "children"):
        assert json.loads(first.run(PROBES[name])) == json.loads(aligned.run(PROBES[name]))
    size = (
        "import threading, re; held = threading.Event(); ready = threading.Event()\n"
        "def work(): ready.set(); held.wait()\n"
        "thread = threading.Thread(target=work); thread.start(); ready.wait()\n"
        "rows = [row.split()[0].split('-') for row in open('/proc/self/maps')]\n"
        "print(max(int(b, 16) - int(a, 16) for a, b in rows) >> 30, end=''); held.set()"
    )
    assert int(first.run(size)) < 1


def test_where_seccomp_refuses_the_layout_kernels_opt_in_only(tmp_path: Path) -> None:
    if platform.machine() not in {"x86_64", "aarch64"}:
        pytest.skip("the filter knows two machines")
    here = Path(__file__).parent
    environment = of_a_program(tmp_path)
    filtered = [sys.executable, str(here / "kernels_seccomp.py"), "layout"]
    done = subprocess.run(
        [*filtered, sys.executable, str(here / "kernels_session.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["printed"] == "42"
    assert answer["outcome"] == "on"
    assert answer["merge_any"] is not False
    assert "fixed layout (Operation not permitted)" in answer["message"]
    assert "seccomp" in answer["message"]


def test_a_spare_is_handed_out_loaded(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper.open(lambda: ROOMY)
    try:
        traits = {"spare_delay_seconds": 0.0}
        start(traits=traits)
        until(lambda: keeper.ready, seconds=60)
        session = start(traits=traits)
        alignment = record_of(session).alignment
        assert alignment is not None
        assert alignment.spare
        assert json.loads(session.run(PROBES["frames"]))[1:] == [True, True]
        assert json.loads(session.run(PROBES["process"]))["session"] is True
        until(lambda: keeper.ready, seconds=60)
    finally:
        keeper.close()
    assert not keeper.ready


def test_a_quiet_kernel_gives_memory_back_and_reports(start: Start, tmp_path: Path) -> None:
    session = start(traits={"tidy_after_seconds": 0.2, "preload_modules": ["numpy"]})
    alignment = record_of(session).alignment
    assert alignment is not None
    assert alignment.report_file is not None
    report = Path(alignment.report_file)
    session.run("import numpy, pandas; held = []; held.append(held); del held")
    until(lambda: report.exists() and "pandas" in json.loads(report.read_text())["modules"])
    told = json.loads(report.read_text())
    assert told["pid"] == session.pid
    assert told["after_bytes"] > 0
    session.manager.shutdown_kernel()
    assert not report.exists()


with_library = pytest.mark.skipif(
    not library_file().exists(), reason="the library for arrays is not compiled (hatch_build.py)"
)
ARRAYS = """
import json, mmap, multiprocessing, sys, threading, numpy as np
core = getattr(np, '_core', None) or np.core
history = [np.ones(size) for size in HISTORY] + ['x' * size for size in HISTORY]
made = [np.arange(size) / 7 for size in (2_500, 37_500)] + [np.zeros(2_500), np.empty(37_500)]
results = []
def work():
    results.append(np.cumsum(made[1]) + 1)
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
pooled = []
for method in ('fork', 'spawn'):
    with multiprocessing.get_context(method).Pool(1) as pool:
        pooled.append(pool.apply(np.cumsum, [made[1]]) + 1)
told = {
    'handlers': sorted({core.multiarray.get_handler_name(each) for each in made}),
    'offsets': [each.ctypes.data % mmap.PAGESIZE for each in made],
    'equal': [bool((each == np.cumsum(made[1]) + 1).all()) for each in results + pooled],
}
del history, made, results, pooled
held = [np.ones(1 << 20, dtype=np.uint8) for _ in range(80)]
del held
arrays = next(m for n, m in list(sys.modules.items())
    if n.startswith('_samepage') and n.endswith('.arrays')).current()
told['kept'] = arrays.figures()['kept'] if arrays else None
print(json.dumps(told), end='')
"""


@with_library
def test_big_arrays_begin_with_a_page(aligned: Session, request: pytest.FixtureRequest) -> None:
    # Two kernels that did different things before.
    forked = "forked" in request.node.name
    history = [17, 2_100, 9_999] if forked else [901, 5_001, 70_000, 3]
    told = json.loads(aligned.run(f"HISTORY = {history}\n" + ARRAYS))
    assert told["handlers"] == ["samepage_arrays"]
    assert told["offsets"] == [0] * 4
    assert told["equal"] == [True] * 6
    assert told["kept"] == kept_bytes(memory_limit())


@with_library
def test_a_kernel_that_never_tidies_up_keeps_no_freed_arrays(start: Start) -> None:
    session = start(traits={"tidy_after_seconds": 0, "preload_modules": ["numpy"]})
    told = json.loads(session.run(f"HISTORY = []\n{ARRAYS}"))
    assert told["handlers"] == ["samepage_arrays"]
    assert told["kept"] == 0


def test_without_the_library_arrays_are_numpys_own_and_the_status_says_so(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tmp_path / "aligned"
    shutil.copytree(ALIGNED.parent, copied, ignore=shutil.ignore_patterns("*.so*"))
    monkeypatch.setattr("labext.kernels.recipe.ALIGNED", copied / ALIGNED.name)
    session = start(traits={"preload_modules": ["numpy"]})
    told = json.loads(session.run(f"HISTORY = []\n{ARRAYS}"))
    assert told["handlers"] == ["default_allocator"]
    words = alignment_words([record_of(session)])
    assert words.startswith("; 1 started aligned; big arrays are merged less: arrays-")
    assert "No such file" in words


def test_arrays_can_be_left_to_numpy(start: Start) -> None:
    session = start(traits={"arrays": False, "preload_modules": ["numpy"]})
    told = json.loads(session.run(f"HISTORY = []\n{ARRAYS}"))
    assert told["handlers"] == ["default_allocator"]
    assert told["equal"] == [True] * 6
    assert told["kept"] is None
    alignment = record_of(session).alignment
    assert alignment is not None
    assert alignment.state == "aligned", alignment.reason


def test_a_linux_that_opts_in_by_region_only(tmp_path: Path) -> None:
    """As before 6.4, where prctl does not know of merging and madvise does."""
    if platform.machine() not in {"x86_64", "aarch64"}:
        pytest.skip("the filter knows two machines")
    here = Path(__file__).parent
    environment = of_a_program(tmp_path) | {"SAMEPAGE_PRELOAD": "numpy"}
    filtered = [sys.executable, str(here / "kernels_seccomp.py"), "old"]
    done = subprocess.run(
        [*filtered, sys.executable, str(here / "kernels_session.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["printed"] == "42"
    assert (answer["outcome"], answer["alignment"]) == ("part", "aligned")
    assert answer["merge_any"] is not True
    assert answer["regions_bytes"] > 20 << 20
    assert answer["state"] == "ok"
    assert "Linux before 6.4 merges what was loaded at the start" in answer["message"]
