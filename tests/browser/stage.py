"""What a module of tests shares, and a fresh one for a test that is tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Generic, TypeVar

import pytest

T = TypeVar("T")


class Stage(Generic[T]):
    """Tests of a module act on one stage. Whatever a failed test left there is cleared away."""

    def __init__(self, build: Callable[[], AbstractContextManager[T]]) -> None:
        self._build = build
        self._built = ExitStack()
        self._now: T | None = None

    def enter(self, request: pytest.FixtureRequest) -> T:
        """The stage for one try of one test; pytest-rerunfailures counts the tries from 1."""
        if getattr(request.node, "execution_count", 1) > 1:
            self.close()
        if self._now is None:
            self._now = self._built.enter_context(self._build())
        return self._now

    def close(self) -> None:
        self._now = None
        self._built.close()


@contextmanager
def stage_of(build: Callable[[], AbstractContextManager[T]]) -> Iterator[Stage[T]]:
    """A stage for as long as the block runs. Nothing is built before the first test enters."""
    stage = Stage(build)
    try:
        yield stage
    finally:
        stage.close()
