"""OpenRefine behind jupyter-server-proxy.

Java is executed directly with the options that OpenRefine's script would give it (see
`preflight.openrefine_home` for why). System properties: OpenRefine's `Refine.java`,
`RefineServer.java` and `RefineServlet.java`.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from serverproxy import free_memory
from serverproxy.apps import AppDefinition
from serverproxy.entry import as_http_error, make_entry
from serverproxy.errors import AppError
from serverproxy.heap import heap_mib
from serverproxy.host import Host
from serverproxy.launch import ends_with_parent, literal, stop_at_exit
from serverproxy.preflight import openrefine as preflight
from serverproxy.preflight.openrefine_home import OpenRefineHome
from serverproxy.runtime_dir import RuntimeDir
from serverproxy.secret_file import write_secret
from serverproxy.settings import AppSettings
from serverproxy.supervised import Ask, Start, StartRequest, Supervised, supervised
from serverproxy.supervisor.spec import TcpEndpoint

DEFINITION = AppDefinition(
    name="openrefine",
    title="OpenRefine",
    description="Clean, transform and reconcile messy tables.",
    icon="openrefine.svg",
    rank=10,
)

# Pasted clipboard tables come as a form. Upstream's script cuts forms at 1 MB; its server's own
# default is this. Uploaded files are streamed and have no such limit.
FORM_BYTES = 64 << 20


def describe() -> dict[str, object]:
    """The jupyter-server-proxy entry. Starts nothing and creates no file."""
    return make_entry(
        DEFINITION,
        command=command,
        # OpenRefine answers 404 to host names it was not told. The loopback name is always right
        # and keeps that protection against DNS rebinding on, which `-H *` would switch off.
        # It has no login of its own: the cookies it would see open the Jupyter server.
        request_headers={"Host": "127.0.0.1", "Cookie": ""},
    )


def command(port: int) -> list[str]:
    """The process to start on this port, sized for now; called at the first click.

    Raises an HTTP 503 with the reason when OpenRefine cannot run here.
    """
    try:
        return literal(start_command(port, Host()))
    except AppError as error:
        raise as_http_error(DEFINITION.title, error) from error


def start_command(port: int, host: Host) -> list[str]:
    """Command line for this machine; AppError with reason and fix when it cannot run."""
    marker = f"-Dsamepage.server={os.getpid()}"
    java = _java_here(port, host, marker)
    stop_at_exit(marker, DEFINITION.stop_grace_seconds)
    return ends_with_parent(java, host)


def start_supervised(request: StartRequest) -> Start:
    """One start below a secret path, so that its TCP port is of no use to other users.

    OpenRefine up to 3.10 cannot listen on a unix socket and asks nobody for a password. Below
    another path than the secret one it answers 404, also to the user `nobody` of this machine. The
    path is in an argument file of mode 0600: command lines are open to all, and Java repeats what
    it finds in JDK_JAVA_OPTIONS or JAVA_TOOL_OPTIONS in its output, which the start page shows.
    """
    if not isinstance(request.endpoint, TcpEndpoint):
        raise TypeError("OpenRefine listens on TCP.")
    secret = f"/{secrets.token_urlsafe(32)}"
    arguments = _private.make() / f"java-{request.endpoint.port}.args"
    # No performance data: a file with all arguments in /tmp, of use to nobody here.
    write_secret(arguments, f"-Drefine.context_path={secret}\n-XX:-UsePerfData\n")
    return Start(
        argv=_java_here(request.endpoint.port, Host(), f"@{arguments}"),
        context_path=secret,
        # Its server listens before its application is there, and answers 404 or 503 until then.
        ready_statuses=frozenset(range(200, 400)),
    )


def _java_here(port: int, host: Host, *more: str) -> list[str]:
    settings = AppSettings.from_env(host.env)
    facts = preflight.look(host, settings)
    report = preflight.judge(facts)
    program = facts.java.program
    if not report.available or facts.home is None or program is None:
        raise AppError(report.code or "unavailable", report.reason or "", report.fix or "")
    heap = settings.openrefine_heap_mib or heap_mib(free_memory.available_bytes())
    if heap is None:
        raise AppError(
            "memory_short",
            "There is no longer enough free memory.",
            "Shut down kernels you do not need, then try again.",
        )
    return java_command(
        java=program,
        home=facts.home,
        port=port,
        data_dir=facts.data.path,
        heap_mib=heap,
        autosave_minutes=settings.openrefine_autosave_minutes,
        more=(*more, *java_options(host.env.get("JAVA_OPTIONS", ""))),
    )


async def open_file(ask: Ask, file: Path) -> str:
    """Make a project of a file; gives its page. AppError with what OpenRefine says otherwise."""
    _, _, body = await ask("GET", "command/core/get-csrf-token")
    token = json.loads(body)["token"]
    status, headers, body = await ask(
        "POST",
        f"command/core/create-project-from-upload?csrf_token={token}",
        form={"project-name": file.stem},
        upload=("project-file", file),
    )
    project = parse_qs(urlsplit(headers.get("location", "")).query).get("project")
    if status != 302 or not project:
        text = " ".join(body.decode("utf-8", "replace").split())[:300]
        raise AppError(
            "not_imported",
            f"OpenRefine did not make a project of {file.name} (HTTP {status}). {text}",
            "Open OpenRefine and import the file there: its first page shows how it is read.",
        )
    return f"project?project={project[0]}"


_private = RuntimeDir("openrefine")
supervised(
    command,
    Supervised(
        start=start_supervised,
        endpoint=lambda: "tcp",
        stop_grace_s=DEFINITION.stop_grace_seconds,
        # None are quiet: its pages ask for get-processes only while an operation is under way.
        suffixes=frozenset({".csv", ".tsv", ".txt", ".json", ".xml", ".xls", ".xlsx", ".ods"}),
        open_file=open_file,
    ),
)


def java_options(text: str) -> tuple[str, ...]:
    """JAVA_OPTIONS, which OpenRefine's own script reads too, as arguments. Pure."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise AppError(
            "bad_setting",
            f"JAVA_OPTIONS is {text!r}: {error}.",
            "Close the quotation mark in it.",
        ) from error


def java_command(
    *,
    java: Path,
    home: OpenRefineHome,
    port: int,
    data_dir: Path,
    heap_mib: int,
    autosave_minutes: int,
    more: tuple[str, ...] = (),
) -> list[str]:
    """Arguments that start OpenRefine. Pure. `more` comes last and so wins over ours."""
    properties = {
        "refine.headless": "true",  # no browser on the server
        "refine.port": port,
        "refine.interface": "127.0.0.1",
        "refine.host": "127.0.0.1",
        "refine.webapp": home.webapp,
        "refine.data_dir": data_dir,
        "refine.memory": f"{heap_mib}M",
        "refine.autosave": autosave_minutes,
        "refine.max_form_content_size": FORM_BYTES,
        "refine.display.new.version.notice": "false",  # no call to the outside per visit
        "refine.autoreload": "false",
        "butterfly.autoreload": "false",
        "python.path": home.webapp / "WEB-INF/lib/jython",
        "python.cachedir": data_dir / "cachedir",
    }
    return [
        str(java),
        # A small start: -Xms as large as -Xmx would take all of it from the others at once.
        "-Xms64M",
        f"-Xmx{heap_mib}M",
        *(f"-D{name}={value}" for name, value in properties.items()),
        *more,
        "-cp",
        home.class_path(),
        "com.google.refine.Refine",
    ]
