"""What git says when its repository cannot be used any more, or the disk is full."""

from __future__ import annotations

_FULL = ("no space left on device", "disk quota exceeded", "file too large", "unable to write file")
_DAMAGED = (
    "bad config",
    "bad object",
    "bad pack",
    "corrupt",
    "could not parse",
    "damaged",
    "did not send all necessary objects",
    "does not point to a valid object",
    "inflate",
    "invalid object",
    "is missing",
    "missing blob",
    "missing tree",
    "not a tree object",
    "not a valid object",
    "not a git repository: '",
    "packfile",
    "reference broken",
    "unable to parse",
    "unable to resolve reference",
    "unable to read",
    "unresolved deltas",
)
_OTHER_END = ("remote:", "askpass", "username", "password")


def is_full(text: str) -> bool:
    """Whether git found no room. Pure."""
    low = text.lower()
    return any(sign in low for sign in _FULL)


def is_damage(text: str) -> bool:
    """Whether git cannot read its own repository. Pure."""
    low = "\n".join(
        line for line in text.lower().splitlines() if not any(word in line for word in _OTHER_END)
    )
    return any(sign in low for sign in _DAMAGED)
