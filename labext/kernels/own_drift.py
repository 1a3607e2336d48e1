"""What the node's agent says of this server's own kernels: which drifted from most, and why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from labext.gpu_kernels import RunningKernel
from labext.node import NoAnswerError, WrongAnswerError

from .ledger import KernelLedger

State = Literal["drifted", "unsuited"]
CAUSES = frozenset(
    {"python", "version", "module", "modules", "folder", "files", "missing", "variable", "unknown"}
)
PATH = "/v1/kernels/me"
_MOST_TEXT = 300


@dataclass(frozen=True, kw_only=True)
class KernelNotice:
    """One kernel that shares little with the others of its class.

    `cause`: one of CAUSES for "drifted"; "own" for "unsuited", where the student's own folders or
    variables needed a stock start and `name` says which, as a sentence. `name` else: the folder,
    variable, module or package with its version; None: no name.
    """

    kernel_id: str
    state: State
    cause: str
    name: str | None = None


def parse(told: Mapping[str, Any], ledger: KernelLedger) -> list[KernelNotice]:
    """The agent's answer, for kernels that are still this server's. Pure.

    A cause of a newer agent becomes "unknown". ValueError: another shape.
    """
    kernels = told.get("kernels")
    if not isinstance(kernels, list):
        raise ValueError("it has no list of kernels")
    found = []
    for each in kernels:
        if not isinstance(each, dict) or not isinstance(each.get("id"), str):
            raise ValueError("a kernel has no id")
        name, cause = each.get("name"), each.get("cause")
        if each.get("state") != "drifted" or each["id"] not in ledger.records:
            continue
        found.append(
            KernelNotice(
                kernel_id=each["id"],
                state="drifted",
                cause=cause if cause in CAUSES else "unknown",
                name=name[:_MOST_TEXT] if isinstance(name, str) and name else None,
            )
        )
    return found


def unsuited(ledger: KernelLedger) -> list[KernelNotice]:
    """Kernels that this student's own folders or variables keep from an aligned start. Pure."""
    return [
        KernelNotice(
            kernel_id=record.kernel_id,
            state="unsuited",
            cause="own",
            name=record.alignment.reason,
        )
        for record in ledger.records.values()
        if record.alignment is not None and record.alignment.state == "unsuited"
    ]


def asks(ledger: KernelLedger) -> bool:
    """Whether there is anything to ask about. Pure."""
    return any(
        record.alignment is not None and record.alignment.state == "aligned"
        for record in ledger.records.values()
    )


class KernelNotes:
    """`ask` None: there is no agent. `running`: this server's kernels with their notebooks."""

    def __init__(
        self,
        ledger: KernelLedger,
        ask: Callable[[], Awaitable[Mapping[str, Any]]] | None,
        running: Callable[[], Awaitable[Sequence[RunningKernel]]],
    ) -> None:
        self._ledger = ledger
        self._ask = ask
        self._running = running

    async def read(self) -> list[dict[str, Any]]:
        """`kernels` of GET status: each kernel that shares little, with its notebook's path."""
        found = [*await self._drifted(), *unsuited(self._ledger)]
        if not found:
            return []
        paths = {kernel.id: kernel.path for kernel in await self._running()}
        return [
            asdict(each) | {"path": paths[each.kernel_id]}
            for each in found
            if each.kernel_id in paths
        ]

    async def _drifted(self) -> list[KernelNotice]:
        """None where the agent is away, an older one, or answers something else."""
        if self._ask is None or not asks(self._ledger):
            return []
        try:
            return parse(await self._ask(), self._ledger)
        except (WrongAnswerError, NoAnswerError, ValueError):
            # The node panel says what is wrong with the agent.
            return []
