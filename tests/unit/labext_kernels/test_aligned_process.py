import json
from pathlib import Path

import pytest

from labext.kernels.aligned_process import NotAlignedError, Progress
from labext.kernels.secret import layout_from, stack_limit


def test_a_start_that_goes_well() -> None:
    progress = Progress()
    for line in ("merge yes", "layout yes", "import numpy", 'dropped ["pandas", "too slow"]'):
        assert progress.take(line) is None
    answer = {"fingerprint": {"layout": "ab"}, "notes": ["n"], "seconds": 1.5, "shelved": 3}
    ready = progress.take(f"ready {json.dumps(answer)}")
    assert ready is not None
    assert ready.dropped == (("pandas", "too slow"),)
    assert ready.fingerprint == {"layout": "ab"}


def test_a_start_on_a_linux_that_opts_in_by_region() -> None:
    answer = json.dumps({"fingerprint": {}, "notes": [], "seconds": 1.5})
    for lines, whole in (
        (("merge later", "layout yes", "regions yes"), False),
        (("merge yes", "layout yes", "regions yes"), True),
        (("merge yes", "layout yes"), True),
    ):
        progress = Progress()
        for line in lines:
            assert progress.take(line) is None
        assert progress.merged
        ready = progress.take(f"ready {answer}")
        assert ready is not None
        assert ready.whole is whole


@pytest.mark.parametrize(
    ("line", "reason", "merge_refused"),
    [
        ("merge no Operation not permitted", "opt-in (Operation not permitted)", True),
        ("layout no Operation not permitted", "fixed layout (Operation not permitted)", False),
        ("exec No such file", "cannot run", False),
        ("regions no madvise answered 22", "opt-in (madvise answered 22)", True),
    ],
)
def test_refusals_last(line: str, reason: str, merge_refused: bool) -> None:
    with pytest.raises(NotAlignedError) as caught:
        Progress().take(line)
    assert reason in caught.value.reason
    assert caught.value.lasting
    assert caught.value.merge_refused is merge_refused


def test_the_secret_moves_the_layout() -> None:
    seen = {stack_limit(bytes([number]) * 16) for number in range(200)}
    assert len(seen) == 200
    assert all(limit % 4096 == 0 and 1 << 30 <= limit < 1 << 40 for limit in seen)


def test_a_secret_that_cannot_be_used_is_no_reason_for_the_known_layout(tmp_path: Path) -> None:
    with pytest.raises(NotAlignedError, match="cannot be read"):
        layout_from(str(tmp_path / "missing"))
    (tmp_path / "short").write_bytes(b"abc")
    with pytest.raises(NotAlignedError, match="shorter than"):
        layout_from(str(tmp_path / "short"))
    assert layout_from("")[0] == "fixed"
