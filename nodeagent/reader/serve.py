"""`samepage-agent reader`: answers the tuner until a signal."""

import asyncio
import logging
import os
import signal
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

from tornado import netutil

from nodeagent import __version__
from nodeagent.config import AgentConfig, invitation
from nodeagent.errors import AgentError, ConfigError, PortError
from nodeagent.host import read_memory
from nodeagent.ksm.local import LocalProcesses, ProcessFacts
from nodeagent.reader.client import ask
from nodeagent.reader.peer import is_trusted, peer_uid
from nodeagent.reader.wire import decode_arrivals, encode, encode_arrivals

log = logging.getLogger("nodeagent.reader")

_QUESTION_SECONDS = 2.0
_ANSWER_SECONDS = 10.0
_MOST_REFUSED = 100


def bind_facts(path: Path) -> socket.socket:
    """A socket every user may open (each peer is checked). PortError: taken or no place for it."""
    try:
        if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
            raise PortError(f"{path} is there and is no socket", fix="Give another --facts-socket.")
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        # A tuner without capabilities is no owner of this file, root or not: the mode must let it.
        return netutil.bind_unix_socket(str(path), mode=0o666)
    except (OSError, ValueError) as err:
        raise PortError(
            f"Cannot answer on {path}: {err}",
            fix="Give a place in a folder this user may write to.",
        ) from err


def socket_of(config: AgentConfig) -> Path:
    """ConfigError: none is set."""
    if config.facts_socket is None:
        raise ConfigError(
            "--facts-socket is not given",
            fix="Give the socket that the tuner asks, such as /run/samepage-facts/facts.sock.",
        )
    return config.facts_socket


def run_reader(config: AgentConfig) -> int:
    """Blocks until SIGTERM or SIGINT; 0."""
    path = socket_of(config)
    opened = bind_facts(path)
    source = LocalProcesses(
        config.proc_root,
        page_bytes=os.sysconf("SC_PAGESIZE"),
        cgroups=config.sys_root / "fs/cgroup",
        invitation=invitation(config),
        own_user=os.geteuid() != 0,
    )
    reader = Reader(
        source, total_bytes=read_memory(config.proc_root).total_bytes, allowed=config.facts_uids
    )
    log.info("samepage-agent %s reads processes for %s", __version__, path)
    try:
        asyncio.run(_until_signal(reader, opened))
    finally:
        path.unlink(missing_ok=True)
    return 0


def check_reader(config: AgentConfig) -> int:
    """0 when a reader answers, for a probe. AgentError: none does, and why."""
    path = socket_of(config)
    try:
        decode_arrivals(ask(path, b"arrivals\n", config.facts_uids))
    except (OSError, ValueError) as err:
        raise AgentError(
            f"No reader answers on {path}: {err}", fix="See the log of samepage-agent reader."
        ) from err
    return 0


async def _until_signal(reader: "Reader", opened: socket.socket) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_unix_server(reader.answer, sock=opened, limit=1024)
    async with server:
        await stop.wait()
    log.info("stopped")


class Reader:
    """Answers one peer at a time."""

    def __init__(
        self,
        source: ProcessFacts,
        *,
        total_bytes: int,
        allowed: tuple[tuple[int, int], ...],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._total_bytes = total_bytes
        self._allowed = allowed
        self._clock = clock
        self._turn = asyncio.Lock()
        self._refused: set[int] = set()

    async def answer(self, incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        """One connection; a peer that is not trusted gets nothing."""
        try:
            uid = peer_uid(outgoing.get_extra_info("socket"))
            if not is_trusted(uid, self._allowed):
                # Once per user: who is refused could ask a thousand times a second.
                if uid not in self._refused and len(self._refused) < _MOST_REFUSED:
                    self._refused.add(uid)
                    log.warning(
                        "refused user %d: not root, not this user, not in --facts-uids", uid
                    )
                return
            async with asyncio.timeout(_QUESTION_SECONDS):
                question = await incoming.readline()
            async with self._turn:
                line = await asyncio.to_thread(self._line, question)
            async with asyncio.timeout(_ANSWER_SECONDS):
                outgoing.write(line)
                await outgoing.drain()
        except (OSError, ValueError) as err:  # TimeoutError is an OSError
            log.info("a question was not answered: %s", err)
        finally:
            outgoing.close()

    def _line(self, question: bytes) -> bytes:
        now = self._clock()
        if question == b"facts\n":
            return encode(self._source.read(now, self._total_bytes))
        if question == b"arrivals\n":
            return encode_arrivals(self._source.arrivals(now))
        raise ValueError(f"no such question: {question[:40]!r}")
