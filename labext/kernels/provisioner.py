"""The kernel provisioner: a local kernel, opted in to KSM and aligned at its start.

Children of the kernel inherit the opt-in (that is how Linux does it): a program started from a
notebook may be merged too. Kernelspecs that name a provisioner of their own never come here.
"""

import asyncio
import os
import platform
import selectors
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from jupyter_client.connect import KernelConnectionInfo
from traitlets import Bool, Float, default

from .aligned_process import AlignedProcess, NotAlignedError, Popen
from .alignment import Request, forget, recipe_for, start_aligned, unsuited
from .command import ipython_kernel, opt_in_survives_exec, through_boot, through_launcher
from .courses import courses
from .ledger import Alignment, KernelRecord, Outcome, ledger
from .node_switch import Word, node_switch
from .settings import AlignmentSettings
from .spare import keeper
from .support import node_merges
from .switch import SWITCH_VARIABLE, Switch, align_switch, is_off, merge_switch


@dataclass(frozen=True, kw_only=True)
class LaunchReport:
    """What the new process said before it became the kernel.

    `started`: it got as far as the kernel's own program. `merge`: it is opted in. `reason`: why
    one of them is False.
    """

    started: bool
    merge: bool = False
    reason: str | None = None


def read_report(text: str) -> LaunchReport:
    """Understand the report of `launch` or `boot`, whole or cut short. Pure."""
    merged, _, rest = text.partition("\n")
    if not (merged == "merge yes" or merged.startswith("merge no ")):
        return LaunchReport(started=False, reason="the launcher ended before it could opt in")
    if rest.startswith("exec "):
        return LaunchReport(started=False, reason=rest.removeprefix("exec ").strip())
    if merged == "merge yes":
        return LaunchReport(started=True, merge=True)
    answer = merged.removeprefix("merge no ")
    return LaunchReport(started=True, reason=f"Linux refused the opt-in ({answer})")


class SamepageProvisioner(AlignmentSettings):
    """Starts kernels opted in to kernel same-page merging, IPython kernels aligned as well."""

    merge = Bool(
        help=(
            "Opt kernels in to kernel same-page merging, so that equal memory of a class is kept "
            "once. Default: True unless SAMEPAGE_MERGE=0 is set. A kernelspec switches it off for "
            'itself with "metadata": {"samepage": {"merge": false}}.'
        ),
    ).tag(config=True)
    launch_timeout = Float(
        10.0,
        help=(
            "Seconds the new process may take to opt in and to reach the kernel's program. "
            "After that the kernel is started as stock. Default: 10."
        ),
    ).tag(config=True)
    inside = Bool(
        None,
        allow_none=True,
        help=(
            "Opt Python kernels in from inside, after exec. Default (None): only where Linux is "
            "older than 6.10 and would forget an opt-in made before exec."
        ),
    ).tag(config=True)

    @default("merge")
    def _default_merge(self) -> bool:
        return not is_off(os.environ.get(SWITCH_VARIABLE))

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Launch `cmd` opted in; launch it as stock when that is off, impossible or goes wrong."""
        environment: Mapping[str, str] = kwargs.get("env") or os.environ
        switch = merge_switch(
            trait=self.merge, environment=environment, metadata=self.kernel_spec.metadata
        )
        word = Word()
        course = courses.of(kwargs.get("cwd"))
        if switch.on and course is not None and not course.merge:
            switch = Switch(on=False, why="the course's manifest says merge: false")
        if switch.on:
            word = await asyncio.get_running_loop().run_in_executor(None, node_switch.word)
            switch = merge_switch(
                trait=self.merge,
                environment=environment,
                metadata=self.kernel_spec.metadata,
                node_allows=word.merge,
            )
        if not switch.on:
            return await self._launch_stock(cmd, kwargs, "off", switch.why)
        if not _can_run(cmd, environment, kwargs.get("cwd")):
            # Let the stock way raise its own error, the one people can search for.
            return await self._launch_stock(cmd, kwargs, "refused", "its program was not found")
        try:
            alignment = await self._launch_aligned(cmd, environment, kwargs, word)
        except NotAlignedError as err:
            if err.merge_refused:
                self.log.warning("Starting the kernel as stock: %s", err.reason)
                return await self._launch_stock(cmd, kwargs, "refused", err.reason)
            alignment = Alignment(state=err.state, reason=err.reason)
        if alignment.state == "aligned":
            self._note(*_opted_in(alignment), alignment)
            return self.connection_info
        if alignment.state == "refused":
            self.log.warning("The kernel starts without alignment: %s", alignment.reason)
        try:
            report = await self._launch_opted_in(cmd, kwargs)
        except Exception as err:  # noqa: BLE001 - no failure of ours may cost a student the kernel
            report = LaunchReport(started=False, reason=f"{type(err).__name__}: {err}")
        if not report.started:
            await self._discard_process()
            self.log.warning("Starting the kernel as stock: %s", report.reason)
            return await self._launch_stock(cmd, kwargs, "refused", report.reason)
        if report.merge:
            self._note(*self._certainty(cmd), alignment)
        else:
            self.log.warning("The kernel runs without page merging: %s", report.reason)
            self._note("refused", report.reason, alignment)
        return self.connection_info

    async def cleanup(self, restart: bool = False) -> None:
        """Stock clean-up; a kernel that ended leaves the status."""
        record = ledger.records.get(self._key())
        if record is not None and record.alignment is not None:
            await asyncio.get_running_loop().run_in_executor(None, forget, self._key())
        if not restart:
            ledger.forget(self._key())
        await super().cleanup(restart=restart)

    async def _launch_aligned(
        self, cmd: list[str], environment: Mapping[str, str], kwargs: dict[str, Any], word: Word
    ) -> Alignment:
        """The kernel, aligned; or why it is not. Errors: NotAlignedError."""
        switch = align_switch(
            trait=self.aligned,
            environment=environment,
            metadata=self.kernel_spec.metadata,
            node_merges=node_merges(),
            node_allows=word.align,
        )
        if not switch.on:
            return Alignment(state="off", reason=switch.why)
        course = courses.of(kwargs.get("cwd"))
        if course is not None and not course.align:
            return Alignment(state="off", reason="the course's manifest says align: false")
        self.follow_course(kwargs.get("cwd") or Path.cwd())
        kernel = ipython_kernel(cmd)
        if kernel is None:
            return Alignment(state="off", reason="only IPython kernels can be aligned")
        request = Request(
            kernel=kernel,
            command=cmd,
            options=kwargs,
            environment=environment,
            kernel_id=self._key(),
        )
        problem = unsuited(request)
        if problem is not None:
            return Alignment(state="unsuited", reason=problem)
        if ledger.never_aligned_because is not None:
            return Alignment(state="refused", reason=ledger.never_aligned_because)
        try:
            recipe = recipe_for(request, self, ledger=ledger, merge_again=self._from_inside())
            work = partial(
                start_aligned,
                request,
                recipe,
                self,
                ledger=ledger,
                keeper=keeper,
                started=self._adopt,
            )
            alignment = await asyncio.get_running_loop().run_in_executor(None, work)
        except NotAlignedError as err:
            self._disown()
            if err.lasting and not err.merge_refused:
                ledger.never_aligned_because = err.reason
            raise
        except Exception as err:
            self._disown()
            raise NotAlignedError(f"{type(err).__name__}: {err}") from err
        self.cwd = kwargs.get("cwd", Path.cwd())
        if self.spare:
            keeper.prepare(recipe, delay=self.spare_delay_seconds)
        return alignment

    def prepare_spare(self, environment: Mapping[str, str], *, delay: float) -> str | None:
        """Have a spare for this kernelspec, should the policy want one; why not, or None.

        For a server that has just started: `environment` is the server's own.
        """
        command = [
            sys.executable if word in {"python", "python3"} and place == 0 else word
            for place, word in enumerate(self.kernel_spec.argv)
        ]
        full = {**environment, **self.kernel_spec.env}
        metadata = self.kernel_spec.metadata
        kernel = ipython_kernel(command)
        word = node_switch.known()
        merge = merge_switch(
            trait=self.merge, environment=full, metadata=metadata, node_allows=word.merge
        )
        align = align_switch(
            trait=self.aligned,
            environment=full,
            metadata=metadata,
            node_merges=node_merges(),
            node_allows=word.align,
        )
        if not (merge.on and align.on and self.spare):
            return merge.why or align.why or "c.SamepageProvisioner.spare is False"
        if kernel is None:
            return "only IPython kernels can be aligned"
        self.follow_course(None)
        request = Request(
            kernel=kernel, command=command, options={}, environment=full, kernel_id=self._key()
        )
        problem = unsuited(request)
        if problem is not None:
            return problem
        try:
            recipe = recipe_for(request, self, ledger=ledger, merge_again=self._from_inside())
        except (NotAlignedError, OSError) as err:
            return str(err)
        keeper.prepare(recipe, delay=delay)
        return None

    def _adopt(self, process: AlignedProcess) -> None:
        """From here on the process is ours, for signals and for a cancelled start."""
        # A forked kernel's is no Popen, and has what jupyter_client uses of one.
        self.process = cast("Popen", process.process)
        self.pid = process.process.pid
        # It leads a session, as launch_kernel starts it.
        self.pgid = process.process.pid

    def _disown(self) -> None:
        self.process = self.pid = self.pgid = None

    async def _launch_opted_in(self, cmd: list[str], kwargs: dict[str, Any]) -> LaunchReport:
        reader, writer = os.pipe()
        try:
            wrapped = self._wrapped(cmd, writer)
            passed = (*kwargs.get("pass_fds", ()), writer)
            await super().launch_kernel(wrapped, **{**kwargs, "pass_fds": passed})
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        deadline = time.monotonic() + self.launch_timeout
        loop = asyncio.get_running_loop()
        # The thread owns the reader: closing it here on a cancelled start could hand the thread
        # somebody else's descriptor of the same number.
        text = await loop.run_in_executor(None, _read_until_closed, reader, deadline)
        if text is None:
            waited = f"no answer within {self.launch_timeout:g} s"
            return LaunchReport(started=False, reason=f"the launcher gave {waited}")
        return read_report(text)

    def _wrapped(self, cmd: list[str], report_fd: int) -> list[str]:
        behind_boot = through_boot(cmd, report_fd=report_fd) if self._from_inside() else None
        if behind_boot is not None:
            return behind_boot
        if not sys.executable:
            raise RuntimeError("this Python does not know its own program (sys.executable)")
        return through_launcher(cmd, python=sys.executable, report_fd=report_fd)

    def _from_inside(self) -> bool:
        if self.inside is None:
            return not opt_in_survives_exec(platform.release())
        return bool(self.inside)

    def _certainty(self, cmd: list[str]) -> tuple[Outcome, str | None]:
        if self._from_inside() and through_boot(cmd, report_fd=0) is None:
            return "uncertain", f"Linux {platform.release()} may forget the opt-in at exec"
        return "on", None

    async def _launch_stock(
        self, cmd: list[str], kwargs: dict[str, Any], outcome: Outcome, reason: str | None
    ) -> KernelConnectionInfo:
        info = await super().launch_kernel(cmd, **kwargs)
        self._note(outcome, reason)
        return info

    async def _discard_process(self) -> None:
        """End and reap what the failed attempt left, so that exactly one kernel will run."""
        if self.process is not None:
            await self.kill()
            await self.wait()

    def _note(
        self, outcome: Outcome, reason: str | None, alignment: Alignment | None = None
    ) -> None:
        ledger.note(
            KernelRecord(
                kernel_id=self._key(),
                pid=self.pid,
                outcome=outcome,
                reason=reason,
                alignment=alignment,
            )
        )

    def _key(self) -> str:
        return str(self.kernel_id)


def _opted_in(alignment: Alignment) -> tuple[Outcome, str | None]:
    if alignment.whole:
        return "on", None
    return "part", "Linux before 6.4 merges what was loaded at the start, and nothing later"


def _can_run(
    cmd: list[str], environment: Mapping[str, str], cwd: str | os.PathLike[str] | None
) -> bool:
    """Whether exec would find the program; a relative path counts from the kernel's folder."""
    if not cmd:
        return False
    program = Path(cmd[0]).expanduser()
    if program.name != str(program):
        return os.access(Path(cwd or Path.cwd()) / program, os.X_OK)
    return shutil.which(program, path=environment.get("PATH", os.defpath)) is not None


def _read_until_closed(descriptor: int, deadline: float) -> str | None:
    """All text until the other side closes; None when the deadline comes first.

    Blocks, and closes the descriptor.
    """
    chunks: list[bytes] = []
    with os.fdopen(descriptor, "rb", buffering=0) as pipe, selectors.DefaultSelector() as ready:
        ready.register(pipe, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and ready.select(left):
            chunk = pipe.read(65536)
            if not chunk:
                return b"".join(chunks).decode(errors="replace")
            chunks.append(chunk)
    return None
