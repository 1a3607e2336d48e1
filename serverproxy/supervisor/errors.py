"""What `ManagedApp.wait_ready` raises."""

from __future__ import annotations

from serverproxy.supervisor.state import AppStatus


class NotReadyError(Exception):
    """The application does not answer; `status` tells what it does instead."""

    def __init__(self, status: AppStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class AppFailed(NotReadyError):  # noqa: N818 - named in the contract of the proxy
    """It failed or was stopped, and nothing is under way that would make it ready."""

    def __init__(self, status: AppStatus) -> None:
        failure = status.failure
        super().__init__(
            status,
            f"{failure.message} {failure.fix}" if failure else f"{status.name} is {status.state}.",
        )


class AppTimeout(NotReadyError):  # noqa: N818 - named in the contract of the proxy
    """It is still starting after the time the caller was willing to wait."""

    def __init__(self, status: AppStatus, waited_s: float) -> None:
        super().__init__(status, f"{status.name} is still {status.state} after {waited_s:g} s.")
