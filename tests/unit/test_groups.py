"""The suite's own footing."""

from __future__ import annotations

import os

import pytest


def test_a_module_stays_on_one_worker(request: pytest.FixtureRequest) -> None:
    """pytest-xdist groups by a suffix of the node id; without it servers start twice, and race."""
    if "PYTEST_XDIST_WORKER" in os.environ and request.config.getoption("loadgroup"):
        assert "@" in request.node.nodeid
