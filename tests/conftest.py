"""For all tests."""

from __future__ import annotations

import os

import pytest

# Most tests need a kernel or a server, not one with pandas loaded: starts stay short, and no
# server prepares a spare. The tests of aligned kernels ask for them.
os.environ.setdefault("SAMEPAGE_ALIGNED", "0")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a module on one worker: its servers are started once, and its tests follow in order."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))
