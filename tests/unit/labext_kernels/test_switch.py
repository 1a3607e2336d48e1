from collections.abc import Mapping

import pytest

from labext.kernels.switch import is_off, merge_switch


@pytest.mark.parametrize(
    ("text", "off"),
    [
        (None, False),
        ("", False),
        ("1", False),
        ("yes", False),
        ("0", True),
        (" 0 ", True),
        ("False", True),
        ("OFF", True),
        ("no", True),
    ],
)
def test_words_that_switch_off(text: str | None, off: bool) -> None:
    assert is_off(text) is off


@pytest.mark.parametrize(
    ("trait", "environment", "metadata", "why"),
    [
        pytest.param(True, {}, {}, None, id="nothing said: on"),
        pytest.param(True, {"SAMEPAGE_MERGE": "1"}, {"samepage": {"merge": True}}, None, id="yes"),
        pytest.param(False, {}, {}, "c.SamepageProvisioner.merge", id="trait"),
        pytest.param(True, {"SAMEPAGE_MERGE": "0"}, {}, "SAMEPAGE_MERGE=0", id="environment"),
        pytest.param(True, {}, {"samepage": {"merge": False}}, "kernelspec", id="metadata"),
        pytest.param(True, {}, {"samepage": False}, None, id="metadata of another shape"),
        pytest.param(True, {}, {"samepage": {"merge": None}}, None, id="metadata without value"),
    ],
)
def test_any_no_wins(
    trait: bool, environment: Mapping[str, str], metadata: Mapping[str, object], why: str | None
) -> None:
    switch = merge_switch(trait=trait, environment=environment, metadata=metadata)
    assert switch.on is (why is None)
    assert (why or "") in (switch.why or "")
