"""What the node agent says, asked for and checked."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPResponse

from labext.unixhttp import unix_client

AgentState = Literal["ok", "absent", "error", "off"]

_NUMBER_OR_NULL = {"type": ["number", "null"]}
_KERNEL_COUNTS = ("alike", "drifted", "refused", "unsuited", "off", "silent")

NODE = Draft202012Validator(
    {
        "type": "object",
        "required": ["version", "node", "time", "interval_seconds", "ksm", "memory", "gpus"],
        "properties": {
            "version": {"type": "string"},
            "node": {"type": "string"},
            "time": {"type": "number"},
            "interval_seconds": {"type": "number"},
            "ksm": {
                "type": "object",
                "required": ["supported", "mode", "running", "why", "saved_bytes", "stale"],
                "properties": {
                    "supported": {"type": "boolean"},
                    "mode": {"enum": ["tune", "observe", "off"]},
                    "running": {"type": ["boolean", "null"]},
                    "phase": {"type": "string"},
                    "why": {"type": "string"},
                    "saved_bytes": _NUMBER_OR_NULL,
                    "profit_bytes": _NUMBER_OR_NULL,
                    "ksmd_cpu_ratio": _NUMBER_OR_NULL,
                    "opted_in_processes": _NUMBER_OR_NULL,
                    "stale": {"type": "boolean"},
                    "problem": {"type": ["object", "null"]},
                },
            },
            "memory": {
                "type": "object",
                "required": ["total_bytes", "available_bytes"],
                "additionalProperties": _NUMBER_OR_NULL,
            },
            "kernels": {
                "type": "object",
                "properties": {
                    "merge": {"type": "boolean"},
                    "align": {"type": "boolean"},
                    **dict.fromkeys(_KERNEL_COUNTS, _NUMBER_OR_NULL),
                },
            },
            "gpus": {
                "type": "object",
                "required": ["state", "message", "devices"],
                "properties": {
                    "state": {"type": "string"},
                    "message": {"type": "string"},
                    "age_seconds": _NUMBER_OR_NULL,
                    "devices": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["uuid", "name"],
                            "properties": {
                                "uuid": {"type": "string"},
                                "name": {"type": "string"},
                                "memory_used_bytes": _NUMBER_OR_NULL,
                                "memory_total_bytes": _NUMBER_OR_NULL,
                                "memory_free_bytes": _NUMBER_OR_NULL,
                                "busy_percent": _NUMBER_OR_NULL,
                                "processes": _NUMBER_OR_NULL,
                            },
                        },
                    },
                },
            },
        },
    }
)


@dataclass(frozen=True, kw_only=True)
class NodeAnswer:
    """`node` and `history` as the agent gave them; None when it did not, and `message` says why."""

    state: AgentState
    message: str
    fix: str | None
    node: dict[str, Any] | None
    history: dict[str, Any] | None


class WrongAnswerError(Exception):
    """The agent, or something else at its address, gave an answer that cannot be used.

    `status`: that of an HTTP error; None when it was none.
    """

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class NoAnswerError(Exception):
    """Nothing listens at the agent's address."""


class NodeClient:
    """Asks the node agent at `url` (empty: never): http://host:port or unix:///path."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout_seconds
        scheme, _, path = url.partition("://")
        self._socket = path if scheme == "unix" else None

    @property
    def is_here(self) -> bool:
        """Whether its address can only be one of this machine: a socket, or loopback."""
        if self._socket is not None:
            return True
        try:
            host = urlsplit(self._url).hostname or ""
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def is_off(self) -> bool:
        """Whether the agent is not to be asked at all."""
        return not self._url

    async def ask(self) -> NodeAnswer:
        """Node and history, asked for side by side. Raises nothing that the agent could cause."""
        if not self._url:
            return _without("off", "The node agent is turned off in this server's settings.", None)
        node, history = await asyncio.gather(
            self._outcome("/v1/node"), self._outcome("/v1/history")
        )
        if isinstance(node, Exception):
            return self.explain(node)
        try:
            _check_node(node)
        except WrongAnswerError as err:
            return self.explain(err)
        if isinstance(history, Exception) or not is_history(history):
            return NodeAnswer(
                state="ok",
                message=f"The node agent at {self._url} answers, but not with its history.",
                fix=None,
                node=node,
                history=None,
            )
        return NodeAnswer(
            state="ok",
            message=f"The node agent at {self._url} answers.",
            fix=None,
            node=node,
            history=history,
        )

    async def _outcome(self, path: str) -> dict[str, Any] | WrongAnswerError | NoAnswerError:
        try:
            return await self.get(path)
        except (WrongAnswerError, NoAnswerError) as err:
            return err

    async def get(self, path: str, *, word: str | None = None) -> dict[str, Any]:
        """The JSON object at `path`; `word` says who asks.

        Errors: WrongAnswerError, NoAnswerError.
        """
        try:
            answer = await self._fetch(path, word)
        except HTTPClientError as err:
            if err.code == 599:
                raise WrongAnswerError(f"did not answer within {self._timeout:g} s") from err
            raise WrongAnswerError(
                f"answered {err.code} {err.message} to {path}", status=err.code
            ) from err
        except OSError as err:
            raise NoAnswerError(err.strerror or str(err)) from err
        except ValueError as err:
            raise WrongAnswerError(f"is no address to ask: {err}") from err
        try:
            value = json.loads(answer.body)
        except ValueError as err:
            raise WrongAnswerError(f"answered {path} with something that is not JSON") from err
        if not isinstance(value, dict):
            raise WrongAnswerError(f"answered {path} with something that is not a JSON object")
        return value

    async def _fetch(self, path: str, word: str | None) -> HTTPResponse:
        headers = {"Accept": "application/json"}
        if word is not None:
            headers["Authorization"] = f"Bearer {word}"
        wanted: dict[str, Any] = {
            "connect_timeout": self._timeout,
            "request_timeout": self._timeout,
            "follow_redirects": False,
            "headers": headers,
        }
        if self._socket is None:
            return await AsyncHTTPClient().fetch(self._url + path, **wanted)
        client = unix_client(self._socket)
        try:
            # A socket has no host of its own; the agent answers to localhost.
            return await client.fetch(f"http://localhost{path}", **wanted)
        finally:
            client.close()

    def explain(self, error: WrongAnswerError | NoAnswerError) -> NodeAnswer:
        """The error as an answer: what was asked, what came, what to do next."""
        if isinstance(error, NoAnswerError):
            return _without(
                "absent",
                f"No node agent answers at {self._url} ({error}).",
                "Ask your operator, or start one with: samepage-agent run",
            )
        return _without(
            "error",
            f"The node agent at {self._url} {error}.",
            "Ask your operator to look at the agent's log, and at SAMEPAGE_AGENT_URL.",
        )


def _without(state: AgentState, message: str, fix: str | None) -> NodeAnswer:
    return NodeAnswer(state=state, message=message, fix=fix, node=None, history=None)


def _check_node(node: dict[str, Any]) -> None:
    # The first error is enough; jsonschema's best_match would walk all of them.
    error = next(NODE.iter_errors(node), None)
    if error is not None:
        raise WrongAnswerError(
            f"answered /v1/node in an unknown shape ({error.json_path}: {error.message[:120]})"
        )


def is_history(value: dict[str, Any]) -> bool:
    """Whether `value` has the shape of /v1/history.

    Written out, as jsonschema takes milliseconds for some hundred points, on the event loop.
    """
    points = value.get("points")
    return (
        _is_number(value.get("interval_seconds"))
        and isinstance(points, list)
        and all(
            isinstance(point, dict)
            and _is_number(point.get("time"))
            and all(
                point.get(key) is None or _is_number(point[key])
                for key in ("saved_bytes", "available_bytes", "ksmd_cpu_ratio")
            )
            for point in points
        )
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
