"""The gate as a process. Run by `spawn`, never by hand; stdlib only, started in a few ms.

Three processes: the first, which the supervisor knows, only waits and ends as the application's
first process does. Its child is the gate, which has to be an ancestor of the application, because a
kernel with yama lets nobody else look into it. The gate's child becomes the application. Signals
for the group are the application's business; both of ours stay until it has ended.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from serverproxy.supervisor.gate import kernel
from serverproxy.supervisor.gate.keeper import Keeper
from serverproxy.supervisor.gate.report import GATE_DIED

_SELF_TEST_S = 3.0
_SPARED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
# What Python ignores and a program does not expect to find ignored.
_RESTORED = (*_SPARED, signal.SIGUSR2, signal.SIGPIPE, signal.SIGXFSZ)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to run: argv, whole environment, folder (None: this one), as of `LaunchSpec`."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str | None


def main(order_in: int, report_out: int) -> None:
    """Read the order, run it, report once (JSON line: gate, reason, errno, filename)."""
    for descriptor in (order_in, report_out):
        os.set_inheritable(descriptor, False)
    with os.fdopen(order_in, "rb") as file:
        order = Order(**json.load(file))
    for number in (*_SPARED, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    told, telling = os.pipe()
    gate = os.fork()
    if gate == 0:
        os.close(told)
        _end(_run_gate, order, report_out, telling)
    os.close(telling)
    os.close(report_out)
    with os.fdopen(told, "rb") as file:
        ended = file.read()
    if not ended:
        os.waitpid(gate, 0)
        _say("the process that guards its port ended; the application is stopped")
        os._exit(GATE_DIED)
    _end_like(int(ended))


def _end(work: Callable[..., None], *arguments: object) -> None:
    """Run the rest of a forked process; nothing of its parent's goes on in it."""
    try:
        work(*arguments)
    except BaseException as error:  # noqa: BLE001 - a fork must not return into its parent's code
        _say(f"{type(error).__name__}: {error}")
        os._exit(GATE_DIED)
    os._exit(0)


def _say(line: str) -> None:
    with suppress(OSError):
        os.write(2, f"samepage gate: {line}\n".encode())


def _end_like(status: int) -> None:
    """End as a child with this wait status ended."""
    if os.WIFSIGNALED(status):
        import resource

        number = os.WTERMSIG(status)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one core file is enough
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        time.sleep(1.0)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else GATE_DIED)


# -- the gate -------------------------------------------------------------------------------------


def _run_gate(order: Order, report_out: int, telling: int) -> None:
    kernel.adopt_orphans()
    wake, waking = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    reason = self_test(wake)
    failed, failing = os.pipe()
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        _end(_become, order, theirs if reason is None else None, failing)
    os.close(failing)
    theirs.close()
    listener: int | None = None
    if reason is None:
        with suppress(OSError):
            _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
            listener = descriptors[0] if descriptors else None
        if listener is None:
            reason = "the kernel refused the filter"
    ours.close()
    with os.fdopen(failed, "rb") as file:
        refused = file.read()
    report: dict[str, object] = {
        "gate": listener is not None,
        "reason": reason,
        "errno": None,
        "filename": None,
    }
    if refused:
        number, _, filename = refused.decode().partition(" ")
        report |= {"errno": int(number), "filename": filename}
    with os.fdopen(report_out, "w") as file:
        json.dump(report, file)
    family = _Family(child=child, telling=telling)
    if listener is not None:
        keeper = Keeper(listener=listener, uid=os.geteuid(), tell=_say)
        keeper.serve(wake, family.is_gone)
        keeper.close()
    family.wait()


@dataclass(kw_only=True)
class _Family:
    """The application's first process, and what it left. telling: to our own first process."""

    child: int
    telling: int
    _told: bool = False

    def is_gone(self) -> bool:
        """Collect who has ended; whether nobody is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            self._collected(pid, status)

    def wait(self) -> None:
        """Return when nobody is left."""
        while True:
            try:
                self._collected(*os.waitpid(-1, 0))
            except ChildProcessError:
                return

    def _collected(self, pid: int, status: int) -> None:
        if pid == self.child and not self._told:
            self._told = True
            os.write(self.telling, str(status).encode())
            os.close(self.telling)


def _become(order: Order, gate: socket.socket | None, failing: int) -> None:
    """In the child: put on the filter, hand its listener out, and be the application."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in _RESTORED:
        signal.signal(number, signal.SIG_DFL)
    filename = order.argv[0]
    try:
        if gate is not None:
            with suppress(OSError):  # it worked a moment ago; if not now, then without
                listener = kernel.install_filter()
                socket.send_fds(gate, [b"l"], [listener])
                os.close(listener)
            gate.close()
        if order.cwd is not None:
            filename = order.cwd
            os.chdir(order.cwd)
            filename = order.argv[0]
        os.execvpe(order.argv[0], list(order.argv), dict(order.env))
    except OSError as error:
        os.write(failing, f"{error.errno or errno.ENOEXEC} {filename}".encode())
        os._exit(127)


# -- does it work here ----------------------------------------------------------------------------


def self_test(wake: int) -> str | None:
    """Guard a child that accepts one connection from itself; None when that works, else why not.

    So every kernel, sandbox and rule that stands in the way is found before the application starts.
    """
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        _end(_accept_once, theirs)
    theirs.close()
    ours.settimeout(_SELF_TEST_S)
    status: int | None = None
    reason = "the guarded test did not end"
    keeper: Keeper | None = None
    deadline = time.monotonic() + _SELF_TEST_S

    def ended() -> bool:
        nonlocal status
        if status is None:
            pid, found = os.waitpid(child, os.WNOHANG)
            status = found if pid else None
        return status is not None or time.monotonic() > deadline

    try:
        word, descriptors, _, _ = socket.recv_fds(ours, 200, 1)
        if descriptors:
            keeper = Keeper(listener=descriptors[0], uid=os.geteuid())
            signal.setitimer(signal.ITIMER_REAL, 0)
            keeper.serve(wake, ended)
            keeper.close()
            os.close(descriptors[0])
        else:
            reason = word.decode()
    except OSError as error:
        reason = str(error)
    ours.close()
    if not ended():
        os.kill(child, signal.SIGKILL)
    if status is None:
        _, status = os.waitpid(child, 0)
    if status == 0 and keeper is not None and keeper.counts.passed:
        return None
    if keeper is not None and keeper.counts.unknown:
        return "this system does not let a process look at its own child (pidfd_getfd)"
    return reason


def _accept_once(out: socket.socket) -> None:
    out.settimeout(_SELF_TEST_S)
    try:
        listener = kernel.install_filter()
    except OSError as error:
        out.sendall(str(error).encode() or b"seccomp was refused")
        os._exit(1)
    socket.send_fds(out, [b"l"], [listener])
    os.close(listener)
    # A gate that does not answer is this test's failure, not its end.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, _SELF_TEST_S / 2)
    with socket.socket() as listening, socket.socket() as client:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        client.connect(listening.getsockname())
        accepted, address = listening.accept()
        accepted.close()
        os._exit(0 if address == client.getsockname() else 1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
