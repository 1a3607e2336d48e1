"""Git addresses: which are accepted, and how credentials in them stay out of sight."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

SCHEMES = ("https", "http", "ssh", "git", "file")
_SCP = re.compile(r"(?P<user>[A-Za-z0-9][\w.-]*)@(?P<host>[A-Za-z0-9][\w.-]*):(?P<path>[^/-].*)")
_USERINFO = re.compile(r"(?<=://)[^/@\s'\"]+@")
# Shorter ones would also replace ordinary words in a message.
_SHORTEST_SECRET = 6


class AddressError(ValueError):
    """Not an address that a course may have; the text says why, without credentials."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """A git address with its credentials apart.

    remote: what git is given and stores; for http(s) without user and password.
    authorization: value of the HTTP header that carries them instead; None when there are none.
    shown: for people, logs and status. secrets: texts to blank out in anything git says.
    """

    remote: str
    shown: str
    authorization: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def host(self) -> str:
        """Who is asked: the host's name, or the path for file addresses."""
        parts = urlsplit(self.remote)
        return parts.hostname or parts.path

    def redact(self, text: str) -> str:
        """`text` without this address's credentials, nor those of any other address in it."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return _USERINFO.sub("", text)

    def same_repository(self, other: str) -> bool:
        """Whether `other`, as found in a clone's configuration, names this repository."""
        try:
            return _identity(parse(other).remote) == _identity(self.remote)
        except AddressError:
            return False


def parse(text: str) -> Address:
    """The address in `text`. Errors: AddressError. Pure.

    Accepts http, https, ssh, git and file URLs, and `user@host:path` for ssh. Everything else git
    understands runs programs (`ext::`), reads options (`-u...`) or depends on the folder it is
    started in.
    """
    if not text or text != text.strip() or any(ord(sign) < 33 for sign in text):
        raise AddressError("it is empty or contains spaces or control characters")
    if text.startswith("-"):
        raise AddressError("it starts with '-'")
    scp = _SCP.fullmatch(text)
    if scp is not None and "://" not in text:
        text = f"ssh://{scp['user']}@{scp['host']}/{scp['path']}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as err:
        raise AddressError(f"it is not a valid URL ({err})") from err
    if parts.scheme not in SCHEMES or "://" not in text:
        hint = f"; write file://{text}" if text.startswith("/") else ""
        raise AddressError(f"only {', '.join(SCHEMES)} URLs are allowed{hint}")
    if parts.scheme == "file":
        return _file(parts)
    host = parts.hostname or ""
    if not host or host.startswith("-"):
        raise AddressError("it names no host")
    if (parts.username or "").startswith("-") or parts.path.startswith("/-"):
        raise AddressError("a part of it starts with '-'")
    place = f"[{host}]" if ":" in host else host
    if port is not None:
        place = f"{place}:{port}"
    return _web(parts, place) if parts.scheme in ("http", "https") else _ssh_or_git(parts, place)


def _file(parts: SplitResult) -> Address:
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise AddressError("a file URL is file:// and an absolute path")
    remote = f"file://{parts.path}"
    return Address(remote=remote, shown=remote)


def _ssh_or_git(parts: SplitResult, place: str) -> Address:
    user = f"{parts.username}@" if parts.username else ""
    remote = f"{parts.scheme}://{user}{place}{parts.path}"
    # ssh takes no password from a URL; it is dropped, and kept from being shown.
    return Address(remote=remote, shown=remote, secrets=_secrets(parts.password))


def _web(parts: SplitResult, place: str) -> Address:
    shown = f"{parts.scheme}://{place}{parts.path}"
    query = f"?{parts.query}" if parts.query else ""
    user, password = parts.username, parts.password
    if user is None and password is None:
        return Address(remote=shown + query, shown=shown, secrets=_secrets(parts.query))
    plain = f"{unquote(user or '')}:{unquote(password or '')}"
    basic = base64.b64encode(plain.encode()).decode()
    # A token may also stand alone, as the user.
    secret = password if password else user
    return Address(
        remote=shown + query,
        shown=shown,
        authorization=f"Basic {basic}",
        secrets=_secrets(secret, basic, parts.query),
    )


def _secrets(*texts: str | None) -> tuple[str, ...]:
    both = [form for text in texts if text for form in (text, unquote(text))]
    return tuple(dict.fromkeys(form for form in both if len(form) >= _SHORTEST_SECRET))


def _identity(remote: str) -> str:
    parts = urlsplit(remote)
    path = parts.path.rstrip("/").removesuffix(".git")
    return f"{parts.scheme}://{parts.netloc.lower()}{path}?{parts.query}"


def default_folder(remote: str) -> str:
    """The folder name git would choose: the repository's own name."""
    return urlsplit(remote).path.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git")
