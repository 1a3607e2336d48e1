"""DockerSpawner and SwarmSpawner: device requests and variables by UUID, the node's name."""

import inspect
from collections.abc import Mapping
from typing import Any

from hubext.devices import Devices
from hubext.loan import lend


def give_docker(spawner: Any, given: Devices) -> None:
    """As `docker run --gpus device=UUID` would. Other device requests stay."""
    lend(spawner, "environment", {**spawner.environment, **given.container_environment})
    own = spawner.extra_host_config
    if not callable(own):
        lend(spawner, "extra_host_config", _with_devices(own, given))
        return

    async def merged(asked: Any) -> Mapping[str, Any]:
        config = own(asked)
        return _with_devices(await config if inspect.isawaitable(config) else config, given)

    lend(spawner, "extra_host_config", merged)


def give_swarm(spawner: Any, given: Devices) -> None:
    """A service has no device requests: the node's NVIDIA runtime reads the variable, and the task
    has to run on the node with that GPU."""
    lend(spawner, "environment", {**spawner.environment, **given.container_environment})
    if given.node is not None:
        place = dict(spawner.extra_placement_spec)
        constraints = [*(place.get("constraints") or ()), f"node.hostname=={given.node}"]
        lend(spawner, "extra_placement_spec", place | {"constraints": constraints})


def _with_devices(config: Mapping[str, Any], given: Devices) -> dict[str, Any]:
    kept = [each for each in config.get("device_requests") or () if not _asks_gpu(each)]
    if given.uuids:
        # Plain keywords: DockerSpawner fills in templates and so turns docker's own type into them.
        kept.append(
            {"driver": "nvidia", "device_ids": list(given.uuids), "capabilities": [["gpu"]]}
        )
    return {**config, "device_requests": kept}


def _asks_gpu(request: Mapping[str, Any]) -> bool:
    wanted = request.get("capabilities") or request.get("Capabilities") or ()
    return any("gpu" in each for each in wanted)
