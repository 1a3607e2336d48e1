"""What a notebook server is started with."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hubext.spawners import slug_of

STOCK = "jupyterhub-singleuser"

# An image without Samepage starts as it always did.
COMMAND = (
    "sh",
    "-c",
    "if command -v samepage-singleuser >/dev/null 2>&1; then exec samepage-singleuser"
    f' "$@"; fi; exec {STOCK} "$@"',
    "samepage-singleuser",
)


def with_command(own: str | Sequence[str] | None, cmd: Sequence[str]) -> list[str]:
    """`cmd` in place of the stock command; around and after it the operator's own words stay. A
    command without the stock one is left alone: somebody knows what it does."""
    if own is None or not own:
        return list(cmd)
    words = [own] if isinstance(own, str) else list(own)
    if STOCK not in words:
        return words
    at = words.index(STOCK)
    return [*words[:at], *cmd, *words[at + 1 :]]


def notebook_environment(
    *,
    agent_url: str | None,
    courses: str | Mapping[str, str] | None,
    more: Mapping[str, str],
) -> dict[str, str | Callable[[Any], str]]:
    """Variables for every server. A course manifest per profile is looked up when one starts."""
    wanted: dict[str, str | Callable[[Any], str]] = dict(more)
    if agent_url is not None:
        wanted["SAMEPAGE_AGENT_URL"] = agent_url
    if isinstance(courses, str):
        wanted["SAMEPAGE_COURSES"] = courses
    elif courses is not None:
        addresses = dict(courses)

        def of_profile(spawner: Any) -> str:
            return addresses.get(slug_of(spawner) or "", addresses.get("", ""))

        wanted["SAMEPAGE_COURSES"] = of_profile
    return wanted
