"""Kernels forked from one prepared process: quick, small, and nobody's twin."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from labext.kernels.ledger import Alignment
from labext.kernels.spare import keeper
from labext.kernels.support import probe
from nodeagent.ksm.processes import ProcessWatch

from .test_kernels_aligned import (
    ROOMY,
    ROOT,
    Session,
    Start,
    home,
    of_a_program,
    record_of,
    start,
    until,
)

__all__ = ["home", "start"]  # fixtures

pytestmark = [
    pytest.mark.skipif(not probe().available, reason="this Linux cannot merge"),
    pytest.mark.xdist_group("kernels-forked"),
]

FEW = {"preload_modules": ["numpy", "numpy.random", "multiprocessing"]}
DRAWN = """
import json, multiprocessing, os, random, secrets, ssl, uuid
import numpy
print(json.dumps([
    numpy.random.random(), numpy.random.default_rng().random(), random.random(),
    multiprocessing.current_process().authkey.hex(), str(uuid.uuid4()), secrets.token_hex(),
    ssl.RAND_bytes(8).hex(),
]))
"""


@pytest.fixture
def kept() -> Any:
    """A server that keeps templates, and none afterwards."""
    keeper.open(lambda: ROOMY)
    yield
    keeper.close()
    until(lambda: not keeper.ready)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def kilobytes(pid: int, name: str) -> int:
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith(f"{name}:"))


def alignment_of(session: Session) -> Alignment:
    found = record_of(session).alignment
    assert found is not None
    assert found.state == "aligned", found.reason
    return found


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.usefixtures("kept")
def test_all_notebooks_share_one_preparation_and_nothing_random(start: Start) -> None:
    sessions = [start(traits=FEW), start(traits=FEW)]
    third = start(traits=FEW)
    (template,) = {parent(session.pid) for session in (*sessions, third)}
    assert template != os.getpid()
    assert [alignment_of(each).spare for each in (*sessions, third)] == [False, True, True]
    drawn = [json.loads(session.run(DRAWN)) for session in (*sessions, third)]
    for numbers in zip(*drawn, strict=True):
        assert len(set(numbers)) == 3, numbers
    # Without any merging: most of it is one and the same memory.
    assert kilobytes(third.pid, "Private_Dirty") < 0.4 * kilobytes(third.pid, "Anonymous")
    # The agent counts that once.
    watch = ProcessWatch(Path("/proc"), page_bytes=os.sysconf("SC_PAGE_SIZE"), own_user=True)
    forked_from = {each.pid: each.forked_from for each in watch.survey(time.monotonic()).members}
    assert forked_from[third.pid] == template
    assert forked_from[template] is None
    # What a notebook asks its environment is as of a stock kernel.
    assert third.run("print(os.environ['JPY_PARENT_PID'], end='')") == str(os.getpid())


@pytest.mark.usefixtures("kept")
def test_it_ends_and_starts_again_as_any_kernel(start: Start) -> None:
    session = start(traits=FEW)
    template, first = parent(session.pid), session.pid
    session.client.execute("import time; print('busy'); time.sleep(60)")
    while session.client.get_iopub_msg(timeout=30)["msg_type"] != "stream":
        pass
    session.manager.interrupt_kernel()
    assert session.client.get_shell_msg(timeout=30)["content"]["status"] == "error"
    assert session.run("print('here', end='')") == "here"
    session.client.stop_channels()
    session.manager.restart_kernel(now=True)
    session.connect()
    assert session.pid != first
    assert parent(session.pid) == template
    assert gone(first)
    process: Any = getattr(session.manager.provisioner, "process")  # noqa: B009 - of local ones
    session.client.execute("import os; os._exit(7)")
    until(lambda: process.poll() is not None)
    assert process.returncode == 7
    assert process.wait(1) == 7
    process.send_signal(signal.SIGKILL)  # of nobody else
    again = start(traits=FEW)
    process = getattr(again.manager.provisioner, "process")  # noqa: B009
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    os.kill(again.pid, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL


@pytest.mark.usefixtures("kept")
def test_a_template_that_dies_takes_its_kernels_along_and_no_others(start: Start) -> None:
    session = start(traits=FEW)
    template = parent(session.pid)
    process: Any = getattr(session.manager.provisioner, "process")  # noqa: B009
    os.kill(template, signal.SIGKILL)
    # As with the Jupyter server, whose end ends its kernels: the manager sees it and restarts.
    until(lambda: process.poll() is not None)
    again = start(traits=FEW)
    assert alignment_of(again).spare is False
    assert parent(again.pid) not in {template, os.getpid()}


@pytest.mark.usefixtures("kept")
def test_one_that_outlives_the_server_is_not_forked(start: Start) -> None:
    session = start(traits=FEW, independent=True)
    assert alignment_of(session).state == "aligned"
    assert parent(session.pid) == os.getpid()


@pytest.mark.usefixtures("kept")
def test_a_module_that_had_to_be_left_out_is_no_reason_for_another_template(start: Start) -> None:
    # Raises at its import: there are no such code pages here.
    traits = {"preload_modules": ["numpy", "encodings.mbcs"]}
    first, second = start(traits=traits), start(traits=traits)
    assert "encodings.mbcs" in dict(alignment_of(first).dropped)
    assert parent(first.pid) == parent(second.pid)


def test_none_outlives_a_killed_server(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from jupyter_client.manager import KernelManager
from labext.kernels.spare import keeper
from labext.kernels.spare_policy import Surroundings
keeper.open(lambda: Surroundings(wanted=True, limit_bytes=None, used_bytes=None,
                                 available_bytes=None, node_merges=True))
manager = KernelManager(kernel_name="python3")
manager.start_kernel(env=dict(os.environ))
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=60)
pid = manager.provisioner.pid
print(pid, open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = of_a_program(tmp_path) | {"SAMEPAGE_PRELOAD": ""}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    kernel, template = (int(word) for word in done.stdout.split())
    until(lambda: gone(template), seconds=5)
    until(lambda: gone(kernel), seconds=10)


def test_a_process_with_threads_is_not_forked() -> None:
    program = f"""
import sys, threading
sys.path.insert(0, {str(ROOT)!r})
from labext.kernels.aligned.template import can_fork
alone = can_fork()
threading.Thread(target=threading.Event().wait, daemon=True).start()
print(alone, '/', can_fork())
"""
    told = subprocess.check_output([sys.executable, "-c", program], text=True, timeout=60)
    assert told == "None / 2 threads run in it\n"
