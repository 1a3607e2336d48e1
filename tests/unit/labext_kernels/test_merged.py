from pathlib import Path

import pytest

from labext.kernels.merged import KsmStat, read_ksm_stat

NEW = """ksm_rmap_items 12
ksm_zero_pages 3
ksm_merging_pages 40
ksm_process_profit -768
ksm_merge_any: yes
ksm_mergeable: yes
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            NEW,
            KsmStat(
                merge_any=True, merging_pages=40, zero_pages=3, rmap_items=12, profit_bytes=-768
            ),
            id="Linux 6.18",
        ),
        pytest.param("ksm_rmap_items 0\n", KsmStat(rmap_items=0), id="Linux 6.1"),
        pytest.param("ksm_merge_any: no\n", KsmStat(merge_any=False), id="not opted in"),
        pytest.param("ksm_rmap_items ?\n", KsmStat(), id="garbage is not zero"),
    ],
)
def test_reads_each_generation(tmp_path: Path, text: str, expected: KsmStat) -> None:
    (tmp_path / "41").mkdir()
    (tmp_path / "41" / "ksm_stat").write_text(text)
    assert read_ksm_stat(41, proc=tmp_path) == expected


def test_a_process_that_is_gone_has_no_facts(tmp_path: Path) -> None:
    assert read_ksm_stat(41, proc=tmp_path) is None
