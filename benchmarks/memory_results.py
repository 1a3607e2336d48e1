"""The readings of `memory`, kept in one file that its page is made from."""

import dataclasses
import datetime
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .memory_readings import Use
from .page import DOCS, machine, this_command

FILE = DOCS / "memory.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Made:
    """When and on what. `load`: of one minute, before it began."""

    when: str
    command: str
    machine: str
    load: float
    loop: float | None = None
    """Seconds of `readings.fixed_loop` before it began: a virtual machine is not always as fast."""


def made_now(load: float, loop: float | None = None) -> Made:
    """For what was measured just now."""
    now = datetime.datetime.now(datetime.UTC)
    machine_only = machine().partition(";")[0]
    return Made(
        when=f"{now:%Y-%m-%d %H:%M} UTC",
        command=this_command(sys.modules["__main__"].__spec__.name.rpartition(".")[2]),  # type: ignore[union-attr]  # run by -m
        machine=machine_only,
        load=round(load, 2),
        loop=None if loop is None else round(loop, 3),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """After the imports, or after the notebooks; bytes of the whole class."""

    kernels: Use
    whole: Use
    """With the spares."""
    machine: int
    """What the machine's private and kernel memory has grown by since before the way began."""
    seconds: float
    """How long it was waited for."""
    ended: str
    """`rest`, `still` (nothing more was gained) or `time` (it was cut off)."""
    to_ninety: float | None
    """Seconds from the last student's last cell until 90 % of the possible was saved."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassResult:
    """One way with one number of students."""

    letter: str
    name: str
    students: int
    settings: dict[str, Any]
    start_seconds: list[float]
    import_seconds: list[float]
    notebook_seconds: list[float]
    aligned: int
    """Kernels that started aligned."""
    from_spare: int
    imports: Stage
    after: Stage
    ksmd_cpu: float | None
    """Seconds, from the first student to the end of the last wait."""
    tuner_cpu: float
    idle_share: float | None
    """ksmd and the program beside it, of a core, over the last rest."""
    idle_seconds: float
    others_share: float
    """CPU that others on the machine used meanwhile, of a core."""
    curve: list[tuple[float, int]]
    """(seconds since the last student's imports ended, bytes saved)."""
    notebooks_at: float
    """On the curve's clock: the last notebook ended."""
    made: Made


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairResult:
    """Paired kernels, one after the other (`memory_pace`). Lists are by pair; seconds, bytes."""

    settings: dict[str, Any]
    start_stock: list[float]
    start_alone: list[float]
    """Samepage, without a spare."""
    start_spare: list[float]
    import_stock: list[float]
    import_samepage: list[float]
    rounds: list[tuple[list[float], list[float]]]
    """Per round the notebooks' seconds, stock and Samepage."""
    tidy_before: list[int]
    tidy_after: list[int]
    garbage_stock: list[int]
    """What a stock kernel maps a while after a cell that made garbage."""
    garbage_before: list[int]
    garbage_after: list[int]
    tidy_seconds: list[float]
    others_share: float
    made: Made


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChargeResult:
    """Memory cgroups of students (`memory_charges`), with donors or without; bytes per student."""

    donors: int
    version: str
    unmerged: list[int]
    merged: list[int]
    restarted: int
    """Which student's kernel was then restarted."""
    after_restart: list[int]
    """Read at once, before the new kernel's pages are merged."""
    settled: list[int]
    mapped: list[int]
    """What the kernel maps, then."""
    donor_charge: int
    made: Made


@dataclasses.dataclass(kw_only=True)
class Results:
    """Everything measured so far."""

    classes: list[ClassResult] = dataclasses.field(default_factory=list)
    pairs: PairResult | None = None
    charges: list[ChargeResult] = dataclasses.field(default_factory=list)
    facts: dict[str, str] = dataclasses.field(default_factory=dict)

    def find(self, letter: str, students: int) -> ClassResult | None:
        """The reading of one way."""
        return next(
            (one for one in self.classes if (one.letter, one.students) == (letter, students)), None
        )

    def put(self, result: ClassResult) -> None:
        """Add it in place of an older one."""
        key = (result.letter, result.students)
        self.classes = [one for one in self.classes if (one.letter, one.students) != key]
        self.classes.append(result)
        self.classes.sort(key=lambda one: (one.students, one.letter))

    def put_charge(self, result: ChargeResult) -> None:
        """Add it in place of an older one."""
        self.charges = [one for one in self.charges if one.donors != result.donors]
        self.charges.append(result)
        self.charges.sort(key=lambda one: one.donors)


def load(file: Path) -> Results:
    """What the file holds; nothing where there is none."""
    if not file.exists():
        return Results()
    held = json.loads(file.read_text())
    return Results(
        classes=[_class(each) for each in held["classes"]],
        pairs=None if held["pairs"] is None else _pairs(held["pairs"]),
        charges=[
            ChargeResult(**{**each, "made": Made(**each["made"])}) for each in held["charges"]
        ],
        facts=held["facts"],
    )


def save(results: Results, file: Path) -> None:
    """Replace the file in one step: a benchmark that is cut off loses only what was under way."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps(dataclasses.asdict(results)) + "\n")
    beside.replace(file)


def _class(held: dict[str, Any]) -> ClassResult:
    stages = {name: _stage(held[name]) for name in ("imports", "after")}
    curve = [(float(at), int(saved)) for at, saved in held["curve"]]
    return ClassResult(**{**held, **stages, "curve": curve, "made": Made(**held["made"])})


def _stage(held: dict[str, Any]) -> Stage:
    return Stage(**{**held, "kernels": Use(**held["kernels"]), "whole": Use(**held["whole"])})


def _pairs(held: dict[str, Any]) -> PairResult:
    rounds: Sequence[Any] = held["rounds"]
    return PairResult(
        **{**held, "rounds": [(one, two) for one, two in rounds], "made": Made(**held["made"])}
    )
