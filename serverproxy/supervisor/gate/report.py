"""What the server learns of a gate."""

from __future__ import annotations

from dataclasses import dataclass

# Exit code when the gate itself ended before the application.
GATE_DIED = 113


@dataclass(frozen=True, kw_only=True)
class Report:
    """guarded: other users are kept out. reason: why not, as the system said it."""

    guarded: bool
    reason: str | None = None
