"""The memory of NumPy's big arrays: the C library, its loader, and who gives memory back."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labext import memory
from labext.kernels import aligned
from labext.kernels.aligned import arrays, attendant
from labext.kernels.array_memory import MOST, kept_bytes
from serverproxy.cgroup import CgroupMemory

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SOURCE = ROOT / "labext/kernels/native/arrays.c"
PAGE = os.sysconf("SC_PAGESIZE")
#: From here on arrays are the library's.
LEAST = 4 * PAGE

OPTIONS = ("-std=c11", "-O1", "-g", "-pthread", "-Wall", "-Wextra", "-Werror")


@pytest.fixture(scope="module")
def compiler() -> list[str]:
    command = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(command[0]) is None:
        pytest.skip("there is no C compiler here")
    return command


@pytest.fixture(scope="module")
def library(compiler: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled from the source as it is now, not the one that lies in the tree."""
    file = tmp_path_factory.mktemp("library") / "arrays.so"
    shared = ["-fPIC", "-shared", "-fvisibility=hidden"]
    subprocess.run([*compiler, *OPTIONS, *shared, "-o", str(file), str(SOURCE)], check=True)
    return file


Stress = Callable[..., None]


@pytest.fixture(scope="module")
def stress(compiler: list[str], tmp_path_factory: pytest.TempPathFactory) -> Stress:
    """Runs the driver with a sanitizer, or without where there is none."""
    folder = tmp_path_factory.mktemp("stress")
    built: dict[str, Path] = {}
    files = [str(SOURCE), str(HERE / "arrays_stress.c")]

    def compiled(sanitizer: str) -> Path:
        target = folder / sanitizer.replace(",", "-")
        line = [*compiler, *OPTIONS, "-o", str(target), *files]
        wanted = [f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
        done = subprocess.run([*line, *wanted], capture_output=True, check=False)
        if done.returncode != 0:  # its runtime is not installed, or it was the source's fault
            subprocess.run(line, check=True)
        return target

    def run(sanitizer: str, *words: str) -> None:
        if sanitizer not in built:
            built[sanitizer] = compiled(sanitizer)
        # Leaks are counted by the driver; looking for them needs ptrace, which containers forbid.
        options = "detect_leaks=0:allocator_may_return_null=1"
        done = subprocess.run(
            [str(built[sanitizer]), *words],
            env={**os.environ, "ASAN_OPTIONS": options, "TSAN_OPTIONS": options},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if "unexpected memory mapping" in done.stderr:
            pytest.skip("ThreadSanitizer does not run with this Linux's address randomisation")
        assert done.returncode == 0, done.stderr

    return run


ADDRESSES = "address,undefined"


@pytest.mark.parametrize("seed", ["1", "2"])
def test_contents_and_figures_after_every_step(stress: Stress, seed: str) -> None:
    stress(ADDRESSES, "alone", "6000", seed)


def test_forks_while_a_thread_allocates(stress: Stress) -> None:
    stress(ADDRESSES, "fork", "1")


def test_threads_free_each_others_arrays(stress: Stress) -> None:
    stress("thread", "threads", "600", "1")


def run_python(*words: str) -> Any:
    """What the program printed, as JSON. One BLAS thread: sums must not depend on their number."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *words],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_numpy_computes_the_same_with_it(library: Path, tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    program = str(HERE / "arrays_operations.py")
    found = []
    for number, file in enumerate(("", str(library))):
        folder = tmp_path / str(number)
        folder.mkdir()
        found.append(run_python(program, file, str(folder)))
    usual, ours = found
    assert usual["handler"] == "default_allocator"
    assert ours["handler"] == "samepage_arrays"
    for part, expected in usual["digests"].items():
        assert ours["digests"][part] == expected, part
    assert len(set(usual["digests"]["zeros again"])) == 1
    figures = ours["figures"]
    assert figures["live"] == figures["bytes"] == 0
    assert figures["kept"] <= 16 << 20
    assert figures["reused"] > figures["mapped"]


BEGIN = """
import json, os, sys
import numpy as np
from pathlib import Path
from labext.kernels.aligned import arrays
core = getattr(np, '_core', None) or np.core
name_of = core.multiarray.get_handler_name
early = [np.full(size, 2.5) for size in (10, 3_000, 40_000)]
given = arrays.install(sys.modules, Path(sys.argv[1]))
assert arrays.current() is given
"""

PLACES = """
sizes = [int(word) for word in sys.argv[2:]]
made = [np.empty(size, dtype=np.uint8) for size in sizes for _ in range(3)]
page = os.sysconf('SC_PAGESIZE')
print(json.dumps({
    'names': sorted({name_of(each) for each in made}),
    'offsets': [each.ctypes.data % page for each in made],
    'live': given.figures()['live'], 'bytes': given.figures()['bytes'],
}))
"""


def test_big_arrays_begin_with_a_page_and_small_ones_do_not_cost_one(library: Path) -> None:
    pytest.importorskip("numpy")
    sizes = [LEAST, LEAST + 1, 20_000 + LEAST, 300_000, 5_000_000]
    found = run_python("-c", BEGIN + PLACES, str(library), *map(str, sizes))
    assert found["names"] == ["samepage_arrays"]
    assert found["offsets"] == [0] * 15
    assert found["live"] == 15
    assert found["bytes"] == 3 * sum(-(-size // PAGE) * PAGE for size in sizes)
    small = run_python("-c", BEGIN + PLACES, str(library), str(LEAST - 1), "100", "0")
    assert small["names"] == ["samepage_arrays"]
    assert (small["live"], small["bytes"]) == (0, 0)


LIFE = """
def anonymous():
    rows = Path('/proc/self/status').read_text().splitlines()
    return next(int(row.split()[1]) << 10 for row in rows if row.startswith('RssAnon'))
told = {'early': sorted({name_of(each) for each in early})}
early[1].resize(60_000, refcheck=False)
told['early sums'] = [float(each.sum()) for each in early]
del early
told['live after early'] = given.figures()['live']
given.keep(1 << 20)
most = 0
for turn in range(300):
    held = [np.ones(2_500 + 137 * (turn % 50) * each) for each in range(1, 5)]
    most = max(most, given.figures()['kept'])
    del held
    most = max(most, given.figures()['kept'])
told['most kept'] = most
big = np.ones(4 << 20, dtype=np.uint8)
del big
told['beyond'] = given.figures()['kept']
given.keep(64 << 20)
held = [np.ones(1 << 20, dtype=np.uint8) for _ in range(20)]
before = given.figures()
del held
full = anonymous()
told['kept'] = given.figures()['kept']
again = [np.ones(1 << 20, dtype=np.uint8) for _ in range(20)]
told['mapped again'] = given.figures()['mapped'] - before['mapped']
del again
told['released'] = given.release()
told['fell'] = full - anonymous()
told['kept after'] = given.figures()['kept']
told['released again'] = given.release()
parent = np.arange(100_000)
child = os.fork()
if child == 0:
    ok = int(parent.sum()) == 4999950000 and name_of() == 'samepage_arrays'
    parent = np.cumsum(parent)[::2].copy()
    given.release()
    os._exit(0 if ok and given.figures()['kept'] == 0 else 1)
told['child'] = os.waitpid(child, 0)[1]
given.keep(0)
del parent
told['kept of none'] = given.figures()['kept']
print(json.dumps(told))
"""


def test_from_installation_to_release(library: Path) -> None:
    pytest.importorskip("numpy")
    found = run_python("-c", BEGIN + LIFE, str(library))
    assert found["early"] == ["default_allocator"]
    assert found["early sums"] == [25, 7_500, 100_000]
    assert found["live after early"] == 0
    assert 0 < found["most kept"] <= 1 << 20
    assert found["beyond"] <= 1 << 20
    assert found["kept"] >= 20 << 20
    assert found["mapped again"] == 0
    assert found["released"] >= 20 << 20
    assert found["fell"] >= 19 << 20
    assert found["kept after"] == found["released again"] == 0
    assert found["child"] == 0
    assert found["kept of none"] == 0


END = """
import ctypes, gc
told = [getattr(ctypes.pythonapi, 'PyCapsule_' + name).argtypes
    for name in ('New', 'GetPointer', 'IsValid')]
held = [np.ones(100_000), np.ones(10)]
vars(arrays).clear()  # as Python does at its end, with arrays still alive
gc.collect()
others = [bytes([65 + each % 26]) * 11 for each in range(1000)]
del held
print(json.dumps({'types': told, 'works': float(np.ones(100_000).sum())}))
"""


def test_others_see_nothing_of_it_and_it_works_to_the_end(library: Path) -> None:
    pytest.importorskip("numpy")
    found = run_python("-c", BEGIN + END, str(library))
    assert found == {"types": [None] * 3, "works": 100_000}


PROCESSES = """
import multiprocessing
told = []
if __name__ == '__main__':
    work = [np.arange(50_000) + each for each in range(6)]
    for method in ('fork', 'spawn'):
        with multiprocessing.get_context(method).Pool(2) as pool:
            told.append([int(each[-1]) for each in pool.map(np.cumsum, work)])
    print(json.dumps({'told': told, 'expected': [int(np.cumsum(each)[-1]) for each in work]}))
"""


def test_processes_of_multiprocessing(library: Path) -> None:
    pytest.importorskip("numpy")
    found = run_python("-c", BEGIN + PROCESSES, str(library))
    assert found["told"] == [found["expected"]] * 2


FAILURES = """
import json, sys, types
from pathlib import Path
import numpy as np
from labext.kernels.aligned import arrays
core = getattr(np, '_core', None) or np.core
inner = sys.modules[core.multiarray.__name__.replace('.multiarray', '._multiarray_umath')]
library, folder = Path(sys.argv[1]), Path(sys.argv[2])
(folder / 'text.so').write_text('no library')

def numpy(version, inner=inner):
    fake = types.ModuleType('numpy')
    fake.__version__ = version
    return {'numpy': fake, 'numpy.core._multiarray_umath': inner}

def without(name, value=None):
    fake = types.ModuleType('core')
    fake.__dict__.update({n: v for n, v in vars(inner).items() if n != name})
    if value is not None:
        setattr(fake, name, value)
    return fake

import datetime
real = dict(sys.modules)
tries = {
    'missing': (real, folder / 'missing.so'),
    'text': (real, folder / 'text.so'),
    'another library': (real, Path(inner.__file__)),
    'old': (numpy('1.21.6'), library),
    'odd version': (numpy('main'), library),
    'no table': (numpy('2.1.0', without('_ARRAY_API')), library),
    'no capsule': (numpy('2.1.0', without('_ARRAY_API', 'text')), library),
    'another capsule': (numpy('2.1.0', without('_ARRAY_API', datetime.datetime_CAPI)), library),
}
told = {}
for name, (modules, file) in tries.items():
    try:
        arrays.install(modules, file)
    except arrays.NoArraysError as err:
        told[name] = str(err)
    assert arrays.current() is None
    assert core.multiarray.get_handler_name() == 'default_allocator'
    array = np.arange(100_000)
    array.resize(200_000)
    assert array.sum() == 4999950000
    assert core.multiarray.get_handler_name(array) == 'default_allocator'
print(json.dumps(told))
"""


def test_what_cannot_be_installed_says_so_and_numpy_works_on(library: Path, tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    told = run_python("-c", FAILURES, str(library), str(tmp_path))
    assert "missing.so cannot be used" in told["missing"]
    assert "No such file" in told["missing"]
    assert "text.so cannot be used" in told["text"]
    assert "samepage_arrays_handler" in told["another library"]
    assert told["old"] == "NumPy 1.21.6 asks nobody for memory"
    assert told["odd version"] == "NumPy main asks nobody for memory"
    assert "_ARRAY_API" in told["no table"]
    assert "arrays.so cannot be used" in told["no capsule"]
    assert "arrays.so cannot be used" in told["another capsule"]


def test_without_numpy_there_is_nothing_to_install() -> None:
    assert arrays.install({}) is None
    assert arrays.install({"sys": sys}, Path("missing.so")) is None
    half_imported = {"numpy._core._multiarray_umath": types.ModuleType("core")}
    assert arrays.install(half_imported) is None
    assert arrays.current() is None


def test_the_library_lies_beside_its_loader() -> None:
    assert arrays.library_file().parent == Path(aligned.__file__).parent
    assert os.uname().machine in arrays.library_file().name


class Loop:
    """Holds what is to be called later, until the test calls it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.later: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self.later.append((self.now + seconds, call))

    def pass_time(self, seconds: float) -> None:
        """Make the calls that are due meanwhile, each at its time."""
        until = self.now + seconds
        while due := sorted((each for each in self.later if each[0] <= until), key=lambda e: e[0]):
            self.later.remove(due[0])
            self.now = due[0][0]
            due[0][1]()
        self.now = until


class Given:
    """Counts releases."""

    released = 0

    def release(self) -> int:
        self.released += 1
        return 0


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    loop = Loop()
    clock = types.SimpleNamespace(monotonic=lambda: loop.now)
    monkeypatch.setattr(attendant, "time", clock)
    monkeypatch.setattr(attendant, "anonymous_bytes", lambda: 0)
    return loop


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    given = Given()
    monkeypatch.setattr(arrays, "current", lambda: given)
    return given


SECONDS = attendant._ARRAYS_SECONDS


def test_memory_goes_back_soon_after_the_last_cell(loop: Loop, given: Given) -> None:
    kernel = attendant.Attendant(loop, quiet=600, report=None)
    loop.pass_time(SECONDS * 10)
    assert loop.later == []
    for _ in range(20):  # cells that follow each other
        kernel.cell_begins()
        loop.pass_time(1)
        kernel.cell_ended()
        loop.pass_time(SECONDS - 2)
    assert given.released == 0
    loop.pass_time(2.5)
    assert given.released == 1
    loop.pass_time(SECONDS * 10)
    assert given.released == 1
    kernel.cell_begins()
    kernel.cell_ended()
    loop.pass_time(SECONDS + 0.1)
    assert given.released == 2


def test_memory_stays_while_a_cell_runs(loop: Loop, given: Given) -> None:
    kernel = attendant.Attendant(loop, quiet=600, report=None)
    kernel.cell_begins()
    kernel.cell_ended()
    loop.pass_time(SECONDS / 2)
    kernel.cell_begins()
    loop.pass_time(SECONDS * 10)
    assert given.released == 0
    kernel.cell_ended()
    loop.pass_time(SECONDS - 0.1)
    assert given.released == 0
    loop.pass_time(0.2)
    assert given.released == 1


def test_many_cells_need_one_timer(loop: Loop, given: Given) -> None:
    kernel = attendant.Attendant(loop, quiet=600, report=None)
    for _ in range(50):
        kernel.cell_begins()
        kernel.cell_ended()
    assert len(loop.later) == 2  # and the one to tidy up
    assert given.released == 0


def test_tidying_gives_arrays_back_too(loop: Loop, given: Given) -> None:
    kernel = attendant.Attendant(loop, quiet=SECONDS / 5, report=None)
    kernel.cell_begins()
    kernel.cell_ended()
    loop.pass_time(SECONDS / 4)
    assert given.released == 1


def test_without_the_library_or_without_tidying_there_is_no_timer(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "current", lambda: None)
    kernel = attendant.Attendant(loop, quiet=600, report=None)
    kernel.cell_begins()
    kernel.cell_ended()
    assert [round(when - loop.now) for when, _ in loop.later] == [600]
    kernel.tidy()
    loop.later.clear()
    monkeypatch.setattr(arrays, "current", Given)
    never = attendant.Attendant(loop, quiet=0, report=None)
    never.cell_begins()
    never.cell_ended()
    assert loop.later == []


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        (None, MOST),
        (64 << 30, MOST),
        (MOST * 16, MOST),
        (512 << 20, 32 << 20),
        (1 << 20, 1 << 16),
        (15, 0),
        (0, 0),
        (-1, 0),
    ],
)
def test_what_a_kernel_may_keep(limit: int | None, kept: int) -> None:
    assert kept_bytes(limit) == kept


@pytest.mark.parametrize(
    ("group", "hub", "limit"),
    [
        (1 << 30, "536870912", 1 << 30),
        (None, "536870912", 512 << 20),
        (None, "", None),
        ("unknown", "536870912", 512 << 20),
        ("unknown", "0", None),
    ],
)
def test_the_limit_of_the_server(
    monkeypatch: pytest.MonkeyPatch, group: int | str | None, hub: str, limit: int | None
) -> None:
    known = None
    if not isinstance(group, str):
        known = CgroupMemory(
            used_bytes=1 << 28, limit_bytes=group, available_bytes=None, version="v2"
        )
    monkeypatch.setattr(memory, "read_memory", lambda: known)
    monkeypatch.setenv("MEM_LIMIT", hub)
    assert memory.memory_limit() == limit
