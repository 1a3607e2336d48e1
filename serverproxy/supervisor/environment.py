"""The environment an application gets: the server's, without what opens the server."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

# Names one process of ours and its children; it is no secret.
MARK = "SAMEPAGE_APP_RUN"

_SECRETS = re.compile(
    r"""
    JPY_.*                                    # of Jupyter's own children: tokens, parent handles
    | (?:JUPYTER|JUPYTERHUB|CONFIGPROXY)_.*(?:TOKEN|SECRET|PASSWORD|CRYPT|COOKIE|XSRF).*
    | _XSRF
    """,
    re.VERBOSE | re.IGNORECASE,
)


def app_environment(base: Mapping[str, str], *, keep: Collection[str] = ()) -> dict[str, str]:
    """`base` without the credentials of Jupyter and its hub; names in `keep` stay. Pure.

    The user's own secrets (GITHUB_TOKEN and the like) stay, as they do in a terminal.
    """
    return {
        name: value
        for name, value in base.items()
        if name in keep or (name != MARK and not _SECRETS.fullmatch(name))
    }
