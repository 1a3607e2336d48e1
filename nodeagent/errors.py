"""Errors of the agent.

AgentError
├── ConfigError            a setting cannot be used
├── PortError              the HTTP address cannot be taken
├── LockHeldError          another agent steers this machine's KSM
├── StateError             the state file cannot be written or understood
├── GpuError               the NVIDIA library or driver failed
└── KsmError
    ├── KsmUnsupportedError  this kernel has no KSM
    ├── KsmReadError         a KSM file is there and cannot be read
    ├── KsmPermissionError   the files may not be written by us
    └── KsmConflictError     the kernel refused the value in its present state
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What went wrong, for programs (`code`) and people (`message`, `fix`)."""

    code: str
    message: str
    fix: str


class AgentError(Exception):
    """Base: a stable `code`, `message` in a sentence, `fix` the next step, `exit_code` of a CLI."""

    code = "agent-error"
    exit_code = 1

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    @property
    def problem(self) -> Problem:
        """The error as a value that can be shown and stored."""
        return Problem(code=self.code, message=self.message, fix=self.fix)


class ConfigError(AgentError):
    """A setting cannot be used; names the setting, its value and what to give."""

    code = "config"
    exit_code = 2


class PortError(AgentError):
    """The HTTP address is taken or not ours to take."""

    code = "port-unavailable"
    exit_code = 4


class LockHeldError(AgentError):
    """Another process holds the lock on this machine's KSM."""

    code = "second-agent"
    exit_code = 5


class StateError(AgentError):
    """The file with KSM's original values cannot be written or understood."""

    code = "state-file"
    exit_code = 6


class GpuError(AgentError):
    """NVML answered with an error, or not in time."""

    code = "gpu"


class KsmError(AgentError):
    """Base of everything about /sys/kernel/mm/ksm."""

    code = "ksm"


class KsmUnsupportedError(KsmError):
    """The kernel is built without KSM (no /sys/kernel/mm/ksm)."""

    code = "ksm-unsupported"
    exit_code = 7


class KsmReadError(KsmError):
    """A KSM file exists and could not be read or understood."""

    code = "ksm-read"


class KsmPermissionError(KsmError):
    """The KSM files may not be written: not root, or mounted read-only."""

    code = "ksm-permission"
    exit_code = 8


class KsmConflictError(KsmError):
    """The kernel refused a value in its present state (EINVAL, EBUSY)."""

    code = "ksm-conflict"
