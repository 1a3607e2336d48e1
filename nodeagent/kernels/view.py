"""What the agent tells about the students' kernels, as JSON and as a part of its page. Pure."""

from collections.abc import Mapping
from html import escape

from nodeagent.kernels.count import KernelCount, as_json
from nodeagent.kernels.donate import FIX
from nodeagent.kernels.switches import Switches

STATES = ("alike", "drifted", "refused", "unsuited", "off")
DONOR_STATES = ("alike", "drifted", "stock", "alone")
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


def node_donors(found: KernelCount | None, restarts: int) -> Mapping[str, object]:
    """Donors' kernels beside the students', for /v1/node: totals. `restarts`: how often the agent
    has asked for donors that are started anew."""
    return {
        **{state: None if found is None else found.donors_in(state) for state in DONOR_STATES},
        "restarts": restarts,
    }


def operator_donors(found: KernelCount | None) -> list[Mapping[str, object]]:
    """Each donor with what makes it unlike, for the operator."""
    names = ("pid", "state", "image", "cause", "students")
    return (
        []
        if found is None
        else [{name: getattr(donor, name) for name in names} for donor in found.donors]
    )


def operator_unlike(found: KernelCount | None) -> list[Mapping[str, object]]:
    """Which students' kernels are not alike, and why, for the operator."""
    return [] if found is None else [dict(vars(each)) for each in found.unlike]


def own_kernels(found: KernelCount | None, asker: str) -> dict[str, object]:
    """/v1/kernels/me: the drifted kernels of the server that asks; none when all is well."""
    told = () if found is None else found.told
    return {
        "kernels": [
            {"id": each.kernel, "state": "drifted", "cause": each.code, "name": each.name or None}
            for each in told
            if each.asker == asker
        ]
    }


def donor_trouble(found: KernelCount | None) -> str | None:
    """One sentence on donors that donate nothing; None: there are none. No name of anybody."""
    if found is None:
        return None
    drifted, stock = found.donors_in("drifted"), found.donors_in("stock")
    if not drifted + stock:
        return None
    words = f"{drifted + stock} of {len(found.donors)} donors"
    if drifted:
        return f"{words} hold other pages than the students' kernels, which saves nobody's account"
    return f"{words} did not start aligned, and hold next to nothing of the students' kernels"


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
    trouble = donor_trouble(found)
    if not said and trouble is None and not any(number for _, number in counts):
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
    if trouble is not None:
        note += f'<p class="state bad">{escape(trouble)}.</p><p class="quiet">{escape(FIX)}.</p>'
    return f"<section><h2>Kernels</h2>{''.join(said)}<dl>{rows}</dl>{note}</section>"
