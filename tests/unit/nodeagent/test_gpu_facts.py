"""Readings and snapshots: never a bare number, the same bytes both ways."""

import json
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.gpu.canonical import ShapeError, decode, digest, encode, plain
from nodeagent.gpu.reading import NOT_READ, Reading, ReadingStatus, aged, ok, unknown, unsupported
from nodeagent.gpu.sharing.policy import GIB, Policy
from nodeagent.gpu.snapshot import Health, Snapshot, Xid, snapshot_id
from tests.unit.nodeagent.gpu_support import gpu, held, node, process

READINGS = st.one_of(
    st.builds(
        lambda value, age: ok(value, source="nvml", age_seconds=age),
        st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        st.floats(0, 1e6),
    ),
    st.builds(lambda why: unknown(why, source="x"), st.text()),
    st.just(unsupported(source="nvmlDeviceGetUtilizationRates")),
)


@given(READINGS)
def test_reading_both_ways(reading: Reading[float]) -> None:
    text = encode(reading)
    again: Reading[float] = decode(Reading[float], text)
    assert again == reading
    assert encode(again) == text


@pytest.mark.parametrize(
    ("status", "value", "age"),
    [
        pytest.param("ok", None, 0.0, id="ok-without-value"),
        pytest.param("unknown", 0, 0.0, id="unknown-with-zero"),
        pytest.param("unsupported", 5, None, id="unsupported-with-value"),
        pytest.param("ok", 5, None, id="ok-without-age"),
        pytest.param("ok", float("nan"), 0.0, id="nan"),
        pytest.param("stale", 5, -1.0, id="from-the-future"),
    ],
)
def test_impossible_readings_are_refused(status: str, value: float | None, age: float) -> None:
    with pytest.raises(ValueError, match=r"reading|value"):
        Reading(value=value, status=cast(ReadingStatus, status), source="nvml", age_seconds=age)
    raw = {"status": status, "value": value, "source": "nvml", "age_seconds": age, "why": ""}
    with pytest.raises(ShapeError):
        decode(Reading[float], json.dumps(raw))


def test_a_reading_grows_old_and_keeps_its_value() -> None:
    fresh = ok(5, source="nvml", age_seconds=1)
    assert aged(fresh, 5, limit=10).known == 5
    old = aged(fresh, 20, limit=10)
    assert (old.status, old.value, old.known, old.age_seconds) == ("stale", 5, None, 21)
    assert aged(NOT_READ, 20, limit=10) == NOT_READ


def test_snapshot_both_ways_and_its_id_is_of_the_facts() -> None:
    health = Health(xids=(Xid(code=31, seconds_ago=5), Xid(code=13, seconds_ago=5, owner="ns/p")))
    one, two = held("GPU-a", GIB, 2 * GIB, health=health), gpu("GPU-b")
    snapshot = node(one, two)
    again = decode(Snapshot, encode(snapshot))
    assert again == snapshot
    assert encode(again) == encode(snapshot)
    assert snapshot_id(node(two, one)) == snapshot_id(snapshot)
    assert snapshot_id(node(one, gpu("GPU-b", used=1))) != snapshot_id(snapshot)


def test_processes_in_any_order_are_the_same_facts() -> None:
    first, second = process(1, "ns/a", GIB), process(2, "ns/b", GIB)
    listed = [gpu(processes=ok(each, source="nvml")) for each in ((first, second), (second, first))]
    assert digest(listed[0]) == digest(listed[1])


@pytest.mark.parametrize(
    ("change", "place"),
    [
        pytest.param({"node": 5}, "$.node: str", id="wrong-type"),
        pytest.param({"colour": "red"}, "unknown name 'colour'", id="unknown-name"),
        pytest.param({"tick_seconds": True}, "$.tick_seconds", id="bool-is-no-number"),
        pytest.param({"gpus": {}}, "$.gpus: a list", id="no-list"),
        pytest.param({"gpus": [{"uuid": "GPU-a"}]}, "$.gpus[0]: 'index'", id="missing-inside"),
        pytest.param({"taken": float("inf")}, "$.taken", id="infinite"),
    ],
)
def test_wrong_json_names_the_place(change: dict[str, object], place: str) -> None:
    raw = plain(node(gpu())) | change
    with pytest.raises(ShapeError) as caught:
        decode(Snapshot, json.dumps(raw))
    assert place in str(caught.value)


def test_a_gpu_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        node(gpu("GPU-a"), gpu("GPU-a"))


def test_policy_bounds() -> None:
    with pytest.raises(ValueError, match="share"):
        Policy(headroom_share=3)
    with pytest.raises(ValueError, match="limit"):
        Policy(time_slicing_clients=0)
