"""Which courses are kept: their addresses, and how credentials in them stay out of sight."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from nodeagent.errors import ConfigError

SCHEMES = ("https", "http", "ssh", "git", "file")
_NAME_LENGTH = 32
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Source:
    """One course's repository.

    remote: what git is given, for http(s) without credentials. authorization: value of the HTTP
    header that carries them; None when there are none. secrets: texts never to be shown.
    name: the folder of its mirror. private: fetched with credentials, so not for everybody.
    """

    remote: str
    name: str
    private: bool
    authorization: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def redact(self, text: str) -> str:
        """`text` without the credentials."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def identity(remote: str) -> str:
    """What two spellings of one repository's address have in common, without credentials. Pure.

    The notebook side has the same rule: labext.courses.cache.
    """
    parts = urlsplit(remote)
    place = parts.netloc.rpartition("@")[2].lower()
    path = parts.path.rstrip("/").removesuffix(".git")
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{place}{path}{query}"


def mirror_name(remote: str) -> str:
    """The folder of a repository's mirror. Pure."""
    return hashlib.sha256(identity(remote).encode()).hexdigest()[:_NAME_LENGTH]


def parse(text: str) -> Source:
    """The course at address `text`. Errors: ConfigError, without credentials. Pure."""
    if any(ord(sign) < 33 for sign in text) or text.startswith("-"):
        raise _unusable("it contains spaces or starts with '-'")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as err:
        raise _unusable("it is not a valid URL") from err
    host = parts.hostname or ""
    if parts.scheme not in SCHEMES or "://" not in text:
        raise _unusable(f"only {', '.join(SCHEMES)} URLs can be fetched")
    if parts.scheme == "file":
        return Source(remote=text, name=mirror_name(text), private=False)
    if not host or host.startswith("-") or parts.path.startswith("/-"):
        raise _unusable("it names no host, or a part of it starts with '-'")
    place = f"[{host}]" if ":" in host else host
    if port is not None:
        place = f"{place}:{port}"
    if parts.scheme in ("ssh", "git"):
        user = f"{parts.username}@" if parts.username else ""
        remote = f"{parts.scheme}://{user}{place}{parts.path}"
        return Source(remote=remote, name=mirror_name(remote), private=parts.scheme == "ssh")
    return _web(parts, place)


def _web(parts: SplitResult, place: str) -> Source:
    query = f"?{parts.query}" if parts.query else ""
    remote = f"{parts.scheme}://{place}{parts.path}{query}"
    name = mirror_name(remote)
    if parts.username is None and parts.password is None:
        return Source(remote=remote, name=name, private=False)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    given = (password or user, parts.password or parts.username or "", basic)
    return Source(
        remote=remote,
        name=name,
        private=True,
        authorization=f"Basic {basic}",
        secrets=tuple(text for text in dict.fromkeys(given) if text),
    )


def _unusable(why: str) -> ConfigError:
    return ConfigError(
        f"A course's address for the cache cannot be used: {why}",
        fix="Give URLs such as https://git.example.org/course.git.",
    )


def sources(
    urls: Iterable[str], manifest: Path | None, credentials: Path | None
) -> tuple[Source, ...]:
    """All courses to keep, each once. Reads the files. Errors: ConfigError."""
    texts = [*urls, *(_listed(manifest) if manifest is not None else ())]
    logins = [] if credentials is None else [parse(line) for line in _secret_lines(credentials)]
    found: dict[str, Source] = {}
    for text in texts:
        source = _with_login(parse(text), logins)
        if source.name not in found or source.private:
            found[source.name] = source
    return tuple(found.values())


def _with_login(source: Source, logins: Sequence[Source]) -> Source:
    """The login whose address is the longest beginning of the course's."""
    if source.private:
        return source
    fitting = [login for login in logins if _covers(login.remote, source.remote)]
    if not fitting:
        return source
    login = max(fitting, key=lambda each: len(each.remote))
    return Source(
        remote=source.remote,
        name=source.name,
        private=True,
        authorization=login.authorization,
        secrets=login.secrets,
    )


def _covers(login: str, remote: str) -> bool:
    return f"{identity(remote)}/".startswith(f"{identity(login)}/")


def _listed(manifest: Path) -> list[str]:
    """The addresses in a `samepage-course.yml`, or in a text file with one in each line."""
    text = _read(manifest)
    if manifest.suffix not in (".yml", ".yaml"):
        return _lines(text)
    try:
        import yaml
    except ImportError as err:
        raise ConfigError(
            f"Cannot read {manifest}: PyYAML is not installed",
            fix="Install it, or give a text file with one URL in each line.",
        ) from err
    try:
        content: Any = yaml.safe_load(text)
        return [str(course["url"]) for course in content["courses"]]
    except (yaml.YAMLError, KeyError, TypeError) as err:
        raise ConfigError(
            f"{manifest} is no course manifest", fix="Give courses: with a url: for each."
        ) from err


def _secret_lines(file: Path) -> list[str]:
    try:
        mode = file.stat().st_mode
    except OSError as err:
        raise _unreadable(file, err) from err
    if mode & 0o077:
        raise ConfigError(
            f"{file} holds credentials, and others than its owner can read it",
            fix=f"chmod 600 {file}",
        )
    return _lines(_read(file))


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(_MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as err:
        raise _unreadable(file, err) from err


def _unreadable(file: Path, err: Exception) -> ConfigError:
    return ConfigError(f"Cannot read {file}: {err}", fix="Check the path and its permissions.")
