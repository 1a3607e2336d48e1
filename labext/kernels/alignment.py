"""Starts one kernel aligned, for the provisioner: recipe, process, assignment."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.launcher import launch_kernel
from jupyter_core.paths import jupyter_runtime_dir

from labext.memory import memory_limit

from .aligned_process import AlignedProcess, NotAlignedError, Ready
from .array_memory import kept_bytes
from .command import PythonKernel
from .learn import imports_file, take_in
from .ledger import Alignment, KernelLedger
from .recipe import TOOLS, Recipe, assignment, private_cache
from .secret import layout_from
from .settings import AlignmentSettings
from .spare import SpareKeeper
from .surroundings import common_environment, unfit

_HANDOVER_SECONDS = 10.0
#: What a start may ask of Popen; anything else is for the stock way.
_PLAIN = frozenset({"env", "cwd", "independent", "kernel_id", "extra_arguments"})
_STREAMS = frozenset({"stdin", "stdout", "stderr"})


@dataclass(frozen=True, kw_only=True)
class Request:
    """One start: the stock `command`, taken apart in `kernel`, and launch_kernel's `options`."""

    kernel: PythonKernel
    command: list[str]
    options: Mapping[str, Any]
    environment: Mapping[str, str]
    kernel_id: str

    @property
    def folder(self) -> str:
        """The working folder, absolute."""
        return str(Path(self.options.get("cwd") or Path.cwd()).absolute())


def unsuited(request: Request) -> str | None:
    """Why this start has to be a stock one; None when it may be aligned."""
    unusual = set(request.options) - _PLAIN - _STREAMS
    if any(request.options.get(name) for name in unusual):
        return f"it was started with {', '.join(sorted(unusual))}"
    return unfit(request.environment)


def recipe_for(
    request: Request, settings: AlignmentSettings, *, ledger: KernelLedger, merge_again: bool
) -> Recipe:
    """Errors: NotAlignedError, OSError."""
    wanted = dict.fromkeys((*settings.preload_modules, *TOOLS))
    layout, usual_stack = layout_from(settings.layout_secret_file)
    environment = common_environment(
        request.environment,
        cache_folder=private_cache(),
        also=tuple(settings.preload_environment),
    )
    return Recipe(
        program=_program(request),
        options=request.kernel.options,
        environment=tuple(environment.items()),
        modules=tuple(name for name in wanted if name not in ledger.dropped_modules),
        each_seconds=settings.preload_module_seconds,
        total_seconds=settings.preload_seconds,
        layout=layout,
        usual_stack=usual_stack,
        merge_again=merge_again,
        arrays=settings.arrays,
    )


def _program(request: Request) -> str:
    program = Path(request.kernel.program).expanduser()
    if program.name == str(program):
        found = shutil.which(program, path=request.environment.get("PATH", os.defpath))
        if found is None:
            raise NotAlignedError(f"{program} was not found")
        return found
    return str(Path(request.folder) / program)


def start_aligned(
    request: Request,
    recipe: Recipe,
    settings: AlignmentSettings,
    *,
    ledger: KernelLedger,
    keeper: SpareKeeper,
    started: Callable[[AlignedProcess], None],
) -> Alignment:
    """Make an aligned process this request's kernel. Blocks for as long as the preload takes.

    `started` learns of each process that may become the kernel. Errors: NotAlignedError, OSError;
    no process is left then.
    """
    # A kernel that shall outlive the server must not depend on a template, which does not.
    plain = not set(request.options) - _PLAIN and not request.options.get("independent")
    try:
        taken = keeper.take(recipe) if plain and settings.spare else None
    except NotAlignedError as err:
        _learn(ledger, err)
        raise
    process, spare = taken if taken is not None else (None, False)
    if process is None:
        options = {k: v for k, v in request.options.items() if k in _STREAMS}
        process = AlignedProcess.start(recipe, launch_kernel, options)
    try:
        started(process)
        ready = process.ready
        if ready is None:
            ready = process.wait_ready(time.monotonic() + recipe.longest_seconds)
        ledger.dropped_modules.update(ready.dropped)
        report = str(report_file(request.kernel_id))
        fields = assignment(
            request.kernel,
            command=[os.path.expanduser(word) for word in request.command],  # noqa: PTH111 - any text
            environment=_environment(request),
            folder=request.folder,
            report=report,
            quiet_seconds=settings.tidy_after_seconds,
            # What is never tidied up may not keep memory that holds nothing.
            array_bytes=kept_bytes(memory_limit()) if settings.tidy_after_seconds else 0,
        )
        process.assign(fields, time.monotonic() + _HANDOVER_SECONDS)
    except BaseException as err:
        if isinstance(err, NotAlignedError):
            _learn(ledger, err)
        process.discard()
        raise
    _write_fingerprint(request, ready)
    return Alignment(
        state="aligned",
        spare=spare,
        dropped=tuple(ledger.dropped_modules.items()),
        fingerprint=ready.fingerprint,
        whole=ready.whole,
        notes=ready.notes,
        report_file=report,
    )


def _learn(ledger: KernelLedger, err: NotAlignedError) -> None:
    """Leave out what a start has failed at."""
    if err.module is not None:
        ledger.dropped_modules[err.module] = err.reason


def _environment(request: Request) -> dict[str, str]:
    """As launch_kernel completes it."""
    if request.options.get("independent"):
        return dict(request.environment)
    return {**request.environment, "JPY_PARENT_PID": str(os.getpid())}


def fingerprint_file(kernel_id: str) -> Path:
    """Where a running aligned kernel's fingerprint lies, for `drift` and the agent."""
    return Path(jupyter_runtime_dir()) / f"samepage-aligned-{kernel_id}.json"


def report_file(kernel_id: str) -> Path:
    """Where its attendant reports."""
    return Path(jupyter_runtime_dir()) / f"samepage-kernel-{kernel_id}.json"


def forget(kernel_id: str) -> None:
    """Take in what an ended kernel reported, and delete its files. Never raises."""
    with contextlib.suppress(OSError):
        take_in(report_file(kernel_id), file=imports_file())
    with contextlib.suppress(OSError):
        fingerprint_file(kernel_id).unlink()


def _write_fingerprint(request: Request, ready: Ready) -> None:
    text = json.dumps({"fingerprint": ready.fingerprint, "dropped": ready.dropped})
    with contextlib.suppress(OSError):
        file = fingerprint_file(request.kernel_id)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(text)
