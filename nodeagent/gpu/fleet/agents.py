"""Asks agents over HTTP, all at once. Who is late is missing; the others count."""

import asyncio
import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.netutil import Resolver
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from nodeagent.errors import AgentError
from nodeagent.gpu.canonical import ShapeError, plain
from nodeagent.gpu.compact import expand
from nodeagent.gpu.fleet.addresses import Place, check_address, places
from nodeagent.gpu.fleet.answer import Answer, answer_from
from nodeagent.gpu.fleet.evidence import Gathered, Located, Missing
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.snapshot import Snapshot
from nodeagent.names import Names, NamesResolver

_AT_ONCE = 64
_MOST_BYTES = 8 * 2**20


class AgentsError(AgentError):
    """An agent did not answer as asked."""

    code = "gpu-agents"


class _SocketResolver(Resolver):
    def initialize(self, path: str) -> None:
        self._path = path

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        return [(socket.AF_UNIX, self._path)]


class AgentClient:
    """`token_file`: the operator's token of the agents, read anew for each request. `names`: who
    looks their names up."""

    def __init__(self, *, token_file: Path | None = None, names: Names | None = None) -> None:
        self.names = names or Names()
        self._token_file = token_file
        self._clients: dict[str | None, SimpleAsyncHTTPClient] = {}

    async def snapshot(self, place: Place, seconds: float) -> Snapshot:
        """The newest one. AgentsError: no answer, refused, or not a snapshot."""
        body = await self._ask(place, "GET", "/v1/gpu/snapshot?compact=1", None, seconds)
        try:
            return expand(body)
        except ShapeError as err:
            raise AgentsError(
                f"{place} answered with something else than a snapshot: {err}",
                fix="Let agents and hub have the same version.",
            ) from err

    async def reserve(self, place: Place, request: Request, seconds: float) -> Answer:
        """That node's own answer, kept in its ledger. AgentsError as `snapshot`."""
        wanted = json.dumps({"request": plain(request), "reserve": True})
        body = await self._ask(place, "POST", "/v1/gpu/decide", wanted, seconds)
        try:
            return answer_from(json.loads(body)["decision"])
        except (ValueError, KeyError, TypeError) as err:
            raise AgentsError(
                f"{place} answered with something else than a decision: {err}",
                fix="Let agents and hub have the same version.",
            ) from err

    async def release(self, place: Place, pod: str, seconds: float) -> None:
        """Give a pod's reservation back. AgentsError as `snapshot`."""
        await self._ask(place, "POST", "/v1/gpu/release", json.dumps({"pod": pod}), seconds)

    def close(self) -> None:
        """Drop the connections."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    async def _ask(
        self, place: Place, method: str, path: str, body: str | None, seconds: float
    ) -> str:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            if self._token_file is not None:
                token = self._token_file.read_text(encoding="ascii").strip()
                headers["Authorization"] = f"Bearer {token}"
            answer = await self._client(place).fetch(
                HTTPRequest(
                    place.base + path,
                    method=method,
                    headers=headers,
                    body=body,
                    connect_timeout=seconds,
                    request_timeout=seconds,
                    follow_redirects=False,
                )
            )
            return answer.body.decode("utf-8")
        except HTTPClientError as err:
            raise AgentsError(
                f"{place} answers {path} with {err.code if err.code != 599 else 'nothing'}: "
                f"{_said(err)}",
                fix="Check its address, its token (--token-file) and its log.",
            ) from err
        except (OSError, ValueError) as err:
            raise AgentsError(
                f"{place} cannot be asked: {err}", fix="Check its address, and the token file."
            ) from err

    def _client(self, place: Place) -> SimpleAsyncHTTPClient:
        path = place.socket_path
        if path not in self._clients:
            self._clients[path] = SimpleAsyncHTTPClient(
                force_instance=True,
                max_clients=_AT_ONCE,
                max_body_size=_MOST_BYTES,
                resolver=NamesResolver(self.names) if path is None else _SocketResolver(path),
            )
        return self._clients[path]


class AgentEvidence:
    """The agents behind some addresses. ConfigError: an address cannot be used."""

    def __init__(self, addresses: Sequence[str], client: AgentClient) -> None:
        self._addresses = tuple(check_address(address) for address in addresses)
        self._client = client

    async def gather(self, seconds: float) -> Gathered:
        """All who answer within so many seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        found: list[Located] = []
        missing: list[Missing] = []
        asked: dict[asyncio.Task[Snapshot], Place] = {}
        # Half of the time at most: the agents themselves have to be asked as well.
        names = {
            asyncio.create_task(places(each, self._client.names, seconds / 2)): each
            for each in self._addresses
        }
        try:
            if names:
                await asyncio.wait(names, timeout=seconds)
            for name, address in names.items():
                if not name.done():
                    missing.append(Missing(place=address, why="its name was not found in time"))
                elif (error := name.exception()) is not None:
                    missing.append(Missing(place=address, why=str(error)))
                else:
                    for place in name.result():
                        # Ended by the client itself where it can be: who is cancelled logs it.
                        left = max(0.05, 0.9 * (end - loop.time()))
                        asked[asyncio.create_task(self._client.snapshot(place, left))] = place
            if asked:
                await asyncio.wait(asked, timeout=max(0.0, end - loop.time()))
            for told, place in asked.items():
                if not told.done():
                    missing.append(Missing(place=str(place), why="no answer in time"))
                elif (error := told.exception()) is not None:
                    missing.append(Missing(place=str(place), why=str(error)))
                else:
                    found.append(Located(snapshot=told.result(), address=str(place)))
        finally:
            late = [task for task in (*names, *asked) if not task.done()]
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        return Gathered(found=tuple(found), missing=tuple(missing))

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()


def _said(err: HTTPClientError) -> str:
    try:
        return str(json.loads(err.response.body)["message"]) if err.response else err.message
    except (ValueError, KeyError, TypeError):
        return err.message
