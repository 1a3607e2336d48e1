"""Which Host headers are answered: the guard against DNS rebinding. Pure.

A web page on a foreign domain can make a browser on this machine ask 127.0.0.1 under its own name;
the name in the Host header gives it away.
"""

import ipaddress
import re

_HOST = re.compile(r"(?P<host>\[[0-9a-f:.%]+\]|[^:\[\]/@]+)(?::\d{1,5})?")


def host_name(header: str) -> str | None:
    """The name without port and brackets, lower case; None: no valid header."""
    match = _HOST.fullmatch(header.strip().lower())
    return match["host"].strip("[]").rstrip(".") if match else None


def is_loopback(name: str) -> bool:
    """localhost, 127.0.0.0/8 or ::1."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_allowed(header: str, *, listen_host: str, allowed: tuple[str, ...]) -> bool:
    """Loopback names and `allowed` always; any IP address only when listening beyond loopback.

    An IP address cannot be rebound, and that is how Prometheus asks a node.
    """
    name = host_name(header)
    if name is None:
        return False
    if is_loopback(name) or name == listen_host.lower() or name in allowed:
        return True
    if is_loopback(listen_host):
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
