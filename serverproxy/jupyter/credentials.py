"""What of a request opens the Jupyter server, and so is not for an application. Pure.

Only Jupyter's own: an application with a login of its own behind the proxy gets what is its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from hmac import compare_digest
from urllib.parse import unquote_plus, urlsplit, urlunsplit

# Of this server, of others on the same host name, and of the hub: hub login, session id, OAuth.
_COOKIES = re.compile(r"_xsrf|username-.*|jupyterhub-.*|service-.*-oauth-state.*", re.IGNORECASE)
_AUTHORIZATION = re.compile(r"(token|bearer)\s+(.+)", re.IGNORECASE)
_TOKEN_PROTOCOL = "v1.token.websocket.jupyter.org"
HEADERS = frozenset({"x-xsrftoken"})


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What is known of Jupyter's credentials at a request.

    login_cookie: name of this server's cookie. tokens: known secrets. by_token: a token in the
    request has opened this server. own_xsrf: values of `_xsrf` that the application itself has set.
    """

    login_cookie: str
    tokens: Collection[str] = field(default=(), repr=False)
    by_token: bool = False
    own_xsrf: Collection[str] = field(default=(), repr=False)

    def keeps_authorization(self, value: str) -> bool:
        """Whether an Authorization header is the application's own."""
        match = _AUTHORIZATION.match(value.strip())
        if match is None:
            return True
        if match[1].lower() == "token" or self.by_token:
            return False
        return not self._known(match[2].strip())

    def cookies(self, header: str) -> str:
        """A Cookie header without Jupyter's cookies; "" when nothing is left."""
        kept = []
        for part in header.split(";"):
            name, _, value = part.strip().partition("=")
            if not name or name == self.login_cookie:
                continue
            own = name == "_xsrf" and value in self.own_xsrf
            if own or not _COOKIES.fullmatch(name):
                kept.append(part.strip())
        return "; ".join(kept)

    def query(self, query: str) -> str:
        """A query string without Jupyter's token; anything else stays as it was written."""
        return "&".join(part for part in query.split("&") if not self._is_token(part))

    def address(self, url: str) -> str:
        """A URL, as of Referer, without Jupyter's token."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return ""
        if not parts.query:
            return url
        return urlunsplit(parts._replace(query=self.query(parts.query)))

    def protocols(self, names: Collection[str]) -> list[str]:
        """Websocket subprotocols without those that carry Jupyter's token."""
        return [name for name in names if not name.startswith(_TOKEN_PROTOCOL)]

    def _is_token(self, part: str) -> bool:
        name, _, value = part.partition("=")
        if unquote_plus(name) != "token":
            return False
        return self.by_token or self._known(unquote_plus(value))

    def _known(self, value: str) -> bool:
        given = value.encode()
        return any(token and compare_digest(given, token.encode()) for token in self.tokens)
