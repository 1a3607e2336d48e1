"""The dashboard of merged memory."""

from __future__ import annotations

from scripts.dashboards.dashboard import Dashboard, Row
from scripts.dashboards.panels import Panel, Query

HERE = '{instance=~"$node"}'
PHASES = (
    ("off", "grey"),
    ("watch", "blue"),
    ("rest", "green"),
    ("verify", "semi-dark-green"),
    ("settle", "yellow"),
    ("burst", "orange"),
    ("yield", "purple"),
    ("hold", "red"),
)
"""As the agent names them (docs/agent.md), from quiet to troubled."""


def _gauge(metric: str, legend: str = "{{instance}}") -> Query:
    return Query(expr=f"{metric}{HERE}", legend=legend)


def _sum(metric: str) -> tuple[Query, ...]:
    return (Query(expr=f"sum({metric}{HERE})"),)


def _phase() -> Query:
    """One number per node for the one phase it is in."""
    numbered = (
        f'samepage_ksm_phase{{instance=~"$node", phase="{name}"}} * {at}'
        for at, (name, _) in enumerate(PHASES)
    )
    return Query(expr=f"max by (instance) ({' or '.join(numbered)})", legend="{{instance}}")


NOW = Row(
    title="Now",
    panels=(
        Panel(
            kind="stat",
            title="Memory saved",
            description="Pages that KSM spares, zero pages included, on the chosen nodes.",
            queries=_sum("samepage_ksm_saved_bytes"),
            unit="bytes",
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title="Saved, less its cost",
            description=(
                "The kernel's general_profit: less KSM's own tables. Below zero, merging costs "
                "memory."
            ),
            queries=_sum("samepage_ksm_profit_bytes"),
            unit="bytes",
            width=4,
            height=4,
            steps=(("red", None), ("green", 0)),
        ),
        Panel(
            kind="stat",
            title="Students",
            description="Pods, else containers, services or users, with processes that opted in.",
            queries=_sum("samepage_students"),
            unit="none",
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title="Room for more",
            description=(
                "Further students like the mean of those here. Nodes that cannot tell now (merging "
                "is under way, nobody is there) are left out, not counted as 0."
            ),
            queries=_sum("samepage_students_room"),
            unit="none",
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title="ksmd",
            description="CPU of merging: cores, all nodes together.",
            queries=(Query(expr=f"sum(rate(samepage_ksmd_cpu_seconds_total{HERE}[5m]))"),),
            unit="percentunit",
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title="Agents",
            description="Healthy, and all that answer.",
            queries=(
                Query(expr=f"sum(samepage_agent_healthy{HERE})", legend="healthy"),
                Query(expr=f"count(samepage_agent_healthy{HERE})", legend="all"),
            ),
            unit="none",
            width=4,
            height=4,
        ),
    ),
)

MEMORY = Row(
    title="Memory",
    panels=(
        Panel(
            title="Saved and profit",
            description="The distance between the two is what KSM's tables take.",
            queries=(
                _gauge("samepage_ksm_saved_bytes", "{{instance}} saved"),
                _gauge("samepage_ksm_profit_bytes", "{{instance}} profit"),
            ),
            unit="bytes",
            width=12,
            least=None,
        ),
        Panel(
            title="Memory programs can still get",
            description="MemAvailable, as a share of the node's memory.",
            queries=(
                Query(
                    expr=(
                        f"samepage_memory_available_bytes{HERE} / samepage_memory_total_bytes{HERE}"
                    ),
                    legend="{{instance}}",
                ),
            ),
            unit="percentunit",
            width=12,
            most=1,
        ),
        Panel(
            title="Students and room for more",
            description="A gap in the room: it could not be told then.",
            queries=(
                _gauge("samepage_students", "{{instance}} students"),
                _gauge("samepage_students_room", "{{instance}} room"),
            ),
            unit="none",
        ),
        Panel(
            title="Memory of a student",
            description="Private memory of each, in the mean, and what of it nobody shares.",
            queries=(
                _gauge("samepage_student_bytes", "{{instance}} private"),
                _gauge("samepage_student_unshared_bytes", "{{instance}} shared by nobody"),
            ),
            unit="bytes",
        ),
        Panel(
            title="Waiting for memory",
            description="Share of 10 s in which some task waited (pressure stall information).",
            queries=(_gauge("samepage_memory_stall_ratio"),),
            unit="percentunit",
        ),
    ),
)

MERGING = Row(
    title="Merging",
    panels=(
        Panel(
            kind="state-timeline",
            title="What the agent does",
            description=(
                "rest: nothing is left to gain. burst, settle, verify: ksmd scans. hold: stopped "
                "for safety. yield: somebody else steers KSM. watch, off: only looking, or not."
            ),
            queries=(_phase(),),
            unit="none",
            width=24,
            height=6,
            states={at: (name, color) for at, (name, color) in enumerate(PHASES)},
        ),
        Panel(
            title="CPU of ksmd",
            description="Of one core.",
            queries=(
                Query(
                    expr=f"rate(samepage_ksmd_cpu_seconds_total{HERE}[$__rate_interval])",
                    legend="{{instance}}",
                ),
            ),
            unit="percentunit",
        ),
        Panel(
            title="Gained per CPU second of the last pass",
            description="What a pass over the opted-in memory brought for its work.",
            queries=(_gauge("samepage_ksm_last_pass_yield_bytes"),),
            unit="bytes",
        ),
        Panel(
            title="Merged pages written to again",
            description="Each costs a page fault and the page it had spared.",
            queries=(
                Query(
                    expr=f"rate(samepage_ksm_cow_faults_total{HERE}[$__rate_interval])",
                    legend="{{instance}}",
                ),
            ),
            unit="cps",
        ),
        Panel(
            title="Containers close to their memory limit",
            description="Counted with what they would copy by writing to merged pages.",
            queries=(_gauge("samepage_ksm_near_limit_containers"),),
            unit="none",
        ),
        Panel(
            title="Others at KSM's settings, and uninvited processes",
            description="Neither should happen.",
            queries=(
                Query(
                    expr=f"increase(samepage_ksm_conflicts_total{HERE}[$__rate_interval])",
                    legend="{{instance}} conflicts",
                ),
                _gauge("samepage_ksm_uninvited_processes", "{{instance}} uninvited"),
            ),
            unit="none",
        ),
        Panel(
            title="Cost of the agent",
            description="CPU of the agent itself, of one core.",
            queries=(
                Query(
                    expr=f"rate(samepage_agent_cpu_seconds_total{HERE}[$__rate_interval])",
                    legend="{{instance}}",
                ),
            ),
            unit="percentunit",
        ),
    ),
)

PODS = Row(
    title="Pods (where Prometheus may read /metrics/workloads)",
    panels=(
        Panel(
            kind="table",
            title="What each pod shares",
            description=(
                "The 50 with most memory. Needs the operator's token (--token-file): these numbers "
                "say what a single student's processes hold."
            ),
            queries=tuple(
                Query(
                    expr=(
                        f"samepage_workload_{what}_bytes{HERE} and on (instance, kind, name, "
                        f"donor) topk(50, samepage_workload_private_bytes{HERE})"
                    )
                )
                for what in ("private", "merged", "saved", "profit")
            ),
            unit="bytes",
            width=24,
            height=10,
            columns={
                "instance": ("Node", ""),
                "kind": ("Kind", ""),
                "name": ("Name", ""),
                "donor": ("Donor", ""),
                "Value #A": ("Private", "bytes"),
                "Value #B": ("Merged", "bytes"),
                "Value #C": ("Saved", "bytes"),
                "Value #D": ("Profit", "bytes"),
            },
        ),
    ),
)

NODE = Dashboard(
    uid="samepage-node",
    title="Samepage: memory",
    description="What page merging saves on each node, what it costs, and how many more fit.",
    tags=("samepage", "ksm"),
    nodes="samepage_agent_info",
    rows=(NOW, MEMORY, MERGING, PODS),
)
