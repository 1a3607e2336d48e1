"""The status page: one self-contained HTML text, no scripts, nothing from elsewhere. Pure."""

import base64
import hashlib
import time
from html import escape

from nodeagent.errors import Problem
from nodeagent.gpu.model import GpuReport
from nodeagent.history import Point
from nodeagent.http.chart import draw
from nodeagent.http.words import age_text, bytes_text, percent_text
from nodeagent.kernels.view import section as kernels_section
from nodeagent.ksm.control import KsmReport
from nodeagent.view import NodeStatus, near_limits

STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--quiet:#59636e;--paper:#f6f7f9;--card:#fff;
--edge:#d7dce2;--accent:#0b6e99;--fill:#0b6e9926;--good:#1a7f37;--bad:#b42318;--warn:#8a5a00;--track:#e4e8ec}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--quiet:#9aa5b1;--paper:#14171b;--card:#1d2127;
--edge:#343b44;--accent:#5bb8e0;--fill:#5bb8e030;--good:#56c271;--bad:#ff8a7a;--warn:#e3b341;
--track:#30363e}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}
main{max-width:60rem;margin:0 auto;padding:1.5rem 1rem 3rem}
header{display:flex;flex-wrap:wrap;align-items:baseline;
justify-content:space-between;gap:.25rem 1rem}
h1{font-size:1.35rem;margin:0}h2{font-size:1rem;margin:0 0 .5rem}
section{background:var(--card);border:1px solid var(--edge);border-radius:10px;padding:1rem 1.15rem;
margin-top:1rem}
.quiet{color:var(--quiet)}.big{font-size:2.1rem;line-height:1.2;font-weight:650;margin:0}
.state{display:inline-flex;align-items:center;gap:.45rem;font-weight:600}
.state::before{content:"";width:.65rem;height:.65rem;border-radius:50%;background:var(--quiet)}
.state.on::before{background:var(--good)}.state.bad::before{background:var(--bad)}
.top{display:grid;grid-template-columns:minmax(13rem,1fr) 2fr;gap:1.25rem}
@media(max-width:40rem){.top{grid-template-columns:1fr}}
p{margin:.25rem 0}dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(11.5rem,1fr));
gap:.6rem 1rem;margin:.75rem 0 0}dt{color:var(--quiet);font-size:.85rem}dd{margin:0;
font-variant-numeric:tabular-nums}
.problem{border-left:4px solid var(--warn)}.problem h2{color:var(--warn)}
svg{display:block;width:100%;height:auto}.grid{stroke:var(--edge)}.mark{stroke:var(--quiet)}
.line{fill:none;stroke:var(--accent);stroke-width:2;stroke-linejoin:round}.area{fill:var(--fill)}
.tick,.unit{fill:var(--quiet);font-size:12px}.end{text-anchor:end}.middle{text-anchor:middle}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.35rem 1rem .35rem 0;border-bottom:1px solid var(--edge)}
th{color:var(--quiet);font-weight:500;font-size:.85rem}tr:last-child td{border-bottom:0}
progress{appearance:none;width:100%;height:.7rem;border:0;border-radius:.35rem;overflow:hidden;
background:var(--track)}progress::-webkit-progress-bar{background:var(--track)}
progress::-webkit-progress-value{background:var(--accent)}
progress::-moz-progress-bar{background:var(--accent)}
footer{margin-top:1.25rem;font-size:.9rem}a{color:var(--accent)}
"""

_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CSP = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

_PHASES = {
    "rest": "resting",
    "burst": "merging new memory",
    "settle": "finishing",
    "verify": "checking",
    "hold": "held by a guard",
    "yield": "standing back",
    "watch": "watching",
    "off": "off",
}
_MODES = {
    "tune": "steers KSM",
    "observe": "observes KSM, changes nothing",
    "off": "leaves KSM alone",
}


def _sentence(text: str) -> str:
    text = text.strip()
    return escape(f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}")


def _facts(pairs: list[tuple[str, str]]) -> str:
    rows = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in pairs)
    return f"<dl>{rows}</dl>"


def _problem(problem: Problem) -> str:
    return (
        f'<section class="problem"><h2>Needs attention</h2><p>{_sentence(problem.message)}</p>'
        f'<p class="quiet">{_sentence(problem.fix)}</p></section>'
    )


def _ksm_word(report: KsmReport) -> tuple[str, str]:
    """(words, class) for KSM's state."""
    if not report.supported:
        return "KSM: not in this kernel", "bad"
    if report.sample is None:
        return "KSM: not read", ""
    if report.sample.run == 1:
        return "KSM: on", "on"
    return "KSM: off", ""


def _ksm(status: NodeStatus, points: tuple[Point, ...]) -> str:
    report, sample = status.ksm, status.ksm.sample
    words, kind = _ksm_word(report)
    phase = (
        f", {_PHASES[report.phase]}" if report.phase in _PHASES and report.phase != "off" else ""
    )
    saved = None if sample is None else sample.saved_bytes
    stale = (
        '<p class="quiet">Nobody keeps this number up to date at the moment.</p>'
        if report.stale
        else ""
    )
    pairs: list[tuple[str, str]] = []
    if sample is not None:
        seen = sample.opted_in
        pairs = [
            ("Processes that opted in", _count(seen.processes)),
            ("Their private memory", bytes_text(seen.candidate_bytes)),
            ("Saved, less KSM's tables", bytes_text(sample.general_profit)),
            ("ksmd, share of a core", percent_text(report.cpu_ratio)),
            ("Full scans", _count(sample.full_scans)),
            (
                "Scan rate",
                f"{sample.pages_to_scan:,} pages, rest {sample.sleep_millisecs:,} ms",
            ),
        ]
    return (
        f'<section><div class="top"><div><h2>Memory saved by merging</h2>'
        f'<p class="big">{bytes_text(saved)}</p>{stale}'
        f'<p class="state {kind}">{escape(words + phase)}</p>'
        f'<p class="quiet">{_sentence(report.why)}</p></div>'
        f"<div>{draw(points, interval=status.interval_seconds)}</div></div>"
        f"{_facts(pairs)}</section>"
    )


def _count(value: int | None) -> str:
    return "—" if value is None else f"{value:,}"


def _memory(status: NodeStatus) -> str:
    total, available = status.memory.total_bytes, status.memory.available_bytes
    used = total - available
    return (
        f"<section><h2>Memory of the node</h2>"
        f'<progress aria-label="Memory in use" max="{total}" value="{used}"></progress>'
        f"<p>{bytes_text(used)} in use, {bytes_text(available)} available "
        f"of {bytes_text(total)}</p>"
        "</section>"
    )


def _students(status: NodeStatus) -> str:
    room, sample = status.ksm.room, status.ksm.sample
    if room is None or sample is None:
        return ""
    pairs = [
        ("Students with kernels", _count(room.students)),
        ("Room for more", _count(room.room_for)),
        ("Private memory of each", bytes_text(room.bytes_each)),
        ("Of that, shared by nobody", bytes_text(room.unmerged_bytes_each)),
        ("The node's donors", _count(sample.donors)),
        (
            "Memory limits that are close",
            f"{near_limits(sample):,} of {len(sample.charges):,}" if sample.charges else "none set",
        ),
        ("Uninvited processes", _count(sample.uninvited)),
    ]
    note = ""
    if room.students and room.room_for is not None and room.room_unmerged is not None:
        without = max(room.students + room.room_unmerged, 0)
        note = (
            f'<p class="big">{room.students + room.room_for:,} students</p>'
            f"<p>fit on this node; without merging {without:,}.</p>"
        )
    return (
        f"<section><h2>Students on this node</h2>{note}"
        f'<p class="quiet">{_sentence(room.why)}</p>{_facts(pairs)}</section>'
    )


def _kernels(status: NodeStatus) -> str:
    sample = status.ksm.sample
    return kernels_section(status.switches, None if sample is None else sample.kernels)


def _limits(status: NodeStatus) -> str:
    sample = status.ksm.sample
    near = 0 if sample is None else near_limits(sample)
    if not near:
        return ""
    return _problem(
        Problem(
            code="near-limit",
            message=f"{near} container{' is' if near == 1 else 's are'} close to the memory limit, "
            "counted with the merged pages they would copy by writing",
            fix="Run samepage-agent check: it names them and a limit that is safe. Donors keep the "
            "students' accounts free of shared pages",
        )
    )


def _gpus(report: GpuReport) -> str:
    body = f'<p class="quiet">{_sentence(report.message)}</p>'
    if report.state == "stale" and report.age_seconds is not None:
        body += f'<p class="quiet">Last reading {age_text(report.age_seconds)} ago.</p>'
    if report.devices:
        rows = "".join(
            f"<tr><td>{gpu.index}</td><td>{escape(gpu.name or '—')}</td>"
            f"<td>{bytes_text(gpu.memory_used_bytes)} of {bytes_text(gpu.memory_total_bytes)}</td>"
            f"<td>{'—' if gpu.busy_percent is None else f'{gpu.busy_percent} %'}</td>"
            f"<td>{_count(gpu.processes)}</td></tr>"
            for gpu in report.devices
        )
        body += (
            '<div class="scroll"><table><thead><tr><th>No.</th><th>GPU</th><th>Memory in use</th>'
            f"<th>Busy</th><th>Processes</th></tr></thead><tbody>{rows}</tbody></table></div>"
        )
    return f"<section><h2>GPUs</h2>{body}</section>"


def render(
    status: NodeStatus | None,
    points: tuple[Point, ...],
    *,
    unhealthy: str | None,
    problem: Problem | None,
    refresh_seconds: int,
) -> str:
    """The whole page. `unhealthy`: as /healthz; `problem`: why the last reading failed."""
    node = "node" if status is None else status.node
    shown = [found for found in (problem, status and status.ksm.problem) if found]
    if unhealthy is not None and problem is None:
        shown.insert(
            0,
            Problem(
                code="unhealthy", message=unhealthy, fix="This page refreshes itself; see the log"
            ),
        )
    body = "".join(_problem(found) for found in shown)
    if status is not None:
        body += (
            _limits(status)
            + _ksm(status, points)
            + _students(status)
            + _kernels(status)
            + _memory(status)
            + _gpus(status.gpus)
        )
        stamp = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(status.time))
        mode = _MODES[status.ksm.mode]
        note = (
            f"Read {stamp}, every {status.interval_seconds:g} s. The agent {mode}. "
            f"Version {status.version}."
        )
    else:
        note = "Nothing has been read yet."
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="refresh" content="{refresh_seconds}">'
        f'<link rel="icon" href="data:,"><title>Samepage: {escape(node)}</title>'
        f"<style>{STYLE}</style></head><body><main>"
        f'<header><h1>Samepage on {escape(node)}</h1><span class="quiet">node agent</span></header>'
        f'{body}<footer class="quiet"><p>{escape(note)}</p><p>For programs: '
        '<a href="metrics">metrics</a>, <a href="v1/node">v1/node</a>, '
        '<a href="v1/history">v1/history</a>, <a href="healthz">healthz</a>.</p></footer>'
        "</main></body></html>"
    )
