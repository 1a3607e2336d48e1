"""The dashboards and alerts of deploy/dashboards, against Grafana's schema and a real agent."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.core import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from nodeagent.collectors.ksm import KsmCollector
from nodeagent.http.private import WorkloadCollector
from nodeagent.ksm.decide import Phase
from nodeagent.ksm.room import Room, Share
from nodeagent.workloads.owner import Owner
from scripts.dashboards import prometheus
from scripts.dashboards.__main__ import rendered
from scripts.dashboards.answers import Span, ask
from scripts.dashboards.drawing import draw
from scripts.dashboards.node import PHASES
from scripts.dashboards.prometheus import Job, PrometheusError
from scripts.dashboards.themes import THEMES
from scripts.dashboards.units import written
from tests.integration import promexpr
from tests.integration.agentrun import agent, wait_for
from tests.integration.promexpr import SCRAPED, Expression
from tests.unit.nodeagent import support
from tests.unit.nodeagent.test_collectors import agent as agent_with

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "dashboards"
ALERTS = FOLDER / "alerts.yaml"
BOARDS = ("samepage-node", "samepage-gpu")
PROMTOOL = prometheus.find("promtool")
GIB = 2**30

# What a T4 with a process and an H200 without a load report.
STUDENT = 100
CARDS = f"""driver 590.01
count 2
gpu0.uuid GPU-aaaa
gpu0.name Tesla T4
gpu0.total {16 * GIB}
gpu0.reserved {GIB // 4}
gpu0.used {9 * GIB}
gpu0.free {6 * GIB}
gpu0.busy 40
gpu0.membusy 12
gpu0.power 65000
gpu0.powerlimit 70000
gpu0.temp 61
gpu0.computemode 0
gpu0.mig 0 0
gpu0.ecc 0
gpu0.procs 1
gpu0.proc0 {STUDENT} {9 * GIB} C
gpu0.utils 0
gpu1.uuid GPU-bbbb
gpu1.name NVIDIA H200
gpu1.total {141 * GIB}
gpu1.used 0
gpu1.free {141 * GIB}
gpu1.procs 0
events 1
event0 0 8 31
"""

Labels = dict[str, list[dict[str, str]]]
"""Of each series by metric."""


@dataclass(frozen=True, kw_only=True)
class Pages:
    """What a running agent says at each address, and what collectors with a class at work say."""

    node: str
    workloads: str
    collected: str


def board(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def panels(name: str) -> list[Any]:
    found = []
    for panel in board(name)["panels"]:
        found += [panel, *panel.get("panels", [])]
    return [panel for panel in found if panel["type"] != "row"]


def rules() -> list[Any]:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_written_files_are_what_the_script_says() -> None:
    for path, text in rendered().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: type make dashboards"
    assert {path.stem for path in rendered()} == set(BOARDS)


def test_the_phases_are_those_of_the_agent() -> None:
    assert {name for name, _ in PHASES} == {*get_args(Phase), "off"}


@pytest.mark.parametrize("name", BOARDS)
def test_grafana_knows_every_field(name: str) -> None:
    """Read with Grafana's own types and written again, nothing is lost and nothing changed."""
    register_default_plugins()
    before = board(name)
    after = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(before)))
    assert list(lost(before, after, name)) == []
    assert before["schemaVersion"] == Dashboard().schema_version


def lost(before: Any, after: Any, at: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from lost(value, after[key], f"{at}.{key}")
            else:
                yield f"{at}.{key}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{at}[{number}]")
    elif before != after:
        yield f"{at}: {before!r} became {after!r}"


@pytest.mark.parametrize("name", BOARDS)
def test_panels_stand_beside_each_other(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board(name)["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in board(name)["panels"]]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_explains_itself_and_nothing_unknown_becomes_zero(name: str) -> None:
    for panel in panels(name):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["noValue"] == "not known"
        assert not defaults.get("custom", {}).get("spanNulls")
        for target in panel["targets"]:
            assert "or vector(0)" not in target["expr"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("the stand-in library needs a C compiler")
    folder = tmp_path_factory.mktemp("nvml")
    source = ROOT / "tests/standins/nvml/nvml_standin.c"
    target = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(target), str(source)], check=True)
    return folder


@pytest.fixture(scope="module")
def pages(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """Of a real agent on a fake kernel and the stand-in driver, and of collectors with a status
    for the few that need a class at work."""
    folder = tmp_path_factory.mktemp("agent")
    cards = folder / "nvml.txt"
    cards.write_text(CARDS)
    root = support.build_root(folder, pages_sharing=51200, pages_shared=100, general_profit=5)
    (root.proc / "vmstat").write_text("cow_ksm 12\n")
    (root.proc / "pressure").mkdir()
    for name in ("memory", "cpu"):
        stall = "avg10=1.00 avg60=0.00 avg300=0.00 total=0"
        (root.proc / "pressure" / name).write_text(f"some {stall}\nfull {stall}\n")
    for number in range(3):
        root.process(STUDENT + number, private_mib=200, cgroup=f"0::/docker/{number:064x}")
    stat = f"{STUDENT} (python3) S 1 " + "0 " * 17 + "5000 0 0\n"
    (root.proc / str(STUDENT) / "stat").write_text(stat)
    status = f"Uid:\t1000\t1000\t1000\t1000\nNSpid:\t{STUDENT}\t7\n"
    (root.proc / str(STUDENT) / "status").write_text(status)
    # Its work is told at once only if it starts while the agent watches: 50 s after this boot.
    (root.proc / "stat").write_text(f"cpu 0\nbtime {int(time.time()) - 45}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_LIBRARY_PATH", str(library))
        patch.setenv("SAMEPAGE_NVML_STANDIN", str(cards))
        flags = ("--sys-root", root.sys, "--proc-root", root.proc, "--state-dir", root.state)
        with agent(
            *map(str, flags), "--mode", "observe", "--gpu-interval", "1", log=folder / "log"
        ) as running:
            mine = root.state / "agent.sock"

            def told() -> bool:
                page = running.get("/metrics")[2].decode()
                # The duty of a process is known from the second reading on.
                private = over_socket(mine, "/metrics/workloads")
                return "samepage_gpu_xids_day{" in page and "workload_duty_ratio{" in private

            wait_for(told, lambda: over_socket(mine, "/metrics/workloads"))
            node = running.get("/metrics")[2].decode()
            workloads = over_socket(mine, "/metrics/workloads")
    known = collected(tmp_path_factory.mktemp("class"))
    return Pages(node=node, workloads=workloads, collected=known)


@pytest.fixture(scope="module")
def series(pages: Pages) -> Labels:
    """All metrics of the pages."""
    found: Labels = {}
    for page in (pages.node, pages.workloads, pages.collected):
        add(found, page)
    return found


def over_socket(path: Path, page: str) -> str:
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("GET", page)
    answer = connection.getresponse().read().decode()
    connection.close()
    return answer


def collected(folder: Path) -> str:
    """Room and yield are known only after ksmd has been at work, shares only with a student."""
    room = Room(
        students=2, bytes_each=9, unmerged_bytes_each=4, room_for=7, room_unmerged=3, why="mean"
    )
    share = Share(
        owner=Owner(kind="pod", name="p"),
        processes=1,
        private_bytes=5,
        merged_bytes=4,
        zero_bytes=0,
        saved_bytes=4,
        table_bytes=1,
        donor=False,
        invited=True,
    )
    registry = CollectorRegistry()
    made = agent_with(support.build_root(folder), support.status(room=room, gain_yield=5.0))
    registry.register(KsmCollector(made))
    registry.register(WorkloadCollector((share,)))
    return generate_latest(registry).decode()


def add(found: Labels, page: str) -> None:
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(dict(sample.labels))


def check(expression: Expression, series: Labels) -> frozenset[str]:
    """Every metric is told, with these labels; the labels of the result."""
    labels: frozenset[str] = SCRAPED
    for selector in expression.selectors:
        assert selector.metric in series, f"{selector.metric}: the agent has no such metric"
        own = frozenset(series[selector.metric][0])
        asked = {name for name, _, _ in selector.matchers} - SCRAPED
        assert asked <= own, f"{selector.metric} has the labels {sorted(own)}"
        labels |= own
    assert expression.grouped <= labels, expression.text
    return labels if expression.by is None else expression.by


@pytest.mark.parametrize("name", BOARDS)
def test_every_expression_asks_for_what_the_agent_tells(name: str, series: Labels) -> None:
    for panel in panels(name):
        for target in panel["targets"]:
            labels = check(promexpr.read(target["expr"]), series)
            named = set(re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]))
            assert named <= labels, f"{panel['title']}: {target['legendFormat']}"
        if panel["type"] == "table":
            columns = panel["transformations"][1]["options"]["include"]["names"]
            values = {f"Value #{target['refId']}" for target in panel["targets"]}
            assert values <= set(columns)
            assert set(columns) - values <= labels, panel["title"]


def test_every_alert_asks_for_what_the_agent_tells(series: Labels) -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        labels = check(promexpr.read(rule["expr"]), series)
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        for text in rule["annotations"].values():
            named = set(re.findall(r"\$labels\.(\w+)", text))
            assert named <= labels, f"{rule['alert']}: {text}"


def test_words_in_matchers_are_words_of_the_agent(series: Labels) -> None:
    """A misspelt stage matches nothing, and nobody would notice."""
    texts = [rule["expr"] for rule in rules()]
    texts += [
        target["expr"] for name in BOARDS for each in panels(name) for target in each["targets"]
    ]
    seen = 0
    for text in texts:
        for selector in promexpr.read(text).selectors:
            if selector.metric != "samepage_gpu_flags":
                continue
            for label, operator, value in selector.matchers:
                if label in SCRAPED:
                    continue
                words = {each[label] for each in series[selector.metric]}
                wanted = set(value.split("|")) if operator.endswith("Re") else {value}
                assert wanted <= words, f"{selector.metric}: {label} is one of {sorted(words)}"
                seen += 1
    assert seen >= 4


def test_wrong_expressions_would_be_found(series: Labels) -> None:
    with pytest.raises(ValueError, match="parenthesis"):
        promexpr.read("sum(samepage_ksm_saved_bytes")
    for text in (
        "samepage_ksm_saved",
        'samepage_ksm_saved_bytes{node="a"}',
        "sum by (pod) (samepage_ksm_saved_bytes)",
    ):
        with pytest.raises(AssertionError):
            check(promexpr.read(text), series)


@pytest.fixture(scope="module")
def scraped(pages: Pages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """A real Prometheus that has scraped the pages of two nodes long enough for rates."""
    program = prometheus.find()
    if program is None:
        pytest.skip("prometheus is not installed (Debian: prometheus)")
    told = {"/metrics": pages.node, "/metrics/workloads": pages.workloads, "/2": pages.collected}
    every = 0.4
    with served(told) as address:
        jobs = [
            Job(name=f"job{path}", address=address, path=path, instance=f"n{int(path == '/2')}")
            for path in told
        ]
        folder = tmp_path_factory.mktemp("prometheus")
        with prometheus.running(program, folder, jobs, every=every) as running:
            begin = time.time()

            def rates() -> bool:
                found = running.now('count_over_time(up{job="job/2"}[1m])', time.time())
                return bool(found) and found[0].points[-1][1] >= 6

            wait_for(rates, (folder / "prometheus.log").read_text)
            yield Asked(prometheus=running, span=Span(begin=begin, end=time.time(), scraped=every))


@dataclass(frozen=True, kw_only=True)
class Asked:
    prometheus: prometheus.Prometheus
    span: Span


@contextlib.contextmanager
def served(told: dict[str, str]) -> Iterator[str]:
    """An address that answers with these pages."""

    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = told[self.path].encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_has_data_in_a_real_prometheus(
    name: str, scraped: Asked, tmp_path: Path
) -> None:
    answers = {panel["id"]: ask(scraped.prometheus, panel, scraped.span) for panel in panels(name)}
    for panel in panels(name):
        for answer in answers[panel["id"]]:
            assert answer.series, f"{panel['title']}, query {answer.letter}: no data"
            for legend, each in answer.series:
                assert legend or len(answer.series) == 1, panel["title"]
                assert "{{" not in legend
                assert each.points
    picture = tmp_path / f"{name}.png"
    draw(board(name), answers, scraped.span, THEMES["dark"], picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_query_that_is_wrong_is_told(scraped: Asked) -> None:
    with pytest.raises(PrometheusError, match=r"sum\(.*parse error"):
        scraped.prometheus.now("sum(", scraped.span.end)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "bytes", "0 B"),
        (1536, "bytes", "1.5 KiB"),
        (-2.5 * 2**20, "bytes", "-2.5 MiB"),
        (1023.9 * 2**30, "bytes", "1024 GiB"),
        (0.0159, "percentunit", "1.59%"),
        (612, "none", "612"),
        (64.26, "celsius", "64.3 °C"),
    ],
)
def test_values_in_words(value: float, unit: str, text: str) -> None:
    assert written(value, unit) == text


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
class TestPromtool:
    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        assert PROMTOOL is not None
        return subprocess.run(
            [PROMTOOL, *map(str, arguments)], capture_output=True, text=True, check=False
        )

    def test_rules_are_valid(self) -> None:
        done = self.run("check", "rules", ALERTS)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_alerts_come_when_they_should_and_only_then(self, tmp_path: Path) -> None:
        """A node whose merging costs, one that is well, and a GPU that is held idle and full."""
        gpu = 'instance="n1", uuid="GPU-a", name="T4"'
        inputs = {
            'samepage_ksm_profit_bytes{instance="n1"}': "-4194304x60",
            'samepage_ksm_profit_bytes{instance="n2"}': "4096x60",
            'samepage_gpu_flags{instance="n1", what="idle", stage="admin"}': "1x60",
            'samepage_gpu_flags{instance="n1", what="idle", stage="warning"}': "3x60",
            'samepage_gpu_flags{instance="n1", what="miner", stage="admin"}': "0x60",
            'samepage_kernels{instance="n1", state="alike"}': "6x60",
            'samepage_kernels{instance="n1", state="drifted"}': "3x60",
            'samepage_kernels{instance="n2", state="alike"}': "20x60",
            'samepage_kernels{instance="n2", state="drifted"}': "1x60",
            'samepage_donor_kernels{instance="n1", state="drifted"}': "1x60",
            'samepage_donor_kernels{instance="n1", state="stock"}': "1x60",
            'samepage_donor_kernels{instance="n2", state="alike"}': "2x60",
            f"samepage_gpu_memory_free_bytes{{{gpu}}}": "1x60",
            f"samepage_gpu_memory_total_bytes{{{gpu}}}": "1000x60",
            f"samepage_gpu_tenants{{{gpu}}}": "2x60",
        }
        expected = {
            "SamepageMergingCosts": [{"instance": "n1"}],
            "SamepageKernelsDrift": [{"instance": "n1"}],
            "SamepageDonorsUnlike": [{"instance": "n1"}],
            "SamepageGpuHeldIdle": [{"instance": "n1"}],
            "SamepageGpuLooksLikeMining": [],
            "SamepageGpuFull": [{"instance": "n1", "uuid": "GPU-a", "name": "T4"}],
            "SamepageOtherTuner": [],
        }
        by_name = {rule["alert"]: rule for rule in rules()}
        tests = [
            {
                "interval": "1m",
                "input_series": [{"series": k, "values": v} for k, v in inputs.items()],
                "alert_rule_test": [
                    {
                        "eval_time": "50m",
                        "alertname": name,
                        "exp_alerts": [
                            {"exp_labels": labels | by_name[name]["labels"], "exp_annotations": {}}
                            for labels in found
                        ],
                    }
                    for name, found in expected.items()
                ],
            }
        ]
        # Only the rules' conditions are of interest here, not their sentences.
        silent = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
        for group in silent["groups"]:
            for rule in group["rules"]:
                rule.pop("annotations")
        (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(silent))
        file = tmp_path / "test.yaml"
        file.write_text(yaml.safe_dump({"rule_files": ["alerts.yaml"], "tests": tests}))
        done = self.run("test", "rules", file)
        assert done.returncode == 0, done.stdout + done.stderr
