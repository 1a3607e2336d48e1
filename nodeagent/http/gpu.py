"""GPU facts and decisions over HTTP: all of it for the operator, their own for everybody else."""

import json
import time
from pathlib import Path
from typing import Any

from tornado import web

from nodeagent.config import Address
from nodeagent.gpu.canonical import ShapeError, build, encode, plain
from nodeagent.gpu.compact import compact
from nodeagent.gpu.flags.ladder import Snooze
from nodeagent.gpu.monitor import GpuMonitor
from nodeagent.gpu.procfs import in_host_pid_namespace
from nodeagent.gpu.sharing.ledger import LedgerMovedError
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.snapshot import Snapshot
from nodeagent.gpu.student import me_json
from nodeagent.gpu.view import report_json
from nodeagent.http.handlers import AgentHandler
from nodeagent.http.peers import Peer, Peers
from nodeagent.http.private import PrivateHandler
from nodeagent.loop import Agent

_MOST_SNOOZE = 90 * 86_400
_MOST_PAUSE = 3600


def gpu_routes(shared: dict[str, Any]) -> list[tuple[str, type[web.RequestHandler], Any]]:
    """The operator's pages of GPUs."""
    return [
        ("/v1/gpu/snapshot", SnapshotHandler, shared),
        ("/v1/gpu/report", ReportHandler, shared),
        ("/v1/gpu/decide", DecideHandler, shared),
        ("/v1/gpu/release", ReleaseHandler, shared),
        ("/v1/gpu/snooze", SnoozeHandler, shared),
        ("/v1/gpu/pause", PauseHandler, shared),
    ]


class GpuHandler(PrivateHandler):
    """Facts of one node, for who may read all of them."""

    def facts(self) -> tuple[GpuMonitor, Snapshot] | None:
        """None: answered with why there are none."""
        monitor = self.agent.gpu_monitor
        if monitor is None:
            self.fail(404, "gpu-off", "GPUs are not read here.", "Leave --no-gpu out.")
            return None
        if monitor.snapshot is None:
            self.fail(503, "not-ready", "The first reading is under way.", "Ask again soon.")
            return None
        return monitor, monitor.snapshot

    def json(self, text: str) -> None:
        """A body that is JSON already."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.write(text)


class SnapshotHandler(GpuHandler):
    """The facts themselves."""

    def get(self) -> None:
        """Canonical JSON; `?compact=1`: the form for an annotation."""
        if (facts := self.facts()) is not None:
            small = self.get_query_argument("compact", "") not in ("", "0")
            self.json(compact(facts[1]) if small else encode(facts[1]))


class ReportHandler(GpuHandler):
    """Facts and what follows from them."""

    def get(self) -> None:
        """What `gpu top` shows."""
        if (facts := self.facts()) is not None:
            self.json(json.dumps(report_json(facts[0], time.time()), separators=(",", ":")))


class AskHandler(GpuHandler):
    """POST with a JSON object."""

    SUPPORTED_METHODS = ("POST",)

    def body(self, *names: str) -> dict[str, Any] | None:
        """The object; None: answered with what is wrong with it. `names`: all it may hold."""
        try:
            found = json.loads(self.request.body)
            if not isinstance(found, dict):
                raise ValueError("no object")
            if strange := sorted(set(found) - set(names)):
                raise ValueError(f"$.{strange[0]} is not known")
        except ValueError as err:
            self.refuse(f"The body cannot be used: {err}.", names)
            return None
        return found

    def refuse(self, message: str, names: tuple[str, ...]) -> None:
        """400 with what to send."""
        self.fail(400, "bad-request", message, f"Send a JSON object with {', '.join(names)}.")


class DecideHandler(AskHandler):
    """A decision on this node's GPUs."""

    async def post(self) -> None:
        """With `reserve` its reservations are kept until they expire or are released."""
        facts = self.facts()
        names = ("request", "reserve")
        body = None if facts is None else self.body(*names)
        if facts is None or body is None:
            return
        hold = body.get("reserve", False)
        try:
            if not isinstance(hold, bool):
                raise ShapeError("$.reserve: true or false is wanted")
            request = build(Request, body.get("request"), "$.request")
            monitor, snapshot = facts
            decision, held = monitor.desk.decide(request, snapshot, hold=hold)
        except ShapeError as err:
            self.refuse(f"The request cannot be used: {err}.", names)
            return
        except LedgerMovedError as err:
            self.fail(409, "ledger-moved", str(err), "Ask again.")
            return
        answer = {
            "decision": plain(decision),
            "ledger_version": monitor.desk.ledger.version,
            "reserved": held,
        }
        # What was promised can be looked up, also when the agent is killed now.
        await monitor.desk.recorded()
        self.json(json.dumps(answer))


class ReleaseHandler(AskHandler):
    """Gives a reservation back."""

    def post(self) -> None:
        """Also for a pod that has none."""
        facts = self.facts()
        body = None if facts is None else self.body("pod")
        if facts is None or body is None:
            return
        pod = body.get("pod")
        if not isinstance(pod, str) or not pod:
            self.refuse("$.pod: a name is wanted.", ("pod",))
            return
        self.json(json.dumps({"ledger_version": facts[0].desk.release(pod)}))


class SnoozeHandler(AskHandler):
    """Leaves an owner unflagged for a while."""

    async def post(self) -> None:
        """0 seconds end a former word."""
        names = ("owner", "seconds", "by")
        facts = self.facts()
        body = None if facts is None else self.body(*names)
        if facts is None or body is None:
            return
        owner, seconds, by = body.get("owner"), body.get("seconds"), body.get("by")
        if not (isinstance(owner, str) and owner and isinstance(by, str) and by):
            self.refuse("$.owner and $.by: names are wanted.", names)
            return
        if not isinstance(seconds, (int, float)) or not 0 <= seconds <= _MOST_SNOOZE:
            self.refuse("$.seconds: 0 to 90 days are wanted.", names)
            return
        now = time.time()
        monitor = facts[0]
        monitor.watch.snooze(Snooze(owner=owner, until=now + seconds, by=by), now)
        await monitor.keep_snoozes()
        self.json(json.dumps({"until": now + seconds}))


class PauseHandler(AskHandler):
    """Lets go of the driver for a while."""

    async def post(self) -> None:
        """At most an hour; 0 seconds end it."""
        monitor = self.agent.gpu_monitor
        body = self.body("seconds") if monitor is not None else None
        if monitor is None:
            self.fail(404, "gpu-off", "GPUs are not read here.", "Leave --no-gpu out.")
        if monitor is None or body is None:
            return
        seconds = body.get("seconds")
        if not isinstance(seconds, (int, float)) or not 0 <= seconds <= _MOST_PAUSE:
            self.refuse("$.seconds: 0 to 3600 are wanted.", ("seconds",))
            return
        await monitor.pause(seconds)
        self.json(json.dumps({"seconds": seconds}))


class GpuMeHandler(AgentHandler):
    """For everybody on the node's socket: one's own processes and the GPUs' totals.

    Without a password: the kernel says which process asks, its cgroup whose it is.
    """

    def initialize(  # type: ignore[override]  # tornado passes keywords; one more here
        self, agent: Agent, listen: Address, allow_host: tuple[str, ...], peers: Peers
    ) -> None:
        """As the base, and who connected."""
        super().initialize(agent, listen, allow_host)
        self._peers = peers

    def get(self) -> None:
        """404 where GPUs are not read, else always an answer."""
        monitor = self.agent.gpu_monitor
        if monitor is None:
            self.fail(404, "gpu-off", "GPUs are not read here.", "There is nothing to do.")
            return
        owner, why = owner_of_peer(monitor, self._peers.of(self.request.connection))
        self.write(me_json(monitor, owner, why, time.monotonic()))


def owner_of_peer(monitor: GpuMonitor, peer: Peer | None) -> tuple[str | None, str | None]:
    """(the tenant who asks, None) or (None, why not known)."""
    same_pids = monitor.proc == Path("/proc") or in_host_pid_namespace()
    if peer is None or peer.pid == 0 or not same_pids:
        return None, "The agent does not see which process asks: it needs the host's pids."
    seen = monitor.table.one(peer.pid)
    if seen is None or seen.started != peer.started:
        return None, "The process that connected has ended."
    return monitor.roster.owner(seen)[0], None
