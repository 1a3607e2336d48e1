"""The machine below /proc: memory, stalls, boot."""

from dataclasses import dataclass
from pathlib import Path

from nodeagent.errors import AgentError


class HostReadError(AgentError):
    """A file every Linux has could not be read."""

    code = "host-read"


@dataclass(frozen=True, kw_only=True)
class HostMemory:
    """From /proc/meminfo, in bytes."""

    total_bytes: int
    available_bytes: int


def read_memory(proc: Path) -> HostMemory:
    """MemTotal and MemAvailable. HostReadError when the file is not there or not readable."""
    found: dict[str, int] = {}
    path = proc / "meminfo"
    try:
        with path.open(encoding="ascii") as lines:
            for line in lines:
                name, _, rest = line.partition(":")
                if name in ("MemTotal", "MemAvailable"):
                    found[name] = int(rest.split()[0]) * 1024
                if len(found) == 2:
                    break
        return HostMemory(total_bytes=found["MemTotal"], available_bytes=found["MemAvailable"])
    except (OSError, ValueError, IndexError, KeyError) as err:
        raise HostReadError(
            f"Cannot read MemTotal and MemAvailable from {path}: {err}",
            fix="Give the host's procfs with --proc-root.",
        ) from err


def read_pressure(proc: Path, resource: str) -> float | None:
    """Share of the last 10 s in which some task stalled, 0..1; None: kernel without PSI."""
    try:
        text = (proc / "pressure" / resource).read_text(encoding="ascii")
        some = next(line for line in text.splitlines() if line.startswith("some "))
        fields = dict(field.split("=") for field in some.split()[1:])
        return float(fields["avg10"]) / 100
    except (OSError, ValueError, KeyError, StopIteration):
        # Booted with psi=0 the file answers EOPNOTSUPP: as absent as a missing file.
        return None


def read_vmstat(proc: Path, name: str) -> int | None:
    """One counter of /proc/vmstat since boot; None: this kernel does not count it."""
    try:
        text = (proc / "vmstat").read_text(encoding="ascii")
    except OSError:
        return None
    for line in text.splitlines():
        word, _, value = line.partition(" ")
        if word == name and value.isdigit():
            return int(value)
    return None


def read_boot_id(proc: Path) -> str:
    """Identity of this boot. HostReadError when the kernel does not tell."""
    path = proc / "sys/kernel/random/boot_id"
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError as err:
        raise HostReadError(
            f"Cannot read {path}: {err.strerror}", fix="Give the host's procfs with --proc-root."
        ) from err


def find_process(proc: Path, name: str) -> int | None:
    """PID of the first process with this command name; None: not running or not visible."""
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "comm").read_text(encoding="utf-8", errors="replace").strip() == name:
                return int(entry.name)
        except OSError:
            continue
    return None
