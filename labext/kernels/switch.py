"""Whether one kernel opts in: the per-kernel off switches. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

SWITCH_VARIABLE = "SAMEPAGE_MERGE"
_OFF_WORDS = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, kw_only=True)
class Switch:
    """`on`: opt in. `why`: which setting said no, None when none did."""

    on: bool
    why: str | None = None


def is_off(text: str | None) -> bool:
    """Whether a SAMEPAGE_MERGE value switches merging off (0, false, no, off; any case)."""
    return text is not None and text.strip().lower() in _OFF_WORDS


def merge_switch(
    *, trait: bool, environment: Mapping[str, str], metadata: Mapping[str, object]
) -> Switch:
    """Any one "no" wins: the trait, the kernel's environment, the kernelspec's metadata.

    The kernel's environment holds the server's and the kernelspec's `env`, so SAMEPAGE_MERGE
    works in either place. Metadata is `{"samepage": {"merge": false}}`; other shapes are ignored.
    """
    if not trait:
        return Switch(on=False, why="c.SamepageProvisioner.merge is False")
    text = environment.get(SWITCH_VARIABLE)
    if is_off(text):
        return Switch(on=False, why=f"{SWITCH_VARIABLE}={text}")
    section = metadata.get("samepage")
    if isinstance(section, Mapping) and section.get("merge") is False:
        return Switch(on=False, why="the kernelspec's metadata says samepage.merge: false")
    return Switch(on=True)
