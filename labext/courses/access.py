"""How git gets into a private repository: by settings that name a secret and do not hold it."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from labext.courses import credential
from labext.courses.address import Address
from labext.courses.errors import CourseError
from labext.courses.rules import Auth

SSH = "ssh -oBatchMode=yes -oConnectTimeout=10 -oServerAliveInterval=5"
_HELPER = Path(credential.__file__)
_SHORTEST_SECRET = 6
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Access:
    """config: for git, in this order. variables: of its environment."""

    config: tuple[tuple[str, str], ...] = ()
    variables: dict[str, str] = field(default_factory=dict, repr=False)


def access(address: Address, auth: Auth | None) -> Access:
    """For git to get at `address`, and at no other host than it or those in `auth`. Pure.

    Not as an HTTP header: git would send that on to wherever a server redirects it.
    """
    auth = auth or Auth()
    variables: dict[str, str] = {}
    if auth.token_file is not None:
        variables = {credential.FILE: auth.token_file, credential.USERNAME: auth.username}
    elif address.authorization is not None:
        variables = {credential.BASIC: address.authorization.removeprefix("Basic ")}
    config: tuple[tuple[str, str], ...] = ()
    if variables:
        parts = urlsplit(address.remote)
        places = [f"{parts.scheme}://{host.lower()}" for host in (parts.netloc, *auth.hosts)]
        variables[credential.HOSTS] = " ".join(places)
        helper = shlex.join([sys.executable, "-I", "-S", str(_HELPER)])
        # The empty one: no other helper is asked, nor told what this one said.
        config = (("credential.helper", ""), ("credential.helper", f"!{helper}"))
    variables["GIT_SSH_COMMAND"] = _ssh(auth)
    return Access(config=config, variables=variables)


def _ssh(auth: Auth) -> str:
    options = []
    if auth.known_hosts is not None:
        # Twice quoted: by ssh, which splits the option, and by the shell that git runs.
        options += ["-oStrictHostKeyChecking=yes", f'-oUserKnownHostsFile="{auth.known_hosts}"']
        options += ["-oGlobalKnownHostsFile=/dev/null"]
    if auth.ssh_key_file is not None:
        options += ["-F", "/dev/null", "-oIdentitiesOnly=yes", "-oIdentityAgent=none"]
        options += ["-oStrictHostKeyChecking=yes", "-oPreferredAuthentications=publickey"]
        options += ["-i", auth.ssh_key_file]
    return " ".join([SSH, *(shlex.quote(option) for option in options)])


def unfit(address: Address, auth: Auth) -> tuple[str, str] | None:
    """The field of `auth` that does not go with `address`, and why; None: all do. Pure."""
    parts = urlsplit(address.remote)
    if auth.token_file is not None:
        if auth.ssh_key_file is not None:
            return "ssh_key_file", "give a token or a key, not both"
        if parts.scheme not in ("https", "http"):
            return "token_file", "a token needs an https address"
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            return "token_file", "a token is not sent over http; write an https address"
        if address.authorization is not None:
            return "token_file", "the address holds a password already; remove one of them"
    if parts.scheme != "ssh":
        for key in ("ssh_key_file", "known_hosts"):
            if getattr(auth, key) is not None:
                return key, "this needs an ssh address"
    return None


def may_have_secret(address: Address, other: Address, auth: Auth | None) -> bool:
    """Whether what opens `address` may be shown to the server of `other` too. Pure."""
    one, two = urlsplit(address.remote), urlsplit(other.remote)
    if one.scheme != two.scheme:
        return False
    places = {place.lower() for place in (auth.hosts if auth is not None else ())}
    return _place(two.netloc) in {_place(one.netloc), *places}


def _place(netloc: str) -> str:
    return netloc.rpartition("@")[2].lower()


def checked(address: Address, auth: Auth | None) -> Address:
    """`address`, which also blanks out the token of `auth`. Reads the mounted files.

    Errors: CourseError when a secret is not there, or not as git and ssh want it.
    """
    if auth is None:
        return address
    if auth.known_hosts is not None:
        _readable(auth.known_hosts, "list of known hosts")
    if auth.ssh_key_file is not None:
        _readable(auth.ssh_key_file, "deploy key")
        _private(auth.ssh_key_file)
    if auth.token_file is None:
        return address
    try:
        token = credential.read_token(auth.token_file)
    except (OSError, ValueError) as err:
        raise _missing(auth.token_file, "token", err) from err
    if len(token) < _SHORTEST_SECRET:
        return address
    return replace(address, secrets=(*address.secrets, token))


def _readable(path: str, what: str) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as err:
        raise _missing(path, what, err) from err


def _missing(path: str, what: str, err: Exception) -> CourseError:
    why = err.strerror if isinstance(err, OSError) else str(err)
    return CourseError(
        "no_secret",
        f"The {what} of this course, {path}, cannot be used: {why}.",
        "Tell your operator: the secret may not be mounted, or not for this user.",
    )


def _private(path: str) -> None:
    """Ssh does not use a key of ours that others may read; one of another owner it does."""
    status = Path(path).stat()
    if status.st_uid == os.getuid() and stat.S_IMODE(status.st_mode) & 0o077:
        raise CourseError(
            "open_key",
            f"The deploy key {path} may be read by others, so that ssh does not use it.",
            "Tell your operator: mount the secret with the mode 0400.",
        )
