"""Whether one kernel opts in: the per-kernel off switches. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

SWITCH_VARIABLE = "SAMEPAGE_MERGE"
ALIGNED_VARIABLE = "SAMEPAGE_ALIGNED"
_OFF_WORDS = frozenset({"0", "false", "no", "off"})
_ON_WORDS = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True, kw_only=True)
class Switch:
    """`on`: opt in. `why`: which setting said no, None when none did."""

    on: bool
    why: str | None = None


def is_off(text: str | None) -> bool:
    """Whether a SAMEPAGE_MERGE value switches merging off (0, false, no, off; any case)."""
    return text is not None and text.strip().lower() in _OFF_WORDS


def is_on(text: str | None) -> bool:
    """Whether a switch variable says yes in so many words (1, true, yes, on; any case)."""
    return text is not None and text.strip().lower() in _ON_WORDS


def align_switch(
    *,
    trait: bool | None,
    environment: Mapping[str, str],
    metadata: Mapping[str, object],
    node_merges: bool,
    node_allows: bool | None = None,
) -> Switch:
    """Any one "no" wins; then any one "yes"; where nobody said anything, what the node does.

    The three who may say something are those of `merge_switch`; metadata is
    `{"samepage": {"aligned": false}}`. Without merging, modules loaded in advance cost memory and
    save none, hence `node_merges`. `node_allows`: the word of the node's agent, None: it has none.
    """
    if node_allows is False:
        return Switch(on=False, why="alignment is switched off for this node (its agent says so)")
    section = metadata.get("samepage")
    wanted = section.get("aligned") if isinstance(section, Mapping) else None
    text = environment.get(ALIGNED_VARIABLE)
    if trait is False:
        return Switch(on=False, why="c.SamepageProvisioner.aligned is False")
    if is_off(text):
        return Switch(on=False, why=f"{ALIGNED_VARIABLE}={text}")
    if wanted is False:
        return Switch(on=False, why="the kernelspec's metadata says samepage.aligned: false")
    if trait or is_on(text) or wanted is True or node_merges:
        return Switch(on=True)
    return Switch(on=False, why="this node has not merged any pages since it started")


def merge_switch(
    *,
    trait: bool,
    environment: Mapping[str, str],
    metadata: Mapping[str, object],
    node_allows: bool | None = None,
) -> Switch:
    """Any one "no" wins: node, trait, the kernel's environment, the kernelspec's metadata.

    The kernel's environment holds the server's and the kernelspec's `env`, so SAMEPAGE_MERGE
    works in either place. Metadata is `{"samepage": {"merge": false}}`; other shapes are ignored.
    `node_allows`: as in `align_switch`.
    """
    if node_allows is False:
        return Switch(on=False, why="merging is switched off for this node (its agent says so)")
    if not trait:
        return Switch(on=False, why="c.SamepageProvisioner.merge is False")
    text = environment.get(SWITCH_VARIABLE)
    if is_off(text):
        return Switch(on=False, why=f"{SWITCH_VARIABLE}={text}")
    section = metadata.get("samepage")
    if isinstance(section, Mapping) and section.get("merge") is False:
        return Switch(on=False, why="the kernelspec's metadata says samepage.merge: false")
    return Switch(on=True)
