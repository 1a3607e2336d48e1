"""The gate's work: accepts in the application's place, and hands over what is our user's."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from serverproxy.supervisor.gate import kernel
from serverproxy.supervisor.gate.peers import Peers

_KNOWN_FLAGS = socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
_PROTOCOLS = {socket.IPPROTO_TCP, 262}  # 262: IPPROTO_MPTCP, Go's default
# Closing says RST: the other end reads no byte and no orderly end.
_RESET = struct.pack("ii", 1, 0)
# Between looks whether blocked threads still wait; one interrupted by a signal does not.
_LOOK_S = 0.5
# For a thread that was interrupted while its connection was on the way: it asks again at once.
_HELD_S = 5.0
_STUCK_S = 0.25
_TELL_S = 10.0


@dataclass(kw_only=True)
class Waiting:
    """A thread in accept. listening: our copy of its socket. inode: names that socket."""

    note: kernel.Notification
    pid: int
    listening: socket.socket
    inode: int
    blocks: bool
    flags: int


@dataclass(kw_only=True)
class _Held:
    connection: socket.socket
    since: float


@dataclass(kw_only=True)
class Counts:
    """Connections handed over and refused; unknown: accepts whose socket we could not see."""

    passed: int = 0
    refused: int = 0
    unknown: int = 0


def socket_address(address: tuple[str | int, ...]) -> bytes:
    """struct sockaddr_in or sockaddr_in6 of what Python makes of one. Pure."""
    host, port = str(address[0]).partition("%")[0], address[1]
    if len(address) == 2:
        packed = socket.inet_pton(socket.AF_INET, host)
        return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, packed)
    packed = socket.inet_pton(socket.AF_INET6, host)
    return (
        struct.pack("=H", socket.AF_INET6)
        + struct.pack("!HI16s", port, address[2], packed)
        + struct.pack("=I", address[3])
    )


@dataclass(kw_only=True)
class Keeper:
    """Serves one listener of notifications. uid: whose connections pass.

    tell: says a line to the application's log.
    """

    listener: int
    uid: int
    peers: Peers = field(default_factory=Peers)
    tell: Callable[[str], None] = lambda line: None
    clock: Callable[[], float] = time.monotonic
    counts: Counts = field(default_factory=Counts)
    _waiting: dict[int, Waiting] = field(default_factory=dict)
    _held: dict[int, list[_Held]] = field(default_factory=dict)
    _told: float = float("-inf")

    def serve(self, wake: int, done: Callable[[], bool]) -> None:
        """Until `done`, which is asked whenever `wake` can be read, and now and then."""
        signal.signal(signal.SIGALRM, _interrupt)
        looked = self.clock()
        while not done():
            poll = select.poll()
            poll.register(wake, select.POLLIN)
            poll.register(self.listener, select.POLLIN)
            for each in self._waiting.values():
                poll.register(each.listening.fileno(), select.POLLIN)
            ready = poll.poll(self._patience())
            for descriptor, events in ready:
                if descriptor == wake:
                    with suppress(BlockingIOError):
                        os.read(wake, 4096)
                elif descriptor == self.listener:
                    if not events & select.POLLIN:
                        return  # nobody is left who has the filter
                    note = kernel.receive(self.listener)
                    if note is not None:
                        self._take(note)
            for each in tuple(self._waiting.values()):
                if each.inode in self._held or _readable(each.listening):
                    self._serve(each)
            if self.clock() - looked >= _LOOK_S:
                looked = self.clock()
                self._forget_interrupted()

    def _patience(self) -> float | None:
        """Milliseconds to wait for something to happen; None: for ever."""
        if any(each.inode in self._held for each in self._waiting.values()):
            return 0
        return _LOOK_S * 1000 if self._waiting or self._held else None

    def close(self) -> None:
        """Drop what is under way."""
        self.peers.close()
        for each in tuple(self._waiting.values()):
            self._drop(each)
        for held in self._held.values():
            for one in held:
                one.connection.close()
        self._held.clear()

    # -- one accept -------------------------------------------------------------------------------

    def _take(self, note: kernel.Notification) -> None:
        try:
            pid = kernel.process_of(note.pid)
            copy = kernel.copy_descriptor(pid, note.arguments[0] & 0xFFFFFFFF)
        except OSError as error:
            if error.errno not in {errno.EBADF, errno.ENOENT, errno.ESRCH}:
                # A process that hides from us (not dumpable): better open than unusable.
                self.counts.unknown += 1
                self._say(f"its port is not guarded: {error}")
            kernel.let_through(self.listener, note.id)
            return
        if not kernel.valid(self.listener, note.id):
            os.close(copy)  # its number may have been another thread's by then
            return
        flags = note.arguments[3] if note.number == kernel.numbers().accept4 else 0
        try:
            listening = _tcp_listener(copy)
        except OSError:
            listening = None
        if listening is None or flags & ~_KNOWN_FLAGS:
            if listening is None:
                os.close(copy)
            else:
                listening.close()
            kernel.let_through(self.listener, note.id)
            return
        waiting = Waiting(
            note=note,
            pid=pid,
            listening=listening,
            inode=os.fstat(copy).st_ino,
            blocks=os.get_blocking(copy),
            flags=flags,
        )
        self._waiting[note.id] = waiting
        self._serve(waiting)

    def _serve(self, waiting: Waiting) -> None:
        """Accept until there is one of ours, or none."""
        if not kernel.valid(self.listener, waiting.note.id):
            self._drop(waiting)  # interrupted by a signal
            return
        try:
            while True:
                connection, address = self._next(waiting)
                if connection is None:
                    if not waiting.blocks:
                        self._answer(waiting, errno.EAGAIN)
                    return
                if address is None or self._ours(connection):
                    self._hand_over(waiting, connection)
                    return
                self._refuse(connection, address)
        except _InterruptedError:
            return  # the alarm, a moment after all was well; it is looked at again
        except OSError as error:
            self._answer(waiting, error.errno or errno.ECONNABORTED)

    def _next(self, waiting: Waiting) -> tuple[socket.socket | None, tuple[str | int, ...] | None]:
        """A connection and who it is from; no address for one that was looked at before."""
        held = self._held.get(waiting.inode)
        if held:
            one = held.pop(0)
            if not held:
                del self._held[waiting.inode]
            return one.connection, None
        if waiting.blocks:
            if not _readable(waiting.listening):
                return None, None
            # Nobody else accepts from it, so this does not block; if it did, everything would.
            signal.setitimer(signal.ITIMER_REAL, _STUCK_S)
        try:
            return waiting.listening.accept()
        except (BlockingIOError, _InterruptedError):
            return None, None
        finally:
            if waiting.blocks:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def _ours(self, connection: socket.socket) -> bool:
        try:
            return self.peers.owner(connection) == self.uid
        except OSError:
            return False  # gone before it could be asked about

    def _hand_over(self, waiting: Waiting, connection: socket.socket) -> None:
        connection.setblocking(not waiting.flags & socket.SOCK_NONBLOCK)
        try:
            self._write_address(waiting, connection)
            kernel.hand_over(
                self.listener,
                waiting.note.id,
                connection.fileno(),
                close_on_exec=bool(waiting.flags & socket.SOCK_CLOEXEC),
            )
        except OSError as error:
            if error.errno == errno.ENOENT:
                # A signal came in between: the thread asks again, and gets it then.
                held = _Held(connection=connection, since=self.clock())
                self._held.setdefault(waiting.inode, []).append(held)
                self._drop(waiting)
                return
            connection.close()
            self._answer(waiting, error.errno or errno.ECONNABORTED)
            return
        self.counts.passed += 1
        connection.close()
        self._drop(waiting)

    def _write_address(self, waiting: Waiting, connection: socket.socket) -> None:
        _, address_at, length_at, *_ = waiting.note.arguments
        if not address_at:
            return
        try:
            address = socket_address(connection.getpeername())
        except OSError:
            address = b""  # reset meanwhile; the application learns it when it reads
        (room,) = struct.unpack("=i", kernel.read_memory(waiting.pid, length_at, 4))
        if room < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        kernel.write_memory(waiting.pid, address_at, address[:room])
        kernel.write_memory(waiting.pid, length_at, struct.pack("=i", len(address)))

    def _refuse(self, connection: socket.socket, address: tuple[str | int, ...]) -> None:
        self.counts.refused += 1
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.close()
        self._say(f"a connection of another user or machine ({address[0]}) was closed")

    # -- small things -----------------------------------------------------------------------------

    def _answer(self, waiting: Waiting, number: int) -> None:
        kernel.fail(self.listener, waiting.note.id, number)
        self._drop(waiting)

    def _drop(self, waiting: Waiting) -> None:
        self._waiting.pop(waiting.note.id, None)
        waiting.listening.close()

    def _forget_interrupted(self) -> None:
        for each in tuple(self._waiting.values()):
            if not kernel.valid(self.listener, each.note.id):
                self._drop(each)
        now = self.clock()
        for inode, held in tuple(self._held.items()):
            while held and now - held[0].since > _HELD_S:
                held.pop(0).connection.close()
            if not held:
                del self._held[inode]

    def _say(self, line: str) -> None:
        if self.clock() - self._told >= _TELL_S:
            self._told = self.clock()
            self.tell(line)


class _InterruptedError(Exception):
    """The alarm of a system call that should not have blocked."""


def _interrupt(number: int, frame: object) -> None:
    raise _InterruptedError


def _tcp_listener(descriptor: int) -> socket.socket | None:
    """The socket when connections from outside this process's machine could come in by it."""
    made = socket.socket(fileno=descriptor)
    try:
        listens = made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if (
            made.family in {socket.AF_INET, socket.AF_INET6}
            and made.proto in _PROTOCOLS
            and listens
        ):
            return made
    except OSError:
        pass
    made.detach()
    return None


def _readable(listening: socket.socket) -> bool:
    poll = select.poll()
    poll.register(listening.fileno(), select.POLLIN)
    return bool(poll.poll(0))
