"""For all tests."""

from __future__ import annotations

import os
from collections import Counter

import pytest

# Most tests need a kernel or a server, not one with pandas loaded: starts stay short, and no
# server prepares a spare. The tests of aligned kernels ask for them.
os.environ.setdefault("SAMEPAGE_ALIGNED", "0")


#: Groups that take longest, the longest first: no worker is left alone with one of them.
LONGEST = ("containers", "ksm", "browser", "hub", "wheel", "gpu-lab")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a module on one worker: its servers are started once, and its tests follow in order.

    pytest-xdist hands groups out in the order of the items (`--no-loadscope-reorder`): what is
    known to take long, and then what has most tests.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))
    members = Counter(_group(item) for item in items)
    first = {name: place - len(LONGEST) for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (first.get(_group(item), 0), -members[_group(item)]))


def _group(item: pytest.Item) -> str:
    mark = item.get_closest_marker("xdist_group")
    assert mark is not None
    return str(mark.args[0])
