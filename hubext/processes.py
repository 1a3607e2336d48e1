"""SystemdSpawner and LocalProcessSpawner: variables by UUID.

A hint to CUDA, not a wall: a plain process that unsets it sees every GPU.
"""

from typing import Any

from hubext.devices import Devices
from hubext.loan import lend


def give_process(spawner: Any, given: Devices) -> None:
    """Variables for the server and all that it starts."""
    lend(spawner, "environment", {**spawner.environment, **given.process_environment})
