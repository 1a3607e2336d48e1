"""Which spawner this is, and what its servers are called. No spawner is imported for it."""

import os
import pwd
from typing import Any, Literal

SpawnerKind = Literal["kube", "swarm", "docker", "systemd", "local"]

# More special ones first: SwarmSpawner is a DockerSpawner.
_NAMES: tuple[tuple[str, SpawnerKind], ...] = (
    ("KubeSpawner", "kube"),
    ("SwarmSpawner", "swarm"),
    ("DockerSpawner", "docker"),
    ("SystemdSpawner", "systemd"),
    ("LocalProcessSpawner", "local"),
)


def kind_of(spawner: Any) -> SpawnerKind | None:
    """By the names of its classes; None: one we do not know."""
    names = {cls.__name__ for cls in type(spawner).__mro__}
    return next((kind for name, kind in _NAMES if name in names), None)


def key_of(spawner: Any, kind: SpawnerKind) -> str:
    """The key of the server's reservation; where it can be, the one by which the agent knows it."""
    if kind == "kube":
        return f"{spawner.namespace}/{spawner.pod_name}"
    if kind == "swarm":
        return f"docker/{spawner.service_name}"
    if kind == "docker":
        return f"docker/{spawner.container_name}"
    if kind == "systemd":
        return f"unit/{spawner.unit_name}.service"
    name = spawner.user.name
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        uid = os.getuid()
    # All servers of the hub's own user (SimpleLocalProcessSpawner) would share one reservation.
    return f"local/{name}" if uid == os.getuid() else f"user/{uid}"


def slug_of(spawner: Any) -> str | None:
    """The chosen profile, or the course where a hub's form has courses (deploy/swarm); None: none
    was chosen."""
    options = spawner.user_options or {}
    slug = options.get("profile") or options.get("course")
    return slug if isinstance(slug, str) and slug else None
