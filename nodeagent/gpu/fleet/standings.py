"""Snapshots judged once, however many requests ask about them."""

import asyncio
from collections.abc import Iterable

from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.sharing.standing import Standing, stand
from nodeagent.gpu.snapshot import Snapshot


class Standings:
    """Of the snapshots seen last, under one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._held: dict[str, tuple[Snapshot, Standing]] = {}

    async def of(self, snapshots: Iterable[Snapshot]) -> tuple[Standing, ...]:
        """One per node, the newest of two. Other tasks run between nodes."""
        newest: dict[str, Snapshot] = {}
        for snapshot in snapshots:
            held = newest.get(snapshot.node)
            if held is None or snapshot.taken > held.taken:
                newest[snapshot.node] = snapshot
        kept: dict[str, tuple[Snapshot, Standing]] = {}
        for name, snapshot in newest.items():
            known = self._held.get(name)
            if known is None or known[0] != snapshot:
                known = (snapshot, stand(snapshot, self._policy))
                await asyncio.sleep(0)
            kept[name] = known
        self._held = kept
        return tuple(standing for _, standing in kept.values())
