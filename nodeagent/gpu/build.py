"""Puts the parts together that read, judge and keep GPU facts, from the agent's settings."""

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

from nodeagent.config import AgentConfig
from nodeagent.errors import ConfigError
from nodeagent.gpu.canonical import ShapeError, decode
from nodeagent.gpu.desk import Desk
from nodeagent.gpu.flags.ladder import LadderRules
from nodeagent.gpu.flags.live import FlagWatch
from nodeagent.gpu.flags.snoozes import SnoozeFile
from nodeagent.gpu.history import HistoryFile
from nodeagent.gpu.monitor import GpuMonitor
from nodeagent.gpu.reader import NvmlLink
from nodeagent.gpu.roster import RosterSource
from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.store import RecordStore
from nodeagent.kube.api import KubeApi, KubeError
from nodeagent.workloads.namespace import is_namespaced, namespace_root

log = logging.getLogger("nodeagent.gpu")

RECORDS = "records"
HISTORY = "history.jsonl"
SNOOZES = "snoozes.json"


def node_name(config: AgentConfig, env: Mapping[str, str]) -> str:
    """As the cluster knows this node."""
    return config.node_name or env.get("NODE_NAME") or os.uname().nodename


def read_policy(path: Path | None) -> Policy:
    """ConfigError: the file cannot be read or is no policy."""
    if path is None:
        return Policy()
    try:
        return decode(Policy, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ShapeError) as err:
        raise ConfigError(
            f"--gpu-policy {path} cannot be used: {err}",
            fix='Give a file such as {"commitment": "strict", "time_slicing_clients": 4}.',
        ) from err


def build_monitor(config: AgentConfig, env: Mapping[str, str]) -> GpuMonitor:
    """Not started yet. ConfigError: the policy cannot be used."""
    policy = read_policy(config.gpu_policy)
    data = config.gpu_data
    store = (
        None if data is None else RecordStore(data / RECORDS, most_bytes=config.gpu_record_bytes)
    )
    watch = FlagWatch(ladder=LadderRules(exempt=config.gpu_exempt))
    name = node_name(config, env)
    monitor = GpuMonitor(
        link=NvmlLink(timeout=config.gpu_timeout, clock=time.monotonic),
        roster=RosterSource(
            node=name, api=lambda: _cluster(env), pod_resources=config.pod_resources
        ),
        desk=Desk(policy, keep=None if store is None else store.keep),
        watch=watch,
        node=name,
        tick=config.gpu_interval,
        proc=config.proc_root,
        sys_root=config.sys_root,
        cgroup_root=_cgroup_root(config),
    )
    if store is not None and data is not None:
        monitor.snoozes = SnoozeFile(data / SNOOZES)
        watch.snoozes = monitor.snoozes.read(time.time())
        history = HistoryFile(data / HISTORY)
        monitor.keepers.append(store.keep_snapshot)
        monitor.keepers.append(history.add)
        monitor.closers += [history.flush, monitor.desk.close]
    return monitor


def _cluster(env: Mapping[str, str]) -> KubeApi | None:
    """None outside a cluster, and in a pod that was given no account on purpose."""
    try:
        return KubeApi.in_cluster(env)
    except KubeError as err:
        log.debug("pods are not asked of Kubernetes: %s", err.message)
        return None


def _cgroup_root(config: AgentConfig) -> str:
    """Where this agent's view of cgroup paths begins; only paths below limits need it."""
    if not is_namespaced(config.proc_root):
        return "/"
    own = Path("/sys/fs/cgroup")
    return namespace_root(config.sys_root / "fs/cgroup", own) or "/"
