import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from nodeagent.errors import Problem
from nodeagent.gpu.model import GpuReport
from nodeagent.history import History, Point
from nodeagent.http import page
from nodeagent.http.chart import draw
from nodeagent.http.words import age_text, bytes_text, percent_text
from nodeagent.ksm.room import room
from nodeagent.view import NodeStatus
from tests.unit.nodeagent.support import TWO_GPUS, opted, sample, status
from tests.unit.nodeagent.test_guards import near
from tests.unit.nodeagent.test_room import member


def point(time: float, mib: int | None) -> Point:
    return Point(
        time=time,
        saved_bytes=None if mib is None else mib * 2**20,
        available_bytes=2**30,
        ksmd_cpu_ratio=0.1,
    )


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "—"),
        (0, "0 bytes"),
        (1536, "1.5 KiB"),
        (-(2**20), "−1.0 MiB"),
        (453 * 2**20, "453 MiB"),
        (2**45, "32.0 TiB"),
    ],
)
def test_bytes(amount: int | None, text: str) -> None:
    assert bytes_text(amount) == text


def test_other_words() -> None:
    assert (percent_text(None), percent_text(0.024)) == ("—", "2.4 %")
    assert [age_text(s) for s in (-1, 12, 300, 7500)] == ["0 s", "12 s", "5 min", "2 h 5 min"]


def test_history_is_bounded_and_survives_a_clock_set_back() -> None:
    history = History(hours=1, most=5)
    for moment in range(0, 100, 10):
        history.add(point(moment, 1))
    assert [p.time for p in history.points()] == [50, 60, 70, 80, 90]
    history.add(point(65, 2))
    assert [p.time for p in history.points()] == [50, 60, 65]
    history.add(point(65 + 3600, 2))
    assert [p.time for p in history.points()] == [65, 3665]


def test_picture_has_axes_units_and_gaps() -> None:
    points = (point(0, 0), point(10, 450), point(20, 450), point(500, 20), point(510, None))
    svg = ElementTree.fromstring(draw(points, interval=10))
    texts = [text.text for text in svg.iter("text")]
    assert "Memory saved (MiB)" in texts
    assert any(text and text.startswith("Time of day") for text in texts)
    assert {"0", "100", "200", "300", "400", "500"} <= set(texts)
    assert len(list(svg.iter("polyline"))) == 2
    for line in svg.iter("polyline"):
        for pair in line.attrib["points"].split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= 720
            assert 0 <= y <= 250


@pytest.mark.parametrize("mib", [0, 1, 1023, 5000, 3_000_000])
def test_picture_of_any_size_has_few_ticks(mib: int) -> None:
    svg = ElementTree.fromstring(draw((point(0, 0), point(7000, mib)), interval=10))
    assert 2 <= len([line for line in svg.iter("line") if line.attrib["class"] == "grid"]) <= 6


def test_no_picture_of_one_point() -> None:
    assert "<svg" not in draw((point(0, 1),), interval=10)


def shown(node: NodeStatus | None, problem: Problem | None = None) -> str:
    return page.render(
        node, (point(0, 1), point(9, 2)), unhealthy=None, problem=problem, refresh_seconds=10
    )


def test_page_says_what_and_why() -> None:
    text = shown(status(gpus=TWO_GPUS))
    assert "200 MiB" in text
    assert "KSM: off, resting" in text
    assert "All merged: 200 MiB saved after 3 passes." in text
    assert "steers KSM" in text
    assert "Card &lt;A&gt;" in text
    assert "3.0 GiB of 16.0 GiB" in text


def test_page_shows_problems_and_what_to_do() -> None:
    problem = Problem(code="x", message="It <broke>", fix="Mend it")
    assert "It &lt;broke&gt;." in shown(status(problem=problem))
    assert "Mend it." in shown(None, problem)


def test_page_of_a_kernel_without_ksm() -> None:
    text = shown(status(supported=False, sample=None, phase="off", why="This kernel has no KSM"))
    assert "KSM: not in this kernel" in text


def test_page_with_a_stale_gpu() -> None:
    gpus = GpuReport(
        state="stale",
        message="The NVIDIA driver did not answer within 3 s.",
        age_seconds=75,
        devices=TWO_GPUS.devices,
    )
    assert "Last reading 75 s ago." in shown(status(gpus=gpus))


def test_page_shows_students_room_and_guards() -> None:
    seen = replace(
        opted(2, 600, 0),
        members=(
            member(1, 1, 300, 250),
            member(2, 2, 300, 250),
            member(3, 0, 300, 300, donor=True),
            member(4, 3, 10, 0, invited=False),
        ),
    )
    given = sample(opted_in=seen, charges=(near(0.95), near(0.2)))
    text = shown(status(taken=given, room=room(given, settled=True)))
    assert re.search(r"<p class=\"big\">\d+ students</p><p>fit on this node; without", text)
    for name, value in (
        ("The node&#x27;s donors", "1"),
        ("Memory limits that are close", "1 of 2"),
        ("Uninvited processes", "1"),
        ("Students with kernels", "2"),
    ):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in text
    assert "1 container is close to the memory limit" in text
    waiting = shown(status(taken=given, room=room(given, settled=False)))
    assert "Merging is under way" in waiting
    assert "fit on this node" not in waiting


def test_page_loads_and_runs_nothing() -> None:
    text = shown(status(gpus=TWO_GPUS))
    assert "<script" not in text
    assert "http:" not in text
    assert not re.search(r"\sstyle=|\son\w+=|src=", text)
    assert "script-src" not in page.CSP
    assert "default-src 'none'" in page.CSP
