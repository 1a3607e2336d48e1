"""A bare relay: bytes from one connection to another and back. No HTTP, no login, one at a time.

`python proxy_relay.py PORT TO_PORT [--splice]`: what a proxy costs that does nothing else, through
one buffer of 1 MiB in this process, or with `--splice` through a pipe of 1 MiB in the kernel.
"""

import argparse
import fcntl
import os
import select
import socket

_BYTES = 1 << 20


class Buffer:
    """recv_into and send."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(_BYTES))

    def move(self, source: socket.socket, to: socket.socket) -> bool:
        """Some bytes; False at the end."""
        count = source.recv_into(self._buffer)
        to.sendall(self._buffer[:count])
        return count > 0


class Pipe:
    """splice(2) into a pipe, and out of it."""

    def __init__(self) -> None:
        self._out, self._into = os.pipe()
        fcntl.fcntl(self._into, fcntl.F_SETPIPE_SZ, _BYTES)

    def move(self, source: socket.socket, to: socket.socket) -> bool:
        """Some bytes; False at the end."""
        left = count = os.splice(source.fileno(), self._into, _BYTES)
        while left:
            left -= os.splice(self._out, to.fileno(), left)
        return count > 0


def relay(one: socket.socket, other: socket.socket, mover: Buffer | Pipe) -> None:
    """Until one of them ends."""
    poll = select.poll()
    ways = {one.fileno(): (one, other), other.fileno(): (other, one)}
    for number, (line, _) in ways.items():
        poll.register(number, select.POLLIN)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while all(mover.move(*ways[number]) for number, _ in poll.poll()):
        pass


def main() -> None:
    """The script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("to", type=int)
    parser.add_argument("--splice", action="store_true")
    options = parser.parse_args()
    mover = Pipe() if options.splice else Buffer()
    with socket.create_server(("127.0.0.1", options.port)) as server:
        while True:
            line, _ = server.accept()
            with line, socket.create_connection(("127.0.0.1", options.to)) as other:
                try:
                    relay(line, other, mover)
                except ConnectionError:
                    continue


if __name__ == "__main__":
    main()
