"""How the NVIDIA device plugin should share this node's GPUs, from a week of measurements. Pure.

It says what it would set and why. It sets nothing.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from nodeagent.gpu.history import BUSY_BINS, MEMORY_BINS, Row
from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.sharing.rejection import gib

Sharing = Literal["exclusive", "time_slicing", "mps", "unknown"]

_HOURS_NEEDED = 24.0
_BLIND_MOST = 0.25
_DUTY_LEAST = 0.25
"""Of the tenants' time that it was known whether they worked."""
_WORKING_AT_ONCE = 2
"""So many may work at the same time without much harm: latency grows with each."""
_TOO_MANY_SHARE = 0.10
"""Of the time in which more may work than that."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """For GPUs of one kind. `replicas` 1: no sharing. `why`: one sentence each."""

    resource: str
    name: str
    gpus: int
    sharing: Sharing
    replicas: int
    hours: float
    why: tuple[str, ...]


def advise(rows: Iterable[Row], policy: Policy) -> tuple[Advice, ...]:
    """One for each kind of GPU or MIG profile that was seen."""
    groups: dict[tuple[str, str], list[Row]] = {}
    # A card that is cut into instances is not given out itself.
    listed = list(rows)
    cut = {row.uuid for row in listed if row.kind == "gpu"} & _parents(listed)
    for row in listed:
        if row.uuid in cut:
            continue
        resource = f"nvidia.com/mig-{row.profile}" if row.kind == "mig" else "nvidia.com/gpu"
        name = row.profile if row.kind == "mig" else row.name
        groups.setdefault((resource, name), []).append(row)
    return tuple(_of_group(*key, group, policy) for key, group in sorted(groups.items()))


def _parents(rows: list[Row]) -> set[str]:
    return {row.parent for row in rows if row.parent}


def _of_group(resource: str, name: str, rows: list[Row], policy: Policy) -> Advice:
    hours = sum(row.seconds for row in rows) / 3600
    gpus = len({row.uuid for row in rows})

    def answer(sharing: Sharing, replicas: int, *why: str) -> Advice:
        return Advice(
            resource=resource,
            name=name,
            gpus=gpus,
            sharing=sharing,
            replicas=replicas,
            hours=round(hours, 1),
            why=why,
        )

    if hours < _HOURS_NEEDED * gpus:
        return answer(
            "unknown",
            1,
            f"Watched for {hours / gpus:.0f} h per GPU; {_HOURS_NEEDED:.0f} h are the least, a "
            "week is better.",
        )
    blind = sum(row.blind_seconds for row in rows) / sum(row.seconds for row in rows)
    if blind > _BLIND_MOST:
        text = f"For {blind:.0%} of the time its processes, or what they held, were not known."
        return answer("unknown", 1, text)
    tenant_seconds = sum(row.tenant_seconds for row in rows)
    if tenant_seconds <= 0:
        return answer("exclusive", 1, "Nobody used it: there is nothing to share.")
    total = max(row.total_bytes for row in rows)
    if total <= 0:
        return answer("unknown", 1, "Its memory is not known.")
    by_memory, memory_why = _by_memory(rows, total, policy)
    by_work, work_why = _by_duty(rows, tenant_seconds, policy)
    replicas = max(1, min(by_memory, by_work, policy.time_slicing_clients))
    cap_why = f"At most {policy.time_slicing_clients} by policy."
    busy = _busy_why(rows)
    if replicas == 1:
        return answer("exclusive", 1, memory_why, work_why, busy)
    if resource == "nvidia.com/gpu" and _one_user(rows) and _crowded(rows):
        return answer(
            "mps",
            replicas,
            memory_why,
            work_why,
            cap_why,
            busy,
            "Nearly always the processes on a GPU are of one user, and several work at once: under "
            "MPS they run side by side, and one's fatal fault ends only that user's work.",
        )
    return answer(
        "time_slicing",
        replicas,
        memory_why,
        work_why,
        cap_why,
        busy,
        "Time-slicing isolates no memory: a replica is a ticket, not a part of the GPU.",
    )


def _by_memory(rows: list[Row], total: int, policy: Policy) -> tuple[int, str]:
    """How many tenants of the usual large size fit."""
    held = _sum(row.held for row in rows)
    usual = (_quantile(held, 0.95) + 1) * total // MEMORY_BINS
    reserved = max(row.reserved_bytes for row in rows)
    headroom = max(int(total * policy.headroom_share), policy.headroom_bytes)
    fit = (total - reserved - headroom) // max(usual, policy.context_bytes)
    return fit, (
        f"95 % of the time a tenant holds at most {gib(usual)}: {fit} of them fit into "
        f"{gib(total)} with {gib(headroom)} kept free."
    )


def _by_duty(rows: list[Row], tenant_seconds: float, policy: Policy) -> tuple[int, str]:
    """How many may share by how often they work; as if always, where that is not known."""
    known = sum(row.duty_seconds for row in rows)
    if known < _DUTY_LEAST * tenant_seconds:
        return _WORKING_AT_ONCE, (
            f"How often a tenant works was known for {known / tenant_seconds:.0%} of the time only "
            "(MIG instances do not tell): counted as always."
        )
    working = sum(row.active_seconds for row in rows) / known
    by_work = _by_work(working, policy.time_slicing_clients)
    return by_work, (
        f"A tenant works {working:.0%} of the time: with {by_work} of them more than "
        f"{_WORKING_AT_ONCE} work at once for at most {_TOO_MANY_SHARE:.0%} of the time."
    )


def _by_work(working: float, most: int) -> int:
    """The largest number of tenants of whom rarely too many work at once (binomially)."""
    best = 1
    for count in range(2, most + 1):
        few = sum(
            math.comb(count, some) * working**some * (1 - working) ** (count - some)
            for some in range(min(_WORKING_AT_ONCE, count) + 1)
        )
        if 1 - few > _TOO_MANY_SHARE:
            break
        best = count
    return best


def _busy_why(rows: list[Row]) -> str:
    busy = _sum(row.busy for row in rows)
    if not busy:
        return "How busy it was is not known."
    share = (_quantile(busy, 0.9) + 1) / BUSY_BINS
    return f"It was less than {share:.0%} busy for 90 % of the time."


def _one_user(rows: list[Row]) -> bool:
    users = _sum(row.users for row in rows)
    used = sum(seconds for count, seconds in users.items() if count > 0)
    alone = users.get(1, 0.0)
    return used > 0 and alone / used >= 0.99


def _crowded(rows: list[Row]) -> bool:
    active = _sum(row.active for row in rows)
    working = sum(seconds for count, seconds in active.items() if count > 0)
    several = sum(seconds for count, seconds in active.items() if count > 1)
    return working > 0 and several / working >= 0.2


def _sum(bins: Iterable[dict[str, float]]) -> dict[int, float]:
    found: dict[int, float] = {}
    for each in bins:
        for number, seconds in each.items():
            found[int(number)] = found.get(int(number), 0.0) + seconds
    return found


def _quantile(bins: dict[int, float], share: float) -> int:
    left = share * sum(bins.values())
    for number in sorted(bins):
        left -= bins[number]
        if left <= 1e-6:
            return number
    return max(bins, default=0)


def config_map(advices: Iterable[Advice], node: str) -> str:
    """YAML of a ConfigMap with one configuration of the plugin, which takes one method per node.
    Empty: there is nothing to share."""
    shared = [each for each in advices if each.replicas > 1]
    methods = {each.sharing for each in shared}
    if not shared:
        return ""
    method = "mps" if methods == {"mps"} else "timeSlicing"
    counts: dict[str, int] = {}
    for each in shared:
        # One number per resource: the smallest that suits every kind of card under that name.
        counts[each.resource] = min(each.replicas, counts.get(each.resource, each.replicas))
    lines = [
        "apiVersion: v1",
        "kind: ConfigMap",
        "metadata:",
        "  name: nvidia-device-plugin-samepage",
        "  namespace: nvidia-device-plugin",
        "data:",
        f"  {_key(node)}: |",
        "    version: v1",
        "    sharing:",
        f"      {method}:",
        "        failRequestsGreaterThanOne: true",
        "        resources:",
    ]
    for resource, replicas in sorted(counts.items()):
        lines += [f"          - name: {resource}", f"            replicas: {replicas}"]
    return "\n".join(lines) + "\n"


def _key(node: str) -> str:
    """As a key of a ConfigMap may be."""
    return "".join(each if each.isalnum() or each in "-_." else "-" for each in node)
