"""What would merge: counting, sampling, and reading real processes."""

import logging
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.cli import main
from nodeagent.estimate.alignment import Pieces, blank
from nodeagent.estimate.choose import choose
from nodeagent.estimate.command import as_json, as_text
from nodeagent.estimate.count import PageCounter
from nodeagent.estimate.measure import Pace, estimate
from nodeagent.estimate.pages import PAGE, EstimateError, pages, zero_frame
from nodeagent.log import _TextFormatter

PROC = Path("/proc")
SOURCE = random.Random(3)
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="frames and foreign memory need root")


def test_copies_frames_zeros_and_parts() -> None:
    counter = PageCounter()
    one, two = SOURCE.randbytes(PAGE), SOURCE.randbytes(PAGE)
    for group, content, frame in (
        (0, one, 10),
        (0, one, 11),
        (1, one, 11),  # shares a frame already, by fork or KSM
        (1, two, 12),
        (1, bytes(PAGE), 13),
        (1, bytes(PAGE), 14),
    ):
        counter.add(group, content, frame)
    total = counter.possible()
    assert (total.pages, total.shared_now) == (6, 1)
    assert total.further == 1 + 2  # one frame of `one` goes, both of the zeros
    assert total.zero == 2
    assert total.ratio == pytest.approx(4 / 6)
    parts = [counter.possible(group) for group in (0, 1)]
    assert sum(part.pages for part in parts) == 6


def test_many_users_of_a_page_keep_one_copy_in_256() -> None:
    counter = PageCounter()
    for _ in range(600):
        counter.add(0, b"x" * PAGE, 0)
    assert counter.possible().further == 600 - 3


def test_a_sample_of_contents_keeps_the_share_of_equal_pages() -> None:
    counter = PageCounter(most=500, key=b"fixed")
    source = random.Random(4)
    for number in range(4000):
        content = source.randbytes(16)
        for _ in range(3 if number % 2 else 1):
            counter.add(0, content, 0)
    assert counter.possible().zero == 0
    for _ in range(100):
        counter.add(0, bytes(PAGE), 0)
    assert counter.possible().zero == 100
    found = counter.possible()
    assert counter.sampled <= 1 / 8
    assert found.pages == pytest.approx(8000, rel=0.15)
    assert found.ratio == pytest.approx(0.5, abs=0.05)


def test_pointers_and_shifts_do_not_matter_for_alignment() -> None:
    source = random.Random(5)
    words = [source.getrandbits(40) for _ in range(512)]
    at_home = [word if n % 4 else 0x7F00_0000_0000 + word % 2**32 for n, word in enumerate(words)]
    moved = [word if n % 4 else 0x7E00_0000_0000 + word % 2**31 for n, word in enumerate(words)]

    def page(values: list[int]) -> bytes:
        return b"".join(value.to_bytes(8, "little") for value in values)

    assert blank(page(at_home)) == blank(page(moved))
    known = Pieces()
    known.add(page(at_home))
    known.add(page(list(reversed(at_home))))
    shifted = page(moved[4:] + list(reversed(at_home))[:4])
    assert known.found(shifted) >= 0.9
    assert known.found(source.randbytes(PAGE)) == 0


HOLDER = """
import random, sys
held = random.Random(20).randbytes(int(sys.argv[1]) << 20)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holders() -> Iterator[list[int]]:
    """Three processes: 6 MiB in common, 2 MiB more in one of them."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, size], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for size in ("6", "6", "8")
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.communicate()


@root_only
def test_real_processes(holders: list[int]) -> None:
    chosen = choose(PROC, pids=tuple(holders))
    assert [each.pid for each in chosen] == sorted(holders)
    told: list[tuple[int, int]] = []
    found = estimate(PROC, chosen, progress=lambda done, of: told.append((done, of)))
    mib = found.total.further * PAGE / 2**20
    # The 6 MiB of the third need not begin at the same place in a page.
    assert mib >= 5.9
    assert found.total.pages * PAGE >= 20 * 2**20
    assert told
    assert told[-1][0] <= told[-1][1]
    text = as_text(found)
    assert "3 processes" in text
    assert as_json(found)["total"]["ratio"] == pytest.approx(found.total.ratio)


@root_only
def test_untouched_memory_costs_nothing_and_zero_pages_are_known() -> None:
    assert zero_frame() != 0
    own = [page for chunk in pages(PROC, os.getpid()) for page in chunk]
    assert all(len(page.content) == PAGE for page in own[:50])


def test_a_process_that_is_gone_has_no_pages(holders: list[int]) -> None:
    assert list(pages(PROC, 2**22 - 3)) == []


def test_pace_keeps_to_its_share() -> None:
    pace = Pace(0.25)
    begun, used = os.times().elapsed, 0.0
    while used < 0.1:
        sum(range(20_000))
        pace.wait()
        used = os.times().elapsed - begun
    own = os.times()
    assert own.elapsed - begun >= 0.1


@pytest.mark.parametrize(
    "flags", [("--cpu", "0"), ("--cgroup", "("), ("--command-line", "no-such-program-anywhere")]
)
def test_bad_choices_are_named(flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", *flags]) in (EstimateError.exit_code, 2)
    assert "samepage-agent estimate:" in capsys.readouterr().err


def test_a_process_is_of_who_started_it_not_of_who_owns_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "4242"
    folder.mkdir()
    (folder / "cmdline").write_text("python\0-m\0ipykernel_launcher\0")
    (folder / "cgroup").write_text("0::/user.slice\n")
    (folder / "statm").write_text("5000 4000 100 1 0 3000 0\n")
    # A program with the rights of another user; the folder is that user's.
    (folder / "status").write_text(f"Name:\tpython\nUid:\t54321\t{os.getuid()}\t0\t0\n")
    assert [str(each.owner) for each in choose(tmp_path)] == ["user 54321"]


def test_a_name_does_not_command_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A container's name where LXC names it, and the text log of the running agent.
    monkeypatch.setattr("nodeagent.status.ask", lambda listen: None)
    monkeypatch.setattr("nodeagent.status.summary", lambda node, now: "node \x1b[2J\nline two")
    monkeypatch.setattr("nodeagent.status.ask_workloads", lambda folder: {})
    monkeypatch.setattr("nodeagent.status.workload_lines", lambda found: "lxc \x1b]0;x\x07")
    assert main(["status", "--state-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "node ?[2J\nline two\nlxc ?]0;x?\n"
    record = logging.LogRecord("nodeagent.gpu", 30, "", 0, "pod %s", ("\x1b[2J\nx",), None)
    assert _TextFormatter().format(record).endswith(" warning gpu: pod ?[2J | x")
