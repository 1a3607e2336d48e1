"""Who is asked to save before SIGTERM, and for how long everything else waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping

from serverproxy.supervisor.processes import ProcessRow
from serverproxy.supervisor.registry import RunRecord
from serverproxy.supervisor.saving import SaveStep, Saving, Signals, read_signals

STEP = SaveStep(program="rsession", signal=signal.SIGUSR2)
LISTENS = 1 << (signal.SIGUSR2 - 1)


def row(pid: int, ppid: int = 1) -> ProcessRow:
    return ProcessRow(pid=pid, ppid=ppid, pgid=pid, sid=1, starttime=pid, uid=0, zombie=False)


def saving(programs: Mapping[int, Signals]) -> tuple[Saving, list[tuple[int, int]]]:
    sent: list[tuple[int, int]] = []
    return (
        Saving(
            STEP,
            read=programs.get,
            send=lambda one, number: sent.append((one.pid, number)),
        ),
        sent,
    )


def test_only_the_named_program_is_asked_and_only_once() -> None:
    programs = {
        10: Signals(name="rserver", handled=LISTENS),
        11: Signals(name="rsession", handled=LISTENS),
    }
    one, sent = saving(programs)
    assert one.round([row(10), row(11, 10)], 0.0)
    assert one.round([row(10), row(11, 10)], 50.0)
    assert sent == [(11, signal.SIGUSR2)]
    assert not one.round([row(10)], 51.0)


def test_forks_of_a_session_are_left_to_it() -> None:
    programs = {pid: Signals(name="rsession", handled=LISTENS) for pid in (11, 12)}
    one, sent = saving(programs)
    assert one.round([row(11), row(12, 11)], 0.0)
    assert sent == [(11, signal.SIGUSR2)]
    # Its parent has saved and ended, and it is an orphan now.
    assert not one.round([row(12, 1)], 1.0)
    assert sent == [(11, signal.SIGUSR2)]


def test_a_session_that_comes_meanwhile_is_asked_too() -> None:
    programs = {pid: Signals(name="rsession", handled=LISTENS) for pid in (11, 12)}
    one, sent = saving(programs)
    assert one.round([row(11)], 0.0)
    assert one.round([row(12)], 1.0)
    assert [pid for pid, _ in sent] == [11, 12]


def test_one_that_does_not_listen_is_not_signalled_for_that_would_end_it() -> None:
    programs = {11: Signals(name="rsession", handled=0)}
    one, sent = saving(programs)
    assert one.round([row(11)], 0.0)
    assert one.round([row(11)], 2.9)
    assert not one.round([row(11)], 3.0)
    assert sent == []
    programs[11] = Signals(name="rsession", handled=LISTENS)
    assert one.round([row(11)], 3.1)
    assert sent == [(11, signal.SIGUSR2)]


def test_nobody_to_ask_is_no_wait() -> None:
    one, _ = saving({})
    assert not one.round([row(10)], 0.0)


def test_what_a_real_process_handles() -> None:
    program = (
        "import signal, sys; signal.signal(signal.SIGUSR2, lambda *_: None); "
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-IS", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = read_signals(process.pid)
        process.terminate()
    assert found is not None
    assert found.name.startswith("python")
    assert found.handles(signal.SIGUSR2)
    assert not found.handles(signal.SIGUSR1)
    assert read_signals(process.pid) is None


def test_the_record_tells_the_guardian() -> None:
    plain = RunRecord(name="x", mark="m", uid=os.getuid(), boot_id="b", grace_s=1.0)
    assert plain.save_step is None
    told = RunRecord(
        name="x",
        mark="m",
        uid=os.getuid(),
        boot_id="b",
        grace_s=1.0,
        save_program="rsession",
        save_signal=signal.SIGUSR2,
    )
    assert told.save_step == STEP
