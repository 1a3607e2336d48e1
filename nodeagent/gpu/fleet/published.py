"""Reads what nodes have published in the cluster."""

import asyncio

from nodeagent.errors import AgentError
from nodeagent.gpu.canonical import ShapeError
from nodeagent.gpu.compact import expand
from nodeagent.gpu.fleet.evidence import Gathered, Located, Missing
from nodeagent.gpu.publish.target import Kind, listing, text_of
from nodeagent.gpu.snapshot import Snapshot
from nodeagent.kube.api import KubeApi


class PublishedEvidence:
    """All nodes' Leases or Node annotations. A text that has not changed is read only once."""

    def __init__(self, api: KubeApi, *, kind: Kind, namespace: str | None = None) -> None:
        self._api = api
        self._listing = listing(kind, namespace=namespace or api.namespace)
        self._read: dict[str, tuple[str, Snapshot]] = {}

    async def gather(self, seconds: float) -> Gathered:
        """What is there now."""
        try:
            items = await asyncio.wait_for(
                self._api.items(self._listing.path, self._listing.query), seconds
            )
        except (AgentError, TimeoutError) as err:
            why = str(err) or "no answer in time"
            return Gathered(missing=(Missing(place="the Kubernetes API", why=why),))
        found: list[Located] = []
        missing: list[Missing] = []
        kept: dict[str, tuple[str, Snapshot]] = {}
        for item in items:
            if (named := text_of(item)) is None:
                continue
            name, text = named
            held = self._read.get(name)
            try:
                snapshot = held[1] if held is not None and held[0] == text else expand(text)
            except ShapeError as err:
                missing.append(Missing(place=name, why=str(err)))
                continue
            kept[name] = (text, snapshot)
            found.append(Located(snapshot=snapshot))
            # A thousand nodes at once would keep the loop for a second.
            await asyncio.sleep(0)
        self._read = kept
        return Gathered(found=tuple(found), missing=tuple(missing))

    def close(self) -> None:
        """Drop the connections."""
        self._api.close()
