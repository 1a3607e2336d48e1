"""`set_up(c)`: the one line in jupyterhub_config.py."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from hubext.desk import Desk
from hubext.hooks import after_stop, before_start, on_form, on_pod
from hubext.notebooks import COMMAND, notebook_environment, with_command
from hubext.settings import Gpus


def set_up(
    c: Any,
    *,
    agent_url: str | None = None,
    courses: str | Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    cmd: Sequence[str] | None = COMMAND,
    gpus: Gpus | None = None,
    env: Mapping[str, str] = os.environ,
) -> None:
    """Set up every spawner of this hub; call it after the rest of the configuration.

    `agent_url`: the node agent as a notebook server reaches it (SAMEPAGE_AGENT_URL). `courses`:
    address of the course manifest, or one per profile slug, with "" for all others. `environment`:
    further variables. A variable that the operator has set stays. `cmd` None: leave the command.
    `gpus`: None: from SAMEPAGE_HUB_GPU_AGENTS and SAMEPAGE_HUB_GPU_TOKEN_FILE of the hub's own
    environment `env`, else nothing about GPUs. ConfigError, ValueError: a setting is unusable.
    """
    wanted = notebook_environment(
        agent_url=agent_url or env.get("SAMEPAGE_HUB_AGENT_URL") or None,
        courses=courses or env.get("SAMEPAGE_HUB_COURSES") or None,
        more=environment or {},
    )
    sections = [name for name in c if name != "Spawner" and name.endswith("Spawner")]
    for name in ("Spawner", *sections):
        section = c[name]
        if name == "Spawner" or "environment" in section:
            # A section of a spawner replaces that of Spawner, it is not merged with it.
            own = section.get("environment", {})
            section.environment = {**wanted, **_mapping(own)}
        if cmd is not None and (name == "Spawner" or "cmd" in section):
            section.cmd = with_command(section.get("cmd"), cmd)
    if gpus is None and (agents := env.get("SAMEPAGE_HUB_GPU_AGENTS")):
        gpus = Gpus(
            agents=tuple(part.strip() for part in agents.split(",") if part.strip()),
            token_file=env.get("SAMEPAGE_HUB_GPU_TOKEN_FILE") or None,
        )
    if gpus is not None:
        _set_up_gpus(c, gpus, sections)


def _set_up_gpus(c: Any, gpus: Gpus, sections: Sequence[str]) -> None:
    desk = Desk(gpus)
    for name in ("Spawner", *sections):
        section = c[name]
        for trait, wrap in (("pre_spawn_hook", before_start), ("post_stop_hook", after_stop)):
            if name == "Spawner" or trait in section:
                section[trait] = wrap(desk, section.get(trait))
    kube = c.KubeSpawner
    configured = kube.get("profile_list")
    # Classes of the operator's own that are made from it, too, where they have their own settings.
    for name in dict.fromkeys(("KubeSpawner", *sections)):
        section = c[name]
        profiles = section.get("profile_list") or configured
        if name == "KubeSpawner" or {"modify_pod_hook", "profile_list"} & set(section):
            own = section.get("modify_pod_hook")
            section.modify_pod_hook = on_pod(desk, own, profiles)
        if section.get("profile_list"):
            section.profile_list = on_form(desk, profiles)


def _mapping(value: Any) -> dict[str, Any]:
    """A lazy value (`c.Spawner.environment.update(...)`) as the dictionary it will be."""
    if isinstance(value, Mapping):
        return dict(value)
    return dict(value.get_value({}))
