"""Imports the modules of the plan, each within its time, and puts them on the shelf."""

from __future__ import annotations

import builtins
import contextlib
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from types import FrameType
from typing import Any

from .entropy import of_one_shape
from .shelf import Shelf, SideEffects

#: What the kernel's own start imports: these stay in `sys.modules`, as they would be there anyway.
KERNEL_MODULES = (
    "runpy",
    "socket",
    "ctypes",
    "sqlite3",
    "ipykernel.kernelapp",
    "ipykernel.displayhook",
    "ipykernel.zmqshell",
    "IPython.core.magics",
    "IPython.core.completerlib",
    "asyncio.unix_events",
    "zmq.eventloop.zmqstream",
    "encodings.idna",
    "encodings.latin_1",
    "ipykernel.debugger",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.extensions.storemagic",
    "tornado.locks",
    "tornado.platform.asyncio",
    "tornado.queues",
)

#: What IPython and Jedi import at the first completion.
COMPLETION_PARTS = (
    "jedi.api.classes",
    "jedi.api.helpers",
    "jedi.inference.finder",
    "IPython.core.guarded_eval",
    "IPython.core.latex_symbols",
)


class TooSlow(BaseException):
    """The time of one import is over. Not an Exception: `except Exception` must not eat it."""


class Dropped:
    """A module that was not preloaded, and why."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise TooSlow in here after `seconds` of wall time."""

    def over(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def edges_of_imports(edges: dict[str, list[str]]) -> Iterator[None]:
    """Note in `edges` which module imports which, while in here."""
    original = builtins.__import__

    def noting(
        name: str,
        globals: Any = None,
        locals: Any = None,
        fromlist: Any = (),
        level: int = 0,
    ) -> Any:
        result = original(name, globals, locals, fromlist, level)
        importer = globals.get("__name__") if globals is not None else None
        if globals is not None and _begun(importer):
            if level:
                package = globals.get("__package__") or ""
                base = package.rsplit(".", level - 1)[0] if level > 1 else package
                name = f"{base}.{name}" if name else base
            noted = edges.setdefault(str(importer), [])
            noted.append(name)
            noted.extend(f"{name}.{item}" for item in fromlist or () if isinstance(item, str))
        return result

    builtins.__import__ = noting
    try:
        yield
    finally:
        builtins.__import__ = original


def _begun(importer: object) -> bool:
    """Whether this module is being imported; later imports of its functions are not its own."""
    spec = getattr(sys.modules.get(str(importer)), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))


def import_kernel(say: Callable[[str, str], None]) -> dict[str, str]:
    """Import what the kernel's start imports; parts that are not installed are left out.

    Returns the environment variables that this set (debugpy sets one for its children).
    """
    before = dict(os.environ)
    for name in KERNEL_MODULES:
        try:
            __import__(name)
        except ImportError:
            say("without", name)
    return {name: value for name, value in os.environ.items() if before.get(name) != value}


def warm_up(name: str) -> None:
    """Load what a module loads at its first use, where that is the same for everybody.

    Jedi's parser makes tables from its grammar of this Python; 10 MB that students would not share.
    """
    if name != "jedi":
        return
    for part in COMPLETION_PARTS:
        with contextlib.suppress(ImportError):
            __import__(part)
    sys.modules["parso"].load_grammar()


def import_common(
    modules: Sequence[str],
    shelf: Shelf,
    *,
    each: float,
    total: float,
    say: Callable[[str, str], None],
    clock: Callable[[], float] = time.monotonic,
) -> Dropped | None:
    """Import `modules` and shelve them; the first that fails or is too slow, else None.

    After a failure this process is of no use any more: half of a module is imported.
    """
    began = clock()
    before = set(sys.modules)
    edges: dict[str, list[str]] = {}
    with edges_of_imports(edges):
        for name in modules:
            say("import", name)
            filters, environment = list(warnings.filters), dict(os.environ)
            if find_spec(name.partition(".")[0]) is None:
                say("without", name)
                continue
            left = min(each, total - (clock() - began))
            if left <= 0:
                return Dropped(name, f"the preload took longer than {total:g} s")
            try:
                with within(left), warnings.catch_warnings(), of_one_shape():
                    __import__(name)
                    warm_up(name)
                    now = list(warnings.filters)
            except TooSlow:
                return Dropped(name, f"its import took longer than {left:.3g} s")
            except BaseException as err:  # noqa: BLE001 - modules may even call sys.exit
                return Dropped(name, f"its import failed ({type(err).__name__}: {err})")
            shelf.effects[name] = SideEffects(
                [entry for entry in now if entry not in filters],
                {key: value for key, value in os.environ.items() if environment.get(key) != value},
            )
    shelf.put([name for name in sys.modules if name not in before], edges)
    if "__mp_main__" not in before:
        sys.modules.pop("__mp_main__", None)  # multiprocessing's name for the main module
    sys.meta_path.insert(0, shelf)
    return None
