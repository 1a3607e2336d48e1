"""A value that is never a bare number: what was read, whether it holds, from where, how old."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, Literal, Never, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

ReadingStatus = Literal["ok", "unknown", "unsupported", "stale"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading(Generic[T_co]):
    """`ok`: a value; `stale`: the last value, too old to decide on; else no value.

    `unknown`: it should be there and is not, which may heal. `unsupported`: this card or driver
    never tells. `source`: the call or file. ValueError: a value where none can be, or none, or NaN.
    """

    value: T_co | None
    status: ReadingStatus
    source: str
    age_seconds: float | None = None
    why: str = ""

    def __post_init__(self) -> None:
        has_value = self.status in ("ok", "stale")
        if has_value == (self.value is None):
            raise ValueError(f"A reading that is {self.status} with value {self.value!r}")
        for number in (self.value, self.age_seconds):
            if isinstance(number, float) and not math.isfinite(number):
                raise ValueError(f"A reading of {number} from {self.source}")
        if self.age_seconds is not None and self.age_seconds < 0:
            raise ValueError(f"A reading from {self.source} of age {self.age_seconds}")
        if has_value and self.age_seconds is None:
            raise ValueError(f"A value from {self.source} without an age")

    @property
    def known(self) -> T_co | None:
        """The value when it may be decided on, else None."""
        return self.value if self.status == "ok" else None

    def text(self) -> str:
        """`5 (nvml, 2 s old)`, or what it lacks and why."""
        if self.status in ("ok", "stale"):
            note = "" if self.status == "ok" else ", stale"
            return f"{self.value} ({self.source}, {self.age_seconds or 0:.0f} s old{note})"
        return f"{self.status} ({self.why or self.source})"


def ok(value: T, *, source: str, age_seconds: float = 0.0) -> Reading[T]:
    """A value just read, or of this age."""
    return Reading(value=value, status="ok", source=source, age_seconds=age_seconds)


@lru_cache(maxsize=16384, typed=True)
def same(value: T, source: str) -> Reading[T]:
    """As `ok`, from a store: of many processes most say the same as at the tick before."""
    return ok(value, source=source)


def unknown(why: str, *, source: str = "none") -> Reading[Never]:
    """It should be there and is not; `why` for a person."""
    return Reading(value=None, status="unknown", source=source, why=why)


def unsupported(*, source: str) -> Reading[Never]:
    """This card or driver never tells it."""
    return Reading(value=None, status="unsupported", source=source)


def aged(reading: Reading[T], seconds: float, *, limit: float) -> Reading[T]:
    """The reading `seconds` later; a value older than `limit` is stale."""
    if reading.age_seconds is None or reading.value is None:
        return reading
    age = reading.age_seconds + seconds
    return Reading(
        value=reading.value,
        status="ok" if reading.status == "ok" and age <= limit else "stale",
        source=reading.source,
        age_seconds=age,
        why=reading.why,
    )


NOT_READ: Reading[Never] = unknown("not read")
