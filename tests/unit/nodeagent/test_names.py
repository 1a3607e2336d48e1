"""Names of agents while a name server does not answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from nodeagent.gpu.fleet.agents import AgentClient, AgentEvidence
from nodeagent.names import MOST_AT_ONCE, Names, NamesResolver, system_lookup
from tests.standins.gpu_node import GpuNode
from tests.unit.nodeagent.gpu_support import gpu, node


class NameServer:
    """Knows some names; hangs while it is told to."""

    def __init__(self, **known: str) -> None:
        self.known = known
        self.answers = threading.Event()
        self.answers.set()
        self.asked: list[str] = []

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        assert self.answers.wait(60)
        if host not in self.known:
            raise OSError("Name or service not known")
        return [self.known[host]]


def run(server: NameServer, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        asyncio.run(scenario())
    finally:
        server.answers.set()


def test_a_name_server_that_hangs_costs_one_thread_and_no_other_work() -> None:
    server = NameServer()
    server.answers.clear()

    async def scenario() -> None:
        names = Names(server, wait_seconds=0.05)
        before = threading.active_count()
        for _ in range(3):
            found = await asyncio.gather(
                *(names.numbers("agents.samepage") for _ in range(40)), return_exceptions=True
            )
            assert all(isinstance(each, OSError) for each in found)
        assert server.asked == ["agents.samepage"]
        assert threading.active_count() <= before + 1
        # The loop's own threads, on which a hub's other work waits, are all free.
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 10) == "free"

    run(server, scenario)


def test_many_names_do_not_take_many_threads() -> None:
    server = NameServer()
    server.answers.clear()

    async def scenario() -> None:
        names = Names(server, wait_seconds=0.05)
        found = await asyncio.gather(
            *(names.numbers(f"agents-{at}") for at in range(50)), return_exceptions=True
        )
        assert sum("too many names" in str(each) for each in found) == 50 - MOST_AT_ONCE
        assert len(server.asked) == MOST_AT_ONCE

    run(server, scenario)


def test_the_last_numbers_count_while_nobody_answers() -> None:
    server = NameServer(agents="10.0.0.1")

    async def scenario() -> None:
        names = Names(server, wait_seconds=0.3)
        assert await names.numbers("agents") == ("10.0.0.1",)
        server.answers.clear()
        server.known["agents"] = "10.0.0.2"
        assert await names.numbers("agents") == ("10.0.0.1",)
        # Only the first who asked had to wait.
        began = time.monotonic()
        assert (
            await asyncio.gather(*(names.numbers("agents") for _ in range(20)))
            == [("10.0.0.1",)] * 20
        )
        assert time.monotonic() - began < 0.25
        server.answers.set()
        async with asyncio.timeout(10):
            while await names.numbers("agents") != ("10.0.0.2",):
                await asyncio.sleep(0.01)
        # A name that is gone is no other agent's.
        del server.known["agents"]
        assert await names.numbers("agents") == ("10.0.0.2",)

    run(server, scenario)


def test_an_unknown_name_says_so() -> None:
    server = NameServer()

    async def scenario() -> None:
        with pytest.raises(OSError, match="nowhere: Name or service not known"):
            await Names(server).numbers("nowhere")

    run(server, scenario)


def test_the_client_asks_the_same_names() -> None:
    server = NameServer(**{"agents.samepage": "10.0.0.1"})

    async def scenario() -> None:
        resolver = NamesResolver(Names(server))
        assert [place for _, place in await resolver.resolve("agents.samepage", 80)] == [
            ("10.0.0.1", 80)
        ]
        assert await resolver.resolve("127.0.0.1", 80) == [(2, ("127.0.0.1", 80))]
        assert server.asked == ["agents.samepage"]
        # Half of an agent's address is its name: what is asked with it is not the loop's resolver.
        client = AgentClient(names=Names(server))
        missing = (await AgentEvidence(["https://nowhere"], client).gather(5.0)).missing
        client.close()
        assert "nowhere" in missing[0].why
        assert server.asked == ["agents.samepage", "nowhere"]

    run(server, scenario)


def test_who_has_a_number_is_found_while_names_are_not() -> None:
    server = NameServer()
    server.answers.clear()

    async def scenario() -> None:
        async with GpuNode(node(gpu("GPU-a"))) as agent:
            client = AgentClient(names=Names(server))
            source = AgentEvidence(["http://agents.samepage:9747", agent.url], client)
            gathered = await source.gather(3.0)
            source.close()
        assert len(gathered.found) == 1
        assert "no name server answers" in gathered.missing[0].why

    run(server, scenario)


def test_the_system_knows_this_machine() -> None:
    assert set(system_lookup("localhost")) & {"127.0.0.1", "::1"}
