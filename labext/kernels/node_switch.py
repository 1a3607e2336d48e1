"""The node's own word on merging and alignment, asked of its agent before a kernel starts.

The operator's "no" on the agent (`--merge no`, `--align no`) wins over everything a server is set
to. A node without an agent says nothing, and everything is as without this file. An agent that
said no and is away has still said no: it may be restarting, and a kernel lives for hours.
"""

import contextlib
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

URL_VARIABLE = "SAMEPAGE_AGENT_URL"
DEFAULT_URL = "http://127.0.0.1:9747"
_TIMEOUT = 0.5
#: For the whole answer: who sends a byte at a time keeps each single step short.
_WHOLE_SECONDS = 1.5
_KEEP_SECONDS = 10.0
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Word:
    """False: the node forbids it; True: it does not; None: nobody said anything."""

    merge: bool | None = None
    align: bool | None = None

    @property
    def forbids(self) -> bool:
        """Whether anything is forbidden."""
        return self.merge is False or self.align is False


UNSAID = Word()


class _OverSocket(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT)
        self.sock.connect(self._path)


def ask_agent(url: str) -> Mapping[str, Any]:
    """The agent's /v1/node; blocks for half a second at most per step, and two seconds at most.

    Errors: OSError, ValueError.

    `url`: http://host:port or unix:///path.
    """
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "unix":
        connection = _OverSocket(parts.path)
    elif parts.scheme in {"http", "https"} and parts.hostname is not None:
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=_TIMEOUT)
    else:
        raise ValueError(f"{url!r} is no address of an agent")
    with contextlib.closing(connection):
        connection.connect()
        guard = threading.Timer(_WHOLE_SECONDS, _hang_up, (connection.sock,))
        guard.daemon = True
        with contextlib.suppress(RuntimeError):  # no thread is to be had
            guard.start()
        try:
            connection.request(
                "GET", parts.path.rstrip("/") * (parts.scheme != "unix") + "/v1/node"
            )
            answer = connection.getresponse()
            found = json.loads(answer.read(_MOST_BYTES))
        except http.client.HTTPException as err:
            raise ValueError(f"it does not speak HTTP: {err!r}") from err
        finally:
            guard.cancel()
    if answer.status != 200 or not isinstance(found, dict):
        raise ValueError(f"it answered {answer.status}")
    return found


def _hang_up(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is over already
        connected.shutdown(socket.SHUT_RDWR)


class NodeSwitch:
    """What the node at `url` said last; "" means that nobody is asked. Safe for threads."""

    def __init__(
        self,
        url: str,
        *,
        ask: Callable[[str], Mapping[str, Any]] = ask_agent,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._word = Word()
        self._since: float | None = None

    def known(self) -> Word:
        """Without asking."""
        return self._word

    def word(self) -> Word:
        """Ask, unless that was done in the last ten seconds. Blocks; never raises."""
        with self._lock:
            if not self.url:
                return Word()
            now = self._clock()
            if self._since is None or now - self._since >= _KEEP_SECONDS:
                try:
                    self._take(self._ask(self.url))
                except (OSError, ValueError):
                    self._away()
            return self._word

    def take(self, node: Mapping[str, Any] | None) -> None:
        """What somebody else has just been answered; None: the agent did not answer."""
        if node is None:
            self._away()
        else:
            self._take(node)

    def _take(self, node: Mapping[str, Any]) -> None:
        said = node.get("kernels")
        fields = said if isinstance(said, Mapping) else {}
        merge, align = fields.get("merge"), fields.get("align")
        self._word = Word(
            merge=merge if isinstance(merge, bool) else None,
            align=align if isinstance(align, bool) else None,
        )
        self._since = self._clock()

    def _away(self) -> None:
        if not self._word.forbids:
            self._word = Word()
        self._since = self._clock()


#: One per process, as the ledger; the server extension sets the address it is configured with.
node_switch = NodeSwitch(os.environ.get(URL_VARIABLE, DEFAULT_URL))
