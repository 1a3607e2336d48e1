"""The sharing simulation: small, but of the real ways and the real decision."""

import random

from benchmarks.gpu_crowd import GIB, crowd
from benchmarks.gpu_places import Measured, Replicas, Requests, Way
from benchmarks.gpu_sharing import DAY, Outcome, Room
from nodeagent.gpu.sharing.policy import Policy


def run(way: Way) -> Outcome:
    books = crowd(400 / DAY, DAY / 4, random.Random(3))
    return Room(way, 2, 16 * GIB).run(books, DAY / 4)


def test_each_way_does_what_its_name_says() -> None:
    alone, asked = run(Replicas(name="one", replicas=1)), run(Requests())
    eight = run(Replicas(name="eight", replicas=8))
    ours = run(Measured(name="ours", policy=Policy()))
    assert max(alone.together) <= 2
    assert alone.out_of_memory == asked.out_of_memory == 0
    assert set(alone.slowdowns) <= {1}
    assert alone.served < asked.served
    assert alone.served < ours.served
    assert ours.out_of_memory <= eight.out_of_memory


def test_the_same_crowd_gives_the_same_outcome() -> None:
    assert run(Requests()) == run(Requests())
