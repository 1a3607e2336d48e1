"""The life of an aligned Jupyter server until its own program takes over.

The process is the one that the hub started, so there is nobody to ask for another: whatever goes
wrong before the server's own program runs, this process becomes the stock command by `exec`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from . import again, bytecode, layout, outside, rescue, streams, student
from .preload import TooSlow, within
from .seal import seal

#: Where the wrapper left whom to become; see `labext.kernels.server_start`.
ASSIGNMENT = 3
_INDIRECT = frozenset({"os", "_collections_abc", "collections.abc", "posixpath"})


class Plan:
    """What to do before the server is anybody's; equal for all servers that shall be alike.

    `modules`: to import, in this order. `seconds`: for all of them. `stack`: the wrapper's soft
    stack limit and the usual one, in bytes, None where it changed none. `compiled`: 1 when this is
    not the first attempt because that one compiled modules.
    """

    def __init__(self, text: str) -> None:
        fields: dict[str, Any] = json.loads(text)
        self.modules: list[str] = fields["modules"]
        self.seconds: float = fields["seconds"]
        self.stack: tuple[int, int] | None = tuple(fields["stack"]) if fields["stack"] else None
        self.compiled: int = fields["compiled"]
        self._fields = fields

    def with_compiled(self) -> str:
        """The same plan, as text, once all modules lie there compiled."""
        return json.dumps({**self._fields, "compiled": 1})


def main(text: str) -> None:
    """Prepare, then run the script of the assignment; `exec` it when that cannot be."""
    plan = Plan(text)
    with variables_read() as read:
        reason = _prepare(plan)
    if reason is None and not plan.compiled and bytecode.compiled_here(list(sys.modules.values())):
        _begin_again(plan)
    given = dict(os.environ)
    fields = _assignment()
    assignment = student.Assignment({"module": "", **fields})
    layout.restore_randomisation()
    if reason is not None:
        _stock(assignment, plan, reason)
    try:
        seal()
        student.enter(assignment)
        folders = student.own_folders()
        loaded = {name.partition(".")[0] for name in sys.modules}
        reason = student.shadowed(folders, loaded) or differing(read, given, os.environ)
        with open(assignment.arguments[0], "rb") as file:  # noqa: PTH123 - its text is for compile
            code = compile(file.read(), assignment.arguments[0], "exec")
    except (student.UnsuitedError, OSError, SyntaxError, ValueError) as err:
        reason = str(err)
    except Exception as err:  # noqa: BLE001 - whatever it is, the owner's server starts
        reason = f"{type(err).__name__}: {err}"
    if reason is not None:
        _stock(assignment, plan, reason)
    streams.give_back()
    student.extend_path(folders)
    _name(assignment)
    outside.show(assignment.command, assignment.environment)
    names = vars(sys.modules["__main__"])
    for name in [name for name in names if not name.startswith("__")]:
        del names[name]
    names["__doc__"] = None
    names["__file__"] = assignment.arguments[0]
    exec(code, names)


@contextlib.contextmanager
def variables_read() -> Iterator[set[str]]:
    """The environment variables that Python code asks for while in here.

    Not those that sysconfig reads: `student.own_folders` makes it ask again.
    """
    names: set[str] = set()
    environ: Any = type(os.environ)
    genuine = environ.__getitem__

    def noting(self: Any, name: Any) -> Any:
        frame: Any = sys._getframe(1)
        while frame is not None and frame.f_globals.get("__name__") in _INDIRECT:
            frame = frame.f_back
        if frame is None or frame.f_globals.get("__name__") != "sysconfig":
            names.add(os.fsdecode(name))
        return genuine(self, name)

    environ.__getitem__ = noting
    try:
        yield names
    finally:
        environ.__getitem__ = genuine


def differing(names: Iterable[str], one: Mapping[str, str], other: Mapping[str, str]) -> str | None:
    """A sentence when a variable that was read is another one for this server's owner. Pure."""
    found = sorted(name for name in names if one.get(name) != other.get(name))
    return f"the libraries of the server read {', '.join(found)}" if found else None


def _prepare(plan: Plan) -> str | None:
    """Import what all servers have in common; None, or why this process cannot be used."""
    if plan.stack is not None:
        problem = layout.restore_stack_limit(plan.stack[1])
        if problem is not None:
            return problem
    gc.disable()
    current = ""

    def abandoned(what: str) -> NoReturn:
        fields = student.Assignment({"module": "", **_assignment()})
        layout.restore_randomisation()
        _stock(fields, plan, f"importing {current} {what}")

    limits = rescue.rescued(plan.seconds, abandoned) if rescue.possible() else within(plan.seconds)
    try:
        with limits:
            for current in plan.modules:
                with contextlib.suppress(ModuleNotFoundError):
                    __import__(current)
    except TooSlow:
        return f"importing {current} took too long"
    except BaseException as err:  # noqa: BLE001 - modules may even call sys.exit
        return f"importing {current} failed ({type(err).__name__}: {err})"
    gc.collect()
    layout.trim_heap()
    gc.freeze()
    gc.enable()
    return None


def _assignment() -> dict[str, Any]:
    os.lseek(ASSIGNMENT, 0, os.SEEK_SET)
    with os.fdopen(ASSIGNMENT, "rb") as file:
        fields: dict[str, Any] = json.loads(file.read())
    # JSON keeps bytes that are no text as Python does, as lone surrogates.
    return fields


def _begin_again(plan: Plan) -> None:
    """A fresh process of the same plan; when that cannot be, this one is good enough."""
    with contextlib.suppress(OSError, ValueError):
        again.begin_again(plan.with_compiled(), plan.stack)
    if plan.stack is not None:
        layout.set_stack_limit(plan.stack[1])


def _name(assignment: student.Assignment) -> None:
    """`sys.argv`, `sys.orig_argv` and the first folder of the path, as ``python SCRIPT`` has."""
    sys.argv[:] = assignment.arguments
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = assignment.command
    if not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, os.path.dirname(assignment.arguments[0]))  # noqa: PTH120 - a string
    prefix = os.environ.get("PYTHONPYCACHEPREFIX")
    if prefix:
        sys.pycache_prefix = prefix


def _stock(assignment: student.Assignment, plan: Plan, reason: str) -> NoReturn:
    """Become the stock command, in the stock surroundings."""
    streams.restore_descriptors()
    signal.alarm(0)
    if plan.stack is not None:
        layout.set_stack_limit(plan.stack[1])
    rescue.default_action(signal.SIGPIPE, signal.SIGXFSZ)
    with contextlib.suppress(OSError):
        os.write(2, f"samepage-singleuser: starting without alignment: {reason}\n".encode())
    with contextlib.suppress(OSError):  # it may be gone, or closed to this user
        os.chdir(assignment.folder)
    os.execve(assignment.command[0], assignment.command, assignment.environment)
