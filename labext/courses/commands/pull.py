"""`samepage-course pull`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from labext.courses import task
from labext.courses.access import unfit
from labext.courses.address import AddressError, parse
from labext.courses.commands.choose import (
    UsageError,
    courses_of,
    root_of,
    state_dir_of,
)
from labext.courses.commands.say import FAILED, OK, as_json, fail, printable
from labext.courses.launch import WorkerError, run_worker
from labext.courses.manifest.values import clean
from labext.courses.model import Change, CourseSpec, Progress
from labext.courses.protocol import Job, Result
from labext.courses.rules import Auth, Rules
from labext.courses.sync.engine import StateEngine

Report = Callable[[Progress], None]
_SECRETS = ("token_file", "ssh_key_file", "known_hosts")


def pull(options: argparse.Namespace) -> int:
    """One folder with `--target`, else the courses of the manifest, one after the other."""
    if options.target is not None:
        return _one(options)
    for name in ("url", "branch", "include", *_SECRETS):
        if getattr(options, name):
            raise UsageError(f"--{name.replace('_', '-')} needs --target")
    options.course = [*(options.course or []), *options.id]
    courses = courses_of(options)
    code = OK
    told: list[dict[str, Any]] = []
    for spec in courses:
        result = asyncio.run(_in_process(_job_of(spec, options), _reporter(options, spec.id)))
        told.append(_described(result, id=spec.id, target=spec.target))
        if result.state == "failed":
            code = FAILED
        if not options.json:
            _tell(result, f"{spec.id}: ")
    if options.json:
        as_json({"ok": code == OK, "courses": told})
    elif not courses:
        print("The manifest has no courses.")
    return code


def _job_of(spec: CourseSpec, options: argparse.Namespace) -> Job:
    timeout = options.timeout or spec.timeout or 600.0
    return Job(
        url=spec.url,
        branch=spec.branch,
        depth=spec.depth,
        root=str(root_of(options)),
        target=spec.target,
        state_dir=str(state_dir_of(options)),
        timeout_seconds=timeout,
        connect_timeout_seconds=min(20.0, timeout),
        rules=spec.rules,
        by_hand=sys.stdin is not None and sys.stdin.isatty(),  # no hook, nor cron
    )


async def _in_process(job: Job, report: Report) -> Result:
    """A time limit that ends one pull must not end those of the other courses."""
    try:
        return await run_worker(job, report)
    except (WorkerError, OSError) as err:
        return Result(
            state="failed",
            code="worker_failed",
            message=f"The pull ended unexpectedly ({parse(job.url).redact(str(err))}).",
            fix="samepage-course doctor looks for the reason.",
        )


def _one(options: argparse.Namespace) -> int:
    if options.id or options.course or options.manifest:
        raise UsageError("give --target, or courses of a manifest, not both")
    url = options.url or os.environ.get("SAMEPAGE_COURSE_URL")
    if not url:
        raise UsageError("give --url, or set SAMEPAGE_COURSE_URL")
    given: Path = options.target
    target = given.expanduser().resolve()
    timeout = options.timeout or 600.0
    job = Job(
        url=url,
        branch=options.branch or os.environ.get("SAMEPAGE_COURSE_BRANCH") or None,
        depth=1,
        root=str(target.parent),
        target=target.name,
        state_dir=str(state_dir_of(options)),
        timeout_seconds=timeout,
        connect_timeout_seconds=min(20.0, timeout),
        rules=Rules(
            include=tuple(clean(path) for path in options.include or ()), auth=_auth(options, url)
        ),
        by_hand=sys.stdin is not None and sys.stdin.isatty(),  # no hook, nor cron
    )
    engine = StateEngine(Path(job.state_dir))
    watchdog = threading.Timer(timeout, _expire, args=(job, engine, options))
    watchdog.daemon = True
    watchdog.start()
    result = task.run(job, engine, _reporter(options, None), dict(os.environ), time.time)
    watchdog.cancel()
    return _ended(result, target, options)


def _auth(options: argparse.Namespace, url: str) -> Auth | None:
    """Errors: UsageError."""
    files = {name: _file(options, name) for name in _SECRETS}
    if not any(files.values()):
        return None
    auth = Auth(
        token_file=files["token_file"],
        ssh_key_file=files["ssh_key_file"],
        known_hosts=files["known_hosts"],
        username=options.username or Auth.username,
    )
    try:
        problem = unfit(parse(url), auth)
    except AddressError:
        return auth  # the pull says what is wrong with it
    if problem is not None:
        raise UsageError(f"--{problem[0].replace('_', '-')}: {problem[1]}")
    return auth


def _file(options: argparse.Namespace, name: str) -> str | None:
    path: str | None = getattr(options, name)
    return str(Path(path).expanduser().absolute()) if path else None


def _expire(job: Job, engine: StateEngine, options: argparse.Namespace) -> None:
    code = _ended(task.timed_out(job, engine), Path(job.root) / job.target, options)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _ended(result: Result, target: Path, options: argparse.Namespace) -> int:
    if options.json:
        ok = result.state != "failed"
        as_json({"ok": ok, "courses": [_described(result, id=None, target=str(target))]})
        return OK if ok else FAILED
    return _tell(result, "")


def _tell(result: Result, name: str) -> int:
    if result.state == "failed":
        return fail(f"{name}{result.message}", result.fix)
    print(printable(f"{name}{result.message}"))
    for change in _news(result):
        print(f"  {change.kind.replace('_', ' ')}: {printable(change.path)}")
    return OK


def _news(result: Result) -> tuple[Change, ...]:
    """What this pull changed, not one before it."""
    history = result.history
    if history is None or history.last_change != history.last_pull:
        return ()
    return history.changes


def _described(result: Result, *, id: str | None, target: str) -> dict[str, Any]:
    return {
        "id": id,
        "target": target,
        "state": result.state,
        "message": result.message,
        "fix": result.fix,
        "code": result.code,
        "changes": [asdict(change) for change in _news(result)],
        "wait_seconds": result.wait_seconds,
    }


def _reporter(options: argparse.Namespace, name: str | None) -> Report:
    if options.quiet or options.json:
        return _silent
    return _Steps("" if name is None else f"{name}: ")


class _Steps:
    def __init__(self, name: str) -> None:
        self._name = name
        self._last = ""

    def __call__(self, progress: Progress) -> None:
        if progress.phase != self._last:
            self._last = progress.phase
            print(f"{self._name}{progress.phase} ...", file=sys.stderr)


def _silent(progress: Progress) -> None:
    pass
