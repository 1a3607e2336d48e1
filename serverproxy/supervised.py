"""What our own applications want of a supervisor, beside their jupyter-server-proxy entry.

An entry has to stay one that stock jupyter-server-proxy understands, so what it has no option for
travels with the entry's command function. Third-party entries have none of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from serverproxy.supervisor.saving import SaveStep
from serverproxy.supervisor.spec import Endpoint, EndpointChoice

_ATTRIBUTE = "samepage_supervised"

C = TypeVar("C", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class StartRequest:
    """endpoint: where to listen. base_url: of the Jupyter server, with a final slash.

    folder: working folder somebody asked for; None: the application's own choice.
    """

    endpoint: Endpoint
    base_url: str
    folder: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Start:
    """How to launch. context_path: absolute path below which the application serves, "" for the
    root; a secret one keeps other users of the machine out, so it is not in the repr.

    environment: added to the server's. ready_statuses: as of `LaunchSpec`.
    """

    argv: Sequence[str] = field(repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    context_path: str = field(default="", repr=False)
    ready_statuses: frozenset[int] | None = None
    cwd: Path | None = None


class Ask(Protocol):
    """Sends one request to the running application, as the proxy would.

    path: below the application's address. Gives status, headers with lower-case names, and body.
    """

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | None = None,
        upload: tuple[str, Path] | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Form fields, and one file as a field's name and its path; OSError when it fails."""
        ...


@dataclass(frozen=True, kw_only=True)
class Opened:
    """page: to show, a path below the application's address. note: a sentence people should know,
    such as that it takes a while; None: nothing."""

    page: str
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """start: called in a thread for every start; raises AppError. endpoint: what it listens on,
    called in a thread too.

    stop_grace_s: what it needs to save. quiet_paths: regular expressions of paths below the
    application's address, with a leading slash, that browsers ask for without anybody's doing.
    open_file: brings a file into the running application, gives the page to show as a path below
    its address; raises AppError. Only for files with one of `suffixes`.
    on_use: told of the path, below the application's address, of each request that counts as use.
    save: what comes before SIGTERM, see `supervisor.saving`.
    more: further entries that come with this one, as name and options of a ServerProcess; called
        once at server start, must start nothing and create no file; raises AppError.
    """

    start: Callable[[StartRequest], Start]
    endpoint: Callable[[], EndpointChoice]
    stop_grace_s: float
    quiet_paths: tuple[str, ...] = ()
    suffixes: frozenset[str] = frozenset()
    open_file: Callable[[Ask, Path], Awaitable[str | Opened]] | None = None
    on_use: Callable[[str, Ask], None] | None = None
    save: SaveStep | None = None
    more: Callable[[], Sequence[tuple[str, Mapping[str, object]]]] = tuple


def supervised(command: C, wishes: Supervised) -> C:
    """`command` with the wishes attached."""
    setattr(command, _ATTRIBUTE, wishes)
    return command


def wishes_of(command: object) -> Supervised | None:
    """What was attached to the command of an entry; None for third-party entries."""
    found = getattr(command, _ATTRIBUTE, None)
    return found if isinstance(found, Supervised) else None
