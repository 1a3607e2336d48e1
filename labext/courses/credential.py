"""A credential helper of git that gives out one credential, to the hosts it is for and no other.

Run by git as a script, without this package: `python -I -S credential.py get`. It reads the secret
at the moment it is asked for, so that one that was replaced is used at once. Source:
gitcredentials(7), git-credential(1).
"""

from __future__ import annotations

import base64
import binascii
import os
import sys
from collections.abc import Mapping

PREFIX = "SAMEPAGE_CREDENTIAL_"
HOSTS = f"{PREFIX}HOSTS"
FILE = f"{PREFIX}FILE"
USERNAME = f"{PREFIX}USERNAME"
BASIC = f"{PREFIX}BASIC"
_MOST_BYTES = 1 << 16


def token_of(content: bytes) -> str:
    """The token in a file of this content. Errors: ValueError. Pure."""
    token = content.decode("utf-8").strip()
    if not token or any(ord(sign) < 33 for sign in token):
        raise ValueError("it is empty, or holds more than one word")
    return token


def read_token(path: str) -> str:
    """The token in the file `path`. Errors: OSError, ValueError."""
    with open(path, "rb") as file:  # noqa: PTH123 - quick to start, without pathlib
        return token_of(file.read(_MOST_BYTES))


def answer(asked: Mapping[str, str], environ: Mapping[str, str]) -> tuple[str, str] | None:
    """User and secret for what git `asked`; None: not for this host.

    Errors: OSError, ValueError, KeyError.
    """
    place = f"{asked.get('protocol', '')}://{asked.get('host', '').lower()}"
    if place not in environ.get(HOSTS, "").split():
        return None
    if BASIC in environ:
        user, _, secret = base64.b64decode(environ[BASIC]).decode("utf-8").partition(":")
        return user, secret
    return environ.get(USERNAME, "oauth2"), read_token(environ[FILE])


def main() -> int:
    """0, also when there is nothing to say: git then goes on, and is refused."""
    if sys.argv[1:] != ["get"]:
        return 0
    asked = dict(line.rstrip("\n").split("=", 1) for line in sys.stdin if "=" in line)
    try:
        found = answer(asked, os.environ)
    except (OSError, ValueError, KeyError, binascii.Error) as err:
        reason = getattr(err, "strerror", None) or type(err).__name__
        print(f"samepage: the token cannot be read: {reason}", file=sys.stderr)
        return 1
    if found is not None and not any(sign in part for part in found for sign in "\n\0"):
        sys.stdout.write(f"username={found[0]}\npassword={found[1]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
