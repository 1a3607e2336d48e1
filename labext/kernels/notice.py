"""Tells the node agent what became of this server's kernels: a table in a memory file.

The agent finds it among this process's open files (below /proc, for which it must be root or this
user), so there is nothing to configure, nothing on a disk, and it is gone with the server. Nobody
else can read it. Kernels of one image that started alike and those that drifted are counted there.

A word of chance in the table lets this server ask the agent about its own kernels: who knows it
has read the table.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ledger import KernelRecord

NAME = "samepage-kernels"
FORMAT = 1
_MOST_KERNELS = 32
_MOST_BYTES = 512 * 1024
#: How JupyterHub's spawners call the image; the first that is set.
_IMAGE_VARIABLES = ("JUPYTER_IMAGE_SPEC", "JUPYTER_IMAGE")


def table(records: Iterable[KernelRecord], *, image: str | None, word: str | None = None) -> bytes:
    """The newest kernels of these, as the agent reads them; at most 512 KiB. Pure."""
    kernels = [_kernel(record) for record in records][-_MOST_KERNELS:]
    while True:
        said = {"format": FORMAT, "image": image, "ask": word, "kernels": kernels}
        text = json.dumps(said).encode()
        if len(text) <= _MOST_BYTES or not kernels:
            return text
        kernels = kernels[1:]


def _kernel(record: KernelRecord) -> dict[str, Any]:
    alignment = record.alignment
    if alignment is None:
        state = "refused" if record.outcome in {"refused", "uncertain"} else "off"
        return {
            "id": record.kernel_id,
            "state": state,
            "reason": record.reason,
            "dropped": [],
            "fingerprint": None,
        }
    return {
        "id": record.kernel_id,
        "state": alignment.state,
        "reason": alignment.reason,
        "dropped": [name for name, _ in alignment.dropped],
        "fingerprint": alignment.fingerprint,
    }


def image_of(environment: Mapping[str, str]) -> str | None:
    """The name of the image this server runs in, where its hub tells."""
    return next((environment[name] for name in _IMAGE_VARIABLES if environment.get(name)), None)


class Notice:
    """This process's table; made when there is something to tell."""

    def __init__(self, image: str | None) -> None:
        self._image = image
        self._descriptor: int | None = None
        self.word = secrets.token_hex(16)
        """With it the agent is asked about the kernels of this table."""

    def show(self, records: Iterable[KernelRecord]) -> None:
        """Replace the table, in one step. A system without memory files has none."""
        with contextlib.suppress(OSError, AttributeError, ValueError):
            text = table(records, image=self._image, word=self.word)
            made = os.memfd_create(NAME, os.MFD_CLOEXEC)
            try:
                os.write(made, text)
                if self._descriptor is None:
                    self._descriptor, made = made, -1
                else:
                    os.dup2(made, self._descriptor, inheritable=False)
            finally:
                if made >= 0:
                    os.close(made)

    def keep(self) -> None:
        """Have the table outlive an exec of this process, as what it tells does."""
        if self._descriptor is not None:
            os.set_inheritable(self._descriptor, True)
