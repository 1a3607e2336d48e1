from dataclasses import replace

import pytest

from labext.kernels.spare_policy import Spare, Surroundings, wanted, wanted_for_kernel

GIB = 1 << 30
ROOMY = Surroundings(
    wanted=True, limit_bytes=4 * GIB, used_bytes=GIB, available_bytes=32 * GIB, node_merges=True
)
YOUNG = Spare(age_seconds=60, pid=1)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        pytest.param(ROOMY, None, id="room"),
        pytest.param(replace(ROOMY, limit_bytes=None, used_bytes=None), None, id="no limit"),
        pytest.param(replace(ROOMY, wanted=False), "switched off", id="off"),
        pytest.param(replace(ROOMY, node_merges=False), "does not merge", id="no merging"),
        pytest.param(replace(ROOMY, limit_bytes=GIB - 1, used_bytes=0), "1 GiB", id="tiny"),
        pytest.param(replace(ROOMY, used_bytes=4 * GIB - (300 << 20)), "too little", id="full"),
        pytest.param(replace(ROOMY, available_bytes=GIB), "short of memory", id="machine is full"),
    ],
)
def test_whether_to_start_one(seen: Surroundings, why: str | None) -> None:
    verdict = wanted(seen, None)
    assert verdict.keep is (why is None)
    assert (why or "") in verdict.why


def test_one_that_exists_is_not_thrown_away_for_its_own_size() -> None:
    tight = replace(ROOMY, used_bytes=4 * GIB - (500 << 20))
    assert not wanted(tight, None).keep
    assert wanted(tight, YOUNG).keep


def test_it_does_not_wait_for_ever() -> None:
    assert not wanted(ROOMY, replace(YOUNG, age_seconds=5 * 3600.0)).keep


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        pytest.param(replace(ROOMY, limit_bytes=GIB // 2, used_bytes=100 << 20), None, id="small"),
        pytest.param(
            replace(ROOMY, limit_bytes=GIB // 4, used_bytes=90 << 20), "little", id="tiny"
        ),
        pytest.param(replace(ROOMY, limit_bytes=None, used_bytes=None), None, id="no limit"),
        pytest.param(replace(ROOMY, wanted=False), "switched off", id="off"),
        pytest.param(replace(ROOMY, node_merges=False), "does not merge", id="no merging"),
        pytest.param(replace(ROOMY, available_bytes=GIB // 2), "short", id="machine is full"),
    ],
)
def test_whether_to_fork_a_kernel_that_is_wanted_now(seen: Surroundings, why: str | None) -> None:
    verdict = wanted_for_kernel(seen)
    assert verdict.keep is (why is None)
    assert (why or "") in verdict.why
