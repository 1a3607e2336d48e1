"""A Prometheus of one's own: started on loopback, asked over its HTTP API, gone afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_UNPACKED = Path(__file__).parents[2] / ".cache" / "prometheus" / "usr" / "bin"
_START_SECONDS = 30.0
_ANSWER_SECONDS = 10.0


class PrometheusError(Exception):
    """It did not start, or refused a question."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is scraped: `address` is host:port, `token_file` goes along where there is one."""

    name: str
    address: str
    instance: str
    path: str = "/metrics"
    token_file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Series:
    """Labels, and pairs of epoch seconds and value in the order of time; one pair: now."""

    labels: dict[str, str]
    points: tuple[tuple[float, float], ...] = field(repr=False)


def find(program: str = "prometheus") -> str | None:
    """Path of `prometheus` or `promtool`: $SAMEPAGE_PROMETHEUS, $SAMEPAGE_PROMTOOL, else on PATH,
    else below .cache/prometheus, where Debian's package can be unpacked without starting a service.
    """
    named = os.environ.get(f"SAMEPAGE_{program.upper()}")
    return named or shutil.which(program) or shutil.which(program, path=str(_UNPACKED))


class Prometheus:
    """A running one at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def now(self, expr: str, at: float) -> tuple[Series, ...]:
        """What `expr` is at epoch seconds `at`. PrometheusError: it is no valid query."""
        found = self._ask("query", query=expr, time=f"{at:.3f}")
        return tuple(_series(each, [each["value"]]) for each in found)

    def over(self, expr: str, begin: float, end: float, step: float) -> tuple[Series, ...]:
        """`expr` from `begin` to `end`, every `step` seconds. PrometheusError as above."""
        found = self._ask(
            "query_range", query=expr, start=f"{begin:.3f}", end=f"{end:.3f}", step=f"{step:g}"
        )
        return tuple(_series(each, each["values"]) for each in found)

    def ready(self) -> bool:
        """Whether it answers questions yet."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=_ANSWER_SECONDS) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _ask(self, what: str, **parameters: str) -> list[Any]:
        body = urllib.parse.urlencode(parameters).encode()
        try:
            with urllib.request.urlopen(
                f"{self.url}/api/v1/{what}", data=body, timeout=_ANSWER_SECONDS
            ) as answer:
                found: list[Any] = json.load(answer)["data"]["result"]
                return found
        except urllib.error.HTTPError as err:
            with err:
                said = err.read().decode(errors="replace")
            raise PrometheusError(f"{parameters['query']}: {said}") from None


def _series(found: Any, points: Sequence[Any]) -> Series:
    return Series(
        labels=found["metric"], points=tuple((float(at), float(value)) for at, value in points)
    )


@contextlib.contextmanager
def running(
    program: str, folder: Path, jobs: Sequence[Job], *, every: float
) -> Iterator[Prometheus]:
    """`program` with its data in `folder`, scraping `jobs` each `every` seconds.

    PrometheusError: it did not start within half a minute, with what it wrote.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "prometheus.yml"
    settings.write_text(yaml.safe_dump(_configuration(jobs, every)))
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={settings}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    made = Prometheus(f"http://127.0.0.1:{port}")
    try:
        until = time.monotonic() + _START_SECONDS
        while not made.ready():
            if process.poll() is not None or time.monotonic() > until:
                raise PrometheusError(
                    f"{program} did not start. It wrote:\n{log.read_text(errors='replace')[-2000:]}"
                )
            time.sleep(0.05)
        yield made
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _configuration(jobs: Sequence[Job], every: float) -> dict[str, Any]:
    span = f"{round(every * 1000)}ms"
    return {
        "global": {"scrape_interval": span, "scrape_timeout": span},
        "scrape_configs": [
            {
                "job_name": job.name,
                "metrics_path": job.path,
                "static_configs": [{"targets": [job.address]}],
                "relabel_configs": [{"target_label": "instance", "replacement": job.instance}],
                **(
                    {}
                    if job.token_file is None
                    else {"authorization": {"credentials_file": str(job.token_file)}}
                ),
            }
            for job in jobs
        ],
    }
