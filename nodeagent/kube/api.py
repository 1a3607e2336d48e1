"""The Kubernetes API with a pod's own service account. JSON in and out.

No client library: the few calls that are made here would not pay for one in the agent's image.
Service accounts: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from nodeagent.errors import AgentError
from nodeagent.names import Names, NamesResolver

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
APPLY = "application/apply-patch+yaml"
"""Server-side apply: makes the object or changes our fields of it. JSON is YAML."""
MERGE = "application/merge-patch+json"
_PAGE = 500
_MOST_BYTES = 64 * 2**20


class KubeError(AgentError):
    """The Kubernetes API did not do it. `status`: its HTTP status; None: no answer came."""

    code = "kubernetes"

    def __init__(self, message: str, *, fix: str, status: int | None = None) -> None:
        super().__init__(message, fix=fix)
        self.status = status


class KubeApi:
    """One API server. The token is read anew for each request, as the kubelet rotates it."""

    def __init__(
        self,
        server: str,
        *,
        token_file: Path | None = None,
        ca_file: Path | None = None,
        namespace: str = "default",
        timeout: float = 5.0,
    ) -> None:
        self._server = server.rstrip("/")
        self._token_file = token_file
        self._ca_file = ca_file
        self.namespace = namespace
        self._timeout = timeout
        self._client = SimpleAsyncHTTPClient(
            force_instance=True,
            max_clients=8,
            max_body_size=_MOST_BYTES,
            resolver=NamesResolver(Names()),
        )

    @classmethod
    def in_cluster(
        cls, env: Mapping[str, str], *, account: Path = ACCOUNT, timeout: float = 5.0
    ) -> "KubeApi":
        """With what the kubelet gave this pod. KubeError: not in a pod, or without a token."""
        host, port = env.get("KUBERNETES_SERVICE_HOST"), env.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise KubeError(
                "This is not a pod of a Kubernetes cluster: KUBERNETES_SERVICE_HOST is not set",
                fix="Run it in the cluster, or ask the agents over HTTP instead.",
            )
        if not (account / "token").is_file():
            raise KubeError(
                f"This pod has no service account token: {account / 'token'} does not exist",
                fix="Mount one (automountServiceAccountToken: true, or a projected volume).",
            )
        name = account / "namespace"
        return cls(
            f"https://{f'[{host}]' if ':' in host else host}:{port}",
            token_file=account / "token",
            ca_file=account / "ca.crt",
            namespace=name.read_text(encoding="utf-8").strip() if name.is_file() else "default",
            timeout=timeout,
        )

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The object or list at `path`. KubeError: refused, absent or no answer."""
        return await self._ask("GET", path, query or {}, None, None)

    async def items(
        self, path: str, query: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """All items of a list, page by page. KubeError as `get`."""
        found: list[dict[str, Any]] = []
        pages = {"limit": str(_PAGE), **(query or {})}
        while True:
            page = await self.get(path, pages)
            found += page.get("items") or []
            mark = (page.get("metadata") or {}).get("continue")
            if not mark:
                return found
            pages["continue"] = mark

    async def patch(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        media_type: str,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The object after the change. KubeError as `get`."""
        return await self._ask("PATCH", path, query or {}, body, media_type)

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        media_type: str | None,
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json", "User-Agent": "samepage-agent"}
        if media_type is not None:
            headers["Content-Type"] = media_type
        if (token := self._token()) is not None:
            headers["Authorization"] = f"Bearer {token}"
        request = HTTPRequest(
            f"{self._server}{path}{'?' + urlencode(query) if query else ''}",
            method=method,
            headers=headers,
            body=None if body is None else json.dumps(body),
            connect_timeout=self._timeout,
            request_timeout=self._timeout,
            ca_certs=None if self._ca_file is None else str(self._ca_file),
            follow_redirects=False,
        )
        try:
            answer = await self._client.fetch(request)
            return dict(json.loads(answer.body))
        except HTTPClientError as err:
            raise _refused(method, path, err) from err
        except (OSError, ValueError, TypeError) as err:
            raise KubeError(
                f"{method} {path}: {err}",
                fix="Check that the API server can be reached from here.",
            ) from err

    def _token(self) -> str | None:
        if self._token_file is None:
            return None
        try:
            return self._token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as err:
            raise KubeError(
                f"The service account's token cannot be read: {err}",
                fix="Mount the token where it was at the start.",
            ) from err


def _refused(method: str, path: str, err: HTTPClientError) -> KubeError:
    said = err.message
    if err.response is not None and err.response.body:
        try:
            said = str(json.loads(err.response.body)["message"])
        except (ValueError, KeyError, TypeError):
            said = err.message
    # Tornado's own code for a time-out or a closed connection: no status came.
    status = None if err.code == 599 else err.code
    fixes = {
        401: "Give the pod a valid service account token.",
        403: "Give the service account this right (RBAC).",
        404: "Check that the object and its kind exist.",
        413: "Publish less: the object is too large for the API server.",
    }
    fix = fixes.get(status or 0, "Check that the API server can be reached and is well.")
    return KubeError(f"{method} {path}: {status or 'no answer'}: {said}", fix=fix, status=status)
