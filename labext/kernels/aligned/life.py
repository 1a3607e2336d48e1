"""The life of an aligned kernel until its own program takes over."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from typing import Any, NoReturn

from . import (
    again,
    arrays,
    attendant,
    bytecode,
    fonts,
    layout,
    outside,
    repairs,
    reseed,
    streams,
    student,
    template,
)
from .channel import Channel
from .fingerprint import fingerprint, private_ranges
from .preload import import_common, import_kernel
from .seal import seal
from .shelf import Shelf


class Plan:
    """What to do before anybody is waiting; equal for all kernels that shall be alike.

    `modules`: to import, in this order. `each`, `total`: seconds they may take. `stack`: the
    launcher's stack limit and the usual one, in bytes, None when it changed none. `merge_again`:
    opt in to KSM once more, for Linux before 6.10. `fonts`: 1 when the font list was seen to.
    `compiled`: 1 when this is not the first attempt because that one compiled modules. `arrays`:
    whether NumPy's arrays get pages of their own.
    """

    def __init__(self, text: str) -> None:
        fields: dict[str, Any] = json.loads(text)
        self.modules: list[str] = fields["modules"]
        self.each: float = fields["each"]
        self.total: float = fields["total"]
        self.stack: tuple[int, int] | None = tuple(fields["stack"]) if fields["stack"] else None
        self.merge_again: bool = fields["merge_again"]
        self.fonts: int = fields["fonts"]
        self.compiled: int = fields["compiled"]
        self.arrays: bool = fields["arrays"]
        self._fields = fields

    def without(self, name: str) -> str:
        """The same plan, but for one module, as text."""
        modules = [module for module in self.modules if module != name]
        return json.dumps({**self._fields, "modules": modules})

    def with_fonts(self) -> str:
        """The same plan, as text, once there is a font list or cannot be one."""
        return json.dumps({**self._fields, "fonts": 1})

    def with_compiled(self) -> str:
        """The same plan, as text, once all modules lie there compiled."""
        return json.dumps({**self._fields, "compiled": 1})


def main(descriptor: int, text: str) -> None:
    """Prepare, wait, become the kernel. Ends this process when the provisioner is gone."""
    plan = Plan(text)
    channel = Channel(descriptor)
    gc.disable()
    began = time.monotonic()
    notes: list[str] = []
    if plan.merge_again:
        _note(notes, layout.opt_in_again())
    if plan.stack is not None:
        _note(notes, layout.restore_stack_limit(plan.stack[1]))
    shelf = _prepare(plan, channel, notes)
    _note(notes, layout.restore_randomisation())
    if not layout.merges():
        problem = layout.merge_regions(private_ranges())
        channel.say("regions", "yes" if problem is None else f"no {problem}")
        if problem is not None:
            os._exit(0)
    mark = fingerprint(plan.modules)
    mark_ready = {
        "fingerprint": mark,
        "notes": notes,
        "seconds": round(time.monotonic() - began, 3),
        "shelved": len(shelf),
        "unforkable": template.can_fork(),
    }
    channel.say("ready", json.dumps(mark_ready))
    del mark, mark_ready, notes
    seal()
    prepared = os.getpid()
    mine = template.serve(channel)
    fields = mine.assignment() if mine is not None else None
    if mine is None or fields is None:
        os._exit(0)
    if os.getpid() != prepared:
        problem = reseed.all_known({**sys.modules, **shelf.modules})
        if problem is not None:
            mine.say("refused", problem)
            os._exit(0)
    _become(student.Assignment(fields), shelf, mine)


def _prepare(plan: Plan, channel: Channel, notes: list[str]) -> Shelf:
    """Everything that is the same for all students."""
    # Looked for in either case: looking leaves its traces in the heap, and they must be the same.
    listed = "matplotlib.pyplot" not in plan.modules or fonts.listed()
    if not plan.fonts and not listed:
        channel.say("import", "matplotlib.font_manager")
        fonts.make_list(plan.each)
        _begin_again(plan, plan.with_fonts(), channel)
    shelf = Shelf()
    shelf.variables = import_kernel(channel.say)
    dropped = import_common(plan.modules, shelf, each=plan.each, total=plan.total, say=channel.say)
    if dropped is not None:
        channel.say("dropped", json.dumps([dropped.name, dropped.reason]))
        _begin_again(plan, plan.without(dropped.name), channel)
    if not plan.compiled and bytecode.compiled_here(
        [*sys.modules.values(), *shelf.modules.values()]
    ):
        _begin_again(plan, plan.with_compiled(), channel)
    shelf.repairs = repairs.for_loaded(shelf.modules)
    if plan.arrays:
        try:
            arrays.install({**sys.modules, **shelf.modules})
        except arrays.NoArraysError as err:
            notes.append(f"big arrays are merged less: {err}")
    # Garbage is frozen with the rest: collecting it takes a tenth of the whole start, all of its
    # 0.6 MB is merged, and what it left free would have to be filled again.
    layout.trim_heap()
    gc.freeze()
    gc.enable()
    return shelf


def _become(assignment: student.Assignment, shelf: Shelf, channel: Channel) -> None:
    import runpy

    try:
        student.enter(assignment, shelf.variables)
        folders = student.own_folders()
        loaded = {name.partition(".")[0] for name in sys.modules} | shelf.tops()
        sentence = student.shadowed(folders, loaded)
        if sentence is not None:
            raise student.UnsuitedError(sentence)
    except student.UnsuitedError as err:
        channel.say("cannot", str(err))
        os._exit(0)
    streams.give_back()
    student.extend_path(folders)
    student.name_process(assignment)
    student.parent_of_kernel()
    student.name_of_user()
    outside.show(assignment.command, assignment.environment)
    if (given := arrays.current()) is not None:
        given.keep(int(assignment.settings.get("array_bytes", 0)))
    attendant.attach_at_start(assignment.report, assignment.settings)
    channel.say("took")
    channel.close()
    runpy._run_module_as_main(assignment.module)  # type: ignore[attr-defined]  # what -m calls


def _note(notes: list[str], problem: str | None) -> None:
    if problem is not None:
        notes.append(problem)


def _begin_again(plan: Plan, text: str, channel: Channel) -> NoReturn:
    """A fresh process: half of a module is imported here."""
    channel.keep_over_exec()
    again.begin_again(text, plan.stack)
