"""The whole /metrics page against a golden file; SAMEPAGE_REWRITE_GOLDEN=1 writes it anew."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric

from nodeagent.collectors.agent import AgentCollector
from nodeagent.collectors.gpu import GpuCollector
from nodeagent.collectors.ksm import KsmCollector
from nodeagent.collectors.memory import MemoryCollector
from nodeagent.collectors.registry import Guarded, TopicCollector
from nodeagent.gpu.model import FakeGpus
from nodeagent.history import History
from nodeagent.loop import Agent
from nodeagent.view import NodeStatus
from tests.unit.nodeagent.support import NO_GPU, TWO_GPUS, FakeRoot, opted, sample, status
from tests.unit.nodeagent.test_control import Bench

GOLDEN = Path(__file__).with_name("metrics_golden.txt")
OWN_COST = re.compile(r"^(samepage_agent_(?:cpu_seconds_total|resident_bytes)) .*$", re.MULTILINE)


def agent(root: FakeRoot, node: NodeStatus | None) -> Agent:
    made = Agent(
        ksm=Bench(root).controller,
        gpus=FakeGpus(NO_GPU),
        history=History(hours=1),
        proc=root.proc,
        interval=10,
        version="0.1.0",
        node="node1",
        clock=lambda: 5.0,
        wall_clock=lambda: 1_700_000_001.0,
    )
    made.status = node
    return made


def page(topics: list[TopicCollector]) -> str:
    registry = CollectorRegistry()
    registry.register(Guarded(topics, clock=lambda: 0.0))
    return generate_latest(registry).decode()


def topics(made: Agent) -> list[TopicCollector]:
    return [KsmCollector(made), MemoryCollector(made), GpuCollector(made), AgentCollector(made)]


def test_golden_page(root: FakeRoot) -> None:
    taken = sample(
        pages_sharing=51200,
        pages_shared=100,
        general_profit=-4096,
        full_scans=13,
        pages_scanned=123456,
        opted_in=opted(4, 600, 3),
    )
    text = page(topics(agent(root, status(gpus=TWO_GPUS, taken=taken))))
    text = OWN_COST.sub(r"\1 OWN", text)
    if os.environ.get("SAMEPAGE_REWRITE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_absent_gives_no_series(root: FakeRoot) -> None:
    old = sample(general_profit=None, pages_scanned=None, ksmd_cpu_seconds=None, memory_stall=None)
    text = page(topics(agent(root, status(taken=old, cpu_ratio=None))))
    for name in ("profit_bytes", "pages_scanned", "ksmd_cpu", "cpu_ratio", "memory_stall"):
        assert name not in text
    assert "samepage_gpu_memory" not in text


def test_before_the_first_reading_only_the_agent_speaks(root: FakeRoot) -> None:
    text = page(topics(agent(root, None)))
    assert "samepage_agent_healthy 0.0" in text
    assert "samepage_ksm" not in text


class Failing:
    topic = "failing"

    def collect(self) -> Iterator[Metric]:
        yield from self._gone()

    def _gone(self) -> list[Metric]:
        raise OSError("gone")


def test_a_collector_fails_alone(root: FakeRoot) -> None:
    text = page([Failing(), MemoryCollector(agent(root, status()))])
    assert 'samepage_collector_success{collector="failing"} 0.0' in text
    assert 'samepage_collector_success{collector="memory"} 1.0' in text
    assert "samepage_memory_total_bytes 1.7179869184e+10" in text.replace("e+010", "e+10")
