"""What is known about OpenRefine and RStudio here. Starts neither, and creates nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from serverproxy import cgroup, free_memory, openrefine, rstudio
from serverproxy.catalog import list_apps
from serverproxy.doctor.finding import Finding
from serverproxy.doctor.masking import masked
from serverproxy.errors import AppError
from serverproxy.heap import MIB, heap_mib
from serverproxy.host import Host
from serverproxy.preflight import folder
from serverproxy.preflight import openrefine as openrefine_preflight
from serverproxy.preflight import rstudio as rstudio_preflight
from serverproxy.rstudio_options import arguments
from serverproxy.rstudio_session import WRAPPER
from serverproxy.rstudio_versions import RVersion
from serverproxy.settings import AppSettings

DISTRIBUTION = "jupyter-samepage"

_PORT = "<fresh port>"
_PRIVATE = Path("<private folder>")
_SOCKET_NOTE = (
    "A unix socket in a folder of mode 0700, new for every start: other users of this host cannot "
    "reach it."
)
_OPENREFINE_NOTE = (
    "TCP on 127.0.0.1, a new port for every start. Other users of this host can connect, and get "
    "404: it serves below a secret path that only the proxy knows. Without Samepage's supervision "
    "(c.Samepage.supervise_apps=False) there is no such path, and they could use it."
)
_OPEN_RSTUDIO_NOTE = (
    "TCP on 127.0.0.1, and it asks for no password: every user of this host could use your R."
)


def findings(host: Host) -> list[Finding]:
    """Both, by rank. Blocks as `catalog.list_apps` does, and never raises for what is broken."""
    found = []
    versions = {each.name: version for each, version in rstudio.definitions(host)}
    for item in list_apps(host):
        finding = Finding(
            name=item["name"],
            title=item["title"],
            described_by=DISTRIBUTION,
            available=item["available"],
            reason=item["reason"],
            fix=item["fix"],
            version=item["version"],
        )
        try:
            settings = AppSettings.from_env(host.env)
            if item["name"] in versions:
                found.append(_rstudio(finding, host, settings, versions[item["name"]]))
            else:
                found.append(_openrefine(finding, host, settings))
        except (AppError, OSError):
            found.append(finding)  # its reason is what the catalog found in the way
    return found


def _openrefine(finding: Finding, host: Host, settings: AppSettings) -> Finding:
    facts = openrefine_preflight.look(host, settings)
    free = facts.available_bytes
    heap = settings.openrefine_heap_mib or heap_mib(free)
    told = replace(
        finding,
        data=str(facts.data.path),
        data_note=_folder_note(facts.data),
        heap_bytes=None if heap is None else heap * MIB,
        free_bytes=free,
        limit_bytes=_limit(),
        memory_note="set by SAMEPAGE_OPENREFINE_HEAP_MIB"
        if settings.openrefine_heap_mib
        else "fitted to what is free at the start",
        transport="tcp",
        transport_note=_OPENREFINE_NOTE,
    )
    if facts.java.program is None or facts.home is None or heap is None:
        return told
    argv = openrefine.java_command(
        java=facts.java.program,
        home=facts.home,
        port=0,
        data_dir=facts.data.path,
        heap_mib=heap,
        autosave_minutes=settings.openrefine_autosave_minutes,
        more=(
            "@<file with the secret path>",
            *openrefine.java_options(host.env.get("JAVA_OPTIONS", "")),
        ),
    )
    shown = ["-Drefine.port=" + _PORT if part == "-Drefine.port=0" else part for part in argv]
    return replace(told, argv=masked(shown))


def _rstudio(
    finding: Finding, host: Host, settings: AppSettings, version: RVersion | None
) -> Finding:
    facts = rstudio_preflight.look(host, settings, version)
    home = folder.look(host.home)
    told = replace(
        finding,
        data=str(home.path),
        data_note=_folder_note(home),
        free_bytes=free_memory.available_bytes(),
        limit_bytes=_limit(),
        memory_note="R takes what its data needs",
    )
    if facts.rserver is None or facts.options is None:
        return told
    socket = "www-socket" in facts.options
    told = replace(
        told,
        transport="unix" if socket else "tcp",
        transport_note=_SOCKET_NOTE if socket else _OPEN_RSTUDIO_NOTE,
    )
    run = rstudio.make_run(
        host,
        facts,
        replace(rstudio.DEFINITION, name=finding.name),
        private=_PRIVATE,
        socket=Path("<private socket>") if socket else None,
        port=0,
        base_url=host.env.get("JUPYTERHUB_SERVICE_PREFIX", "/"),
    )
    if rstudio_preflight.find_rsession(facts.rserver) is not None:
        run = replace(run, wrapper=_PRIVATE / "session" / WRAPPER)
    options = arguments(facts.options, run)
    shown = ["--www-port=" + _PORT if part == "--www-port=0" else part for part in options]
    return replace(told, argv=masked([str(facts.rserver), *shown]))


def _folder_note(facts: folder.FolderFacts) -> str:
    access = "can be written" if facts.writable else "cannot be written"
    if facts.free_bytes is None:
        return access
    return f"{access}, {facts.free_bytes / (1 << 30):.1f} GiB free"


def _limit() -> int | None:
    group = cgroup.read_memory()
    return None if group is None else group.limit_bytes


def is_ours(name: str) -> bool:
    """Whether an application of this name would be one of these."""
    return name == openrefine.DEFINITION.name or name.startswith(rstudio.DEFINITION.name)
