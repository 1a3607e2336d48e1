"""Puts right what modules read from their surroundings when they were imported.

Each repair runs when the student imports the module, so with the student's environment and folder
at that moment, as the stock import would. A module needs one when it reads HOME, the environment
or the number of CPUs at import.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

_SUFFIXES = ("64_", "_64", "")
_PREFIXES = ("scipy_openblas", "openblas")


def blas_threads(environment: Mapping[str, str], processors: int) -> int:
    """How many threads OpenBLAS would have started with. Pure. Source: OpenBLAS, USAGE.md."""
    for name in ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"):
        try:
            wanted = int(environment.get(name, "").split(",")[0])
        except ValueError:
            continue
        if wanted > 0:
            return min(wanted, processors)
    return processors


def openblas(package: str) -> None:
    """Start the threads that a package's OpenBLAS did not start during the preload.

    Wheels of NumPy and SciPy bring a copy each; one from elsewhere comes with NumPy.
    """
    for library in _loaded("openblas", of_scipy=package == "scipy"):
        for prefix in _PREFIXES:
            for suffix in _SUFFIXES:
                ask = getattr(library, f"{prefix}_get_num_procs{suffix}", None)
                tell = getattr(library, f"{prefix}_set_num_threads{suffix}", None)
                if ask is not None and tell is not None:
                    tell(ctypes.c_int(blas_threads(os.environ, ask())))
                    break


def _loaded(part: str, *, of_scipy: bool) -> list[ctypes.CDLL]:
    """Libraries of this process with `part` in their file name: SciPy's own, or all others."""
    try:
        rows = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return []
    files = {row.partition("/")[2] for row in rows if part in row.rpartition("/")[2]}
    found = []
    for file in sorted(files):
        if ("/scipy" in file.rpartition("/")[0]) is not of_scipy:
            continue
        try:
            found.append(ctypes.CDLL(f"/{file}", mode=os.RTLD_NOLOAD | os.RTLD_NOW))
        except OSError:
            continue
    return found


def matplotlib(preloaded_with: str) -> None:
    """Read the student's matplotlibrc, cache folder and backend."""
    module: Any = sys.modules["matplotlib"]
    for name in ("get_configdir", "get_cachedir"):
        _forget(getattr(module, name, None))
    file = module.matplotlib_fname()
    if file != preloaded_with:
        own = module.rc_params_from_file(file, fail_on_error=False, use_default_template=True)
        dict.update(module.rcParams, own)
        dict.update(module.rcParamsOrig, own)
    if os.environ.get("MPLBACKEND"):
        module.rcParams["backend"] = os.environ["MPLBACKEND"]


def _forget(function: Any) -> None:
    """Make a function that remembers its first answer ask again."""
    if hasattr(function, "cache_clear"):
        function.cache_clear()
    # Matplotlib's own way to remember: a variable of the wrapper.
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    cells = getattr(function, "__closure__", None) or ()
    if "called" in names:
        cells[names.index("called")].cell_contents = False


def font_manager() -> None:
    """Students with fonts of their own get the list that has them."""
    # Not as pathlib does it: that fails where neither HOME nor passwd knows a home.
    home = Path(os.path.expanduser("~"))  # noqa: PTH111
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    if (data / "fonts").is_dir() or (home / ".fonts").is_dir():
        module: Any = sys.modules["matplotlib.font_manager"]
        fresh = module._load_fontmanager()
        module.fontManager = fresh
        module.findfont = fresh.findfont
        module.get_font_names = fresh.get_font_names


def pyplot() -> None:
    """Tell the notebook's shell about pyplot, as its import does."""
    module: Any = sys.modules["matplotlib.pyplot"]
    module.install_repl_displayhook()


def inline_backend() -> None:
    """Have figures shown below their cell, as its import does where there is a shell."""
    module: Any = sys.modules["matplotlib_inline.backend_inline"]
    module._enable_matplotlib_integration()


def jedi_settings() -> None:
    """Its cache lies in the student's HOME. Only constants are in there: they are set again."""
    module = sys.modules["jedi.settings"]
    if module.__spec__ is not None and module.__spec__.loader is not None:
        module.__spec__.loader.exec_module(module)


def parso_cache() -> None:
    """So does its parser's."""
    module: Any = sys.modules["parso.cache"]
    module._default_cache_path = module._get_default_cache_path()


def main_of_multiprocessing() -> None:
    """Its import gives the main module of that moment a second name."""
    if "__main__" in sys.modules:
        sys.modules["__mp_main__"] = sys.modules["__main__"]


def for_loaded(shelf: Mapping[str, ModuleType]) -> dict[str, Callable[[], None]]:
    """The repairs that the modules on the shelf need, by module name."""
    found: dict[str, Callable[[], None]] = {}
    for name, package in (("numpy", "numpy"), ("scipy.linalg._fblas", "scipy")):
        if name in shelf:
            found[name] = partial(openblas, package)
    if "multiprocessing" in shelf:
        found["multiprocessing"] = main_of_multiprocessing
    if "jedi.settings" in shelf:
        found["jedi.settings"] = jedi_settings
    if hasattr(shelf.get("parso.cache"), "_get_default_cache_path"):
        found["parso.cache"] = parso_cache
    if "matplotlib" in shelf:
        module: Any = shelf["matplotlib"]
        found["matplotlib"] = partial(matplotlib, str(module.matplotlib_fname()))
    if "matplotlib.font_manager" in shelf:
        found["matplotlib.font_manager"] = font_manager
    if "matplotlib.pyplot" in shelf:
        found["matplotlib.pyplot"] = pyplot
    inline = "matplotlib_inline.backend_inline"
    if hasattr(shelf.get(inline), "_enable_matplotlib_integration"):
        found[inline] = inline_backend
    return found
