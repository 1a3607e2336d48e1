"""This user's GPUs: what the agent tells, joined with the kernels of this server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from labext.errors import ApiError
from labext.gpu import LONGEST_SNOOZE_SECONDS, GpuView
from labext.gpu_kernels import RunningKernel
from labext.node import NodeClient
from tests.standins.gpu_agent import CARD, GpuAgent, flag, gpu_agent, me, process, told, untold

KERNELS = (
    RunningKernel(id="k-train", pid=50, state="idle", path="week 3/train.ipynb", kind="notebook"),
    RunningKernel(id="k-plot", pid=60, state="busy"),
)


@dataclass
class Table:
    """Process 51 is a child of kernel 50; 99 is a terminal's."""

    parents: dict[int, int] = field(default_factory=lambda: {51: 50, 99: 7})
    begun: dict[int, float] = field(
        default_factory=lambda: dict.fromkeys((50, 51, 60, 99), 1_000.0)
    )

    def parent(self, pid: int) -> int | None:
        return self.parents.get(pid)

    def started(self, pid: int) -> float | None:
        return self.begun.get(pid)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[GpuAgent]:
    with gpu_agent(tmp_path / "node.sock") as running:
        yield running


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def view(url: str, clock: Clock | None = None) -> GpuView:
    async def kernels() -> tuple[RunningKernel, ...]:
        return KERNELS

    async def here(read: Callable[[], Any]) -> Any:
        return read()

    return GpuView(NodeClient(url, 5.0), kernels, here, table=Table(), clock=clock or Clock())


def read(url: str) -> dict[str, Any]:
    return asyncio.run(view(url).read())


def kernel_ids(agent: GpuAgent, *processes: dict[str, Any]) -> list[str | None]:
    agent.me = me(processes=list(processes))
    return [each["kernel_id"] for each in read(agent.url)["processes"]]


def test_a_process_is_the_kernel_or_a_descendant_of_it(agent: GpuAgent) -> None:
    found = kernel_ids(agent, process(50), process(51), process(60), process(99), process(12345))
    assert found == ["k-train", "k-train", "k-plot", None, None]


def test_a_process_id_of_another_container_is_not_taken_for_ours(agent: GpuAgent) -> None:
    other, same = process(50, started=5_000.0), process(50, started=1_001.0)
    assert kernel_ids(agent, other, same) == [None, "k-train"]


def test_the_kernels_own_id_serves_where_process_ids_are_hidden(agent: GpuAgent) -> None:
    named = process(50, inner_pid=None, kernel_id="k-plot")
    foreign = process(50, inner_pid=None, kernel_id="of-another-server")
    assert kernel_ids(agent, named, foreign) == ["k-plot", None]


def test_the_answer_names_notebooks_and_only_what_is_known_here(agent: GpuAgent) -> None:
    agent.me = me(processes=[process(50) | {"command_line": "secret"}], neighbours=["bob"])
    answer = read(agent.url)
    assert answer["kernels"] == [
        {
            "id": "k-train",
            "path": "week 3/train.ipynb",
            "kind": "notebook",
            "execution_state": "idle",
        }
    ]
    assert "secret" not in str(answer)
    assert "bob" not in str(answer)
    assert (answer["state"], answer["why"], answer["gpus"][0]["sharers"]) == ("ok", None, 3)


def test_what_is_not_known_stays_so_with_its_reason(agent: GpuAgent) -> None:
    hidden = untold("MIG mode reports no load", "unsupported")
    agent.me = me(processes=[process(50, duty_1m=hidden, memory_bytes=untold("no permission"))])
    (found,) = read(agent.url)["processes"]
    assert (found["duty_1m"]["value"], found["duty_1m"]["status"]) == (None, "unsupported")
    assert found["memory_bytes"]["why"] == "no permission"


def test_an_agent_that_cannot_see_the_asker_says_why(agent: GpuAgent) -> None:
    agent.me = me(owner=None, why="the agent has no hostPID")
    assert read(agent.url)["why"] == "the agent has no hostPID"


def test_flags_name_this_servers_kernels_and_mining_is_not_told(agent: GpuAgent) -> None:
    agent.me = me(
        processes=[process(50), process(60), process(99)],
        flags=[flag(kernel_ids=["k-plot", "elsewhere"]), flag(what="miner")],
    )
    (found,) = read(agent.url)["flags"]
    assert found["kernel_ids"] == ["k-plot"]
    for unknown in ([], ["elsewhere"]):
        agent.me["flags"] = [flag(kernel_ids=unknown)]
        assert read(agent.url)["flags"][0]["kernel_ids"] == ["k-train", "k-plot"]


def test_a_reminder_put_off_ends_by_itself_or_with_its_flag(agent: GpuAgent) -> None:
    clock = Clock()
    shown = view(agent.url, clock)

    def until() -> float | None:
        (found,) = asyncio.run(shown.read())["flags"]
        value: float | None = found["snoozed_until"]
        return value

    agent.me = me(flags=[flag()])
    assert until() is None
    assert shown.snooze(CARD, 3600) == {"gpu": CARD, "until": clock.now + 3600}
    assert until() == clock.now + 3600
    clock.now += 3601
    assert until() is None
    shown.snooze(CARD, 3600)
    agent.me = me(state="stale")
    asyncio.run(shown.read())
    agent.me = me(flags=[flag()])
    assert until() is not None, "a stale reading ends no finding"
    agent.me = me()
    asyncio.run(shown.read())
    agent.me = me(flags=[flag()])
    assert until() is None, "the next finding is a new one"
    shown.snooze(CARD, 3600)
    assert shown.snooze(CARD, 0) == {"gpu": CARD, "until": None}
    assert until() is None


def test_the_answer_is_as_documented(agent: GpuAgent, tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "openapi.yml").read_text(encoding="utf-8")
    schema = {
        "$ref": "#/components/schemas/Gpus",
        "components": yaml.safe_load(page)["components"],
    }
    agent.me = me(processes=[process(50, duty_1m=untold("MIG"))], flags=[flag()])
    jsonschema.validate(read(agent.url), schema)
    jsonschema.validate(read(f"unix://{tmp_path}/none.sock"), schema)


@pytest.mark.parametrize("seconds", [-1, LONGEST_SNOOZE_SECONDS + 1, float("nan"), float("inf")])
def test_a_reminder_cannot_be_put_off_for_ever(agent: GpuAgent, seconds: float) -> None:
    with pytest.raises(ApiError) as refused:
        view(agent.url).snooze(CARD, seconds)
    assert refused.value.status == 400


def test_an_agent_without_the_page(agent: GpuAgent) -> None:
    agent.me = None
    answer = read(agent.url)
    assert (answer["state"], answer["gpus"]) == ("not_told", [])
    assert "--node-socket" in answer["fix"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "ok"},
        me(gpus=[{"uuid": "GPU-1"}]),
        me(processes=[process(50, memory_bytes=9)]),
        me(processes=[process(50, memory_bytes=told("9 GiB"))]),
        me(flags=[flag(stage="kill")]),
    ],
    ids=["nothing", "gpu", "bare number", "no number", "stage"],
)
def test_an_answer_of_another_shape_is_an_error(agent: GpuAgent, wrong: Any) -> None:
    agent.me = wrong
    answer = read(agent.url)
    assert answer["state"] == "error"
    assert "unknown shape" in answer["message"]
    assert answer["fix"]


def test_no_agent_and_none_wanted(tmp_path: Path) -> None:
    absent = read(f"unix://{tmp_path}/none.sock")
    assert (absent["state"], absent["processes"]) == ("absent", [])
    assert read("")["state"] == "off"


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("unix:///run/samepage/node.sock", True),
        ("http://127.0.0.1:9747", True),
        ("http://[::1]:9747/", True),
        ("http://localhost:9747", True),
        ("http://10.0.0.7:9747", False),
        ("http://samepage-agent.samepage.svc:9747", False),
        ("http://localhost.evil.example:9747", False),
        ("http://127.0.0.1@evil.example:9747", False),
        ("http://[", False),
    ],
)
def test_who_is_asked_of_ones_own(url: str, near: bool) -> None:
    client = NodeClient(url, 5.0)
    assert client.is_here is near

    async def told(path: str, *, word: str | None = None) -> dict[str, Any]:
        return me(owner="ns/me")

    client.get = told  # type: ignore[method-assign]  # no agent can be had at such an address

    async def kernels() -> tuple[RunningKernel, ...]:
        return KERNELS

    async def here(read: Callable[[], Any]) -> Any:
        return read()

    answers = [
        asyncio.run(GpuView(client, kernels, here, table=Table(), anywhere=anywhere).read())
        for anywhere in (False, True)
    ]
    assert [each["state"] for each in answers] == ["ok" if near else "not_told", "ok"]
    assert near or "on a network" in answers[0]["message"]
