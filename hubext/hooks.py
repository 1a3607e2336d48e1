"""The functions that a hub's configuration holds.

Functions, not methods: traitlets copies each configured value for each spawner, and a copied object
would have a ledger of its own.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from hubext import pods
from hubext.containers import give_docker, give_swarm
from hubext.desk import Desk
from hubext.devices import devices
from hubext.loan import take_back
from hubext.processes import give_process
from hubext.profiles import default_slug, described, own_profiles, slug
from hubext.settings import GpuProfile
from hubext.spawners import key_of, kind_of, slug_of

Hook = Callable[[Any], Awaitable[None]]

_GIVE = {
    "docker": give_docker,
    "swarm": give_swarm,
    "systemd": give_process,
    "local": give_process,
}


def before_start(desk: Desk, own: Callable[[Any], Any] | None) -> Hook:
    """`pre_spawn_hook` for all spawners but KubeSpawner; `own`: the operator's, run first."""

    async def pre_spawn(spawner: Any) -> None:
        # First, so that nothing the operator's own hook sets is taken back with it.
        take_back(spawner)
        if own is not None:
            await _finished(own(spawner))
        kind = kind_of(spawner)
        if kind == "kube":
            return
        profile = _profile(desk, spawner, slug_of(spawner))
        if profile is None:
            return
        if kind is None:
            spawner.log.warning(
                "Samepage: %s is not known here, its servers get no GPU decision",
                type(spawner).__name__,
            )
            return
        placement = await desk.place(spawner, key_of(spawner, kind), profile)
        given = None if placement is None else devices(placement.answer, desk.gpus)
        if given is None or desk.gpus.pin is False:
            return
        try:
            _GIVE[kind](spawner, given)
        except Exception as err:  # noqa: BLE001 - settings we do not understand stay as they are
            take_back(spawner)
            spawner.log.warning("Samepage: %s is given no GPU: %s", spawner.user.name, err)

    return pre_spawn


def after_stop(desk: Desk, own: Callable[[Any], Any] | None) -> Hook:
    """`post_stop_hook`; `own`: the operator's, run first."""

    async def post_stop(spawner: Any) -> None:
        try:
            if own is not None:
                await _finished(own(spawner))
        finally:
            # A hub may go on with this spawner, and set what it starts with before our hook.
            take_back(spawner)
            await desk.release(spawner)

    return post_stop


def on_pod(
    desk: Desk, own: Callable[[Any, Any], Any] | None, configured: Any
) -> Callable[[Any, Any], Awaitable[Any]]:
    """`modify_pod_hook` of KubeSpawner; `own`: the operator's, run first."""
    adopted = False

    async def modify_pod(spawner: Any, pod: Any) -> Any:
        nonlocal adopted
        if own is not None:
            pod = await _finished(own(spawner, pod))
        profile = await _chosen(spawner)
        if profile is None:
            return pod
        key = key_of(spawner, "kube")
        if not adopted:
            adopted = True
            _adopt(spawner)
        placement = await desk.place(spawner, key, profile)
        if placement is None:
            return pod
        try:
            _change(pod, placement, profile, key, spawner)
        except Exception as err:  # noqa: BLE001 - a manifest we do not understand starts as it is
            spawner.log.warning("Samepage: the pod of %s is left as it was: %s", key, err)
        return pod

    def _change(pod: Any, placement: Any, profile: GpuProfile, key: str, spawner: Any) -> None:
        answer = placement.answer
        given = devices(answer, desk.gpus)
        pinned = desk.gpus.pin is True and given is not None and not pods.asks_plugin(pod)
        request = profile.request(key, spawner.user.name)
        if given is not None and pinned:
            pods.pin(pod, given)
        elif answer.placed:
            pods.prefer_node(pod, answer.node)
        pods.annotate(pod, request, placement, pinned=pinned)

    async def _chosen(spawner: Any) -> GpuProfile | None:
        name = slug_of(spawner)
        if name is None and configured:
            name = default_slug(await own_profiles(configured, spawner))
        return _profile(desk, spawner, name)

    def _adopt(spawner: Any) -> None:
        # Only there once the hub watches its pods, which it does before it makes one.
        reflector = getattr(spawner, "pod_reflector", None)
        if reflector is None:
            return
        try:
            desk.advisor.adopt(pods.reservations_of(list(reflector.pods.values())))
        except Exception as err:  # noqa: BLE001 - old promises end by themselves; servers start
            spawner.log.warning("Samepage: what a former hub promised is not known: %s", err)

    return modify_pod


def on_form(desk: Desk, configured: Any) -> Callable[[Any], Awaitable[list[dict[str, Any]]]]:
    """`profile_list` of KubeSpawner."""

    async def profile_list(spawner: Any) -> list[dict[str, Any]]:
        own = await own_profiles(configured, spawner)
        # At the start itself nobody reads the descriptions, and the time is the placement's.
        if getattr(spawner, "pending", None) == "spawn":
            return own
        asked = {
            name: desk.gpus.profiles[name]
            for profile in own
            if (name := slug(profile)) in desk.gpus.profiles
        }
        return described(own, await desk.look(spawner, asked)) if asked else own

    return profile_list


def _profile(desk: Desk, spawner: Any, name: str | None) -> GpuProfile | None:
    """The one of this name if the user may have it, else the default; None: no decision."""
    chosen = desk.gpus.profiles.get(name or "")
    groups = [group.name for group in getattr(spawner.user, "groups", ())]
    if chosen is not None and not chosen.open_to(groups):
        spawner.log.warning(
            "Samepage: %s asked for the GPU profile %s, which is for members of %s only",
            spawner.user.name,
            name,
            ", ".join(chosen.groups),
        )
        chosen = None
    return desk.gpus.default if chosen is None else chosen


async def _finished(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
