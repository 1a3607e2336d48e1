"""What git said, as a sentence for a student."""

from __future__ import annotations

from labext.courses.address import Address
from labext.courses.errors import CourseError

_UNREACHABLE = (
    "could not resolve host",
    "name or service not known",
    "temporary failure in name resolution",
    "failed to connect",
    "couldn't connect",
    "could not connect",
    "unable to connect",
    "connection refused",
    "connection reset",
    "connection timed out",
    "connection closed by",
    "operation timed out",
    "operation too slow",
    "network is unreachable",
    "no route to host",
    "recv failure",
    "send failure",
    "empty reply from server",
    "early eof",
    "the remote end hung up unexpectedly",
    "requested url returned error: 429",
    "requested url returned error: 5",
)
_REFUSED = (
    "authentication failed",
    "could not read username",
    "could not read password",
    "terminal prompts disabled",
    "permission denied (",
    "host key verification failed",
    "requested url returned error: 401",
    "requested url returned error: 403",
)
_ABSENT = (
    "not found",
    "does not appear to be a git repository",
    "does not exist",
    "requested url returned error: 404",
)


def remote_error(text: str, address: Address) -> CourseError:
    """The error behind `text`, what git wrote when it talked to `address`. Pure."""
    low = text.lower()
    said = last_words(text, address)
    if "no space left on device" in low or "disk quota exceeded" in low:
        return no_space()
    if any(sign in low for sign in _REFUSED):
        return CourseError(
            "access_denied",
            f"The git server {address.host} refuses access to this course ({said}).",
            "Ask your teacher whether the course is open to you.",
        )
    if any(sign in low for sign in _UNREACHABLE):
        return unreachable(address, said)
    if any(sign in low for sign in _ABSENT):
        return CourseError(
            "repository_not_found",
            f"There is no git repository at {address.shown} ({said}).",
            "Tell your teacher or operator: the course's address may be wrong.",
        )
    return CourseError(
        "git_failed",
        f"git could not get {address.shown}: {said}.",
        "Try again; if it stays, show this message to your operator.",
    )


def unreachable(address: Address, why: str) -> CourseError:
    """The git server gives no answer at the moment."""
    return CourseError(
        "unreachable",
        f"The git server of this course, {address.host or address.shown}, "
        f"cannot be reached ({why}).",
        "It is tried again when the server starts; or press Pull when the network is back.",
        state="offline",
    )


def broken_off(address: Address, text: str) -> CourseError:
    """What the server sent is not whole."""
    return CourseError(
        "broken_off",
        f"What the git server of this course, {address.host or address.shown}, sent was not "
        f"whole ({last_words(text, address)}).",
        "It is tried again when the server starts; or press Pull.",
        state="offline",
    )


def no_space() -> CourseError:
    """The home folder is full."""
    return CourseError(
        "no_space",
        "There is no space left for this course; your files were not changed.",
        "Delete or download files you no longer need (see the trash too), then press Pull.",
    )


def last_words(text: str, address: Address) -> str:
    """The line that tells most of what git said, without its prefix or credentials."""
    told = [line.strip() for line in text.splitlines() if line.strip()]
    strong = [line for line in told if line.startswith(("fatal: ", "error: ", "ssh: "))]
    line = (strong or told or ["git said nothing"])[0]
    return address.redact(line.removeprefix("fatal: ").removeprefix("error: ")).rstrip(".")[:300]
