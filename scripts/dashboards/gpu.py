"""The dashboard of GPUs: what is used, by how many, and what should not be."""

from __future__ import annotations

from scripts.dashboards.dashboard import Dashboard, Row
from scripts.dashboards.panels import Panel, Query

HERE = '{instance=~"$node"}'
CARD = "{{instance}} {{name}} {{uuid}}"


def _per_card(metric: str, words: str = "") -> Query:
    return Query(expr=f"{metric}{HERE}", legend=f"{CARD} {words}".rstrip())


def _sum(metric: str) -> tuple[Query, ...]:
    return (Query(expr=f"sum({metric}{HERE})"),)


NOW = Row(
    title="Now",
    panels=(
        Panel(
            kind="stat",
            title="Memory used",
            description="Of all GPUs that report it.",
            queries=(
                Query(
                    expr=(
                        f"sum(samepage_gpu_memory_used_bytes{HERE})"
                        f" / sum(samepage_gpu_memory_total_bytes{HERE})"
                    )
                ),
            ),
            unit="percentunit",
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title="Memory free",
            description="Of all GPUs that report it.",
            queries=_sum("samepage_gpu_memory_free_bytes"),
            unit="bytes",
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title="Busy",
            description=(
                "Mean share of the time with a kernel running; GPUs that report none (MIG) are "
                "left out. Busy is not full."
            ),
            queries=(Query(expr=f"avg(samepage_gpu_busy_ratio{HERE})"),),
            unit="percentunit",
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title="Sharing",
            description="Pods, containers or users that were given a GPU or are on one.",
            queries=_sum("samepage_gpu_tenants"),
            unit="none",
            width=4,
            height=4,
        ),
        Panel(
            kind="stat",
            title="Held idle",
            description="Tenants with a warning or on the admin's list. Nothing is ended.",
            queries=(
                Query(
                    expr=(
                        'sum(samepage_gpu_flags{instance=~"$node", what="idle", '
                        'stage=~"warning|admin"})'
                    )
                ),
            ),
            unit="none",
            width=4,
            height=4,
            steps=(("green", None), ("orange", 1)),
        ),
        Panel(
            kind="stat",
            title="Not usable",
            description="GPUs that are lost, want a reset, or came back only just.",
            queries=(
                Query(expr=f"count(samepage_gpu_healthy{HERE}) - sum(samepage_gpu_healthy{HERE})"),
            ),
            unit="none",
            width=4,
            height=4,
            steps=(("green", None), ("red", 1)),
        ),
    ),
)

CARDS = Row(
    title="Each GPU",
    panels=(
        Panel(
            title="Memory used",
            description="Of the GPU's memory.",
            queries=(
                Query(
                    expr=(
                        f"samepage_gpu_memory_used_bytes{HERE}"
                        f" / samepage_gpu_memory_total_bytes{HERE}"
                    ),
                    legend=CARD,
                ),
            ),
            unit="percentunit",
            width=12,
            most=1,
        ),
        Panel(
            title="Memory free",
            description="What a newcomer finds now; what they may count on, the agent decides.",
            queries=(_per_card("samepage_gpu_memory_free_bytes"),),
            unit="bytes",
            width=12,
        ),
        Panel(
            title="Duty",
            description="Share of the time with a kernel running. A gap: the GPU reports none.",
            queries=(_per_card("samepage_gpu_busy_ratio"),),
            unit="percentunit",
            width=12,
            most=1,
        ),
        Panel(
            title="Sharing",
            description="Tenants, and processes.",
            queries=(
                _per_card("samepage_gpu_tenants", "tenants"),
                _per_card("samepage_gpu_processes", "processes"),
            ),
            unit="none",
            width=12,
        ),
        Panel(
            title="Power",
            description="Drawn by each GPU.",
            queries=(_per_card("samepage_gpu_power_watts"),),
            unit="watt",
        ),
        Panel(
            title="Temperature",
            description="Of each GPU.",
            queries=(_per_card("samepage_gpu_temperature_celsius"),),
            unit="celsius",
            least=None,
        ),
        Panel(
            title="Driver events of the last day",
            description="Xids by code; 13, 31, 43, 45, 68 and 109 are faults of programs.",
            queries=(_per_card("samepage_gpu_xids_day", "Xid {{code}}"),),
            unit="none",
        ),
    ),
)

FINDINGS = Row(
    title="What should not be",
    panels=(
        Panel(
            title="Flags",
            description=(
                "idle: memory held without work. miner: load that looks like mining; look before "
                "you act. Stage none: found, and quiet for a reason (snoozed, exempt)."
            ),
            queries=(
                Query(
                    expr=f"sum by (what, stage) (samepage_gpu_flags{HERE})",
                    legend="{{what}} {{stage}}",
                ),
            ),
            unit="none",
        ),
        Panel(
            title="Uses that differ from what was given",
            description=(
                "bypass: on a GPU that nobody gave. wrong_gpu: on another than given. overshoot: "
                "more than asked for. hoarding: held idle. zombie: of ended processes."
            ),
            queries=(
                Query(expr=f"sum by (kind) (samepage_gpu_differences{HERE})", legend="{{kind}}"),
            ),
            unit="none",
        ),
        Panel(
            title="Memory of such uses",
            description="By kind. unattributed: the driver charges it to no process.",
            queries=(
                Query(
                    expr=f"sum by (kind) (samepage_gpu_differences_bytes{HERE})",
                    legend="{{kind}}",
                ),
            ),
            unit="bytes",
        ),
    ),
)

DECISIONS = Row(
    title="Decisions",
    panels=(
        Panel(
            title="Answers to requests for a GPU",
            description="share, exclusive, wait, unknown.",
            queries=(
                Query(
                    expr=(
                        "sum by (verdict) "
                        f"(increase(samepage_gpu_decisions_total{HERE}[$__rate_interval]))"
                    ),
                    legend="{{verdict}}",
                ),
            ),
            unit="none",
            width=12,
        ),
        Panel(
            title="Reservations",
            description="Memory promised and not taken yet.",
            queries=(Query(expr=f"samepage_gpu_reservations{HERE}", legend="{{instance}}"),),
            unit="none",
            width=12,
        ),
        Panel(
            title="Age of the reading",
            description="A driver that hangs: the age grows, and the values above have a gap.",
            queries=(Query(expr=f"samepage_gpu_reading_age_seconds{HERE}", legend="{{instance}}"),),
            unit="s",
            width=12,
        ),
        Panel(
            title="State of the reader",
            description="ok, no_driver, error, stale, starting: nodes in each.",
            queries=(Query(expr=f"sum by (state) (samepage_gpu_state{HERE})", legend="{{state}}"),),
            unit="none",
            width=12,
        ),
    ),
)

OWNERS = Row(
    title="Owners (where Prometheus may read /metrics/workloads)",
    panels=(
        Panel(
            kind="table",
            title="Who holds GPU memory",
            description="Needs the operator's token (--token-file). Work: of the last 5 minutes.",
            queries=(
                Query(expr=f"topk(50, samepage_gpu_workload_memory_bytes{HERE})"),
                Query(expr=f"samepage_gpu_workload_duty_ratio{HERE}"),
            ),
            unit="none",
            width=24,
            height=10,
            columns={
                "instance": ("Node", ""),
                "uuid": ("GPU", ""),
                "owner": ("Owner", ""),
                "Value #A": ("Memory", "bytes"),
                "Value #B": ("Work", "percentunit"),
            },
        ),
    ),
)

GPU = Dashboard(
    uid="samepage-gpu",
    title="Samepage: GPUs",
    description="Measured use of each GPU, who shares it, and what is held idle.",
    tags=("samepage", "gpu"),
    nodes="samepage_gpu_state",
    rows=(NOW, CARDS, FINDINGS, DECISIONS, OWNERS),
)
