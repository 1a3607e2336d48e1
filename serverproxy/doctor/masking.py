"""Command lines that can be shown to others. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

MASK = "***"

_HARD = r"(?:token|secret|password|passwd|passphrase|pwd|api[-_.]?key|credentials?)"
_ASSIGNED = re.compile(rf"(?P<name>-*[\w.:-]*{_HARD})=(?!\{{).+", re.I | re.S)
# "key" may also be a file's.
_ASSIGNED_KEY = re.compile(r"(?P<name>-*[\w.:-]*key)=(?![/{]).+", re.I | re.S)
_ALONE = re.compile(rf"-+[\w.-]*(?:{_HARD}|key)", re.I)
_USER_INFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/@\s]+@", re.I)


def masked(argv: Sequence[str]) -> tuple[str, ...]:
    """The arguments with the values of options that sound like a secret masked.

    Paths stay: `--key=/etc/key` names a file, and so does the argument after `--key-file`.
    """
    return tuple(_masked(argv))


def _masked(argv: Sequence[str]) -> Iterator[str]:
    hide_next = False
    for part in argv:
        if hide_next and not part.startswith(("-", "/", "{")):
            yield MASK
            hide_next = False
            continue
        hide_next = _ALONE.fullmatch(part) is not None
        found = _ASSIGNED.fullmatch(part) or _ASSIGNED_KEY.fullmatch(part)
        if found is not None:
            yield f"{found['name']}={MASK}"
        else:
            yield _USER_INFO.sub(rf"\g<scheme>{MASK}@", part)
