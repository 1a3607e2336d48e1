"""What the agent tells about the students' kernels, as JSON and as a part of its page. Pure."""

from collections.abc import Mapping
from html import escape

from nodeagent.kernels.count import KernelCount, as_json
from nodeagent.kernels.switches import Switches

STATES = ("alike", "drifted", "refused", "unsuited", "off")
_WORDS = {
    "alike": "Aligned alike",
    "drifted": "Aligned, and drifted",
    "refused": "Could not be aligned",
    "unsuited": "Need a stock start",
    "off": "Switched off",
}


def node_kernels(switches: Switches, found: KernelCount | None) -> Mapping[str, object]:
    """Totals, for /v1/node. Counts are None while nothing is known."""
    return {
        "merge": switches.merge,
        "align": switches.align,
        **{state: None if found is None else found.total(state) for state in STATES},
        "silent": None if found is None else found.silent,
    }


def operator_kernels(found: KernelCount | None) -> list[Mapping[str, object]]:
    """Per image with causes, for the operator: they name folders of students."""
    return [] if found is None else as_json(found)


def section(switches: Switches, found: KernelCount | None) -> str:
    """HTML; empty where there is nothing to say."""
    said = [
        f'<p class="quiet">{text} is switched off for this node.</p>'
        for on, text in ((switches.merge, "Merging"), (switches.align, "Alignment"))
        if not on
    ]
    counts = [] if found is None else [(state, found.total(state)) for state in STATES]
    if not said and not any(number for _, number in counts):
        return ""
    rows = "".join(
        f"<div><dt>{escape(_WORDS[state])}</dt><dd>{number:,}</dd></div>"
        for state, number in counts
        if number or state in ("alike", "drifted")
    )
    note = ""
    if found is not None and (found.total("drifted") or found.total("unsuited")):
        note = (
            '<p class="quiet">Kernels that drifted share little with the others. The operator '
            "sees why with samepage-agent status.</p>"
        )
    return f"<section><h2>Kernels</h2>{''.join(said)}<dl>{rows}</dl>{note}</section>"
