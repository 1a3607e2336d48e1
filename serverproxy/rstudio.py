"""RStudio Server behind jupyter-server-proxy: one application for each R."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from serverproxy.apps import AppDefinition
from serverproxy.entry import as_http_error, make_entry
from serverproxy.errors import AppError
from serverproxy.host import Host
from serverproxy.launch import ends_with_parent, literal, stop_at_exit
from serverproxy.preflight import rstudio as preflight
from serverproxy.rstudio_open import SUFFIXES, Opener
from serverproxy.rstudio_options import RStudioRun, arguments, database_config
from serverproxy.rstudio_session import SessionFolder
from serverproxy.rstudio_versions import RVersion, conda_libraries
from serverproxy.runtime_dir import RuntimeDir
from serverproxy.settings import AppSettings
from serverproxy.supervised import Start, StartRequest, Supervised, supervised
from serverproxy.supervisor.saving import SaveStep
from serverproxy.supervisor.spec import Endpoint, EndpointChoice, TcpEndpoint, UnixEndpoint

DEFINITION = AppDefinition(
    name="rstudio",
    title="RStudio",
    description="Write and run R with its own editor, console and plots.",
    icon="rstudio.svg",
    rank=20,
    # A large workspace takes its time to be written.
    stop_grace_seconds=60.0,
)

# `rstudio-server force-suspend-all` does the same: rsession interrupts R, writes the session and
# ends (rstudio/rstudio `src/cpp/session/SessionSuspend.cpp`, handleUSR2).
SAVE = SaveStep(program="rsession", signal=signal.SIGUSR2)

# sun_path holds 108 bytes with the final zero (unix(7)).
_SOCKET_PATH_BYTES = 107
# rserver's own sockets are in its data folder: rstudio-rsession/<login>-d and a session's number.
_OWN_SOCKET_BYTES = len("/data/rstudio-rsession/") + len("-d-00000000")


def describe() -> dict[str, object]:
    """The jupyter-server-proxy entry. Starts nothing and creates no file."""
    return _RStudio(DEFINITION, None).describe()


def definitions(host: Host) -> list[tuple[AppDefinition, RVersion | None]]:
    """The cards: the plain one, and one for each further R. Starts nothing.

    With settings that cannot be used there is only the plain one, which says so.
    """
    try:
        versions = preflight.versions_beside(host, AppSettings.from_env(host.env))
    except AppError:
        versions = ()
    return [(DEFINITION, None), *((_definition(version), version) for version in versions)]


def _definition(version: RVersion) -> AppDefinition:
    return replace(DEFINITION, name=version.name, title=version.title, rank=DEFINITION.rank + 1)


class _RStudio:
    """One application. version: its R; None: the plain card's."""

    def __init__(self, definition: AppDefinition, version: RVersion | None) -> None:
        self._definition = definition
        self._version = version
        self._private = RuntimeDir(definition.name)
        self._box: SessionFolder | None = None
        self._opener = Opener(definition.title, lambda: self._box)

    def describe(self) -> dict[str, object]:
        host = Host()
        socket = self._private.path / "rserver.sock"
        use_socket = _wants_socket(host) and len(os.fsencode(socket)) <= _SOCKET_PATH_BYTES
        environment = _environment(host, self._definition, self._version)
        return make_entry(
            self._definition,
            command=self._make_command(socket if use_socket else None),
            environment={name: literal([text])[0] for name, text in environment.items()},
            unix_socket=socket if use_socket else None,
        )

    def _make_command(self, socket: Path | None) -> Callable[[int, str], list[str]]:
        def command(port: int, base_url: str) -> list[str]:
            host = Host()
            try:
                private = self._private.path
                prepared = self._prepare(host, private, socket, port, base_url, None)
                stop_at_exit(str(private), self._definition.stop_grace_seconds)
                return literal(ends_with_parent(prepared, host))
            except AppError as error:
                raise as_http_error(self._definition.title, error) from error

        return supervised(
            command,
            Supervised(
                start=self._start,
                endpoint=_choose_endpoint,
                stop_grace_s=self._definition.stop_grace_seconds,
                # An open tab asks for events around the clock.
                quiet_paths=(r"/events/get_events\b",),
                suffixes=SUFFIXES,
                open_file=self._opener.open,
                on_use=self._opener.on_use,
                save=SAVE,
                more=self._more if self._version is None else tuple,
            ),
        )

    def _more(self) -> list[tuple[str, Mapping[str, object]]]:
        # A setting that cannot be used is told here; the plain card tells it too.
        versions = preflight.versions_beside(Host(), AppSettings.from_env(os.environ))
        return [
            (version.name, _RStudio(_definition(version), version).describe())
            for version in versions
        ]

    def _start(self, request: StartRequest) -> Start:
        host, endpoint = Host(), request.endpoint
        return Start(
            argv=self._prepare(
                host,
                self._folder(endpoint, host.login),
                None if isinstance(endpoint, TcpEndpoint) else endpoint.path,
                endpoint.port if isinstance(endpoint, TcpEndpoint) else 0,
                request.base_url,
                request.folder,
            ),
            environment=_environment(host, self._definition, self._version),
        )

    def _folder(self, endpoint: Endpoint, login: str) -> Path:
        """Beside the socket, where it goes with the run, also when this server is killed."""
        if isinstance(endpoint, UnixEndpoint):
            beside = endpoint.path.parent / "p"
            longest = len(os.fsencode(beside)) + _OWN_SOCKET_BYTES + len(os.fsencode(login))
            if longest <= _SOCKET_PATH_BYTES:
                return beside
        self._private.remove()  # of the start before
        return self._private.path

    def _prepare(
        self,
        host: Host,
        private: Path,
        socket: Path | None,
        port: int,
        base_url: str,
        folder: Path | None,
    ) -> list[str]:
        """Command line for this machine; makes the private folder and its files.

        AppError with reason and fix when RStudio cannot run here.
        """
        self._box = None
        facts = preflight.look(host, AppSettings.from_env(host.env), self._version)
        report = preflight.judge(facts)
        if not report.available or facts.rserver is None or facts.options is None:
            raise AppError(report.code or "unavailable", report.reason or "", report.fix or "")
        run = make_run(host, facts, self._definition, private, socket, port, base_url)
        arguments(facts.options, run)  # refuses before anything is made
        self._make_folder(private)
        _write_files(run)
        wrapper = self._write_session(facts, private, folder, host)
        return [str(facts.rserver), *arguments(facts.options, replace(run, wrapper=wrapper))]

    def _make_folder(self, private: Path) -> None:
        if private == self._private.path:
            self._private.make()
            return
        try:
            private.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise _unwritable(private, error) from error

    def _write_session(
        self, facts: preflight.RStudioFacts, private: Path, folder: Path | None, host: Host
    ) -> Path | None:
        rsession = None if facts.rserver is None else preflight.find_rsession(facts.rserver)
        if rsession is None or "rsession-path" not in (facts.options or ()):
            return None
        box = SessionFolder(private / "session")
        try:
            usable = box.write(
                rsession,
                first_folder=folder,
                environment=_data_home(host, self._definition, self._version),
            )
        except OSError as error:
            raise _unwritable(private, error) from error
        if not usable:  # a file system mounted noexec; RStudio's own way starts all the same
            return None
        self._box = box
        return box.wrapper


def make_run(
    host: Host,
    facts: preflight.RStudioFacts,
    definition: AppDefinition,
    private: Path,
    socket: Path | None,
    port: int,
    base_url: str,
) -> RStudioRun:
    """What `rstudio_options.arguments` needs to know of this machine."""
    return RStudioRun(
        private=private,
        socket=socket,
        port=port,
        base_url=base_url,
        uid=host.uid,
        login=host.login,
        r=facts.r,
        name=definition.name,
        libraries=None if facts.r is None else conda_libraries(facts.r),
    )


def _environment(host: Host, definition: AppDefinition, version: RVersion | None) -> dict[str, str]:
    return {
        "USER": host.login,
        "RS_LOGGER_TYPE": "stderr",  # its default is syslog, where a container shows nothing
        **_data_home(host, definition, version),
    }


def _data_home(host: Host, definition: AppDefinition, version: RVersion | None) -> dict[str, str]:
    """A folder of sessions for each R: what one R has saved, another must not take up.

    RSTUDIO_DATA_HOME: rstudio/rstudio `src/cpp/core/system/Xdg.cpp`. The plain card keeps RStudio's
    own place, where the user's sessions have always been.
    """
    if version is None:
        return {}
    data = host.env.get("XDG_DATA_HOME", "")
    base = Path(data) if data.startswith("/") else host.home / ".local/share"
    return {"RSTUDIO_DATA_HOME": str(base / definition.name)}


def _wants_socket(host: Host) -> bool:
    """A socket unless the installed rserver is too old for one; decided without running it."""
    try:
        rserver = preflight.find_rserver(host, AppSettings.from_env(host.env))
    except AppError:  # told at the click; an entry that raises would be an address with no page
        return True
    return rserver is None or preflight.knows_socket(rserver)


def _choose_endpoint() -> EndpointChoice:
    return "unix" if _wants_socket(Host()) else "tcp"


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
        raise _unwritable(run.private, error) from error


def _unwritable(private: Path, error: OSError) -> AppError:
    return AppError(
        "runtime_dir",
        f"RStudio's private files in {private} cannot be written: {error}.",
        "Make room on that disk, or set TMPDIR to a folder that can be written.",
    )
