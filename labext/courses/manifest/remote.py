"""A manifest at an https address, kept for when it cannot be reached."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from labext.courses.manifest.problems import ManifestError
from labext.courses.manifest.reading import MOST_BYTES, refuse_large
from labext.courses.sync.journal import write_whole

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_CHUNK = 1 << 16
_FIX = "Check the address in SAMEPAGE_COURSES, and the network."


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """content: of the manifest. problem: why it is an older one; None: it is today's."""

    content: bytes
    problem: ManifestError | None = None


def is_address(text: str) -> bool:
    """Whether `text` is an address, not a path. Pure."""
    return "://" in text


def fetch(url: str, cache: Path | None, timeout_seconds: float = 10.0) -> Fetched:
    """The manifest at `url`; the one of the last time when the server does not give it.

    cache: a folder. Blocks for about `timeout_seconds`. Errors: ManifestError.
    """
    remote = _Remote.of(url)
    kept = _Kept.of(cache, remote.shown)
    old = kept.read() if kept is not None else None
    try:
        answer = remote.get(old[1] if old is not None else None, timeout_seconds)
    except (OSError, http.client.HTTPException, ValueError) as err:
        problem = ManifestError(
            f"Cannot get the course manifest {remote.shown}: {remote.redact(_words(err))}.", _FIX
        )
        if old is None:
            raise problem from err
        return Fetched(content=old[0], problem=problem)
    if answer is None:
        assert old is not None
        return Fetched(content=old[0])
    content, etag = answer
    refuse_large(content, remote.shown)
    if kept is not None and (old is None or old != (content, etag)):
        kept.write(content, etag)
    return Fetched(content=content)


def _words(err: Exception) -> str:
    if isinstance(err, urllib.error.HTTPError):
        return f"the server answers {err.code} {err.reason}"
    if isinstance(err, urllib.error.URLError):
        return str(err.reason)
    return str(err) or type(err).__name__


@dataclass(frozen=True, kw_only=True)
class _Kept:
    file: Path

    @classmethod
    def of(cls, folder: Path | None, shown: str) -> _Kept | None:
        if folder is None:
            return None
        digest = hashlib.sha256(shown.encode()).hexdigest()[:16]
        return cls(file=folder / f"manifest-{digest}.json")

    def read(self) -> tuple[bytes, str | None] | None:
        try:
            value = json.loads(self.file.read_bytes())
            return str(value["content"]).encode(), value["etag"]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, content: bytes, etag: str | None) -> None:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self.file, json.dumps({"content": content.decode("utf-8"), "etag": etag}))
        except (OSError, ValueError):
            pass  # only for offline; what is not text will be refused as a manifest


@dataclass(frozen=True, kw_only=True)
class _Remote:
    """url: without credentials, with the query. shown: without both."""

    url: str
    shown: str
    authorization: str | None
    secrets: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> _Remote:
        parts = urlsplit(text)
        place = parts.netloc.rpartition("@")[2]
        shown = f"{parts.scheme}://{place}{parts.path}"
        secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        if not secure or not parts.hostname:
            raise ManifestError(
                f"The course manifest {shown} is not at an https address.",
                "Give a path or an https address in SAMEPAGE_COURSES.",
            )
        query = f"?{parts.query}" if parts.query else ""
        authorization = None
        if parts.username is not None:
            plain = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = f"Basic {base64.b64encode(plain.encode()).decode()}"
        secrets = (parts.password, parts.username, parts.query)
        return cls(
            url=f"{shown}{query}",
            shown=shown,
            authorization=authorization,
            secrets=tuple(secret for secret in secrets if secret),
        )

    def redact(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    def get(self, etag: str | None, timeout: float) -> tuple[bytes, str | None] | None:
        """Content and ETag; None: it is still that of `etag`. Errors: OSError, ValueError."""
        request = urllib.request.Request(self.url, headers={"Accept": "application/yaml, */*"})
        if self.authorization is not None:
            # Unredirected: it is for this host only.
            request.add_unredirected_header("Authorization", self.authorization)
        if etag is not None:
            request.add_header("If-None-Match", etag)
        deadline = time.monotonic() + timeout
        try:
            with _opener().open(request, timeout=timeout) as answer:
                content = b""
                while len(content) <= MOST_BYTES and (chunk := answer.read1(_CHUNK)):
                    content += chunk
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"it took longer than {timeout:g} s")
                return content, answer.headers.get("ETag")
        except urllib.error.HTTPError as err:
            err.close()
            if err.code == 304 and etag is not None:
                return None
            raise


class _SecureOnly(urllib.request.HTTPRedirectHandler):
    """Follows to https only: not to a file, nor to a server without encryption."""

    max_redirections = 5

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        parts = urlsplit(newurl)
        loop = urlsplit(req.full_url).hostname in _LOOPBACK and parts.hostname in _LOOPBACK
        if parts.scheme != "https" and not (parts.scheme == "http" and loop):
            fp.close()
            raise urllib.error.URLError(f"it leads to a {parts.scheme or 'strange'} address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _SecureOnly(),
    ):
        opener.add_handler(handler)
    return opener
