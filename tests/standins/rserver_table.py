"""Option tables of RStudio Server versions, and the stand-in made from one.

Source: rstudio/rstudio `src/cpp/server/server-options.json` at the tags, the options that matter
here.
"""

from __future__ import annotations

import sys
from pathlib import Path

_V1_3 = {
    "help": "",
    "version": "",
    "server-daemonize": "1",
    "server-user": "rstudio-server",
    "server-working-dir": "/",
    "www-address": "0.0.0.0",
    "www-port": "",
    "www-frame-origin": "none",
    "www-thread-pool-size": "2",
    "www-verify-user-agent": "1",
    "auth-none": "0",
    "auth-minimum-user-id": "auto",
    "secure-cookie-key-file": "",
    "rsession-which-r": "",
    "rsession-proxy-max-wait-secs": "10",
}
_V1_4 = _V1_3 | {
    "www-root-path": "/",
    "server-data-dir": "/var/run/rstudio-server",
    "server-pid-file": "/var/run/rstudio-server.pid",
    "database-config-file": "",
}
_V2024_12 = _V1_4 | {"www-socket": ""}

TABLES = {
    "1.3.1093": _V1_3,
    "1.4.1717": _V1_4,
    "2023.12.1+402": _V1_4,
    "2024.12.0+467": _V2024_12,
    "2026.07.0+101": _V2024_12 | {"check-config": "", "session-use-file-storage": "1"},
}


def write_rserver(folder: Path, version: str) -> Path:
    """An executable `rserver` in `folder` that knows the options of that version."""
    body = (Path(__file__).parent / "rserver.py").read_text()
    if "www-socket" not in TABLES[version]:
        # An old executable does not have the word in it, and that is what is looked for.
        body = body.replace('"www-socket"', '"www-" "socket"')
    head = f"#!{sys.executable}\nTABLE_VERSION = {version!r}\nTABLE = {TABLES[version]!r}\n"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "rserver"
    program.write_text(head + body)
    program.chmod(0o755)
    return program
