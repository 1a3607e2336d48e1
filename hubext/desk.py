"""One per hub: asks for placements within the budget, and never lets a spawn fail."""

import asyncio
import os
from pathlib import Path
from typing import Any

from hubext.settings import GpuProfile, Gpus
from hubext.spawners import key_of, kind_of
from nodeagent.errors import AgentError
from nodeagent.gpu.fleet.advisor import Advisor, Placement
from nodeagent.gpu.fleet.agents import AgentClient, AgentEvidence
from nodeagent.gpu.fleet.answer import Answer
from nodeagent.gpu.fleet.evidence import SharedEvidence
from nodeagent.gpu.fleet.published import PublishedEvidence
from nodeagent.kube.api import KubeApi


class Desk:
    """Made with the first question, on the hub's event loop."""

    def __init__(self, gpus: Gpus) -> None:
        self.gpus = gpus
        self._advisor: Advisor | None = None

    @property
    def advisor(self) -> Advisor:
        """The one that keeps the ledger. KubeError: published facts outside a cluster."""
        if self._advisor is None:
            self._advisor = self._made()
        return self._advisor

    async def place(self, spawner: Any, key: str, profile: GpuProfile) -> Placement | None:
        """A reserved placement; None (and one log line): the hub's own default stands."""
        budget = self.gpus.budget_seconds
        try:
            request = profile.request(key, spawner.user.name)
            placement = await asyncio.wait_for(self.advisor.place(request, 0.9 * budget), budget)
        except Exception as err:  # noqa: BLE001 - whatever it is, a student's server starts
            self._log(spawner, f"no GPU decision for {key}", err)
            return None
        answer = placement.answer
        spawner.log.info("Samepage: %s: %s: %s", key, answer.verdict, answer.reason)
        return placement

    async def look(self, spawner: Any, profiles: dict[str, GpuProfile]) -> dict[str, Answer]:
        """Slug -> what a server would be told now; empty when nobody can say (one log line)."""
        budget = self.gpus.budget_seconds
        kind = kind_of(spawner)
        try:
            key = key_of(spawner, kind) if kind is not None else spawner.user.name
            found: dict[str, Answer] = {}
            async with asyncio.timeout(budget):
                for slug, profile in profiles.items():
                    request = profile.request(key, spawner.user.name)
                    found[slug] = await self.advisor.look(request, 0.9 * budget)
            return found
        except Exception as err:  # noqa: BLE001 - the form is shown without our words
            self._log(spawner, "no word on GPUs in the profile list", err)
            return {}

    async def release(self, spawner: Any) -> None:
        """The server has ended; what was reserved for it is free."""
        kind = kind_of(spawner)
        if kind is None or self._advisor is None:
            return
        try:
            await self._advisor.release(key_of(spawner, kind), 1.0)
        except Exception as err:  # noqa: BLE001 - the reservation ends by itself
            self._log(spawner, "a GPU reservation was not given back", err)

    def _made(self) -> Advisor:
        gpus = self.gpus
        if gpus.published is not None:
            api = KubeApi.in_cluster(os.environ, timeout=gpus.budget_seconds)
            source = PublishedEvidence(
                api, kind=gpus.published.kind, namespace=gpus.published.namespace
            )
            return Advisor(SharedEvidence(source), policy=gpus.policy)
        token = None if gpus.token_file is None else Path(gpus.token_file)
        client = AgentClient(token_file=token)
        evidence = SharedEvidence(AgentEvidence(gpus.agents, client))
        return Advisor(evidence, policy=gpus.policy, agents=client)

    @staticmethod
    def _log(spawner: Any, what: str, err: Exception) -> None:
        told = f"{err}. {err.fix}" if isinstance(err, AgentError) else str(err)
        told = " ".join((told or type(err).__name__).split())
        spawner.log.warning("Samepage: %s, the hub's own default stands: %s", what, told)
