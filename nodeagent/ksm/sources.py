"""From the settings to who reads what."""

import time

from nodeagent.config import AgentConfig, invitation
from nodeagent.ksm.facts import KsmFacts
from nodeagent.ksm.sysfs import KsmDir
from nodeagent.reader.client import RemoteProcesses


def facts_of(config: AgentConfig, ksm: KsmDir) -> KsmFacts:
    """Processes are read here, or by the reader where --facts-socket names one."""
    remote = None
    if config.facts_socket is not None:
        remote = RemoteProcesses(config.facts_socket, allowed=config.facts_uids)
    return KsmFacts(
        ksm,
        config.proc_root,
        clock=time.monotonic,
        cgroups=config.sys_root / "fs/cgroup",
        invitation=invitation(config),
        processes=remote,
    )
