"""This user's GPUs: what the agent says of them, with the notebooks they are used by.

The agent tells a user apart by the process that asks, so this server learns of its own user's
processes and of totals, and of nobody else's. Only an agent of this machine can tell that: what
comes over a network may be anybody's word, and would name kernels to be shut down.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from labext.errors import ApiError
from labext.gpu_kernels import LiveProcesses, ProcessTable, RunningKernel, kernel_of
from labext.gpu_shape import FLAG, GPU, PROCESS, only_known, problem_of
from labext.node import NoAnswerError, NodeClient, WrongAnswerError

T = TypeVar("T")

LONGEST_SNOOZE_SECONDS = 8 * 3600.0
_OWN = "/v1/gpu/me"
_NOT_TOLD = (
    "The node agent does not tell this server of its own GPU use: it does so on its socket only, "
    "from this version on."
)
_FAR = "The node agent's address is on a network, where nobody can tell which process asks."
_NOT_TOLD_FIX = "Ask your operator to set SAMEPAGE_AGENT_URL to the agent's --node-socket."


class GpuView:
    """Asks the agent, and remembers which reminders were put off. `anywhere`: believe also one that
    is asked over a network."""

    def __init__(
        self,
        client: NodeClient,
        kernels: Callable[[], Awaitable[tuple[RunningKernel, ...]]],
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]],
        *,
        table: ProcessTable | None = None,
        anywhere: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._kernels = kernels
        self._in_thread = in_thread
        self._table = table or LiveProcesses()
        self._near = anywhere or client.is_here
        self._clock = clock
        self._snoozed: dict[str, float] = {}

    async def read(self) -> dict[str, Any]:
        """The answer of GET gpu. Raises nothing that the agent could cause."""
        if self._client.is_off:
            return _without("off", "The node agent is turned off in this server's settings.", None)
        if not self._near:
            return _without("not_told", _FAR, _NOT_TOLD_FIX)
        try:
            told = await self._client.get(_OWN)
            wrong = problem_of(told)
            if wrong is not None:
                raise WrongAnswerError(f"answered {_OWN} in an unknown shape ({wrong})")
        except WrongAnswerError as err:
            if err.status == 404:
                return _without("not_told", _NOT_TOLD, _NOT_TOLD_FIX)
            answer = self._client.explain(err)
            return _without("error", answer.message, answer.fix)
        except NoAnswerError as err:
            answer = self._client.explain(err)
            return _without("absent", answer.message, answer.fix)
        return await self._joined(told)

    def snooze(self, gpu: str, seconds: float) -> dict[str, Any]:
        """Put a reminder off, or (0 seconds) no longer. Errors: ApiError.

        For this server only: the agent goes on counting, and its operator goes on seeing it.
        """
        if not 0 <= seconds <= LONGEST_SNOOZE_SECONDS:
            raise ApiError(
                400,
                "bad_request",
                f"A reminder can be put off for 0 to {LONGEST_SNOOZE_SECONDS:g} seconds.",
                'Send {"gpu": UUID, "seconds": 3600}.',
            )
        if seconds:
            self._snoozed[gpu] = self._clock() + seconds
        else:
            self._snoozed.pop(gpu, None)
        return {"gpu": gpu, "until": self._snoozed.get(gpu)}

    async def _joined(self, told: dict[str, Any]) -> dict[str, Any]:
        kernels = await self._kernels()
        ours = await self._in_thread(
            lambda: [kernel_of(process, kernels, self._table) for process in told["processes"]]
        )
        processes = [
            only_known(process, PROCESS) | {"kernel_id": kernel_id}
            for process, kernel_id in zip(told["processes"], ours, strict=True)
        ]
        named = {kernel_id for kernel_id in ours if kernel_id is not None}
        # Signs of mining are for the operator alone, whatever an agent says.
        flags = [flag for flag in told["flags"] if flag["what"] == "idle"]
        self._forget(flags, told["state"])
        return {
            "state": told["state"],
            "message": told["message"],
            "fix": None,
            "age_seconds": told["age_seconds"],
            "time": self._clock(),
            "why": told.get("why") if told.get("owner") is None else None,
            "gpus": [only_known(gpu, GPU) for gpu in told["gpus"]],
            "processes": processes,
            "flags": [self._flag(flag, processes) for flag in flags],
            "kernels": [
                {
                    "id": kernel.id,
                    "path": kernel.path,
                    "kind": kernel.kind,
                    "execution_state": kernel.state,
                }
                for kernel in kernels
                if kernel.id in named
            ],
        }

    def _flag(self, flag: dict[str, Any], processes: list[dict[str, Any]]) -> dict[str, Any]:
        here = [each["kernel_id"] for each in processes if each["gpu"] == flag["gpu"]]
        ids = dict.fromkeys(kernel_id for kernel_id in here if kernel_id is not None)
        told = set(flag["kernel_ids"]) & ids.keys()
        until = self._snoozed.get(flag["gpu"])
        return only_known(flag, FLAG) | {
            "kernel_ids": [each for each in ids if not told or each in told],
            "snoozed_until": until if until is not None and until > self._clock() else None,
        }

    def _forget(self, flags: list[dict[str, Any]], state: str) -> None:
        """What was put off and is over: the next one is a new one."""
        if state == "ok":
            flagged = {flag["gpu"] for flag in flags}
            self._snoozed = {gpu: at for gpu, at in self._snoozed.items() if gpu in flagged}


def _without(state: str, message: str, fix: str | None) -> dict[str, Any]:
    return {
        "state": state,
        "message": message,
        "fix": fix,
        "age_seconds": None,
        "time": time.time(),
        "why": None,
        "gpus": [],
        "processes": [],
        "flags": [],
        "kernels": [],
    }
