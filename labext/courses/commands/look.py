"""`samepage-course status`, `diff`, `doctor` and `list`: they change nothing."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from labext.courses.access import checked
from labext.courses.address import parse
from labext.courses.commands.cached import cache_note
from labext.courses.commands.choose import (
    Chosen,
    chosen,
    courses_of,
    known_of,
    local_environment,
    never_pulled,
)
from labext.courses.commands.say import FAILED, OK, as_json, encodable, fail, printable
from labext.courses.errors import CourseError
from labext.courses.git import Git, GitError
from labext.courses.manifest import preload_modules
from labext.courses.store import Store
from labext.courses.sync.inspect import difference, standing
from labext.courses.sync.journal import read_reached
from labext.courses.sync.large import available

_LITTLE_BYTES = 50 << 20


def status(options: argparse.Namespace) -> int:
    """What was pulled and what the student changed, of each folder."""
    places = chosen(options)
    facts = [_standing(place) for place in places]
    if options.json:
        as_json({"courses": facts})
    code = OK
    for place, fact in zip(places, facts, strict=True):
        if fact["url"] is None:
            error = never_pulled(place)
            code = FAILED if options.json else fail(error.message, error.fix)
        elif not options.json:
            _print_standing(fact)
    return code


def _standing(place: Chosen) -> dict[str, Any]:
    now = standing(place.repository(), place.target)
    history = Store(folder=place.state_dir, target=place.target).load()
    return {
        "id": place.id,
        "target": str(place.target),
        "url": None if now.reached is None else now.reached.url,
        "branch": None if now.reached is None else now.reached.branch,
        "commit": None if now.reached is None else now.reached.commit,
        "last_pull": history.last_pull,
        "changed_by_you": list(now.yours),
        "missing": list(now.missing),
        "waiting": [] if now.reached is None else list(now.reached.held),
        "unfinished": now.unfinished,
    }


def _print_standing(fact: dict[str, Any]) -> None:
    print(printable(f"{fact['target']}: {fact['url']}, branch {fact['branch']}"))
    if fact["last_pull"] is not None:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(fact["last_pull"]))
        print(f"last pull: {day}")
    for word, key in (
        ("changed by you", "changed_by_you"),
        ("missing", "missing"),
        ("waits for the next pull", "waiting"),
    ):
        for path in fact[key]:
            print(f"  {word}: {printable(path)}")
    if fact["unfinished"]:
        print("A pull was ended in the middle; the next one brings it to its end.")


def diff(options: argparse.Namespace) -> int:
    """The student's changes to the course's files, as unified diffs."""
    places = chosen(options)
    found: dict[str, str] = {}
    for place in places:
        repository = place.repository()
        for path in options.path or standing(repository, place.target).yours:
            name = relative(place.target, path)
            text = difference(repository, place.target, name)
            found[name if len(places) == 1 else f"{known_of(place)}: {name}"] = text
    if options.json:
        as_json({"files": found})
    else:
        # In a pipe it is what `patch` reads.
        shown = printable if sys.stdout.isatty() else encodable
        for text in found.values():
            sys.stdout.write(shown(text))
    return OK


def relative(target: Path, path: str) -> str:
    """`path` as the course has it; may be given relative to the folder, or as it is from here."""
    if (target / path).exists() or not Path(path).exists():
        return path
    try:
        return str(Path(path).resolve().relative_to(target))
    except ValueError:
        return path


def doctor(options: argparse.Namespace) -> int:
    """Look for what could be wrong with each folder."""
    problems = [] if shutil.which("git") else ["git is not installed."]
    notes = [] if available() else ["git-lfs is not installed: large files (LFS) do not arrive."]
    for place in chosen(options):
        problems += _problems(place)
        notes += _cache_notes(place)
        if (place.target / ".git").exists():
            git = Git(place.target, local_environment(place.target))
            origin = git.one("config", "--get", "remote.origin.url")
            shown = _without_credentials(origin)
            notes.append(f"Your own git data in {place.target} (origin: {shown}) is never touched.")
    problems = list(dict.fromkeys(problems))
    if options.json:
        as_json({"ok": not problems, "problems": problems, "notes": notes})
    else:
        for line in [*notes, *problems] if problems else [*notes, "Nothing is wrong here."]:
            print(printable(line))
    return FAILED if problems else OK


def _cache_notes(place: Chosen) -> list[str]:
    reached = read_reached(place.repository().path)
    url = place.spec.url if place.spec is not None else reached.url if reached else None
    note = None if url is None else cache_note(url, os.environ, time.time())
    return [] if note is None else [note]


def _without_credentials(origin: str | None) -> str:
    if origin is None:
        return "none"
    try:
        return parse(origin).shown
    except ValueError:
        return "of an unknown kind"


def _problems(place: Chosen) -> list[str]:
    problems = []
    target, repository = place.target, place.repository()
    for folder in (target, place.state_dir):
        if folder.exists() and not os.access(folder, os.W_OK):
            problems.append(f"{folder} cannot be written.")
        if folder.exists() and shutil.disk_usage(folder).free < _LITTLE_BYTES:
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
    if place.spec is not None:
        try:
            checked(parse(place.spec.url), place.spec.rules.auth)
        except CourseError as err:
            problems.append(f"{place.spec.id}: {err.message} {err.fix}")
    return problems


def listing(options: argparse.Namespace) -> int:
    """The courses of the manifest, as data for whoever starts servers and kernels."""
    courses = courses_of(options)
    if options.json:
        as_json(
            {
                "preload": list(preload_modules(courses)),
                "courses": [
                    {
                        "id": spec.id,
                        "title": spec.title,
                        "url": parse(spec.url).shown,
                        "branch": spec.branch,
                        "target": spec.target,
                        "image": spec.image,
                        "profile": spec.profile,
                        "preload": list(spec.preload),
                    }
                    for spec in courses
                ],
            }
        )
        return OK
    for spec in courses:
        print(printable(f"{spec.id}: {spec.title}, {parse(spec.url).shown} in {spec.target}"))
    return OK
