"""One step of KSM: read, decide, write what changed. Owns lock, state and last written values."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from nodeagent.config import Mode
from nodeagent.errors import AgentError, KsmError, KsmUnsupportedError, Problem
from nodeagent.kernels.count import sentence
from nodeagent.kernels.donate import FIX, donor_sentence
from nodeagent.ksm import decide as law
from nodeagent.ksm.decide import KsmGoal, KsmPolicy
from nodeagent.ksm.facts import KsmFacts, KsmSample
from nodeagent.ksm.lock import KsmLock
from nodeagent.ksm.room import Room, Share, room, shares
from nodeagent.ksm.spending import SpendingFile
from nodeagent.ksm.state import Originals, StateFile, read_originals, restore
from nodeagent.ksm.sysfs import ADVISOR, KsmDir

log = logging.getLogger("nodeagent.ksm")

_UNSETTLED = ("burst", "settle", "yield")


@dataclass(frozen=True, kw_only=True)
class KsmReport:
    """The latest about KSM, for everyone who shows it."""

    supported: bool
    mode: Mode
    phase: str
    why: str
    sample: KsmSample | None
    cpu_ratio: float | None
    """ksmd's share of a core between the last two readings."""
    stale: bool
    """The numbers may be out of date: not read, or ksmd (who updates them) stopped for long."""
    problem: Problem | None
    knob_writes: int
    conflicts: int
    gain_yield: float | None = None
    """Bytes the last pass gained per second of ksmd; None: not known."""
    room: Room | None = None
    """None: nothing was read."""
    shares: tuple[Share, ...] = field(default=(), repr=False)
    """One per student; for the operator only."""


class KsmController:
    """Steers or watches one KSM. `step` and `stop` block for milliseconds; call one at a time."""

    def __init__(
        self,
        *,
        ksm: KsmDir,
        facts: KsmFacts,
        state: StateFile,
        lock: KsmLock,
        policy: KsmPolicy,
        mode: Mode,
        mode_why: str,
        mode_problem: Problem | None,
        clock: Callable[[], float],
        spending: SpendingFile | None = None,
    ) -> None:
        self._ksm = ksm
        self._facts = facts
        self._state = state
        self._lock = lock
        self._policy = policy
        self._mode = mode
        self._mode_why = mode_why
        self._mode_problem = mode_problem
        self._clock = clock
        self._originals: Originals | None = None
        self._written: dict[str, int | str] = {}
        self._goal = law.START
        self._spending = spending
        if spending is not None and mode == "tune":
            memory = replace(law.START.memory, spent=spending.load(clock()))
            self._goal = replace(law.START, memory=memory)
        self._sample: KsmSample | None = None
        self._cpu_ratio: float | None = None
        self._stopped_since: float | None = None
        self._writes = 0
        self._conflicts = 0
        self._last_problem: Problem | None = None
        self._last_phase = ""
        self._last_kernels: dict[str, str] = {}
        self._last_donors: tuple[str, ...] = ()

    @property
    def scanning(self) -> bool:
        """Whether the next step should come soon."""
        return self._goal.phase in law.SCANNING

    def arrivals(self) -> bool:
        """Quick look between two steps: is there a new opted-in process?"""
        return self._mode == "tune" and self._goal.phase == "rest" and self._facts.arrivals()

    def step(self) -> KsmReport:
        """Read, decide, write what changed. Never raises an AgentError: it is in the report."""
        if self._mode == "off":
            return self._report(phase="off", why=self._mode_why, problem=None)
        try:
            sample = self._facts.read()
        except KsmUnsupportedError as err:
            self._note(err.problem)
            return self._report(phase="off", why=err.message, problem=err.problem, supported=False)
        except AgentError as err:
            self._note(err.problem)
            return self._report(
                phase=self._goal.phase, why=self._goal.why, problem=err.problem, failed=True
            )
        self._enter(sample)
        self._tell_kernels(sample)
        problem = self._mode_problem or sample.blind
        if self._mode == "observe":
            self._goal = law.observe(sample, self._goal, self._mode_why)
        else:
            foreign = self._foreign(sample)
            goal = law.decide(sample, self._goal, self._policy, foreign=foreign)
            if foreign is not None:
                problem = Problem(
                    code="ksm-conflict",
                    message=goal.why[0].upper() + goal.why[1:] + ".",
                    fix="Stop the other tuner, or start this agent with --mode observe.",
                )
                self._conflicts += self._goal.phase != "yield"
            if self._spending is not None and not self._ksm.dry_run:
                # Before the knobs: whoever is killed in between has its start on record.
                self._spending.save(goal.memory.spent)
            try:
                self._apply(goal)
                self._goal = goal
            except AgentError as err:
                problem = err.problem
            self._sample = self._as_written(sample)
        self._tell()
        self._note(problem)
        return self._report(phase=self._goal.phase, why=self._goal.why, problem=problem)

    def stop(self) -> None:
        """Put KSM back as it was before the agent, delete the state file, give the lock back."""
        originals, self._originals = self._originals, None
        if originals is not None:
            keep = self._changed_by_others()
            written, failed = restore(self._ksm, originals, keep=keep)
            for err in failed:
                log.error("%s %s", err.message, err.fix)
            if keep:
                log.warning("left as somebody else has set it: %s", ", ".join(sorted(keep)))
            log.info("KSM is as before the agent (%s)", ", ".join(written) or "nothing to change")
            if not failed:
                self._state.delete()
        self._written.clear()
        self._lock.release()

    def _enter(self, sample: KsmSample) -> None:
        before, self._sample = self._sample, sample
        if before is not None and sample.time > before.time:
            old, new = before.ksmd_cpu_seconds, sample.ksmd_cpu_seconds
            self._cpu_ratio = None
            if old is not None and new is not None:
                self._cpu_ratio = max(new - old, 0.0) / (sample.time - before.time)
        if sample.run == 1:
            self._stopped_since = None
        elif self._stopped_since is None:
            self._stopped_since = sample.time

    def _foreign(self, sample: KsmSample) -> str | None:
        """What somebody else has changed since the agent wrote it."""
        smart = None if sample.smart_scan is None else int(sample.smart_scan)
        zero = None if sample.use_zero_pages is None else int(sample.use_zero_pages)
        seen: dict[str, int | str | None] = {
            ADVISOR: sample.advisor,
            "run": sample.run,
            "pages_to_scan": sample.pages_to_scan,
            "sleep_millisecs": sample.sleep_millisecs,
            "smart_scan": smart,
            "use_zero_pages": zero,
        }
        for name, value in seen.items():
            if name in self._written and self._written[name] != value:
                if name == ADVISOR:
                    return f"somebody turned the kernel's own tuner on ({ADVISOR} is {value})"
                return f"somebody set {name} to {value} (the agent had {self._written[name]})"
        return None

    def _changed_by_others(self) -> set[str]:
        changed = set()
        for name, value in self._written.items():
            try:
                present = self._ksm.read_word(name) if name == ADVISOR else self._ksm.read(name)
            except KsmError:
                continue
            if present != value and not self._ksm.dry_run:
                changed.add(name)
        return changed

    def _claim(self) -> None:
        """Before the first write: keep the originals, then take over from the kernel's advisor."""
        if self._originals is not None:
            return
        originals = self._state.load()
        if originals is not None:
            log.info("a killed agent left %s: its original values count", self._state.path)
        else:
            originals = read_originals(self._ksm)
            if not self._ksm.dry_run:
                self._state.save(originals)
        # First of all: while it is on, the kernel refuses pages_to_scan.
        if originals.advisor is not None and self._write(ADVISOR, "none"):
            self._log_writes([f"{ADVISOR}=none"], "the agent takes over from the kernel's tuner")
        self._originals = originals

    def _as_written(self, sample: KsmSample) -> KsmSample:
        """The sample with this step's writes, so that nobody is shown a state that has passed."""
        if self._foreign(sample) is not None and self._goal.phase == "yield":
            return sample
        seen = {
            name: value
            for name, value in self._written.items()
            if name not in (ADVISOR, "smart_scan", "use_zero_pages")
        }
        changes: dict[str, Any] = dict(seen)
        for name in ("smart_scan", "use_zero_pages"):
            if name in self._written:
                changes[name] = self._written[name] == 1
        return replace(sample, **changes)

    def _apply(self, goal: KsmGoal) -> None:
        if goal.knobs is None:
            return
        self._claim()
        knobs = goal.knobs
        smart = None if knobs.smart_scan is None else int(knobs.smart_scan)
        zero = None if knobs.use_zero_pages is None else int(knobs.use_zero_pages)
        # Stopping comes first, starting last: no pass at a rate that was not meant.
        wanted = {} if knobs.run else {"run": 0}
        wanted |= {
            name: value
            for name, value in (
                ("use_zero_pages", zero),
                ("smart_scan", smart),
                ("pages_to_scan", knobs.pages_to_scan),
                ("sleep_millisecs", knobs.sleep_millisecs),
                ("run", 1 if knobs.run else None),
            )
            if value is not None
        }
        changed: list[str] = []
        try:
            for name, value in wanted.items():
                if self._write(name, value):
                    changed.append(f"{name}={value}")
        finally:
            self._log_writes(changed, goal.why)

    def _write(self, name: str, value: int | str) -> bool:
        written = False
        if name == "run" and value == 0 and self._ksm.read("run") == 2:
            value = 2  # Already stopped; somebody's unmerge is a state of rest too.
        else:
            written = self._ksm.write(name, value)
            self._writes += written
        if not self._ksm.dry_run:
            self._written[name] = value
        return written

    def _log_writes(self, changed: list[str], why: str) -> None:
        if changed:
            dry = "dry run: " if self._ksm.dry_run else ""
            log.info("%s%s: %s", dry, " ".join(changed), why)

    def _tell(self) -> None:
        """Log a new phase once, also when no knob had to change."""
        if self._goal.phase != self._last_phase:
            self._last_phase = self._goal.phase
            log.info("phase %s: %s", self._goal.phase, self._goal.why)

    def _tell_kernels(self, sample: KsmSample) -> None:
        """Log how the kernels of an image started when that has changed for the worse."""
        if sample.kernels is None:
            return
        said: dict[str, str] = {}
        for image in sample.kernels.images:
            trouble = repr((image.drifted, image.refused, image.unsuited, image.causes))
            said[image.image] = trouble
            if self._last_kernels.get(image.image) == trouble:
                continue
            if image.drifted or image.refused or image.unsuited:
                log.warning("kernels of %s", sentence(image))
            elif image.image in self._last_kernels:
                log.info("kernels of %s", sentence(image))
        self._last_kernels = said
        bad = [each for each in sample.kernels.donors if each.state in ("drifted", "stock")]
        donors = tuple(donor_sentence(each) for each in bad)
        if donors != self._last_donors:
            for words in donors:
                log.warning("%s. %s.", words, FIX)
            if not donors:
                log.info("the donors are like the students' kernels again, or have ended")
        self._last_donors = donors

    def _note(self, problem: Problem | None) -> None:
        """Log a problem when it appears and when it is over, not at every step."""
        if problem == self._last_problem:
            return
        if problem is not None:
            log.warning("%s: %s %s", problem.code, problem.message, problem.fix)
        elif self._last_problem is not None:
            log.info("%s is over", self._last_problem.code)
        self._last_problem = problem

    def _report(
        self,
        *,
        phase: str,
        why: str,
        problem: Problem | None,
        supported: bool = True,
        failed: bool = False,
    ) -> KsmReport:
        sample = self._sample if supported else None
        idle = 0.0 if self._stopped_since is None else self._clock() - self._stopped_since
        frozen = (
            sample is not None
            and sample.pages_sharing > 0
            and idle > 1.5 * self._policy.verify_interval * self._goal.memory.backoff
        )
        return KsmReport(
            supported=supported and (self._mode != "off" or self._ksm.supported),
            mode=self._mode,
            phase=phase,
            why=why,
            sample=sample,
            cpu_ratio=self._cpu_ratio if supported else None,
            stale=failed or frozen,
            problem=problem,
            knob_writes=self._writes,
            conflicts=self._conflicts,
            gain_yield=self._goal.memory.gain_yield,
            room=None if sample is None else room(sample, settled=_settled(sample, phase)),
            shares=() if sample is None else shares(sample),
        )


def _settled(sample: KsmSample, phase: str) -> bool:
    """Whether what is merged now is about what will be.

    On a busy node somebody always comes; then it is enough that ksmd has met nearly all memory.
    """
    if phase not in _UNSETTLED:
        return True
    unseen, candidate = sample.opted_in.unseen_bytes, sample.opted_in.candidate_bytes
    return unseen is not None and bool(candidate) and unseen < 0.05 * (candidate or 0)
