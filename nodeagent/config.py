"""Settings of the agent: one frozen dataclass from `NODEAGENT_*` variables and CLI flags."""

import dataclasses
import math
import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from nodeagent.errors import ConfigError
from nodeagent.log import LogFormat
from nodeagent.workloads.invite import Invitation, parse_uids

Mode = Literal["tune", "observe", "off"]
LimitGuard = Literal["hold", "warn"]
Uninvited = Literal["warn", "hold"]
GpuPublish = Literal["none", "lease", "node"]
ModeSetting = Literal["auto", "tune", "observe", "off"]

MODES: tuple[ModeSetting, ...] = ("auto", "tune", "observe", "off")


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the HTTP server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """Every setting; each field can be given as `--flag` or `NODEAGENT_FLAG`, the flag wins."""

    mode: ModeSetting = "auto"
    """tune: steer KSM; observe: read only; off: leave KSM alone and unread.
    Default auto: tune where the files may be written, else observe."""

    listen: Address = Address(host="127.0.0.1", port=9747)
    """host:port of the HTTP server. Default 127.0.0.1:9747, this machine only; port 0: any free."""

    node_socket: Path | None = None
    """Unix socket on which every user of the node may ask for the node's totals too, such as
    /run/samepage/node/node.sock for students' containers. Default none."""

    facts_socket: Path | None = None
    """Unix socket between two processes with fewer rights each: samepage-agent reader, who may read
    the students' processes, answers there, and samepage-agent run asks there. Default none: run
    reads by itself."""

    facts_uids: tuple[tuple[int, int], ...] = ()
    """Users whose reader or tuner is believed at the other end of --facts-socket, such as 1000.
    Default none: root and the own user."""

    merge: bool = True
    """Whether kernels of this node may opt in to merging. no: kernels that start from now on do
    not, and the agent only observes. Default yes."""

    align: bool = True
    """Whether kernels of this node may start aligned, with a layout that others know. Default
    yes."""

    allow_host: tuple[str, ...] = ()
    """Further Host header names to answer to, comma separated (DNS names through which a proxy or
    Prometheus asks). Default none: loopback names, and IP addresses when listening beyond it."""

    interval: float = 10.0
    """Seconds between readings at rest. Default 10, at least 1; in a burst at most 2."""

    dry_run: bool = False
    """Decide and log, and write nothing under /sys. Default no."""

    state_dir: Path | None = None
    """Folder of the state file with KSM's original values. Default /run/samepage for root, else
    $XDG_RUNTIME_DIR/samepage."""

    lock_file: Path | None = None
    """The machine-wide lock of KSM writers. Default /run/samepage/ksm.lock, or beside the state
    file when not root or when --sys-root is not /sys."""

    cpu_budget: float = 0.10
    """CPU ksmd may use, averaged over a minute, in cores. Default 0.10."""

    pressure_cpu_budget: float = 0.25
    """The same while memory is short (under 20 % available, or stalls). Default 0.25 cores."""

    burst_cpu: float = 0.5
    """The most CPU for seconds of a burst, in cores, within the minute's budget. Default 0.5."""

    burst_bytes: int = 32 * 1024 * 1024
    """New memory of opted-in processes that is worth a burst, in bytes. Default 32 MiB; on a large
    node 1 % of what has opted in, if that is more."""

    verify_interval: float = 600.0
    """Seconds of rest until a check pass looks for changed pages; doubled, up to eightfold, while
    such passes gain nothing. Default 600, at least 30."""

    limit_guard: LimitGuard = "hold"
    """hold: stop ksmd while a container with merged memory is close to its memory limit; warn: only
    say so. Default hold; warn is safe where donors own the kept pages."""

    invite_cgroup: re.Pattern[str] | None = None
    """Regular expression found in the memory cgroup of the processes that should opt in, such as
    kubepods. Default none: any."""

    invite_uids: tuple[tuple[int, int], ...] = ()
    """Users whose processes should opt in, such as 1000-60000. Default none: any."""

    uninvited: Uninvited = "warn"
    """What to do when another process opts in: warn, or hold (stop ksmd). Default warn."""

    donor_command: tuple[str, ...] = ()
    """Program and arguments that make the memory of a student's kernel; kept running twice, so that
    the node owns the pages a class shares. Default none."""

    donor_warm: float = 60.0
    """Seconds a donor may take until it says ready. Default 60."""

    token_file: Path | None = None
    """File with the operator's token, for /v1/workloads and /metrics/workloads over HTTP. Default
    none: they are on the socket agent.sock in the state folder only."""

    history_hours: float = 2.0
    """Hours kept for the picture and /v1/history. Default 2, at most 48."""

    gpu: bool = True
    """Read NVIDIA GPUs through NVML when a driver is there. Default yes."""

    gpu_timeout: float = 3.0
    """Seconds a reading of the GPUs may take before its process is ended. Default 3."""

    gpu_interval: float = 5.0
    """Seconds between two readings of the GPUs. Default 5, at least 1."""

    gpu_data: Path | None = None
    """Folder for records of decisions, a week's history and snoozed flags, such as
    /var/lib/samepage/gpu. Default none: nothing is kept."""

    gpu_record_bytes: int = 64 * 1024 * 1024
    """The most that records of decisions and snapshots may take, in bytes. Default 64 MiB."""

    gpu_publish: GpuPublish = "none"
    """Where the cluster keeps this node's GPU facts for hub and scheduler: lease (a Lease in the
    pod's namespace), node (an annotation of the Node), none (they ask the agents). Default none."""

    gpu_publish_round: float = 30.0
    """Seconds after which GPU facts are published though little has changed. Default 30."""

    gpu_policy: Path | None = None
    """JSON file of bounds for sharing decisions, see the page on GPUs. Default none: their
    defaults."""

    gpu_exempt: tuple[str, ...] = ()
    """Patterns of owners and users that are never flagged, comma separated, such as lab/*,staff-*.
    Default none."""

    pod_resources: Path = Path("/var/lib/kubelet/pod-resources/kubelet.sock")
    """The kubelet's socket that tells who was given which GPU; asked where it is there. Default
    /var/lib/kubelet/pod-resources/kubelet.sock."""

    node_name: str | None = None
    """This node's name in the cluster. Default $NODE_NAME, else the host name."""

    log_format: LogFormat = "text"
    """text: one readable line per event; json: one object per line. Default text."""

    exit_with_parent: bool = False
    """Stop (and restore KSM) when the process that started the agent ends. Default no."""

    course_cache: Path | None = None
    """Folder in which the repositories of the courses are kept for all notebooks of this node.
    Default none: no course cache."""

    course_cache_urls: tuple[str, ...] = ()
    """Git addresses of courses to keep, separated by spaces or commas. One with credentials is a
    private course. Default none."""

    course_cache_list: Path | None = None
    """File that lists courses to keep: a samepage-course.yml, or text with one URL in each line.
    Read again before every fetch. Default none."""

    course_cache_credentials: Path | None = None
    """File with one https://user:token@host/path in each line, for courses whose address begins so;
    only its owner may read it. Default none: courses without credentials in the list are public."""

    course_cache_interval: float = 120.0
    """Seconds between two questions to a course's git server. Default 120, at least 10."""

    course_cache_retention: float = 30.0
    """Days for which versions that the server has dropped, and courses that are not listed any
    more, are kept. Default 30, at least 1."""

    sys_root: Path = Path("/sys")
    """Where sysfs is mounted. Default /sys; in a container often /host/sys."""

    proc_root: Path = Path("/proc")
    """Where the host's procfs is mounted. Default /proc."""


def _text_list(text: str) -> tuple[str, ...]:
    return tuple(part.strip().lower() for part in text.split(",") if part.strip())


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(text)
    return Address(host=host, port=int(port))


def _mode(text: str) -> ModeSetting:
    if text not in MODES:
        raise ValueError(text)
    return text


def _log_format(text: str) -> LogFormat:
    if text not in ("text", "json"):
        raise ValueError(text)
    return cast(LogFormat, text)


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not math.isfinite(value) or not low <= value <= high:
            raise ValueError(text)
        return value

    return parse


def _positive_int(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise ValueError(text)
    return value


def _choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return parse


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as err:
        raise ValueError(text) from err


def _name(text: str) -> str:
    if not text.strip() or len(text) > 253:
        raise ValueError(text)
    return text.strip()


def _command(text: str) -> tuple[str, ...]:
    return tuple(shlex.split(text))


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError(text)
    return Path(text)


_PARSERS: dict[str, tuple[Callable[[str], object], str]] = {
    "mode": (_mode, "one of auto, tune, observe, off"),
    "listen": (_address, "host:port, such as 127.0.0.1:9747 or [::1]:9747"),
    "node_socket": (_path, "a file, such as /run/samepage/node/node.sock"),
    "facts_socket": (_path, "a file, such as /run/samepage-facts/facts.sock"),
    "facts_uids": (parse_uids, "users or ranges with commas, such as 1000"),
    "merge": (_switch, "yes or no"),
    "align": (_switch, "yes or no"),
    "allow_host": (_text_list, "names separated by commas, such as node1.example.org"),
    "interval": (_number(1, 3600), "seconds from 1 to 3600, such as 10"),
    "dry_run": (_switch, "yes or no"),
    "state_dir": (_path, "a folder, such as /run/samepage"),
    "lock_file": (_path, "a file, such as /run/samepage/ksm.lock"),
    "cpu_budget": (_number(0.001, 1), "cores from 0.001 to 1, such as 0.1"),
    "pressure_cpu_budget": (_number(0.001, 1), "cores from 0.001 to 1, such as 0.25"),
    "burst_cpu": (_number(0.01, 0.95), "cores from 0.01 to 0.95, such as 0.5"),
    "burst_bytes": (_positive_int, "a whole number of bytes above 0, such as 33554432"),
    "verify_interval": (_number(30, 86400), "seconds from 30 to 86400, such as 600"),
    "limit_guard": (_choice("hold", "warn"), "hold or warn"),
    "invite_cgroup": (_pattern, "a regular expression, such as kubepods"),
    "invite_uids": (parse_uids, "users or ranges with commas, such as 1000-60000"),
    "uninvited": (_choice("warn", "hold"), "warn or hold"),
    "donor_command": (_command, "a command line, such as 'python3 /opt/donor.py'"),
    "donor_warm": (_number(1, 3600), "seconds from 1 to 3600, such as 60"),
    "token_file": (_path, "a file, such as /etc/samepage/token"),
    "history_hours": (_number(0.1, 48), "hours from 0.1 to 48, such as 2"),
    "gpu": (_switch, "yes or no"),
    "gpu_timeout": (_number(0.1, 60), "seconds from 0.1 to 60, such as 3"),
    "gpu_interval": (_number(1, 300), "seconds from 1 to 300, such as 5"),
    "gpu_data": (_path, "a folder, such as /var/lib/samepage/gpu"),
    "gpu_record_bytes": (_positive_int, "a whole number of bytes above 0, such as 67108864"),
    "gpu_publish": (_choice("none", "lease", "node"), "none, lease or node"),
    "gpu_publish_round": (_number(5, 3600), "seconds from 5 to 3600, such as 30"),
    "gpu_policy": (_path, "a file, such as /etc/samepage/gpu-policy.json"),
    "gpu_exempt": (_words, "patterns separated by commas, such as lab/*,staff-*"),
    "pod_resources": (_path, "a file, such as /var/lib/kubelet/pod-resources/kubelet.sock"),
    "node_name": (_name, "a name, such as worker-7"),
    "log_format": (_log_format, "text or json"),
    "exit_with_parent": (_switch, "yes or no"),
    "course_cache": (_path, "a folder, such as /var/cache/samepage/courses"),
    "course_cache_urls": (
        _words,
        "URLs separated by spaces, such as https://git.example.org/a.git",
    ),
    "course_cache_list": (_path, "a file, such as /etc/samepage-course.yml"),
    "course_cache_credentials": (_path, "a file, such as /etc/samepage/git-credentials"),
    "course_cache_interval": (_number(10, 86400), "seconds from 10 to 86400, such as 120"),
    "course_cache_retention": (_number(1, 3650), "days from 1 to 3650, such as 30"),
    "sys_root": (_path, "a folder, such as /sys"),
    "proc_root": (_path, "a folder, such as /proc"),
}


def load(env: Mapping[str, str], flags: Mapping[str, str | None]) -> AgentConfig:
    """Settings from variables and flags (field name -> text, None: not given).

    Raises ConfigError naming the setting, its value and what to give.
    """
    values: dict[str, object] = {}
    for field in dataclasses.fields(AgentConfig):
        parse, give = _PARSERS[field.name]
        flag, variable = flags.get(field.name), f"NODEAGENT_{field.name.upper()}"
        name = f"--{field.name.replace('_', '-')}" if flag is not None else variable
        text = flag if flag is not None else env.get(variable)
        if text is None:
            continue
        try:
            values[field.name] = parse(text)
        except ValueError as err:
            raise ConfigError(f"{name} is {text!r}", fix=f"Give {give}.") from err
    config = AgentConfig(**values)  # type: ignore[arg-type]  # each parser returns its field's type
    if config.pressure_cpu_budget < config.cpu_budget:
        # Raising only the usual budget must not slow the agent down when memory is short.
        config = dataclasses.replace(config, pressure_cpu_budget=config.cpu_budget)
    return config


def invitation(config: AgentConfig) -> Invitation:
    """Who is expected to opt in."""
    return Invitation(cgroup=config.invite_cgroup, uids=config.invite_uids)


def default_state_dir(env: Mapping[str, str]) -> Path:
    """/run/samepage for root, else $XDG_RUNTIME_DIR/samepage, else this user's folder in /tmp."""
    if os.geteuid() == 0:
        return Path("/run/samepage")
    runtime = env.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "samepage" if runtime else Path(f"/tmp/samepage-{os.geteuid()}")


def resolve_paths(config: AgentConfig, env: Mapping[str, str]) -> tuple[Path, Path]:
    """(state dir, lock file) to use. The lock of the real /sys is one per machine for root."""
    state_dir = config.state_dir or default_state_dir(env)
    if config.lock_file is not None:
        return state_dir, config.lock_file
    real = config.sys_root == Path("/sys")
    return state_dir, (default_state_dir(env) if real else state_dir) / "ksm.lock"
