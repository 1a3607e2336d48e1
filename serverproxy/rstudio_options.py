"""Options of rserver, given what the installed version knows. Pure.

Source: rstudio/rstudio `src/cpp/server/server-options.json` and `version/news`. An option that a
version does not know makes it exit at once, so only known ones are given.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from serverproxy.errors import AppError

_OPTION = re.compile(r"^\s*(?:-\w \[ )?--([a-z][a-z0-9-]*)", re.MULTILINE)
_R_VERSION = re.compile(r"^R version (\d+\.\d+\.\d+)|^R Under development \((\w+)\)", re.MULTILINE)
_VERSION = re.compile(r"\bv?(\d{1,4}\.\d{1,2}\.\d+(?:\+\d+)?)")


@dataclass(frozen=True, kw_only=True)
class RStudioRun:
    """One start of rserver.

    private: an existing folder with mode 0700. socket: Unix socket to listen on; None for `port`.
    base_url: of the Jupyter server, with a final slash. name: of the application, the next segment
    of the URL. r: path of R; None: rserver looks for it. libraries: more places for the libraries
    R needs. wrapper: to be started in place of rsession.
    """

    private: Path
    socket: Path | None
    port: int
    base_url: str
    uid: int
    login: str
    r: Path | None
    name: str = "rstudio"
    libraries: Path | None = None
    wrapper: Path | None = None

    @property
    def secure_cookie_key(self) -> Path:
        """File with the key that signs RStudio's own cookies."""
        return self.private / "secure-cookie-key"

    @property
    def database_config(self) -> Path:
        """File that names RStudio's own small database."""
        return self.private / "database.conf"

    @property
    def data(self) -> Path:
        """rserver opens this one to all users; the folder around it stays closed."""
        return self.private / "data"


def known_options(help_text: str) -> frozenset[str]:
    """Names of the options in the output of `rserver --help`, without the dashes."""
    return frozenset(_OPTION.findall(help_text))


def version_from_banner(text: str) -> str | None:
    """Version in the output of `rserver --version`, such as 2024.12.0+467."""
    found = _VERSION.search(text)
    return None if found is None else found.group(1)


def r_version(text: str) -> str | None:
    """Version in the output of `R --version`, such as 4.3.3 or "unstable"; None: it is no R."""
    found = _R_VERSION.search(text)
    return None if found is None else found.group(1) or found.group(2)


def root_path(base_url: str, name: str) -> str:
    """Address of the application with one slash at each joint.

    RStudio since 2026.04 uses it as the cookie path as it is; a doubled slash is an endless
    redirect there.
    """
    return "/" + "/".join(part for part in (*base_url.split("/"), name) if part) + "/"


def missing_options(known: Collection[str], *, socket: bool) -> list[str]:
    """Options without which RStudio cannot be run safely for one user behind a proxy."""
    wanted = ["auth-none", "server-daemonize"]
    wanted += ["www-socket"] if socket else ["www-address", "www-port"]
    return [name for name in wanted if name not in known]


def arguments(known: Collection[str], run: RStudioRun) -> list[str]:
    """Options for this start; AppError when the version lacks one that safety needs."""
    missing = missing_options(known, socket=run.socket is not None)
    if missing:
        raise AppError(
            "rserver_unsuitable",
            f"This rserver does not know the options {', '.join(missing)}.",
            "Ask the administrator of this image to install a current RStudio Server.",
        )
    chosen: dict[str, object] = {
        # The Jupyter server has asked who the user is; only it can reach the socket.
        "auth-none": 1,
        "server-daemonize": 0,  # a daemon would leave its supervisor
        "server-user": run.login,
        "server-data-dir": run.data,
        "server-pid-file": run.private / "rserver.pid",
        "secure-cookie-key-file": run.secure_cookie_key,
        "database-config-file": run.database_config,
        "www-frame-origin": "same",  # a Lab tab is a frame
        "www-verify-user-agent": 0,
        "www-root-path": root_path(run.base_url, run.name),
        # 10 s is short for the first session on a network home.
        "rsession-proxy-max-wait-secs": 60,
    }
    if run.socket is not None:
        chosen["www-socket"] = run.socket
    else:
        chosen["www-address"] = "127.0.0.1"  # its default is every interface
        chosen["www-port"] = run.port
    if run.uid < 1000:
        chosen["auth-minimum-user-id"] = 0  # images with a user of 500 or root
    if run.r is not None:
        chosen["rsession-which-r"] = run.r
    if run.libraries is not None:
        chosen["rsession-ld-library-path"] = run.libraries
    if run.wrapper is not None:
        chosen["rsession-path"] = run.wrapper
    return [f"--{name}={value}" for name, value in chosen.items() if name in known]


def database_config(run: RStudioRun) -> str:
    """Contents of the file that keeps RStudio's database in the private folder."""
    return f"provider=sqlite\ndirectory={run.private / 'database'}\n"
