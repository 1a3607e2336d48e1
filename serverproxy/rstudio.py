"""RStudio Server behind jupyter-server-proxy."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path

from serverproxy.apps import AppDefinition
from serverproxy.entry import as_http_error, make_entry
from serverproxy.errors import AppError
from serverproxy.host import Host
from serverproxy.launch import ends_with_parent, literal, stop_at_exit
from serverproxy.preflight import rstudio as preflight
from serverproxy.rstudio_options import RStudioRun, arguments, database_config
from serverproxy.runtime_dir import RuntimeDir
from serverproxy.settings import AppSettings
from serverproxy.supervised import Start, StartRequest, Supervised, supervised
from serverproxy.supervisor.spec import EndpointChoice, TcpEndpoint

DEFINITION = AppDefinition(
    name="rstudio",
    title="RStudio",
    description="Write and run R with its own editor, console and plots.",
    icon="rstudio.svg",
    rank=20,
)

# sun_path holds 108 bytes with the final zero (unix(7)).
_SOCKET_PATH_BYTES = 107


def describe() -> dict[str, object]:
    """The jupyter-server-proxy entry. Starts nothing and creates no file."""
    host = Host()
    private = RuntimeDir("rstudio")
    socket = private.path / "rserver.sock"
    use_socket = _wants_socket(host) and len(os.fsencode(socket)) <= _SOCKET_PATH_BYTES
    return make_entry(
        DEFINITION,
        command=_make_command(private, socket if use_socket else None),
        environment={name: literal([text])[0] for name, text in _environment(host).items()},
        unix_socket=socket if use_socket else None,
    )


def _environment(host: Host) -> dict[str, str]:
    return {
        "USER": host.login,
        "RS_LOGGER_TYPE": "stderr",  # its default is syslog, where a container shows nothing
    }


def _wants_socket(host: Host) -> bool:
    """A socket unless the installed rserver is too old for one; decided without running it."""
    try:
        rserver = preflight.find_rserver(host, AppSettings.from_env(host.env))
    except AppError:  # told at the click; an entry that raises would be an address with no page
        return True
    return rserver is None or preflight.knows_socket(rserver)


def _make_command(private: RuntimeDir, socket: Path | None) -> Callable[[int, str], list[str]]:
    def command(port: int, base_url: str) -> list[str]:
        try:
            return literal(start_command(Host(), private, socket, port, base_url))
        except AppError as error:
            raise as_http_error(DEFINITION.title, error) from error

    def start_supervised(request: StartRequest) -> Start:
        here, endpoint = Host(), request.endpoint
        return Start(
            argv=_prepare(
                here,
                private,
                None if isinstance(endpoint, TcpEndpoint) else endpoint.path,
                endpoint.port if isinstance(endpoint, TcpEndpoint) else 0,
                request.base_url,
            ),
            environment=_environment(here),
            cwd=request.folder,
        )

    return supervised(
        command,
        Supervised(
            start=start_supervised,
            endpoint=_choose_endpoint,
            stop_grace_s=DEFINITION.stop_grace_seconds,
            # An open tab asks for events around the clock.
            quiet_paths=(r"/events/get_events\b",),
        ),
    )


def _choose_endpoint() -> EndpointChoice:
    return "unix" if _wants_socket(Host()) else "tcp"


def start_command(
    host: Host, private: RuntimeDir, socket: Path | None, port: int, base_url: str
) -> list[str]:
    """Command line for this machine; makes the private folder and its files.

    AppError with reason and fix when RStudio cannot run here.
    """
    command = _prepare(host, private, socket, port, base_url)
    stop_at_exit(str(private.path), DEFINITION.stop_grace_seconds)
    return ends_with_parent(command, host)


def _prepare(
    host: Host, private: RuntimeDir, socket: Path | None, port: int, base_url: str
) -> list[str]:
    facts = preflight.look(host, AppSettings.from_env(host.env))
    report = preflight.judge(facts)
    if not report.available or facts.rserver is None or facts.options is None:
        raise AppError(report.code or "unavailable", report.reason or "", report.fix or "")
    run = RStudioRun(
        private=private.path,
        socket=socket,
        port=port,
        base_url=base_url,
        uid=host.uid,
        login=host.login,
        r=facts.r,
    )
    options = arguments(facts.options, run)
    private.make()
    _write_files(run)
    return [str(facts.rserver), *options]


def _write_files(run: RStudioRun) -> None:
    try:
        for folder in (run.data, run.private / "database"):
            folder.mkdir(mode=0o700, exist_ok=True)
        if not run.secure_cookie_key.exists():
            descriptor = os.open(run.secure_cookie_key, os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(str(uuid.uuid4()))
        run.database_config.write_text(database_config(run))
        if run.socket is not None:
            run.socket.unlink(missing_ok=True)  # of a run that was killed
    except OSError as error:
        raise AppError(
            "runtime_dir",
            f"RStudio's private files in {run.private} cannot be written: {error}.",
            "Make room on that disk, or set TMPDIR to a folder that can be written.",
        ) from error
