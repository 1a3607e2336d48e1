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

    async def merged(asked: Any) -> Any:
        config = own(asked)
        if inspect.isawaitable(config):
            config = await config
        try:
            return _with_devices(config, given)
        except TypeError as err:
            # As it is: DockerSpawner itself says what it makes of it.
            spawner.log.warning("Samepage: %s is given no GPU: %s", spawner.user.name, err)
            return config

    lend(spawner, "extra_host_config", merged)


def give_swarm(spawner: Any, given: Devices) -> None:
    """A service has no device requests: the node's NVIDIA runtime reads the variable, and the task
    has to run on the node with that GPU."""
    lend(spawner, "environment", {**spawner.environment, **given.container_environment})
    if given.node is not None:
        place = dict(spawner.extra_placement_spec)
        constraints = [*(place.get("constraints") or ()), f"node.hostname=={given.node}"]
        lend(spawner, "extra_placement_spec", place | {"constraints": constraints})


def _with_devices(config: Any, given: Devices) -> dict[str, Any]:
    """TypeError: a value that is not what DockerSpawner wants there, empty or not."""
    if not isinstance(config, Mapping):
        raise TypeError(f"extra_host_config is {config!r}, which is no dictionary")
    asked = config.get("device_requests")
    if not isinstance(asked, (list, tuple, type(None))):
        raise TypeError(f"extra_host_config has device_requests {asked!r}, which is no list")
    kept = [each for each in asked or () if not _asks_gpu(each)]
    if given.uuids:
        # Plain keywords: DockerSpawner fills in templates and so turns docker's own type into them.
        kept.append(
            {"driver": "nvidia", "device_ids": list(given.uuids), "capabilities": [["gpu"]]}
        )
    return {**config, "device_requests": kept}


def _asks_gpu(request: Mapping[str, Any]) -> bool:
    wanted = request.get("capabilities") or request.get("Capabilities") or ()
    return any("gpu" in each for each in wanted)
