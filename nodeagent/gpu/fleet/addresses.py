"""From an agent's configured address to the places that are asked.

One name stands for many agents: a headless Service has an address for each of its pods, and Docker
Swarm's `tasks.NAME` one for each task.
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from nodeagent.errors import ConfigError
from nodeagent.names import Names, is_number


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One agent. `base`: URL without a path; `socket_path`: its Unix socket, else None."""

    base: str
    socket_path: str | None = None

    def __str__(self) -> str:
        return self.base if self.socket_path is None else f"unix://{self.socket_path}"


def check_address(text: str) -> str:
    """The address. ConfigError: neither http(s)://HOST[:PORT] nor unix:///FILE."""
    parts = urlsplit(text)
    try:
        good = (parts.scheme in ("http", "https") and bool(parts.hostname)) or (
            parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/")
        )
        good = good and not parts.query and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or (parts.scheme != "unix" and parts.path not in ("", "/")):
        raise ConfigError(
            f"The agents' address {text!r} cannot be used",
            fix="Give http://NAME:9747, or unix:///FOLDER/agent.sock for the agent of this node.",
        )
    return text


async def places(address: str, names: Names, seconds: float | None = None) -> tuple[Place, ...]:
    """Whom to ask for it, in a fixed order. OSError: the name is not known in time."""
    parts = urlsplit(address)
    if parts.scheme == "unix":
        return (Place(base="http://localhost", socket_path=parts.path),)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme == "https" or is_number(host):
        # A certificate is for a name, so an https address stays one place.
        return (Place(base=f"{parts.scheme}://{_bracketed(host)}:{port}"),)
    numbers = list(await names.numbers(host, seconds))
    if all(ipaddress.ip_address(number.partition("%")[0]).is_loopback for number in numbers):
        # 127.0.0.1 and ::1 are one agent.
        numbers = numbers[:1]
    return tuple(Place(base=f"http://{_bracketed(number)}:{port}") for number in numbers)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
