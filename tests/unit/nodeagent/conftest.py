from pathlib import Path

import pytest

from tests.unit.nodeagent.support import FakeRoot, build_root


@pytest.fixture
def root(tmp_path: Path) -> FakeRoot:
    return build_root(tmp_path)
