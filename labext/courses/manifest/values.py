"""From a mapping that fits the schema to a course."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from labext.courses.access import unfit
from labext.courses.address import Address, AddressError, default_folder, parse
from labext.courses.model import CourseSpec
from labext.courses.rules import Auth, ReadOnly, Rules, Window
from labext.courses.target import problem_of

_UNITS = {"s": 1, "m": 60, "h": 3600}


class FieldError(ValueError):
    """One value of a course is not allowed. `path`: its keys, from the course's mapping on."""

    def __init__(self, path: str | tuple[str | int, ...], text: str) -> None:
        super().__init__(text)
        self.path = (path,) if isinstance(path, str) else path


def zone_of(name: str) -> tzinfo:
    """The time zone `name`. Errors: ValueError, with what to write instead."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as err:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(
            f"the time zone {name!r} is not known on this machine; write one such as Europe/Berlin"
        ) from err


def course(entry: dict[str, Any], zone: tzinfo | None = None) -> CourseSpec:
    """A course of a mapping that fits the schema. zone: for dates without one.

    Errors: FieldError. Pure.
    """
    try:
        address = parse(entry["url"])
    except AddressError as err:
        raise FieldError("url", f"this address cannot be used: {err}") from err
    target = str(entry.get("target") or default_folder(address.remote))
    problem = problem_of(target)
    if problem is not None:
        raise FieldError("target", f"the folder {target!r} cannot be used: {problem}")
    pull = entry.get("pull", {})
    rules = Rules(
        include=tuple(clean(path) for path in entry.get("include", ())),
        release=tuple(
            _window(item, zone, ("release", number))
            for number, item in enumerate(entry.get("release", ()))
        ),
        readonly=tuple(_readonly(item) for item in entry.get("readonly", ())),
        deleted=entry.get("deleted", "restore"),
        submodules=entry.get("submodules", True),
        lfs=entry.get("lfs", True),
        auth=_auth(entry.get("auth"), address),
    )
    return CourseSpec(
        id=entry["id"],
        url=entry["url"],
        branch=entry.get("branch"),
        target=clean(target),
        title=entry.get("title", entry["id"]),
        depth=int(entry.get("depth", 1)),
        rules=rules,
        on_start=pull.get("on_start"),
        interval=_seconds(pull.get("interval")),
        timeout=_timeout(pull.get("timeout")),
        preload=tuple(dict.fromkeys(entry.get("preload", ()))),
        merge=entry.get("merge", True),
        align=entry.get("align", True),
        image=entry.get("image"),
        profile=entry.get("profile"),
    )


def clean(path: str) -> str:
    """`path` without empty and '.' parts. Pure."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def preload_modules(courses: Iterable[CourseSpec]) -> tuple[str, ...]:
    """Modules that kernels of `courses` will import, each once, in order. Pure."""
    return tuple(dict.fromkeys(module for spec in courses for module in spec.preload))


def moment(text: str, zone: tzinfo | None, *, end_of_day: bool) -> float:
    """A date, or a date and a time, as epoch seconds. Errors: ValueError. Pure."""
    try:
        when = datetime.fromisoformat(re.sub(r" ([Z+-])", r"\1", text))
    except ValueError as err:
        raise ValueError(f"there is no such date or time as {text!r}") from err
    if when.tzinfo is None:
        if zone is None:
            raise ValueError(
                f"{text!r} has no time zone: write it as 2026-11-23T09:00+01:00, or give "
                "'timezone: Europe/Berlin' beside 'version'"
            )
        day = len(text) == len("2026-11-23")
        if day and end_of_day:
            when = datetime.combine(when.date() + timedelta(days=1), time())
        when = when.replace(tzinfo=zone)
    return when.timestamp()


def _window(item: dict[str, Any], zone: tzinfo | None, path: tuple[str | int, ...]) -> Window:
    moments: dict[str, float | None] = {"from": None, "until": None}
    for key in moments:
        if key in item:
            try:
                moments[key] = moment(item[key], zone, end_of_day=key == "until")
            except ValueError as err:
                raise FieldError((*path, key), str(err)) from err
    opens, closes = moments["from"], moments["until"]
    if opens is not None and closes is not None and opens >= closes:
        raise FieldError((*path, "until"), "'until' must be later than 'from'")
    return Window(path=clean(item["path"]), opens=opens, closes=closes)


def _readonly(item: str | dict[str, str]) -> ReadOnly:
    if isinstance(item, str):
        return ReadOnly(path=clean(item))
    return ReadOnly(path=clean(item["path"]), link=item["link"])


def _auth(value: dict[str, Any] | None, address: Address) -> Auth | None:
    if not value:
        return None
    if "token_file" not in value and "username" in value:
        raise FieldError(("auth", "username"), "this needs 'token_file' beside it")
    auth = Auth(
        token_file=value.get("token_file"),
        username=value.get("username", "oauth2"),
        ssh_key_file=value.get("ssh_key_file"),
        known_hosts=value.get("known_hosts"),
        hosts=tuple(value.get("hosts", ())),
    )
    problem = unfit(address, auth)
    if problem is not None:
        raise FieldError(("auth", problem[0]), problem[1])
    return auth


def _seconds(value: int | str | None) -> float | None:
    if value is None:
        return None
    text = str(value).replace(" ", "")
    if text[-1] in _UNITS:
        return float(int(text[:-1]) * _UNITS[text[-1]])
    return float(text)


def _timeout(value: int | str | None) -> float | None:
    seconds = _seconds(value)
    if seconds is not None and seconds < 1:
        raise FieldError(("pull", "timeout"), "it must be at least 1 second")
    return seconds
