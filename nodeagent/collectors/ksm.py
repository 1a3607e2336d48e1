"""KSM of this node."""

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from nodeagent.loop import Agent
from nodeagent.view import near_limits


class KsmCollector:
    """From the last reading of the loop: a scrape costs no walk over processes."""

    topic = "ksm"

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> Iterator[Metric]:
        """Absent values (old kernel, no permission, not read yet) give no series."""
        status = self._agent.status
        if status is None:
            return
        report, sample = status.ksm, status.ksm.sample
        yield GaugeMetricFamily(
            "samepage_ksm_supported", "1: this kernel has KSM.", value=float(report.supported)
        )
        phase = GaugeMetricFamily(
            "samepage_ksm_phase", "1 for the phase the agent is in.", labels=["phase"]
        )
        phase.add_metric([report.phase], 1)
        yield phase
        yield CounterMetricFamily(
            "samepage_ksm_knob_writes", "Writes to KSM's settings.", value=report.knob_writes
        )
        yield CounterMetricFamily(
            "samepage_ksm_conflicts", "Times somebody else changed KSM.", value=report.conflicts
        )
        if sample is None:
            return
        page, seen = sample.page_bytes, sample.opted_in
        gauges: list[tuple[str, str, float | None]] = [
            ("running", "1: ksmd runs.", float(sample.run == 1)),
            ("stale", "1: nobody keeps the numbers up to date.", float(report.stale)),
            ("saved_bytes", "Memory KSM spares.", sample.saved_bytes),
            ("shared_bytes", "Memory kept once for many.", sample.pages_shared * page),
            ("profit_bytes", "Memory spared less KSM's tables.", sample.general_profit),
            ("unshared_bytes", "Looked at, no twin.", _times(sample.pages_unshared, page)),
            ("volatile_bytes", "Changes too fast.", _times(sample.pages_volatile, page)),
            ("pages_to_scan", "Pages per batch.", sample.pages_to_scan),
            ("sleep_seconds", "Rest between batches.", sample.sleep_millisecs / 1000),
            ("cpu_ratio", "ksmd's share of a core.", report.cpu_ratio),
            ("opted_in_processes", "Processes that opted in.", seen.processes),
            ("opted_in_workloads", "Pods or containers that opted in.", seen.workloads),
            ("candidate_bytes", "Private memory opted in.", seen.candidate_bytes),
            ("zero_bytes", "Saved by the zero page.", _times(sample.zero_pages, page)),
            ("donors", "Opted-in processes of the node itself.", sample.donors),
            ("uninvited_processes", "Opted in unexpectedly.", sample.uninvited),
            ("limited_containers", "Memory limits watched.", len(sample.charges)),
            ("near_limit_containers", "Of them close.", near_limits(sample)),
            ("last_pass_yield_bytes", "Gained per CPU second of ksmd.", report.gain_yield),
        ]
        for name, text, value in gauges:
            if value is not None:
                yield GaugeMetricFamily(f"samepage_ksm_{name}", text, value=float(value))
        room = report.room
        if room is not None:
            for name, text, value in (
                ("students", "Owners of opted-in processes.", room.students),
                ("students_room", "Further students that fit.", room.room_for),
                ("student_bytes", "Private memory of each, mean.", room.bytes_each),
                ("student_unshared_bytes", "Of it shared by nobody.", room.unmerged_bytes_each),
            ):
                if value is not None:
                    yield GaugeMetricFamily(f"samepage_{name}", text, value=float(value))
        counters: list[tuple[str, str, float | None]] = [
            ("samepage_ksm_full_scans", "Passes over everything.", sample.full_scans),
            ("samepage_ksm_pages_scanned", "Pages looked at.", sample.pages_scanned),
            ("samepage_ksmd_cpu_seconds", "CPU ksmd has used.", sample.ksmd_cpu_seconds),
            ("samepage_ksm_cow_faults", "Merged pages copied by a write.", sample.cow_faults),
        ]
        for name, text, count in counters:
            if count is not None:
                yield CounterMetricFamily(name, text, value=float(count))


def _times(pages: int | None, page_bytes: int) -> int | None:
    return None if pages is None else pages * page_bytes
