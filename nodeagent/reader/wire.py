"""A ProcessReading as one line of JSON and back. Pure.

One question and one answer per connection: `facts` or `arrivals` with a line end; then an object.
"""

import dataclasses
import json
from typing import Any, TypeVar

from nodeagent.kernels.count import DonorKernel, ImageCount, KernelCount, Told, UnlikeKernels
from nodeagent.ksm.local import ProcessReading
from nodeagent.ksm.processes import Member, OptedIn
from nodeagent.workloads.cgroup import Workload
from nodeagent.workloads.memcg import Charge

Value = TypeVar("Value")

FORMAT = 3
MOST_BYTES = 16 * 1024 * 1024
"""Of an answer: some ten thousand processes."""


def encode(reading: ProcessReading) -> bytes:
    """One line. `blind` is not sent: who answers is not blind."""
    return _line(
        {
            "format": FORMAT,
            "opted_in": dataclasses.asdict(reading.opted_in),
            "charges": [dataclasses.asdict(charge) for charge in reading.charges],
            "ksmd_cpu_seconds": reading.ksmd_cpu_seconds,
            "kernels": None if reading.kernels is None else dataclasses.asdict(reading.kernels),
        }
    )


def encode_arrivals(arrived: bool) -> bytes:
    """One line."""
    return _line({"format": FORMAT, "arrivals": arrived})


def decode(line: bytes) -> ProcessReading:
    """ValueError: not a reading of this format."""
    found = _object(line)
    try:
        seen = dict(found["opted_in"])
        members = tuple(
            _built(Member, each | {"workload": _built(Workload, each["workload"])})
            for each in seen.pop("members")
        )
        cpu = found["ksmd_cpu_seconds"]
        if cpu is not None and not isinstance(cpu, int | float):
            raise ValueError("ksmd_cpu_seconds is no number")
        return ProcessReading(
            opted_in=_built(OptedIn, seen | {"members": members}),
            charges=tuple(_built(Charge, each) for each in found["charges"]),
            ksmd_cpu_seconds=cpu,
            kernels=_kernels(found["kernels"]),
        )
    except (KeyError, TypeError) as err:
        raise ValueError(f"not a reading: {err!r}") from err


def decode_arrivals(line: bytes) -> bool:
    """ValueError: not an answer to `arrivals`."""
    value = _object(line).get("arrivals")
    if not isinstance(value, bool):
        raise ValueError("no answer to arrivals")
    return value


def _kernels(fields: dict[str, Any] | None) -> KernelCount | None:
    if fields is None:
        return None
    images = tuple(
        _built(ImageCount, each | {"causes": tuple(map(str, each["causes"]))})
        for each in fields["images"]
    )
    lists = {
        name: tuple(_built(kind, each) for each in fields[name])
        for name, kind in (("unlike", UnlikeKernels), ("told", Told), ("donors", DonorKernel))
    }
    return _built(KernelCount, fields | {"images": images} | lists)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    if found.get("format") != FORMAT:
        raise ValueError(f"format {found.get('format')!r}, not {FORMAT}: reader and tuner differ")
    return found


_SCALARS: dict[Any, tuple[type, ...]] = {
    int: (int,),
    bool: (bool,),
    str: (str,),
    int | None: (int, type(None)),
    str | None: (str, type(None)),
}


def _built(kind: type[Value], fields: dict[str, Any]) -> Value:
    """`kind` from `fields`, all of them and each of its type."""
    known = dataclasses.fields(kind)  # type: ignore[arg-type]  # only called with dataclasses
    if set(fields) != {field.name for field in known}:
        raise ValueError(f"{kind.__name__} has other fields")
    for field in known:
        value = fields[field.name]
        expected = _SCALARS.get(field.type)
        if expected is not None and type(value) not in expected:
            raise ValueError(f"{kind.__name__}.{field.name} is {value!r:.80}")
    return kind(**fields)
