import errno

import pytest

from labext.kernels.support import ask_kernel, probe


def test_available() -> None:
    assert probe(lambda: 0).available


@pytest.mark.parametrize(
    ("code", "message", "fix"),
    [(errno.EINVAL, "Invalid argument", "Linux 6.4"), (errno.EPERM, "not permitted", "seccomp")],
)
def test_each_refusal_says_what_to_do(code: int, message: str, fix: str) -> None:
    support = probe(lambda: code)
    assert not support.available
    assert message in (support.message or "")
    assert fix in (support.fix or "")


def test_asking_this_linux_does_not_raise() -> None:
    assert ask_kernel() >= 0
