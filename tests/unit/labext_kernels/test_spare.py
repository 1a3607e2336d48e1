"""The keeper's own decisions, with processes that only pretend."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from labext.kernels import spare
from labext.kernels.aligned_process import NotAlignedError, Ready
from labext.kernels.recipe import Recipe
from labext.kernels.spare import SpareKeeper
from labext.kernels.spare_policy import Surroundings

ROOMY = Surroundings(
    wanted=True, limit_bytes=None, used_bytes=None, available_bytes=None, node_merges=True
)
RECIPE = Recipe(
    program="/usr/bin/python3",
    options=(),
    environment=(),
    modules=("numpy",),
    each_seconds=1,
    total_seconds=1,
)
OTHER = replace(RECIPE, modules=("pandas",))


class PretendedTemplate:
    """`unforkable` and `fails` are set on the class, by the test."""

    unforkable: str | None = None
    fails: NotAlignedError | None = None
    may_be_ready = threading.Event()
    made: list["PretendedTemplate"] = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self, recipe: Recipe) -> None:
        self.recipes = {recipe}
        self.ready: Ready | None = None
        self.process = type("", (), {"pid": 1})
        self.busy = self.discarded = self.dead = self.spent = False
        self.forked = 0
        self.made.append(self)

    @classmethod
    def start(cls, recipe: Recipe, *_: Any) -> "PretendedTemplate":
        return cls(recipe)

    def wait_ready(self, deadline: float) -> None:
        assert self.may_be_ready.wait(20)
        if self.fails is not None:
            raise self.fails
        self.ready = Ready(fingerprint={}, unforkable=self.unforkable)

    def alive(self) -> bool:
        return not self.discarded and not self.dead

    def fork(self, deadline: float) -> str:
        if self.dead:
            raise NotAlignedError("the prepared process has ended")
        self.forked += 1
        return f"kernel {self.forked}"

    def let_go(self) -> bool:
        self.spent = self.spent or not self.busy
        return not self.busy

    def discard(self) -> None:
        self.discarded = True


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> SpareKeeper:
    monkeypatch.setattr(spare, "Template", PretendedTemplate)
    monkeypatch.setattr(PretendedTemplate, "made", [])
    monkeypatch.setattr(PretendedTemplate, "may_be_ready", threading.Event())
    PretendedTemplate.may_be_ready.set()
    keeper = SpareKeeper()
    keeper.open(lambda: ROOMY)
    return keeper


def take(keeper: SpareKeeper, recipe: Recipe) -> Any:
    """What a pretended template gives is no process."""
    return keeper.take(recipe)


def until_gone(template: PretendedTemplate) -> None:
    waited = threading.Event()
    while not template.discarded:
        assert not waited.wait(0.01)


def test_one_serves_all_of_its_recipe(keeper: SpareKeeper) -> None:
    assert take(keeper, RECIPE) == ("kernel 1", False)
    assert take(keeper, RECIPE) == ("kernel 2", True)
    assert len(PretendedTemplate.made) == 1


def test_who_comes_while_one_is_prepared_waits_for_it(keeper: SpareKeeper) -> None:
    PretendedTemplate.may_be_ready.clear()
    got: list[Any] = []
    threads = [threading.Thread(target=lambda: got.append(take(keeper, RECIPE))) for _ in range(3)]
    for thread in threads:
        thread.start()
    # Another recipe does not wait: its kernel is started for itself.
    while not PretendedTemplate.made:
        pass
    assert take(keeper, OTHER) is None
    PretendedTemplate.may_be_ready.set()
    for thread in threads:
        thread.join(20)
    # Who came late may have found it ready.
    assert sorted(kernel for kernel, _ in got) == ["kernel 1", "kernel 2", "kernel 3"]


def test_a_failure_is_everybodys(keeper: SpareKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    failure = NotAlignedError("no answer in time", module="numpy")
    monkeypatch.setattr(PretendedTemplate, "fails", failure)
    with pytest.raises(NotAlignedError, match="no answer in time"):
        take(keeper, RECIPE)
    assert PretendedTemplate.made[0].discarded
    assert "no answer in time" in keeper.why
    assert not keeper.ready


def test_one_that_cannot_be_forked_becomes_a_kernel(
    keeper: SpareKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PretendedTemplate, "unforkable", "4 threads run in it")
    taken = take(keeper, RECIPE)
    assert taken is not None
    assert taken[0] is PretendedTemplate.made[0]
    assert not keeper.ready
    assert not PretendedTemplate.made[0].discarded


def test_another_course_gets_another_and_the_old_one_goes_when_it_is_idle(
    keeper: SpareKeeper,
) -> None:
    take(keeper, RECIPE)
    first = PretendedTemplate.made[0]
    first.busy = True
    take(keeper, OTHER)
    assert not first.discarded
    # Its kernels still run, so it costs nothing to fork one more.
    assert take(keeper, RECIPE) == ("kernel 2", True)
    first.busy = False
    keeper.review()
    until_gone(first)
    assert take(keeper, OTHER) == ("kernel 2", True)


def test_a_dead_one_is_replaced(keeper: SpareKeeper) -> None:
    take(keeper, RECIPE)
    PretendedTemplate.made[0].dead = True
    assert not keeper.ready
    assert take(keeper, RECIPE) == ("kernel 1", False)
    assert len(PretendedTemplate.made) == 2


def test_without_room_none_is_made(keeper: SpareKeeper) -> None:
    keeper.open(lambda: replace(ROOMY, limit_bytes=256 << 20, used_bytes=100 << 20))
    assert take(keeper, RECIPE) is None
    assert "too little room" in keeper.why
    assert not PretendedTemplate.made


def test_a_closed_keeper_keeps_none(keeper: SpareKeeper) -> None:
    take(keeper, RECIPE)
    keeper.close()
    assert PretendedTemplate.made[0].discarded
    assert take(keeper, RECIPE) is None
    assert not keeper.ready


def test_what_was_planned_before_a_close_is_in_nobodys_way(keeper: SpareKeeper) -> None:
    keeper.prepare(RECIPE, delay=3600)
    keeper.close()
    keeper.open(lambda: ROOMY)
    keeper.prepare(RECIPE, delay=0)
    waited = threading.Event()
    while not keeper.ready:
        assert not waited.wait(0.01)
    assert take(keeper, RECIPE) == ("kernel 1", True)


def test_one_that_does_not_answer_is_not_asked_again(keeper: SpareKeeper) -> None:
    take(keeper, RECIPE)
    first = PretendedTemplate.made[0]
    first.busy = first.spent = True
    assert not keeper.ready
    assert take(keeper, RECIPE) == ("kernel 1", False)
    # Its kernels go on; it ends after them.
    keeper.review()
    assert not first.discarded
    first.busy = False
    keeper.review()
    until_gone(first)
