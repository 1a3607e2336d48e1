"""Random state that modules drew when they were imported, drawn anew in a forked kernel.

Two kernels forked from one process would else have the same random numbers, and the same key for
talking to their own children. Python sees to `random` itself when it forks; `secrets`, `uuid` and
OpenSSL ask the system, or look at the process number.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any


def all_known(loaded: Mapping[str, Any]) -> str | None:
    """For each of these modules; a sentence when one of them could not be. `loaded` by name."""
    for name, renew in _KNOWN.items():
        module = loaded.get(name)
        if module is None:
            continue
        try:
            renew(module)
        except Exception as err:  # noqa: BLE001 - another version may keep it elsewhere
            return f"the random state of {name} could not be drawn anew ({err!r})"
    return None


def _numpy(module: Any) -> None:
    """NumPy's global generator, as its import makes it."""
    fresh = module.MT19937()
    if hasattr(module, "set_bit_generator"):  # NumPy 1.24
        module.set_bit_generator(fresh)
    else:
        module.set_state(fresh.state)


def _multiprocessing(module: Any) -> None:
    """The key by which a process and its children know each other."""
    process = module.current_process()
    process.authkey = os.urandom(32)


_KNOWN = {"numpy.random": _numpy, "multiprocessing.process": _multiprocessing}
