"""Names to numbers without the event loop's own threads.

`getaddrinfo` cannot be given up: while a name server does not answer, each call keeps its thread
for half a minute. In a hub, whose other work waits for the same threads, that would be everybody's
half minute. So there is one call per name at a time, few in all, and who asks waits only a moment.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tornado.netutil import Resolver

MOST_AT_ONCE = 8
"""Calls that run; names beyond that are not looked up until one has ended."""
_WAIT_SECONDS = 1.0
_KEEP_SECONDS = 600.0
"""So long the last numbers of a name count while nothing is told of it."""
_MOST_NAMES = 1000

Lookup = Callable[[str], Sequence[str]]


def system_lookup(host: str) -> tuple[str, ...]:
    """All numbers of a name, sorted. OSError: not known. Blocks for as long as the system likes."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(sorted({str(entry[4][0]) for entry in found}))


class Names:
    """Of one event loop. `wait_seconds`: for one name, if who asks does not say less."""

    def __init__(
        self, lookup: Lookup = system_lookup, *, wait_seconds: float = _WAIT_SECONDS
    ) -> None:
        self._lookup = lookup
        self._wait = wait_seconds
        self._under_way: dict[str, asyncio.Future[tuple[str, ...]]] = {}
        self._waited: set[str] = set()
        self._good: dict[str, tuple[float, tuple[str, ...]]] = {}

    async def numbers(self, host: str, seconds: float | None = None) -> tuple[str, ...]:
        """Never empty. After `seconds` at most: the last ones that were told. OSError: there are
        none."""
        if is_number(host):
            return (host,)
        loop = asyncio.get_running_loop()
        before = self._good.get(host)
        if before is not None and loop.time() - before[0] > _KEEP_SECONDS:
            before = None
        # A name that made one wait in vain makes nobody else wait where there is an answer.
        wait = 0.0 if before is not None and host in self._waited else self._wait
        try:
            found = await asyncio.wait_for(
                asyncio.shield(self._asked(host)), wait if seconds is None else min(wait, seconds)
            )
        except (OSError, TimeoutError) as err:
            late = isinstance(err, TimeoutError)
            if late:
                self._waited.add(host)
            if before is not None:
                return before[1]
            raise OSError(f"{host}: no name server answers" if late else f"{host}: {err}") from err
        return found

    def _asked(self, host: str) -> asyncio.Future[tuple[str, ...]]:
        """Of the call under way, or of a new one. OSError: too many run."""
        if (running := self._under_way.get(host)) is not None:
            return running
        if len(self._under_way) >= MOST_AT_ONCE:
            raise OSError("too many names are being looked up, none of which is answered")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[str, ...]] = loop.create_future()
        self._under_way[host] = future

        def ended(found: tuple[str, ...], error: Exception | None) -> None:
            self._under_way.pop(host, None)
            self._waited.discard(host)
            if error is None:
                if len(self._good) >= _MOST_NAMES:
                    self._good.clear()
                self._good[host] = (loop.time(), found)
                future.set_result(found)
            else:
                future.set_exception(error)
                # Nobody may be waiting any more.
                future.exception()

        def call() -> None:
            error: Exception | None = None
            found: tuple[str, ...] = ()
            try:
                found = tuple(self._lookup(host))
                if not found:
                    error = OSError("no address is told")
            except (OSError, UnicodeError) as err:
                error = err if isinstance(err, OSError) else OSError(str(err))
            # The loop may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(ended, found, error)

        # Daemons: a process that ends does not wait for a name server.
        threading.Thread(target=call, name=f"name of {host}", daemon=True).start()
        return future


class NamesResolver(Resolver):
    """The same for Tornado's client."""

    def initialize(self, names: Names) -> None:
        """Names: who looks them up."""
        self._names = names

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        """As the base. OSError: the name is not known in time."""
        found: list[tuple[int, Any]] = []
        for number in await self._names.numbers(host):
            # A number needs no name server, so this does not block.
            listed = socket.getaddrinfo(
                number, port, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )
            found += [(kind, address) for kind, _, _, _, address in listed]
        return found


def is_number(host: str) -> bool:
    """Whether it is an IP address itself."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
