import pytest

from benchmarks.spread import paired_differences, percentile, spread


def test_median_and_quartiles() -> None:
    found = spread([5, 1, 4, 2, 3])
    assert (found.low, found.median, found.high, found.count) == (2, 3, 4, 5)
    assert found.text(1) == "3.0 (2.0 to 4.0)"
    assert spread([7.0]).text(0) == "7 (7 to 7)"


def test_nothing_has_no_median() -> None:
    with pytest.raises(ValueError, match="No values"):
        spread([])
    with pytest.raises(ValueError, match="No values"):
        percentile([], 0.5)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)]
)
def test_percentiles_of_one_to_a_hundred(share: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_pairs_cancel_the_load_of_their_time() -> None:
    assert paired_differences([10, 20, 30], [11, 21, 31]) == [1, 1, 1]
    with pytest.raises(ValueError, match="zip"):
        paired_differences([1], [])
