"""Kernels of this node by how they started: totals, a label of five values."""

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from nodeagent.kernels.view import DONOR_STATES, STATES
from nodeagent.loop import Agent


class KernelCollector:
    """From the last reading of the loop."""

    topic = "kernels"

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> Iterator[Metric]:
        """No series of what is not known."""
        status = self._agent.status
        if status is None:
            return
        for name, text, on in (
            ("merge", "1: kernels of this node may opt in.", status.switches.merge),
            ("align", "1: kernels of this node may start aligned.", status.switches.align),
        ):
            yield GaugeMetricFamily(f"samepage_kernels_{name}_switch", text, value=float(on))
        sample = status.ksm.sample
        found = None if sample is None else sample.kernels
        if found is None:
            return
        family = GaugeMetricFamily("samepage_kernels", "Kernels by their start.", labels=["state"])
        for state in STATES:
            family.add_metric([state], float(found.total(state)))
        yield family
        yield GaugeMetricFamily(
            "samepage_kernels_silent_students",
            "Students whose server does not tell.",
            value=float(found.silent),
        )
        donors = GaugeMetricFamily(
            "samepage_donor_kernels", "Donors' kernels beside the students'.", labels=["state"]
        )
        for state in DONOR_STATES:
            donors.add_metric([state], float(found.donors_in(state)))
        yield donors
        yield CounterMetricFamily(
            "samepage_donor_restarts",
            "Times that donors were started anew, as the students' kernels had changed.",
            value=float(status.donor_restarts),
        )


class ImageCollector:
    """The same by image, for the operator: at most 21 images with five states."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> Iterator[Metric]:
        """One gauge."""
        status = self._agent.status
        sample = None if status is None else status.ksm.sample
        found = None if sample is None else sample.kernels
        family = GaugeMetricFamily(
            "samepage_image_kernels", "Kernels by image and start.", labels=["image", "state"]
        )
        for image in found.images if found is not None else ():
            for state in STATES:
                family.add_metric([image.image, state], float(getattr(image, state)))
        yield family
