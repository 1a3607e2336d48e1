"""The hub's own profile list with a word on each GPU profile. Slugs stay as they are: KubeSpawner
evaluates the list again when the form comes back, and a slug that is gone would fail the start."""

import inspect
from collections.abc import Mapping
from typing import Any

from nodeagent.gpu.fleet.answer import Answer


async def own_profiles(configured: Any, spawner: Any) -> list[dict[str, Any]]:
    """What the operator configured, as KubeSpawner reads it: a list, a dictionary in the order of
    its keys, or a function of the spawner."""
    found = configured(spawner) if callable(configured) else configured
    if inspect.isawaitable(found):
        found = await found
    if isinstance(found, Mapping):
        found = [found[key] for key in sorted(found)]
    return [dict(profile) for profile in found or ()]


def slug(profile: Mapping[str, Any]) -> str:
    """As KubeSpawner makes it where none is given."""
    given = profile.get("slug")
    if given:
        return str(given)
    from slugify import slugify

    return str(slugify(str(profile.get("display_name", ""))))


def default_slug(profiles: list[dict[str, Any]]) -> str | None:
    """The one that starts when nobody chooses."""
    chosen = next((each for each in profiles if each.get("default")), None)
    chosen = chosen or (profiles[0] if profiles else None)
    return slug(chosen) if chosen is not None else None


def described(
    profiles: list[dict[str, Any]], answers: Mapping[str, Answer]
) -> list[dict[str, Any]]:
    """Copies with how full it is at the end of the description."""
    shown = []
    for profile in profiles:
        name = slug(profile)
        if (answer := answers.get(name)) is not None:
            before = str(profile.get("description") or "").rstrip()
            word = state(answer)
            text = f"{before} ({word})" if before else word[0].upper() + word[1:]
            profile = {**profile, "slug": name, "description": text}
        shown.append(profile)
    return shown


def state(answer: Answer) -> str:
    """`free now`, `full, about 10 min`, `full`, or that it is not known."""
    if answer.placed:
        return "free now"
    if answer.verdict == "unknown":
        return "whether it is free is not known now"
    if answer.wait_seconds is None:
        return "full"
    return f"full, about {max(1, round(answer.wait_seconds / 60))} min"
