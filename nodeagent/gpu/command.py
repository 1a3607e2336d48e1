"""`samepage-agent gpu replay FILE`: make recorded decisions again and compare."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from nodeagent.gpu.canonical import ShapeError, decode, encode
from nodeagent.gpu.sharing.decide import decide
from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.sharing.record import (
    Record,
    RecordError,
    read_records,
    read_snapshots,
    replay,
)
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.sharing.verdict import Decision
from nodeagent.http.words import one_line


def replay_file(name: str, *, as_json: bool, explain: bool) -> int:
    """0: every decision came out as recorded; 1: one did not. RecordError: not a record."""
    if name == "-":
        return _replay_all(sys.stdin, as_json=as_json, explain=explain)
    try:
        with Path(name).open(encoding="utf-8") as source:
            return _replay_all(source, as_json=as_json, explain=explain)
    except (OSError, UnicodeDecodeError) as err:
        raise RecordError(f"Cannot read {name}: {err}", fix="Give a file of decisions.") from err


def ask_file(name: str, request: str, policy: Policy, *, as_json: bool) -> int:
    """What every recorded snapshot would have answered to one request, by `policy`. 0."""
    try:
        wanted = decode(Request, request)
    except ShapeError as err:
        raise RecordError(
            f"--ask cannot be used: {err}", fix='Give JSON such as {"pod": "ns/new"}.'
        ) from err
    try:
        with sys.stdin if name == "-" else Path(name).open(encoding="utf-8") as source:
            count = 0
            for number, snapshot in read_snapshots(source):
                count += 1
                decision = decide(wanted, [snapshot], policy, snapshot.taken)
                if as_json:
                    print(encode(decision))
                else:
                    when = datetime.fromtimestamp(snapshot.taken, UTC).isoformat(" ", "seconds")
                    text = f"line {number}: {when}: {decision.verdict}: {decision.reason}"
                    print(one_line(text))
    except (OSError, UnicodeDecodeError) as err:
        raise RecordError(f"Cannot read {name}: {err}", fix="Give a file of records.") from err
    if not count:
        raise RecordError("The record holds no snapshot", fix="Give a file of the agent's records.")
    return 0


def _replay_all(source: TextIO, *, as_json: bool, explain: bool) -> int:
    count = changed = 0
    for number, record in read_records(source):
        decision = replay(record)
        same = encode(decision) == record.said
        count, changed = count + 1, changed + (not same)
        if as_json:
            print(encode(decision))
        else:
            shown = _shown(number, record, decision, same, explain=explain)
            print("\n".join(one_line(line) for line in shown))
    if not count:
        raise RecordError(
            "The record holds no decision",
            fix="Give a file with at least one decision line, or ask its snapshots with --ask.",
        )
    if not as_json:
        print(f"{count - changed} of {count} decisions came out as recorded.")
    return 1 if changed else 0


def _shown(
    number: int, record: Record, decision: Decision, same: bool, *, explain: bool
) -> list[str]:
    mark = "same" if same else "CHANGED"
    shown = [f"line {number}: {mark}: {decision.pod}: {decision.verdict}: {decision.reason}"]
    if not same:
        shown.append(f"  recorded: {record.said}")
        shown.append(f"  now:      {encode(decision)}")
    if explain:
        shown += [f"  {note}" for note in decision.notes]
        shown += [f"  {each.name}: {each.reading}" for each in decision.evidence]
        shown += [
            f"  not {each.uuid or 'any GPU'} of {each.node}: {each.text}"
            for each in decision.rejected
        ]
    return shown
