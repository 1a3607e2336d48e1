"""nbgitpuller's links (`git-pull?repo=...`), pulled by our engine; its page and handlers stay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labext.courses.launch import end_group, worker_command
from labext.courses.model import Progress
from labext.courses.protocol import Job, Result, parse
from labext.courses.target import problem_of


@dataclass(frozen=True, kw_only=True)
class LinkSettings:
    """root: folder that the server shows. Times in seconds. cache: see Job."""

    root: Path
    state_dir: Path
    timeout: float
    connect_timeout: float
    cache: str | None = None
    cache_owner: int | None = None


def install(settings: LinkSettings) -> bool:
    """Let nbgitpuller's handlers use our engine; False when its extension is not loaded.

    Its handlers look the class up at each request, so that this may come after they were added.
    """
    handlers: Any = sys.modules.get("nbgitpuller.handlers")
    if handlers is None:
        return False
    handlers.GitPuller = puller_class(settings)
    return True


def puller_class(settings: LinkSettings) -> type[Any]:
    """A class to be used as `nbgitpuller.GitPuller`: the same arguments, lines and errors."""
    from nbgitpuller.pull import GitPuller
    from traitlets.config import Configurable

    class SafePuller(GitPuller):  # type: ignore[misc]  # nbgitpuller has no types
        """Does nothing until `pull`: nbgitpuller makes it on the server's event loop."""

        def __init__(self, git_url: str, repo_dir: str, **kwargs: Any) -> None:
            self.git_url = git_url
            self.repo_dir = repo_dir
            self.branch_name: str | None = kwargs.pop("branch", None) or None
            self._backup = bool(kwargs.pop("backup", False))
            given = {key: value for key, value in kwargs.items() if value is not None}
            Configurable.__init__(self, **given)

        def pull(self) -> Iterator[str]:
            """Lines on how it goes. Errors: GitPullerError, or its like in older versions."""
            root = settings.root.resolve()
            target = os.path.relpath(os.path.abspath(self.repo_dir), root)  # noqa: PTH100 - no links
            problem = problem_of(target)
            if problem is not None:
                raise _error(
                    "bad_target", f"The link's target folder {target!r} is wrong: {problem}."
                )
            if self._backup and Path(self.repo_dir).exists():
                self.backup_repo_dir()
                yield f"Your folder was kept beside {target}.\n"
            job = Job(
                url=self.git_url,
                branch=self.branch_name,
                depth=self.depth,
                root=str(root),
                target=target,
                state_dir=str(settings.state_dir),
                timeout_seconds=settings.timeout,
                connect_timeout_seconds=settings.connect_timeout,
                cache=settings.cache,
                cache_owner=settings.cache_owner,
            )
            yield from _follow(job)

    return SafePuller


def _follow(job: Job) -> Iterator[str]:
    """One pull in a process of its own; blocks, so only for nbgitpuller's thread."""
    command, env = worker_command()
    process = subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with process.stdin:
            process.stdin.write(job.line().encode())
        for line in process.stdout:
            said = parse(line)
            if isinstance(said, Progress):
                percent = "" if said.percent is None else f": {said.percent} %"
                yield f"{said.phase}{percent}\n"
            elif isinstance(said, Result):
                yield from _told(said)
                return
    finally:
        end_group(process.pid)
        process.stdout.close()
        process.wait()
    raise _error("worker_failed", "The pull ended unexpectedly; your files were not harmed.")


def _told(result: Result) -> Iterator[str]:
    if result.state == "failed":
        text = result.message if result.fix is None else f"{result.message} {result.fix}"
        raise _error(result.code or "unknown", text)
    yield f"{result.message}\n"
    for change in result.history.changes if result.history is not None else ():
        yield f"{change.kind}: {json.dumps(change.path, ensure_ascii=False)}\n"


def _error(code: str, message: str) -> Exception:
    try:
        from nbgitpuller.errors import GitPullerError
    except ImportError:  # before nbgitpuller 1.3
        return RuntimeError(message)
    # Its handlers log the traceback's text, and fail without one.
    error: Exception = GitPullerError(code, message, message)
    return error
