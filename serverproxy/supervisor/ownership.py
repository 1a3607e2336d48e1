"""Whether an endpoint is served by the application it was made for. Walks /proc: use a thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from serverproxy.supervisor.listeners import Owner, judge, read_listeners, socket_inodes
from serverproxy.supervisor.probe import listening_peer, socket_owner
from serverproxy.supervisor.processes import PROC
from serverproxy.supervisor.spec import Endpoint, TcpEndpoint
from serverproxy.supervisor.state import Failure
from serverproxy.supervisor.tracker import Tracker


@dataclass(frozen=True, kw_only=True)
class Ownership:
    """owner: whose it is. pid: of the process that serves it, None when unknown.

    exposed: it also takes connections from other machines.
    """

    owner: Owner
    pid: int | None = None
    exposed: bool = False


def check(endpoint: Endpoint, tracker: Tracker, *, uid: int, proc: Path = PROC) -> Ownership:
    """Who listens on an endpoint.

    A unix socket is judged by the owner of its file: in its 0700 folder nobody else can make one,
    and the process that called listen() may be gone when a server went to the background.
    """
    if not isinstance(endpoint, TcpEndpoint):
        found = socket_owner(endpoint)
        if found is None:
            return Ownership(owner=Owner.NOBODY)
        return Ownership(owner=Owner.OURS if found == uid else Owner.ANOTHER_USER)
    listeners = read_listeners(endpoint.port, proc)
    held: dict[int, int] = {}
    if listeners and all(one.uid == uid for one in listeners):
        for row in tracker.members():
            for inode in socket_inodes(row.pid, proc):
                held.setdefault(inode, row.pid)
    return Ownership(
        owner=judge(listeners, uid=uid, held_inodes=held),
        pid=next((held[one.inode] for one in listeners or () if one.inode in held), None),
        exposed=any(not one.loopback for one in listeners or ()),
    )


def serving_pid(endpoint: Endpoint, tracker: Tracker, *, uid: int) -> int | None:
    """The process to show for an application in the background; None when it does not serve.

    Connects to a unix socket once.
    """
    members = [row.pid for row in tracker.members()]
    if not members:
        return None
    if isinstance(endpoint, TcpEndpoint):
        ownership = check(endpoint, tracker, uid=uid)
        if ownership.owner is Owner.UNKNOWN:
            return members[0]
        return ownership.pid if ownership.owner is Owner.OURS else None
    peer = listening_peer(endpoint)
    if peer is None or peer[1] != uid:
        return None
    return peer[0] if peer[0] in members else members[0]


def explain_taken(
    title: str, endpoint: Endpoint, owner: Owner, log_tail: tuple[str, ...]
) -> Failure:
    """Failure for an endpoint that somebody else serves. Pure."""
    place = (
        f"port {endpoint.port}" if isinstance(endpoint, TcpEndpoint) else f"socket {endpoint.path}"
    )
    who = (
        "Another user of this machine"
        if owner is Owner.ANOTHER_USER
        else "A program that was not started here"
    )
    return Failure(
        code="port_taken",
        message=f"{who} listens on the {place} that {title} was given. Nothing was sent to it.",
        fix="Try again; unless its entry insists on one, each start gets another.",
        log_tail=log_tail,
    )
