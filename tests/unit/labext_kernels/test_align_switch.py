from collections.abc import Mapping

import pytest

from labext.kernels.switch import align_switch


@pytest.mark.parametrize(
    ("trait", "environment", "metadata", "merges", "on"),
    [
        pytest.param(None, {}, {}, True, True, id="where the node merges"),
        pytest.param(None, {}, {}, False, False, id="not where it does not"),
        pytest.param(True, {}, {}, False, True, id="asked for"),
        pytest.param(None, {"SAMEPAGE_ALIGNED": "1"}, {}, False, True, id="by the environment"),
        pytest.param(None, {}, {"samepage": {"aligned": True}}, False, True, id="by the spec"),
        pytest.param(False, {"SAMEPAGE_ALIGNED": "1"}, {}, True, False, id="trait says no"),
        pytest.param(True, {"SAMEPAGE_ALIGNED": "0"}, {}, True, False, id="environment says no"),
        pytest.param(True, {}, {"samepage": {"aligned": False}}, True, False, id="spec says no"),
        pytest.param(None, {}, {"samepage": 3}, True, True, id="metadata of another shape"),
    ],
)
def test_any_no_wins(
    trait: bool | None,
    environment: Mapping[str, str],
    metadata: Mapping[str, object],
    merges: bool,
    on: bool,
) -> None:
    switch = align_switch(
        trait=trait, environment=environment, metadata=metadata, node_merges=merges
    )
    assert switch.on is on
    assert (switch.why is None) is on
