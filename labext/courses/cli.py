"""`samepage-course`: courses from a terminal, a postStart hook or cron; no Jupyter needed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from labext.courses.commands.check import check, schema
from labext.courses.commands.choose import UsageError, default_state_dir
from labext.courses.commands.look import diff, doctor, listing, status
from labext.courses.commands.pull import pull
from labext.courses.commands.restore import restore
from labext.courses.commands.say import FAILED, OK, USAGE, as_json, fail
from labext.courses.errors import CourseError
from labext.courses.git import GitError
from labext.courses.manifest import ManifestError

__all__ = ["FAILED", "OK", "USAGE", "default_state_dir", "main"]

_Parsers = argparse._SubParsersAction  # argparse has no public name for it


def main(arguments: Sequence[str] | None = None) -> int:
    """0: done, or offline with the files of the last pull. 1: failed, with a sentence. 2: usage."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except UsageError as err:
        print(f"samepage-course {options.name}: {err}.", file=sys.stderr)
        return USAGE
    except (CourseError, ManifestError) as err:
        return _failed(options, err.message, err.fix)
    except (GitError, OSError) as err:
        return _failed(
            options,
            f"It could not be done: {err}.",
            "samepage-course doctor looks for the reason.",
        )


def _failed(options: argparse.Namespace, message: str, fix: str | None) -> int:
    if options.json:
        as_json({"ok": False, "message": message, "fix": fix})
        return FAILED
    return fail(message, fix)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samepage-course", description=__doc__, allow_abbrev=False
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_pull(commands)
    _about_courses(commands, "status", status, "what was pulled, what you changed; asks no server")
    shown = _about_courses(commands, "diff", diff, "your changes to the course's files")
    shown.add_argument("path", nargs="*", help="only these files")
    undone = _about_courses(
        commands,
        "restore",
        restore,
        "undo the last pull (twice: redo it), or bring the course's version of files",
    )
    undone.add_argument("path", nargs="*", help="files to take from the course; yours stay beside")
    _about_courses(commands, "doctor", doctor, "look for what could be wrong; repairs nothing")
    listed = _command(commands, "list", listing, "the courses of a manifest")
    _add_manifest(listed)
    checked = _command(commands, "check", check, "everything that is wrong with a manifest")
    checked.add_argument("file", help="a file, a folder of files, or an https address")
    _command(commands, "schema", schema, "the JSON schema of a manifest, for editors")
    return parser


def _add_pull(commands: _Parsers[argparse.ArgumentParser]) -> None:
    parser = _about_courses(commands, "pull", pull, "bring the folders to what the courses are now")
    parser.add_argument("id", nargs="*", help="only these courses of the manifest")
    parser.add_argument(
        "--url", help="with --target; default: the environment's SAMEPAGE_COURSE_URL"
    )
    parser.add_argument("--branch", help="with --target; default: the repository's own")
    parser.add_argument(
        "--include", action="append", metavar="PATH", help="with --target: only this part of it"
    )
    parser.add_argument("--token-file", help="with --target: a file that holds a token")
    parser.add_argument("--username", help="whose token it is; default: oauth2")
    parser.add_argument("--ssh-key-file", help="with --target: a private key for an ssh address")
    parser.add_argument("--known-hosts", help="with --target: the ssh server's public keys")
    parser.add_argument(
        "--timeout", type=float, help="seconds for each course; default: its own, else 600"
    )
    parser.add_argument("--quiet", action="store_true", help="say only how it ended")


def _about_courses(
    commands: _Parsers[argparse.ArgumentParser],
    name: str,
    function: Callable[[argparse.Namespace], int],
    what: str,
) -> argparse.ArgumentParser:
    parser = _command(commands, name, function, what)
    parser.add_argument("--target", type=Path, help="a course's folder")
    _add_manifest(parser)
    return parser


def _add_manifest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--manifest",
        help="a file, a folder of files or an https address; default: SAMEPAGE_COURSES, "
        "SAMEPAGE_COURSES_YAML or SAMEPAGE_COURSE_URL in the environment",
    )
    parser.add_argument(
        "--course", action="append", metavar="ID", help="only this course of the manifest"
    )
    parser.add_argument(
        "--root", type=Path, help="what its targets are below; default: SAMEPAGE_ROOT, else home"
    )


def _command(
    commands: _Parsers[argparse.ArgumentParser],
    name: str,
    function: Callable[[argparse.Namespace], int],
    what: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=what, description=what.capitalize() + ".", allow_abbrev=False
    )
    parser.add_argument("--state-dir", type=Path, help="default: where Jupyter keeps it")
    parser.add_argument("--json", action="store_true", help="say it as JSON on standard output")
    parser.set_defaults(command=function, name=name)
    return parser


if __name__ == "__main__":
    sys.exit(main())
