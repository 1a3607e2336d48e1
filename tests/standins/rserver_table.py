"""Option tables of RStudio Server versions, and the stand-ins made from one.

Names and defaults are facts of rstudio/rstudio: `src/cpp/server/server-options.json` (two states of
2022 and 2023), `src/cpp/server/include/server/ServerOptions.gen.hpp` (after 2024.12), the output of
`rserver --help` of 2021.09.1 as OSC/bc_osc_rstudio_server prints it in its README, and the release
notes in `version/news` for what came between: www-socket 2024.12 (#14938), --check-config 2026.07
(#18020), www-proxy-localhost-verify-port-owner 2026.08 (#18330). 1.4 is 2021.09.1 without what its
notes add. "root" and "not root" are defaults that hang on who starts it.
"""

from __future__ import annotations

import sys
from pathlib import Path

_GENERAL = {"help": "", "version": "", "verify-installation": "0"}

_V1_3 = {
    **_GENERAL,
    "test-config": "",
    "server-working-dir": "/",
    "server-user": "rstudio-server",
    "server-daemonize": "root",
    "server-app-armor-enabled": "0",
    "server-set-umask": "1",
    "secure-cookie-key-file": "",
    "www-address": "0.0.0.0",
    "www-port": "",
    "www-local-path": "www",
    "www-symbol-maps-path": "www-symbolmaps",
    "www-use-emulated-stack": "0",
    "www-thread-pool-size": "2",
    "www-proxy-localhost": "1",
    "www-verify-user-agent": "1",
    "www-frame-origin": "none",
    "rsession-which-r": "",
    "rsession-path": "rsession",
    "rldpath-path": "r-ldpath",
    "rsession-ld-library-path": "",
    "rsession-config-file": "",
    "rsession-proxy-max-wait-secs": "10",
    "rsession-memory-limit-mb": "0",
    "rsession-stack-limit-mb": "0",
    "rsession-process-limit": "0",
    "auth-none": "not root",
    "auth-validate-users": "root",
    "auth-stay-signed-in-days": "30",
    "auth-encrypt-password": "1",
    "auth-login-page-html": "/etc/rstudio/login.html",
    "auth-required-user-group": "",
    "auth-minimum-user-id": "auto",
    "auth-pam-helper-path": "rserver-pam",
    "auth-pam-requires-priv": "1",
    "monitor-interval-seconds": "60",
}
_V1_4 = _V1_3 | {
    "server-pid-file": "/var/run/rstudio-server.pid",
    "server-data-dir": "/var/run/rstudio-server",
    "www-root-path": "/",
    "www-same-site": "",
    "www-enable-origin-check": "0",
    "www-allow-origin": "",
    "database-config-file": "",
    "auth-timeout-minutes": "60",
    "auth-rdp-login-page-html": "/etc/rstudio/rdplogin.html",
    "auth-sign-in-throttle-seconds": "5",
    "auth-revocation-list-dir": "",
    "auth-cookies-force-secure": "0",
}
_V2021_09 = _V1_4 | {
    "server-add-header": "",
    "db-command": "",
    "auth-pam-require-password-prompt": "1",
}
_V2023_12 = _V2021_09 | {"session-use-file-storage": "1"}
_V2024_12 = _V2023_12 | {
    "run-automation": "0",
    "www-socket": "",
    "www-stats-monitor-seconds": "0",
    "www-thread-pool-size": "6",
    "rsession-proxy-max-wait-secs": "30",
    "db-connection-timeout": "15",
}
_V2026_07 = _V2024_12 | {"check-config": ""}

TABLES = {
    "1.3.1093": _V1_3,
    "1.4.1717": _V1_4,
    "2021.09.1+372": _V2021_09,
    "2023.12.1+402": _V2023_12,
    "2024.12.0+467": _V2024_12,
    "2025.09.2+418": _V2024_12,
    "2026.07.0+101": _V2026_07,
    "2026.08.0+173": _V2026_07 | {"www-proxy-localhost-verify-port-owner": "1"},
}


def write_rserver(
    folder: Path, version: str, *, save_s: float = 0.3, python: str = sys.executable
) -> Path:
    """Executables `rserver` and `rsession` in `folder`; the first knows that version's options.

    save_s: how long the second takes to write its session. python: what runs them.
    """
    here = Path(__file__).parent
    body = (here / "rserver.py").read_text()
    if "www-socket" not in TABLES[version]:
        # An old executable does not have the word in it, and that is what is looked for.
        body = body.replace('"www-socket"', '"www-" "socket"')
    head = f"TABLE_VERSION = {version!r}\nTABLE = {TABLES[version]!r}\n"
    folder.mkdir(parents=True, exist_ok=True)
    session = f"STANDIN_SAVE_S = {save_s}\n" + (here / "rsession.py").read_text()
    _program(folder / "rsession", session, python)
    return _program(folder / "rserver", head + body, python)


def write_r(file: Path, version: str = "4.3.3") -> Path:
    """An `R` that tells its version and nothing else."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\necho 'R version {version} (2024-02-29) -- \"Angel Food Cake\"'\n")
    file.chmod(0o755)
    return file


def _program(file: Path, text: str, python: str) -> Path:
    file.write_text(f"#!{python} -IS\n{text}")
    file.chmod(0o755)
    return file
