"""Parts that run inside the kernel, tried in this process."""

import os
import pwd
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from labext.kernels.aligned import bytecode, repairs, seal
from labext.kernels.aligned.attendant import Attendant
from labext.kernels.aligned.entropy import shaped
from labext.kernels.aligned.preload import edges_of_imports, import_common
from labext.kernels.aligned.repairs import blas_threads
from labext.kernels.aligned.shelf import Shelf
from labext.kernels.aligned.student import shadowed


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({}, 8),
        ({"OPENBLAS_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "3"}, 2),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"OMP_NUM_THREADS": "99"}, 8),
        ({"OMP_NUM_THREADS": "x"}, 8),
        ({"OPENBLAS_NUM_THREADS": "0"}, 8),
    ],
)
def test_threads_of_openblas(environment: dict[str, str], threads: int) -> None:
    assert blas_threads(environment, 8) == threads


def test_random_bits_keep_their_shape() -> None:
    assert shaped(lambda count: 0)(128) == sum(1 << (32 * word + 31) for word in range(4))
    assert shaped(lambda count: 5)(16) == 5


_FREED = """
import sys, types
sys.path.insert(0, sys.argv[1])
from aligned.seal import fill_pools
held = [bytes(size) for size in range(1, 480, 16) for _ in range(3000)]
del held[::3]  # every page has holes now, and some pools begin with one
holes = {id(each) >> 14 for each in held}
fill_pools()
later = [bytes(size) for size in range(1, 480, 16) for _ in range(30)]
print(sum(id(each) >> 14 in holes for each in later), sum(id(each) >> 14 in holes for each in held))
"""


def test_nothing_new_comes_between_what_was_there_before_the_seal() -> None:
    folder = Path(seal.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-I", "-c", _FREED, str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    between, before = (int(word) for word in done.stdout.split())
    assert before == 60_000
    # The class of 32 bytes is also that of integers, which come and go.
    assert between < 60


def test_what_shadows_a_loaded_module(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("")
    (tmp_path / "data").mkdir()
    (tmp_path / "numpy.txt").write_text("")
    assert shadowed([str(tmp_path)], {"numpy", "json"}) is None
    (tmp_path / "numpy").mkdir()
    assert shadowed([str(tmp_path)], {"numpy"}) == f"{tmp_path} has its own numpy"
    assert shadowed([str(tmp_path / "missing")], {"numpy"}) is None


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two packages, one built on the other, and one that is broken."""
    (tmp_path / "base_of_it").mkdir()
    (tmp_path / "base_of_it" / "__init__.py").write_text("import warnings\nvalue = object()\n")
    (tmp_path / "base_of_it" / "part.py").write_text("here = 1\n")
    (tmp_path / "built_on_it.py").write_text(
        "import base_of_it.part, os, warnings\nos.environ.setdefault('BUILT', 'yes')\n"
        "warnings.filterwarnings('ignore', message='of built_on_it')\n"
        "def late():\n    import broken_of_it\n"
    )
    (tmp_path / "broken_of_it.py").write_text("raise ValueError('no')\n")
    (tmp_path / "slow_of_it.py").write_text("while True: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    meta_path = list(sys.meta_path)
    yield tmp_path
    sys.meta_path[:] = meta_path
    for name in [name for name in sys.modules if name.partition(".")[0].endswith("of_it")]:
        del sys.modules[name]
    sys.modules.pop("built_on_it", None)


def preload(*names: str) -> Shelf:
    shelf = Shelf()
    dropped = import_common(names, shelf, each=5, total=10, say=lambda word, text: None)
    assert dropped is None
    return shelf


def test_modules_come_back_with_what_they_imported(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import warnings

    monkeypatch.delenv("BUILT", raising=False)
    shelf = preload("base_of_it", "built_on_it", "not_installed_of_it")
    value = shelf.modules["base_of_it"].__dict__["value"]
    assert not {"base_of_it", "built_on_it", "base_of_it.part"} & set(sys.modules)
    monkeypatch.delenv("BUILT", raising=False)
    assert not any("of built_on_it" in str(entry) for entry in warnings.filters)
    called: list[str] = []
    shelf.repairs["base_of_it"] = lambda: called.append("base")
    with warnings.catch_warnings():
        __import__("built_on_it")
        assert any("of built_on_it" in str(entry) for entry in warnings.filters)
    assert sys.modules["base_of_it"].__dict__["value"] is value
    assert "base_of_it.part" in sys.modules
    assert sys.modules["built_on_it"].__spec__ is not None
    assert type(sys.modules["built_on_it"].__spec__.loader).__name__ == "SourceFileLoader"
    assert called == ["base"]
    assert len(shelf) == 0
    import os

    assert os.environ["BUILT"] == "yes"


def test_what_the_path_has_now_wins(
    packages: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shelf = preload("base_of_it", "built_on_it")
    nearer = tmp_path_factory.mktemp("nearer")
    (nearer / "base_of_it.py").write_text("mine = True\n")
    sys.path.insert(0, str(nearer))
    try:
        assert __import__("base_of_it").mine is True
    finally:
        sys.path.remove(str(nearer))
    assert "base_of_it" not in shelf.modules


@pytest.mark.parametrize(
    ("name", "reason"), [("broken_of_it", "ValueError: no"), ("slow_of_it", "longer than 0.2 s")]
)
def test_a_module_that_fails_is_named(packages: Path, name: str, reason: str) -> None:
    dropped = import_common([name], Shelf(), each=0.2, total=10, say=lambda word, text: None)
    assert dropped is not None
    assert dropped.name == name
    assert reason in dropped.reason


def test_what_was_compiled_by_this_start_is_seen(tmp_path: Path) -> None:
    began = bytecode.process_start()
    assert 0 < time.time() - began < 86400
    file = tmp_path / "module.pyc"
    missing = str(tmp_path / "missing.pyc")
    file.write_bytes(b"")
    module = types.ModuleType("module")
    module.__dict__["__cached__"] = str(file)
    assert bytecode.compiled_here([types.ModuleType("none"), module])
    lazy = types.ModuleType("lazy")
    lazy.__dict__["__getattr__"] = lambda name: pytest.fail(f"asked for {name}")
    del lazy.__dict__["__spec__"]
    bytecode.compiled_here([lazy])
    for written in (began - 10, time.time() + 3600):
        os.utime(file, (written, written))
        assert not bytecode.compiled_here([module])
    assert not bytecode.written_between([missing], 0, time.time())


_CACHES = """
import os, sys
os.environ["HOME"] = "/nonexistent"
from labext.kernels.aligned import repairs
from labext.kernels.aligned.preload import import_common
from labext.kernels.aligned.shelf import Shelf
shelf = Shelf()
assert import_common(["jedi"], shelf, each=60, total=60, say=lambda *words: None) is None
assert "parso.grammar" in shelf.modules and not {"jedi", "parso"} & set(sys.modules)
assert shelf.modules["parso.grammar"]._loaded_grammars
shelf.repairs = repairs.for_loaded(shelf.modules)
os.environ["HOME"] = "/home/ada"
import jedi, parso.cache
print(jedi.settings.cache_directory, parso.cache._default_cache_path, jedi.settings.__name__)
"""


def in_a_process(code: str, **variables: str) -> list[str]:
    """The words that it prints."""
    environment = {name: text for name, text in os.environ.items() if name != "XDG_CACHE_HOME"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment | variables,
        cwd=Path(repairs.__file__).parents[3],
        check=True,
    )
    return done.stdout.split()


def test_caches_of_completions_are_the_students() -> None:
    assert in_a_process(_CACHES) == [
        "/home/ada/.cache/jedi",
        "/home/ada/.cache/parso",
        "jedi.settings",
    ]


def test_edges_are_those_of_the_import_itself(packages: Path) -> None:
    edges: dict[str, list[str]] = {}
    with edges_of_imports(edges):
        module: types.ModuleType = __import__("built_on_it")
        with pytest.raises(ValueError, match="no"):
            module.__dict__["late"]()
    assert "base_of_it.part" in edges["built_on_it"]
    assert "broken_of_it" not in edges["built_on_it"]


class Loop:
    """Remembers what shall be called later."""

    def __init__(self) -> None:
        self.later: list[object] = []

    def call_later(self, seconds: float, call: object) -> None:
        self.later.append(call)


def test_the_attendant_waits_for_quiet_and_never_acts_while_a_cell_runs(tmp_path: Path) -> None:
    loop, report = Loop(), tmp_path / "report.json"
    attendant = Attendant(loop, quiet=0.000001, report=str(report))
    assert loop.later == []
    attendant.cell_begins()
    attendant.cell_ended()
    attendant.cell_begins()
    attendant._look()
    assert not report.exists()
    attendant.cell_ended()
    attendant._look()
    assert report.stat().st_mode & 0o077 == 0
    assert '"before_bytes"' in report.read_text()


def test_fonts_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user is in no passwd file; matplotlib's own import works there."""

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    repairs.font_manager()
