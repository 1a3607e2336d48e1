"""The node's cache of course repositories: totals only, nothing of a single course."""

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from nodeagent.coursecache.keeper import CourseKeeper


class CourseCacheCollector:
    """How often servers were asked, what came, and how old the oldest copy is."""

    topic = "course_cache"

    def __init__(self, keeper: CourseKeeper) -> None:
        self._keeper = keeper

    def collect(self) -> Iterator[Metric]:
        """Ages only of courses that were fetched since the agent started."""
        totals, courses = self._keeper.totals, list(self._keeper.courses.values())
        for name, text, value in (
            ("requests", "Times a course's git server was asked.", totals.requests),
            ("fetches", "Answers that were good.", totals.fetches),
            ("failures", "Fetches that failed.", totals.failures),
            ("throttled", "Answers 429 and 503.", totals.throttled),
            ("received_bytes", "Git objects that arrived.", totals.bytes),
        ):
            yield CounterMetricFamily(f"samepage_course_cache_{name}", text, value=value)
        yield GaugeMetricFamily(
            "samepage_course_cache_courses", "Courses that are kept.", value=len(courses)
        )
        yield GaugeMetricFamily(
            "samepage_course_cache_failing",
            "Courses whose last fetch failed.",
            value=sum(1 for course in courses if course.failures),
        )
        times = [course.fetched_at for course in courses if course.fetched_at is not None]
        if times:
            yield GaugeMetricFamily(
                "samepage_course_cache_oldest_fetch_timestamp_seconds",
                "Epoch time of the last good fetch of the course where that is longest ago.",
                value=min(times),
            )
