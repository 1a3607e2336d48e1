"""Keeps this node's snapshot in the cluster, at the pace its store can bear."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from nodeagent.errors import AgentError
from nodeagent.gpu.compact import compact
from nodeagent.gpu.publish.pace import Outline, Pace, outline
from nodeagent.gpu.publish.target import Kind, write
from nodeagent.gpu.snapshot import Snapshot
from nodeagent.kube.api import KubeApi, KubeError

log = logging.getLogger("nodeagent.gpu.publish")

MOST_BYTES = 192 * 1024
"""Kubernetes takes 256 KiB for all annotations of an object together; others need room too."""
_LONGEST_REST = 300.0
_RIGHTS_REST = 120.0


class TooLargeError(AgentError):
    """The facts are longer than an annotation may be."""

    code = "gpu-facts-too-large"


class Publisher:
    """`clock`: monotonic seconds. Failures never reach the agent: they are logged, once per text,
    and waited out."""

    def __init__(
        self,
        api: KubeApi,
        *,
        kind: Kind,
        pace: Pace,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._kind = kind
        self._pace = pace
        self._clock = clock
        self._last: float | None = None
        self._outline: Outline | None = None
        self._rest_until = 0.0
        self._failures = 0
        self._said = ""

    async def offer(self, snapshot: Snapshot) -> bool:
        """Publish it if it is time to; whether it was written."""
        now = self._clock()
        shape = outline(snapshot)
        changed = self._outline is None or shape.differs(self._outline)
        if now < self._rest_until or not self._pace.due(last=self._last, now=now, changed=changed):
            return False
        try:
            await self._write(snapshot)
        except AgentError as err:
            self._failed(err)
            return False
        self._last, self._outline, self._failures = now, shape, 0
        if self._said:
            log.info("GPU facts are published again")
            self._said = ""
        return True

    async def _write(self, snapshot: Snapshot) -> None:
        # Who reads it judges its age by the tick: published facts come once a round.
        round_seconds = max(snapshot.tick_seconds, self._pace.round_seconds)
        text = compact(replace(snapshot, tick_seconds=round_seconds))
        if len(text.encode()) > MOST_BYTES:
            raise TooLargeError(
                f"The GPU facts of {snapshot.node} take {len(text.encode())} bytes, "
                f"{MOST_BYTES} are allowed",
                fix="Let consumers ask the agents over HTTP (NODEAGENT_GPU_PUBLISH=none).",
            )
        change = write(
            self._kind,
            snapshot.node,
            text,
            namespace=self._api.namespace,
            taken=snapshot.taken,
            holds_seconds=3 * round_seconds,
        )
        await self._api.patch(
            change.path, change.body, media_type=change.media_type, query=change.query
        )

    def _failed(self, err: AgentError) -> None:
        self._failures += 1
        rest = self._pace.least_seconds * 2 ** min(self._failures, 10)
        if isinstance(err, KubeError) and err.status in (401, 403):
            rest = max(rest, _RIGHTS_REST)
        self._rest_until = self._clock() + min(rest, _LONGEST_REST)
        text = f"{err.message}. {err.fix}"
        if text != self._said:
            log.warning("GPU facts are not published: %s [%s]", text, err.code)
            self._said = text


async def keep_published(
    publisher: Publisher,
    newest: Callable[[], Snapshot | None],
    stop: asyncio.Event,
    *,
    seconds: float,
) -> None:
    """Offer the newest snapshot every so many seconds until `stop`."""
    while not stop.is_set():
        snapshot = newest()
        if snapshot is not None:
            try:
                await publisher.offer(snapshot)
            except Exception:  # an unforeseen fault must not end the publishing
                log.exception("unforeseen fault in publishing GPU facts")
        try:
            await asyncio.wait_for(stop.wait(), seconds)
        except TimeoutError:
            continue
