"""Counting aligned kernels from what the students' servers say, which nobody has to believe."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labext.kernels.ledger import Alignment, KernelLedger, KernelRecord
from labext.kernels.notice import Notice, image_of, table
from nodeagent import preflight
from nodeagent.collectors.kernels import ImageCollector, KernelCollector
from nodeagent.kernels.count import MOST_IMAGES, KernelCount, count, sentence
from nodeagent.kernels.find import NAME, Tables
from nodeagent.kernels.switches import Switches
from nodeagent.kernels.table import FORMAT, MOST_BYTES, MOST_KERNELS, Table, parse
from nodeagent.kernels.view import node_kernels, section
from nodeagent.ksm.processes import Member
from nodeagent.loop import Agent
from nodeagent.status import image_lines, summary
from nodeagent.view import node_json, workloads_json
from nodeagent.workloads.cgroup import parse_cgroup
from nodeagent.workloads.owner import Owner
from tests.unit.nodeagent.support import sample, status


def mark(**changes: Any) -> dict[str, Any]:
    return {
        "python": "cpython-311 aa",
        "environment": {"LANG": "11"},
        "folders": {"/opt/site": "22"},
        "modules": ["numpy", "pandas"],
        "layout": "33",
        "pages": [f"{page:08x}" for page in range(200)],
    } | changes


def unlike(seed: int) -> list[str]:
    pages = random.Random(seed)
    return [f"{pages.getrandbits(32):08x}" for _ in range(200)]


def aligned(**changes: Any) -> dict[str, Any]:
    return {
        "state": "aligned",
        "reason": None,
        "dropped": changes.pop("dropped", []),
        "fingerprint": mark(**changes),
    }


def stock(state: str, reason: str | None) -> dict[str, Any]:
    return {"state": state, "reason": reason, "dropped": [], "fingerprint": None}


def written(*kernels: dict[str, Any], image: str | None = "course:1") -> bytes:
    return json.dumps({"format": FORMAT, "image": image, "kernels": list(kernels)}).encode()


def student(number: int) -> Owner:
    return Owner(kind="pod", name=f"p{number}")


def counted(*servers: bytes) -> KernelCount:
    return count((student(number), parse(text)) for number, text in enumerate(servers))


def test_drift_is_seen_and_named() -> None:
    lib = "/home/ada/lib"
    found = counted(
        *[written(aligned(), aligned()) for _ in range(6)],
        written(aligned(folders={"/opt/site": "22", lib: "5"}, layout="9", pages=unlike(1))),
        written(aligned(environment={"LANG": "12"}, pages=unlike(2))),
        written(aligned(modules=["numpy"], dropped=["pandas"], layout="8", pages=unlike(3))),
        written(stock("unsuited", "/home/bob has its own numpy"), stock("off", "switched")),
        written(stock("refused", "Linux refused a fixed layout")),
    )
    (image,) = found.images
    assert (image.image, image.alike, image.drifted) == ("course:1", 12, 3)
    assert (image.refused, image.unsuited, image.off) == (1, 1, 1)
    said = sentence(image)
    assert said.startswith("course:1: 12 kernels aligned alike, 3 drifted, 1 could not be aligned")
    for cause in (
        f"{lib} is on its sys.path and on nobody else's",
        "the variable LANG is another one",
        "pandas was not preloaded",
        "/home/bob has its own numpy",
        "Linux refused a fixed layout",
    ):
        assert cause in said


def test_a_few_pages_that_differ_are_no_drift() -> None:
    pages = mark()["pages"]
    found = counted(
        written(aligned()),
        written(aligned(layout="44", pages=pages[:190] + unlike(1)[:10])),
        written(aligned(pages=pages[:100] + unlike(2)[:100])),
    )
    assert (found.total("alike"), found.total("drifted")) == (2, 1)
    assert "for no reason that was noted" in found.images[0].causes[0]


def test_courses_and_pythons_of_an_image_are_not_each_others_drift() -> None:
    found = counted(
        written(aligned(), aligned(modules=["torch"], pages=unlike(1), layout="1")),
        written(aligned(python="cpython-312", pages=unlike(2), layout="2")),
    )
    assert (found.total("alike"), found.total("drifted")) == (3, 0)


def test_each_student_has_one_vote() -> None:
    liar = written(*[aligned(layout="66", pages=unlike(1)) for _ in range(MOST_KERNELS)])
    found = counted(liar, written(aligned()), written(aligned()))
    assert (found.total("alike"), found.total("drifted")) == (2, MOST_KERNELS)


def test_images_without_end_are_summed_up() -> None:
    found = counted(*[written(aligned(), image=f"made-up-{n}") for n in range(MOST_IMAGES + 7)])
    assert len(found.images) == MOST_IMAGES + 1
    assert found.images[-1].image == "others"
    assert found.images[-1].alike == 7


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"format": 2, "kernels": []}',
        b'{"format": 1}',
        b"\xff\xfe",
        b"x" * (MOST_BYTES + 1),
        written(*[stock("off", None)] * (MOST_KERNELS + 1)),
        written({**aligned(), "state": "root"}),
        written(stock("aligned", None)),
        written(aligned(pages=["1"] * 5000)),
        written(aligned(pages=[["1"]])),
        written(aligned(folders=[])),
        written(aligned(modules=None)),
        written(aligned(), image=["a"]),  # type: ignore[arg-type]  # as a liar may write it
    ],
)
def test_nonsense_is_refused_whole(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        parse(content)


def test_texts_are_one_printable_line_of_bounded_length() -> None:
    reason = "\x1b[31m\n<script>" + "x" * 10_000
    (note,) = parse(written(stock("refused", reason))).kernels
    assert note.reason is not None
    assert note.reason.isprintable()
    assert len(note.reason) < 210


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["format", "image", "kernels", "state", "fingerprint", "pages", "dropped"]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_a_table_or_refused(value: Any) -> None:
    try:
        found = parse(json.dumps(value).encode())
    except ValueError:
        return
    assert isinstance(found, Table)
    count([(student(1), found)])


def test_a_server_says_what_the_agent_reads() -> None:
    ledger = KernelLedger()
    ledger.note(
        KernelRecord(
            kernel_id="a",
            pid=1,
            outcome="on",
            alignment=Alignment(
                state="aligned", fingerprint=mark(pages=None), dropped=(("torch", "slow"),)
            ),
        )
    )
    ledger.note(KernelRecord(kernel_id="b", pid=2, outcome="off", reason="SAMEPAGE_MERGE=0"))
    ledger.note(KernelRecord(kernel_id="c", pid=3, outcome="refused", reason="no prctl"))
    image = image_of({"JUPYTER_IMAGE_SPEC": "", "JUPYTER_IMAGE": "lab:2"})
    found = parse(table(ledger.records.values(), image=image))
    assert found.image == "lab:2"
    assert [note.state for note in found.kernels] == ["aligned", "off", "refused"]
    assert found.kernels[0].dropped == ("torch",)
    many = [
        KernelRecord(
            kernel_id=str(number),
            pid=number,
            outcome="on",
            alignment=Alignment(state="aligned", fingerprint=mark(environment={"A": "b" * 99_000})),
        )
        for number in range(50)
    ]
    assert len(table(many, image=None)) <= MOST_BYTES


# A table is looked for at a process and its parent; the tests' own process may have one by now.
ORPHAN = ("sh", "-c", '"$@"; exit $?', "sh")


@contextmanager
def holding(code: str) -> Iterator[int]:
    """A process that has run `code`, with open files of its own, until the end of the block."""
    script = f"import os, sys, time\n{code}\nprint(os.getpid(), flush=True)\nsys.stdin.read()\n"
    process = subprocess.Popen(
        [*ORPHAN, sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def member(pid: int, *, pod: str = "1" * 32, donor: bool = False) -> Member:
    return Member(
        pid=pid,
        uid=1000,
        workload=parse_cgroup(f"0::/kubepods/pod{pod}/{'a' * 64}"),
        private_bytes=0,
        unseen_bytes=0,
        merged_bytes=0,
        zero_bytes=0,
        table_bytes=0,
        donor=donor,
    )


SAYING = "m = os.memfd_create({name!r}); os.write(m, {content!r})"


def test_a_servers_table_is_found_from_its_kernel_and_counted_once() -> None:
    made = SAYING.format(name=NAME, content=written(aligned()))
    child = (
        "import subprocess\n"
        "c = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE,"
        " close_fds=False)\n"
        "print(c.pid, flush=True)\n"
    )
    script = f"import os, sys\n{made}\nos.set_inheritable(m, True)\n{child}sys.stdin.read()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        kernel = int(process.stdout.readline())
        tables = Tables(Path("/proc"))
        found = tables.read([member(kernel)], 0.0)
        assert found is not None
        assert (found.total("alike"), found.silent) == (1, 0)
        own = tables.read([member(kernel, donor=True)], 1.0)
        assert own is not None
        assert (own.images, own.silent) == ((), 0)
        assert [donor.state for donor in own.donors] == ["alone"]
    finally:
        process.kill()
        process.communicate()


def test_the_notice_of_a_server_changes_in_one_step() -> None:
    code = (
        "from labext.kernels.ledger import *\n"
        "from labext.kernels.ledger import ledger\n"
        "import threading\n"
        "mark = {'python': 'p', 'modules': [], 'environment': {}, 'folders': {}, 'layout': 'l',"
        " 'pages': ['12345678'] * 256}\n"
        "def go():\n"
        "    for turn in range(10**9):\n"
        "        key = str(turn % 7)\n"
        "        ledger.note(KernelRecord(kernel_id=key, pid=1, outcome='on',"
        " alignment=Alignment(state='aligned', fingerprint=mark)))\n"
        "        ledger.forget(str((turn + 3) % 7))\n"
        "threading.Thread(target=go, daemon=True).start()\n"
        "while len(ledger.records) < 3: pass\n"
    )
    with holding(code) as pid:
        tables = Tables(Path("/proc"))
        seen = [tables.read([member(pid)], 0.0) for _ in range(200)]
        silent = sum(found is None or found.silent > 0 for found in seen)
        assert silent == 0
        assert max(found.total("alike") for found in seen if found is not None) >= 3


def test_what_is_no_memory_file_is_never_opened(tmp_path: Path) -> None:
    """A pipe under the right name would make the reader wait for ever."""
    fake = tmp_path / f"memfd:{NAME} (deleted)"
    os.mkfifo(fake)
    with holding(f"f = os.open({str(fake)!r}, os.O_RDONLY | os.O_NONBLOCK)") as pid:
        tables = Tables(Path("/proc"))
        told: list[tuple[tuple[int, int], Table] | None] = []
        number = next(
            entry.name
            for entry in Path(f"/proc/{pid}/fd").iterdir()
            if str(entry.readlink()) == str(fake)
        )
        link = str(fake)
        work = threading.Thread(
            target=lambda: told.append(_with_link(tables, link, str(pid), number)), daemon=True
        )
        work.start()
        work.join(10)
        assert told == [None]


def _with_link(
    tables: Tables, link: str, pid: str, number: str
) -> tuple[tuple[int, int], Table] | None:
    """As if the pipe lay in the root folder, where its name would be that of a memory file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nodeagent.kernels.find._LINK", link)
        return tables._table(pid, number, student(1))


LEASED = f"""import fcntl, signal
signal.signal(signal.SIGIO, signal.SIG_IGN)
m = os.memfd_create({NAME!r})
os.write(m, {written(aligned())!r})
r = os.open(f"/proc/self/fd/{{m}}", os.O_RDONLY)
os.close(m)
fcntl.fcntl(r, fcntl.F_SETLEASE, fcntl.F_WRLCK)"""


def test_a_lease_on_a_table_keeps_nobody_waiting() -> None:
    """Linux lets an opener wait 45 s for who has one."""
    with holding(LEASED) as pid:
        began = time.monotonic()
        found = Tables(Path("/proc")).read([member(pid)], 0.0)
        assert time.monotonic() - began < 20
    assert found == KernelCount(images=(), silent=1)


def test_servers_that_say_nothing_or_nonsense_are_silent() -> None:
    with holding("pass") as quiet, holding(SAYING.format(name=NAME, content=b"{")) as wrong:
        found = Tables(Path("/proc")).read([member(quiet), member(wrong, pod="2" * 32)], 0.0)
    assert found == KernelCount(images=(), silent=2)


def test_a_table_that_comes_later_is_found_and_one_that_goes_is_forgotten() -> None:
    code = (
        "import threading\n"
        "def late():\n"
        "    sys.stdin.readline()\n"
        f"    m = os.memfd_create({NAME!r}); os.write(m, {written(aligned())!r})\n"
        "    print('made', flush=True); time.sleep(100)\n"
        "threading.Thread(target=late, daemon=True).start()\n"
    )
    process = subprocess.Popen(
        [
            *ORPHAN,
            sys.executable,
            "-c",
            f"import os, sys, time\n{code}\nprint(os.getpid(), flush=True)\ntime.sleep(100)",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    tables = Tables(Path("/proc"))
    pid = int(process.stdout.readline())
    try:
        first = tables.read([member(pid)], 0.0)
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"made\n"
        between = tables.read([member(pid)], 5.0)
        later = tables.read([member(pid)], 61.0)
    finally:
        os.kill(pid, signal.SIGKILL)
        process.communicate()
    assert first == between == KernelCount(images=(), silent=1)
    assert later is not None
    assert later.total("alike") == 1
    gone = tables.read([member(pid)], 62.0)
    assert gone is not None
    assert gone.total("alike") == 0


def test_notices_leave_no_files_open() -> None:
    notice = Notice("a")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are all that is wanted
    for _ in range(5):
        notice.show([])
    assert len(os.listdir("/proc/self/fd")) == before + 1  # noqa: PTH208 - as above


SEEN = counted(
    written(aligned(), aligned()),
    written(aligned()),
    written(aligned(folders={"/home/ada/secret-project": "1"}, pages=unlike(1))),
    written(stock("unsuited", "/home/ada/lib has its own numpy")),
)


def test_the_open_address_has_totals_and_the_operator_has_causes() -> None:
    seen = status(taken=sample(kernels=SEEN))
    told = node_json(seen)
    assert told["kernels"] == {
        "merge": True,
        "align": True,
        "alike": 3,
        "drifted": 1,
        "refused": 0,
        "unsuited": 1,
        "off": 0,
        "silent": 0,
    }
    assert "/home" not in json.dumps(told)
    assert "course:1" not in json.dumps(told)
    (image,) = workloads_json(seen)["images"]
    assert "/home/ada/lib has its own numpy" in image["causes"]
    (line,) = image_lines([dict(image)])
    assert line.startswith("course:1: 3 kernels aligned alike, 1 drifted, 1 need a stock start")
    assert "kernels  3 aligned alike, 1 drifted, 1 not aligned" in summary(told, seen.time)
    html = section(Switches(), SEEN)
    assert "ada" not in html
    assert "<dt>Aligned, and drifted</dt><dd>1</dd>" in html


def test_check_names_what_drifted() -> None:
    (finding,) = preflight._kernels(SEEN)
    assert finding.verdict == "warn"
    assert "1 drifted" in finding.text
    assert finding.fix is not None
    (finding,) = preflight._kernels(counted(written(aligned())))
    assert (finding.verdict, finding.text) == ("ok", "course:1: 1 kernel aligned alike")
    assert preflight._kernels(None) == []


def test_nothing_known_is_nothing_shown() -> None:
    told = node_kernels(Switches(), None)
    assert told["alike"] is None
    assert section(Switches(), None) == ""
    assert "Alignment is switched off for this node" in section(Switches(align=False), None)
    off = node_json(replace(status(), switches=Switches(merge=False, align=False)))
    line = "kernels  merging and alignment switched off for this node"
    assert line in summary(off, status().time)


def test_metrics_have_bounded_labels() -> None:
    images = [written(aligned(), image=f"i{n}") for n in range(300)]
    seen = status(taken=sample(kernels=counted(*images)))

    class Fixed(Agent):
        def __init__(self) -> None:
            self.status = seen

    families = {family.name: family for family in KernelCollector(Fixed()).collect()}
    values = {each.labels["state"]: each.value for each in families["samepage_kernels"].samples}
    assert values == {"alike": 300, "drifted": 0, "refused": 0, "unsuited": 0, "off": 0}
    (family,) = ImageCollector(Fixed()).collect()
    assert len({each.labels["image"] for each in family.samples}) == MOST_IMAGES + 1
    assert sum(each.value for each in family.samples) == 300


def test_no_server_waits_for_ever_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = Tables(Path("/proc"))
    searched: list[str] = []
    monkeypatch.setattr(tables, "_search", searched.append)
    members = [member(pid, pod=f"{pid:032d}") for pid in range(5_000_000, 5_000_080)]
    for second in range(0, 80, 10):
        tables.read(members, float(second))
    assert len(set(searched)) == 80
    assert max(searched.count(pid) for pid in searched) <= 3


def test_tables_that_change_for_ever_cost_a_bounded_time() -> None:
    made = (
        f"m = os.memfd_create({NAME!r}); os.write(m, {written(aligned())!r});"
        f" os.write(m, b' ' * {MOST_BYTES - 10_000})"
    )
    with ExitStack() as stack:
        liars = [stack.enter_context(holding(made)) for _ in range(6)]
        honest = stack.enter_context(holding(SAYING.format(name=NAME, content=written(aligned()))))
        members = [*map(member, liars), member(honest, pod="2" * 32)]
        tables = Tables(Path("/proc"))
        found, again = tables.read(members, 0.0), tables.read(members, 20.0)
    assert found is not None
    assert again is not None
    # Four of the six fit in what one student may cost in one reading; the other student's fits.
    assert found.total("alike") == 5
    assert again.total("alike") == 5, "no more of them are held than may be read at once"
    assert found.silent == 0
