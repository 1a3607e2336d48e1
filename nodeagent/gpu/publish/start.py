"""Starts publishing as the agent's settings say."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol

from nodeagent.config import AgentConfig
from nodeagent.gpu.publish.pace import Pace
from nodeagent.gpu.publish.publisher import Publisher, keep_published
from nodeagent.gpu.snapshot import Snapshot
from nodeagent.kube.api import ACCOUNT, KubeApi, KubeError

log = logging.getLogger("nodeagent.gpu.publish")


class Source(Protocol):
    """Has the newest facts; the GPU monitor."""

    snapshot: Snapshot | None


def publishing(
    config: AgentConfig,
    env: Mapping[str, str],
    source: Source | None,
    stop: asyncio.Event,
    *,
    account: Path = ACCOUNT,
) -> Coroutine[Any, Any, None] | None:
    """To be run beside the agent; None: nothing is to be published, or (one log line) nothing can
    be. The agent does its other work in any case."""
    if config.gpu_publish == "none" or source is None:
        return None
    try:
        api = KubeApi.in_cluster(env, account=account)
    except KubeError as err:
        log.warning("GPU facts are not published: %s. %s", err.message, err.fix)
        return None
    pace = Pace(round_seconds=config.gpu_publish_round)
    publisher = Publisher(api, kind=config.gpu_publish, pace=pace)
    return _published(api, publisher, source, stop, pace.least_seconds)


async def _published(
    api: KubeApi,
    publisher: Publisher,
    source: Source,
    stop: asyncio.Event,
    seconds: float,
) -> None:
    try:
        await keep_published(publisher, lambda: source.snapshot, stop, seconds=seconds)
    finally:
        api.close()
