"""Random numbers during the preload: from the system as ever, but always of the same shape.

NumPy seeds its global generator at import with `secrets.randbits(128)` and takes the number apart
into Python integers, which need one or two digits depending on their value. One integer that is a
digit shorter shifts the heap, and a third of all kernels would share little with the others. So
the top bit of each 32-bit word is set while modules are imported: 124 random bits instead of 128,
different in every kernel as before.

SciPy draws numbers at import too, to print them into examples of its documentation; longer numbers
make longer texts. Those draws, and no others, come from a fixed seed.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_DRAWS_EXAMPLES = "scipy.stats._distribution_infrastructure"


def shaped(random_bits: Callable[[int], int]) -> Callable[[int], int]:
    """`random_bits`, with the top bit of each whole 32-bit word set."""

    def randbits(count: int) -> int:
        """As secrets.randbits."""
        value = random_bits(count)
        for word in range(count // 32):
            value |= 1 << (32 * word + 31)
        return value

    return randbits


@contextmanager
def of_one_shape() -> Iterator[None]:
    """Both of the above hold in here, and neither afterwards."""
    with _replaced(secrets, "randbits", shaped(secrets.randbits)):
        random: Any = sys.modules.get("numpy.random")
        if random is None:
            yield
            return
        with _replaced(random, "default_rng", _for_documentation(random.default_rng)):
            yield


def _for_documentation(genuine: Callable[..., Any]) -> Callable[..., Any]:
    def default_rng(seed: Any = None) -> Any:
        if seed is None and sys._getframe(1).f_globals.get("__name__") == _DRAWS_EXAMPLES:
            return genuine(0)
        return genuine(seed)

    return default_rng


@contextmanager
def _replaced(owner: Any, name: str, replacement: Callable[..., Any]) -> Iterator[None]:
    """`owner.name` is the replacement in here; afterwards no module has it any more."""
    genuine = getattr(owner, name)
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        for module in [owner, *sys.modules.values()]:
            names = getattr(module, "__dict__", {})
            if names.get(name) is replacement:
                names[name] = genuine
