"""`samepage-course`: courses from a terminal, a postStart hook or cron; no Jupyter needed."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from labext.courses import gitenv, task
from labext.courses.address import parse
from labext.courses.errors import CourseError
from labext.courses.git import Git, GitError
from labext.courses.model import Progress
from labext.courses.protocol import Job, Result
from labext.courses.store import Store
from labext.courses.sync.engine import StateEngine, repository_of
from labext.courses.sync.fresh import bring
from labext.courses.sync.inspect import difference, standing
from labext.courses.sync.repository import Repository
from labext.courses.sync.undo import undo

OK, FAILED, USAGE = 0, 1, 2


def default_state_dir(environ: Mapping[str, str]) -> Path:
    """Where the Jupyter server of the same home keeps it. Source: jupyter_core.paths."""
    data = environ.get("JUPYTER_DATA_DIR")
    if data:
        return Path(data) / "samepage" / "courses"
    home = environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "jupyter" / "samepage" / "courses"


def main(arguments: Sequence[str] | None = None) -> int:
    """0: done, or offline with the files of the last pull. 1: failed, with a sentence. 2: usage."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except CourseError as err:
        return _fail(err.message, err.fix)
    except (GitError, OSError) as err:
        return _fail(
            f"It could not be done: {err}.", "samepage-course doctor looks for the reason."
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="samepage-course", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    pull = _command(commands, "pull", _pull, "bring the folder to what the course is now")
    pull.add_argument("--url", help="default: the environment's SAMEPAGE_COURSE_URL")
    pull.add_argument("--branch", help="default: the repository's own")
    pull.add_argument("--timeout", type=float, default=600.0, help="seconds; default 600")
    pull.add_argument("--quiet", action="store_true", help="say only how it ended")
    _command(commands, "status", _status, "what was pulled, what you changed; asks no server")
    diff = _command(commands, "diff", _diff, "your changes to the course's files")
    diff.add_argument("path", nargs="*", help="only these files")
    restore = _command(
        commands,
        "restore",
        _restore,
        "undo the last pull (twice: redo it), or bring the course's version of files",
    )
    restore.add_argument("path", nargs="*", help="files to take from the course; yours stay beside")
    _command(commands, "doctor", _doctor, "look for what could be wrong; repairs nothing")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    function: Callable[[argparse.Namespace], int],
    what: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what, description=what.capitalize() + ".")
    parser.add_argument("--target", type=Path, required=True, help="the course's folder")
    parser.add_argument("--state-dir", type=Path, help="default: where Jupyter keeps it")
    parser.set_defaults(command=function)
    return parser


def _pull(options: argparse.Namespace) -> int:
    url = options.url or os.environ.get("SAMEPAGE_COURSE_URL")
    if not url:
        print("samepage-course pull: give --url, or set SAMEPAGE_COURSE_URL.", file=sys.stderr)
        return USAGE
    target = _target(options)
    job = Job(
        url=url,
        branch=options.branch or os.environ.get("SAMEPAGE_COURSE_BRANCH") or None,
        depth=1,
        root=str(target.parent),
        target=target.name,
        state_dir=str(_state_dir(options)),
        timeout_seconds=options.timeout,
        connect_timeout_seconds=min(20.0, options.timeout),
    )
    engine = StateEngine(_state_dir(options))
    watchdog = threading.Timer(options.timeout, _expire, args=(job, engine))
    watchdog.daemon = True
    watchdog.start()
    report = _silent if options.quiet else _Steps()
    result = task.run(job, engine, report, dict(os.environ), time.time)
    watchdog.cancel()
    return _tell(result)


def _expire(job: Job, engine: StateEngine) -> None:
    code = _tell(task.timed_out(job, engine))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _tell(result: Result) -> int:
    if result.state == "failed":
        return _fail(result.message, result.fix)
    print(result.message)
    for change in result.history.changes if result.history is not None else ():
        print(f"  {change.kind.replace('_', ' ')}: {_printable(change.path)}")
    return OK


class _Steps:
    def __init__(self) -> None:
        self._last = ""

    def __call__(self, progress: Progress) -> None:
        if progress.phase != self._last:
            self._last = progress.phase
            print(f"{progress.phase} ...", file=sys.stderr)


def _silent(progress: Progress) -> None:
    pass


def _status(options: argparse.Namespace) -> int:
    target, repository = _place(options)
    now = standing(repository, target)
    if now.reached is None:
        return _fail(f"No course was pulled into {target}.", "samepage-course pull brings one.")
    print(f"{target}: {now.reached.url}, branch {now.reached.branch}")
    history = Store(folder=_state_dir(options), target=target).load()
    if history.last_pull is not None:
        print(f"last pull: {time.strftime('%Y-%m-%d %H:%M', time.localtime(history.last_pull))}")
    for word, paths in (("changed by you", now.yours), ("missing", now.missing)):
        for path in paths:
            print(f"  {word}: {_printable(path)}")
    for path in now.reached.held:
        print(f"  waits for the next pull: {_printable(path)}")
    if now.unfinished:
        print("A pull was ended in the middle; the next one brings it to its end.")
    return OK


def _diff(options: argparse.Namespace) -> int:
    target, repository = _place(options)
    for path in options.path or standing(repository, target).yours:
        sys.stdout.write(difference(repository, target, _relative(target, path)))
    return OK


def _restore(options: argparse.Namespace) -> int:
    target, repository = _place(options)
    with Store(folder=_state_dir(options), target=target).locked():
        StateEngine(_state_dir(options)).recover(target, _environment(target))
        repository.prepare()
        if options.path:
            paths = [_relative(target, path) for path in options.path]
            for beside in bring(repository, target, paths, time.time):
                print(f"Yours is now {_printable(beside)}.")
            print(f"The course's version is here: {', '.join(map(_printable, paths))}.")
            return OK
        undone = undo(repository, target, time.time)
    for path in undone.kept:
        print(f"  left as it is, you changed it since: {_printable(path)}")
    print(f"The last pull was undone; {len(undone.paths)} files are as they were before it.")
    return OK


def _doctor(options: argparse.Namespace) -> int:
    target, repository = _place(options)
    state_dir = _state_dir(options)
    problems = []
    if shutil.which("git") is None:
        problems.append("git is not installed.")
    for folder in (target, state_dir):
        if folder.exists() and not os.access(folder, os.W_OK):
            problems.append(f"{folder} cannot be written.")
        if folder.exists() and shutil.disk_usage(folder).free < 50 << 20:
            problems.append(f"{folder} has less than 50 MB left.")
    if repository.path.exists():
        try:
            repository.git.read("fsck", "--no-dangling", "--no-progress")
        except GitError as err:
            problems.append(
                f"The course's git data {repository.path} is damaged ({err.text[:200]!r}); "
                "the next pull makes it new."
            )
    if repository.path.with_name(f"{repository.path.name}.damaged").exists():
        problems.append(f"Damaged git data was set aside: {repository.path}.damaged.")
    if (target / ".git").exists():
        origin = Git(target, _environment(target)).one("config", "--get", "remote.origin.url")
        print(f"Your own git data in {target} (origin: {origin or 'none'}) is never touched.")
    for problem in problems:
        print(problem)
    if not problems:
        print("Nothing is wrong here.")
    return FAILED if problems else OK


def _place(options: argparse.Namespace) -> tuple[Path, Repository]:
    target = _target(options)
    return target, Repository(repository_of(_state_dir(options), target), _environment(target))


def _environment(target: Path) -> dict[str, str]:
    address = parse("file:///")
    return gitenv.without_broken_files(gitenv.environment(os.environ, address, target))


def _target(options: argparse.Namespace) -> Path:
    target: Path = options.target
    return target.expanduser().resolve()


def _state_dir(options: argparse.Namespace) -> Path:
    given: Path | None = options.state_dir
    return (given or default_state_dir(os.environ)).expanduser().resolve()


def _relative(target: Path, path: str) -> str:
    """`path` as the course has it; may be given relative to the folder, or as it is from here."""
    if (target / path).exists() or not Path(path).exists():
        return path
    try:
        return str(Path(path).resolve().relative_to(target))
    except ValueError:
        return path


def _fail(message: str, fix: str | None) -> int:
    print(message if fix is None else f"{message} {fix}", file=sys.stderr)
    return FAILED


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


if __name__ == "__main__":
    sys.exit(main())
