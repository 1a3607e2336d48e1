"""What an operator may ask of a course beyond its address: values, as JSON for the worker."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Deleted = Literal["restore", "keep"]


@dataclass(frozen=True, kw_only=True)
class Window:
    """When the files at `path` (a file or folder of the course, POSIX) are brought up to date.

    opens, closes: epoch seconds; None: always did, never does.
    """

    path: str
    opens: float | None = None
    closes: float | None = None

    def is_open(self, now: float) -> bool:
        """Whether updates of this path are brought at `now`. Pure."""
        return (self.opens is None or now >= self.opens) and (
            self.closes is None or now < self.closes
        )


@dataclass(frozen=True, kw_only=True)
class ReadOnly:
    """A folder (or file) of data. link: where it is on the node; None: it is delivered."""

    path: str
    link: str | None = None


@dataclass(frozen=True, kw_only=True)
class Auth:
    """How to get in: paths of mounted secrets, never a secret itself.

    username: for `token_file`. hosts: other hosts (of submodules) that may be given it too.
    """

    token_file: str | None = None
    username: str = "oauth2"
    ssh_key_file: str | None = None
    known_hosts: str | None = None
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rules:
    """include: paths of the course that are delivered; empty: all."""

    include: tuple[str, ...] = ()
    release: tuple[Window, ...] = ()
    readonly: tuple[ReadOnly, ...] = ()
    deleted: Deleted = "restore"
    submodules: bool = True
    lfs: bool = True
    auth: Auth | None = None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Rules:
        """From what `asdict` and JSON made of it. Errors: TypeError, KeyError."""
        auth = value["auth"]
        return cls(
            include=tuple(value["include"]),
            release=tuple(Window(**item) for item in value["release"]),
            readonly=tuple(ReadOnly(**item) for item in value["readonly"]),
            deleted=value["deleted"],
            submodules=value["submodules"],
            lfs=value["lfs"],
            auth=None if auth is None else Auth(**{**auth, "hosts": tuple(auth["hosts"])}),
        )

    def next_moment(self, now: float) -> float | None:
        """When a path opens or closes next, epoch seconds; None: no more. Pure."""
        moments = [m for window in self.release for m in (window.opens, window.closes)]
        return min((m for m in moments if m is not None and m > now), default=None)

    def signature(self, now: float) -> str:
        """The same text as long as the same files of a commit are delivered. Pure."""
        if self == Rules(auth=self.auth):
            return ""
        facts = asdict(self)
        del facts["auth"]
        facts["release"] = [(window.path, window.is_open(now)) for window in self.release]
        return repr(sorted(facts.items()))


def below(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or in it. Both POSIX, without an end slash. Pure."""
    return path == folder or path.startswith(f"{folder}/")
