"""Decisions as a file of JSON lines, from which each can be made again, byte for byte.

Line kinds: `snapshot` and `policy` (each once, named by its hash), then `decision` lines that refer
to them. A file may be cut at any line end and goes on to be readable; lines may be appended.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from nodeagent.errors import AgentError
from nodeagent.gpu.canonical import ShapeError, build, digest, encode, plain
from nodeagent.gpu.sharing.decide import decide
from nodeagent.gpu.sharing.ledger import Ledger
from nodeagent.gpu.sharing.policy import Policy, policy_id
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.sharing.verdict import Decision
from nodeagent.gpu.snapshot import Snapshot, snapshot_id

FORMAT = 1


class RecordError(AgentError):
    """A file of decisions cannot be read or is not what it says."""

    code = "gpu-record"
    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Record:
    """All that went into one decision. `said`: the canonical JSON of what came out."""

    request: Request
    snapshots: tuple[Snapshot, ...]
    policy: Policy
    now: float
    ledger: Ledger
    said: str


def record_of(
    request: Request,
    snapshots: Iterable[Snapshot],
    policy: Policy,
    now: float,
    ledger: Ledger,
    decision: Decision,
) -> Record:
    """What to keep of a decision just made."""
    return Record(
        request=request,
        snapshots=tuple(snapshots),
        policy=policy,
        now=now,
        ledger=ledger,
        said=encode(decision),
    )


def replay(record: Record) -> Decision:
    """The decision made again; `encode` of it is `record.said`, or the rules have changed."""
    return decide(record.request, record.snapshots, record.policy, record.now, record.ledger)


def lines(record: Record, written: set[str]) -> Iterator[str]:
    """The lines to append for it. `written`: ids already in the file; new ones are added."""
    ids = []
    for snapshot in record.snapshots:
        ids.append(snapshot_id(snapshot))
        yield from snapshot_line(snapshot, written)
    policy = policy_id(record.policy)
    if policy not in written:
        written.add(policy)
        yield _line("policy", id=policy, policy=plain(record.policy))
    body = {
        "snapshots": sorted(ids),
        "policy": policy,
        "now": record.now,
        "request": plain(record.request),
        "ledger": plain(record.ledger),
        "decision": json.loads(record.said),
    }
    yield _line("decision", **body)


def snapshot_line(snapshot: Snapshot, written: set[str]) -> Iterator[str]:
    """The line of a snapshot, unless it is in the file already."""
    name = snapshot_id(snapshot)
    if name not in written:
        written.add(name)
        yield _line("snapshot", id=name, snapshot=plain(snapshot))


def read_snapshots(source: Iterable[str]) -> Iterator[tuple[int, Snapshot]]:
    """(line number, snapshot) of each snapshot line. RecordError: which line is wrong, and how."""
    for number, text in enumerate(source, start=1):
        if not text.strip():
            continue
        try:
            raw = json.loads(text)
            if _kind(raw) == "snapshot":
                snapshot = build(Snapshot, raw["snapshot"])
                _named(raw, snapshot)
                yield number, snapshot
        except (ValueError, KeyError, TypeError) as err:
            raise _wrong(number, err) from err


def read_records(source: Iterable[str]) -> Iterator[tuple[int, Record]]:
    """(line number, record) for each decision. RecordError: which line is wrong, and how."""
    snapshots: dict[str, Snapshot] = {}
    policies: dict[str, Policy] = {}
    for number, text in enumerate(source, start=1):
        if not text.strip():
            continue
        try:
            raw = json.loads(text)
            kind = _kind(raw)
            if kind == "snapshot":
                snapshot = build(Snapshot, raw["snapshot"])
                snapshots[_named(raw, snapshot)] = snapshot
            elif kind == "policy":
                policy = build(Policy, raw["policy"])
                policies[_named(raw, policy)] = policy
            else:
                yield number, _record(raw, snapshots, policies)
        except (ValueError, KeyError, TypeError) as err:
            raise _wrong(number, err) from err


def _wrong(number: int, err: Exception) -> RecordError:
    what = f"{err} is missing" if isinstance(err, KeyError) else str(err)
    return RecordError(
        f"Line {number} of the record: {what}",
        fix="Give a file written by this version of the agent, whole from its first line.",
    )


def _line(kind: str, **body: Any) -> str:
    return encode_plain({"format": FORMAT, "kind": kind, **body})


def encode_plain(body: dict[str, Any]) -> str:
    """Canonical JSON of what is plain already."""
    return json.dumps(
        body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _kind(raw: Any) -> str:
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ShapeError(f"not of format {FORMAT}")
    if raw.get("kind") not in ("snapshot", "policy", "decision"):
        raise ShapeError(f"unknown kind {raw.get('kind')!r}")
    return str(raw["kind"])


def _named(raw: dict[str, Any], value: Snapshot | Policy) -> str:
    if digest(value) != raw["id"]:
        raise ShapeError(f"its content is not that of id {raw['id']}")
    return str(raw["id"])


def _record(
    raw: dict[str, Any], snapshots: dict[str, Snapshot], policies: dict[str, Policy]
) -> Record:
    return Record(
        request=build(Request, raw["request"]),
        snapshots=tuple(snapshots[name] for name in raw["snapshots"]),
        policy=policies[raw["policy"]],
        now=build(float, raw["now"]),
        ledger=build(Ledger, raw["ledger"]),
        said=encode_plain(raw["decision"]),
    )
