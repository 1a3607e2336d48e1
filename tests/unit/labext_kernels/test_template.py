"""The server's side of a template, against a process that only pretends to be one."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from labext.kernels.aligned import reseed
from labext.kernels.aligned_process import AlignedProcess, NotAlignedError
from labext.kernels.forked_process import ForkedProcess
from labext.kernels.recipe import Recipe
from labext.kernels.template import Template

RECIPE = Recipe(
    program="/usr/bin/python3",
    options=(),
    environment=(),
    modules=(),
    each_seconds=1,
    total_seconds=1,
)


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])


@pytest.fixture
def pair() -> Iterator[tuple[Template, socket.socket]]:
    """A template, and the far end of its line."""
    ours, theirs = socket.socketpair()
    process = sleeper()
    template = Template(RECIPE, process, ours)
    yield template, theirs
    template.discard()
    theirs.close()


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


def answer(line: socket.socket, pid: int) -> None:
    """As the template does."""
    _, sockets, _, _ = socket.recv_fds(line, 1, 1)
    for each in sockets:
        os.close(each)
    handle = os.pidfd_open(pid)
    socket.send_fds(line, [f"forked {pid}\n".encode()], [handle])
    os.close(handle)


def test_after_no_answer_a_late_one_is_not_taken_for_the_next(
    pair: tuple[Template, socket.socket],
) -> None:
    template, line = pair
    with pytest.raises(NotAlignedError, match="did not answer"):
        template.fork(soon(0.05))
    assert template.spent
    answer(line, os.getpid())
    with pytest.raises(NotAlignedError, match="is being ended"):
        template.fork(soon())


def test_a_refusal_is_for_this_time_only(pair: tuple[Template, socket.socket]) -> None:
    template, line = pair
    line.sendall(b"unforked fork answered Resource temporarily unavailable\n")
    with pytest.raises(NotAlignedError, match="temporarily"):
        template.fork(soon())
    assert not template.spent


def test_it_is_not_let_go_between_a_fork_and_its_end(
    pair: tuple[Template, socket.socket],
) -> None:
    template, line = pair
    child = sleeper()
    try:
        thread = threading.Thread(target=answer, args=(line, child.pid))
        thread.start()
        kernel = template.fork(soon())
        thread.join(10)
        assert not template.let_go()
        assert not template.spent
        child.kill()
        line.sendall(f"exit {child.pid} -9\n".encode())
        assert kernel.process.wait(10) == -signal.SIGKILL
        assert template.let_go()
        with pytest.raises(NotAlignedError, match="is being ended"):
            template.fork(soon())
        kernel.discard()
    finally:
        child.kill()
        child.wait()


def test_threads_that_look_at_the_same_end_agree() -> None:
    child = sleeper()
    asked: list[int] = []
    together = threading.Barrier(4)

    def exit_code(pid: int, deadline: float) -> int | None:
        asked.append(pid)
        time.sleep(0.05)
        return 7 if len(asked) == 1 else None

    process = ForkedProcess(child.pid, os.pidfd_open(child.pid), exit_code)
    assert process.poll() is None
    seen: list[int | None] = []

    def look() -> None:
        together.wait(10)
        seen.append(process.poll())

    threads = [threading.Thread(target=look) for _ in range(4)]
    child.kill()
    assert os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT) is not None
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    child.wait()
    assert seen == [7, 7, 7, 7]
    assert asked == [child.pid]


def test_random_numbers_that_cannot_be_drawn_anew_mean_a_stock_kernel_and_are_nobodys_fault() -> (
    None
):
    problem = reseed.all_known({"numpy.random": object()})
    assert problem is not None
    assert "numpy.random" in problem
    ours, theirs = socket.socketpair()
    kernel = AlignedProcess(RECIPE, sleeper(), ours)
    with theirs:
        theirs.sendall(f"refused {problem}\n".encode())
        with pytest.raises(NotAlignedError, match=r"numpy\.random") as caught:
            kernel.assign(b"{}\n", soon())
    kernel.discard()
    # "unsuited" would tell students that it comes from what they have installed.
    assert caught.value.state == "refused"
