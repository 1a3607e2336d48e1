"""Runs git for the cache: with a deadline, and with nobody's settings."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nodeagent.coursecache.source import SCHEMES, Source

_KEPT = frozenset({"GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSH_COMMAND"})
_CONFIG = {
    "core.askPass": "",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.sharedRepository": "0644",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "1",
    "fetch.writeCommitGraph": "false",
    "gc.auto": "0",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "30",
    "maintenance.auto": "false",
    "pack.threads": "1",
    "safe.directory": "*",
    "transfer.fsckObjects": "false",
}
_STATUS = re.compile(r"Recv header: HTTP/[\d.]+ (\d{3})")
_RETRY = re.compile(r"Recv header: retry-after:\s*(\S[^\r\n]*)", re.IGNORECASE)
_REFUSED = re.compile(r"returned error: (\d{3})")


class GitFailedError(Exception):
    """git ended with an error. `text`: what it said, without credentials.

    status: of the last HTTP answer; None when there was none. retry_after: what the server said
    with it, as it stands.
    """

    def __init__(
        self, text: str, status: int | None = None, retry_after: str | None = None
    ) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.retry_after = retry_after


class Running:
    """The gits that run now, so that the agent can end without waiting for a server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Remember it."""
        with self._lock:
            self._processes.add(process)
            if self._ended:
                _kill(process)

    def remove(self, process: subprocess.Popen[bytes]) -> None:
        """Forget it: it has ended."""
        with self._lock:
            self._processes.discard(process)

    def end(self) -> None:
        """Kill all, and whatever starts from now on."""
        with self._lock:
            self._ended = True
            for process in self._processes:
                _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    # Its helpers too: one that waits for a server would outlive it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


@dataclass(frozen=True, kw_only=True)
class GitRun:
    """git in the bare repository `folder`. env: the agent's own environment."""

    folder: Path
    env: Mapping[str, str]
    running: Running

    def local(self, *arguments: str, text: str = "", timeout: float = 600.0) -> str:
        """Output of a git that asks no server. Errors: GitFailedError."""
        return self._run(arguments, self._environment(None), text, timeout, None)

    def ask(self, source: Source, *arguments: str, timeout: float) -> str:
        """Output of a git that talks to `source`. Errors: GitFailedError."""
        with tempfile.TemporaryDirectory(prefix="samepage-git-") as folder:
            trace = Path(folder) / "trace"
            env = self._environment(source)
            env.update(GIT_TRACE_CURL=str(trace), GIT_TRACE_CURL_NO_DATA="1", GIT_TRACE_REDACT="1")
            try:
                return self._run(arguments, env, "", timeout, source)
            except GitFailedError as err:
                headers = trace.read_text(errors="replace") if trace.exists() else ""
                raise _explained(err, headers) from err

    def _run(
        self,
        arguments: tuple[str, ...],
        env: dict[str, str],
        text: str,
        timeout: float,
        source: Source | None,
    ) -> str:
        try:
            process = subprocess.Popen(
                ["git", *arguments],
                cwd=self.folder,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,
                umask=0o022,
            )
        except OSError as err:
            raise GitFailedError(f"git cannot be started: {err}") from err
        self.running.add(process)
        try:
            output, problem = process.communicate(text.encode(), timeout=timeout)
        except subprocess.TimeoutExpired as err:
            _kill(process)
            process.communicate()
            raise GitFailedError(f"git {arguments[0]}: no end within {timeout:g} s") from err
        finally:
            self.running.remove(process)
        if process.returncode != 0:
            said = problem.decode("utf-8", "replace").strip()
            said = said if source is None else source.redact(said)
            raise GitFailedError(said[-2000:] or f"git {arguments[0]}: {process.returncode}")
        return output.decode("utf-8", "surrogateescape")

    def _environment(self, source: Source | None) -> dict[str, str]:
        env = {
            key: value
            for key, value in self.env.items()
            if not key.startswith("GIT_") or key in _KEPT
        }
        env.update(
            GIT_ALLOW_PROTOCOL=":".join(SCHEMES),
            GIT_CONFIG_GLOBAL="/dev/null",
            GIT_CONFIG_NOSYSTEM="1",
            GIT_DIR=str(self.folder),
            GIT_TERMINAL_PROMPT="0",
            LANGUAGE="C",
            LC_ALL="C",
            SSH_ASKPASS_REQUIRE="never",
        )
        env.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=10")
        config = dict(_CONFIG)
        if source is not None and source.authorization is not None:
            config[f"http.{source.remote}.extraHeader"] = f"Authorization: {source.authorization}"
        env["GIT_CONFIG_COUNT"] = str(len(config))
        for number, (key, value) in enumerate(config.items()):
            env[f"GIT_CONFIG_KEY_{number}"] = key
            env[f"GIT_CONFIG_VALUE_{number}"] = value
        return env


def _explained(err: GitFailedError, headers: str) -> GitFailedError:
    statuses = _STATUS.findall(headers) or _REFUSED.findall(err.text)
    waits = _RETRY.findall(headers)
    status = int(statuses[-1]) if statuses else None
    return GitFailedError(
        err.text,
        status=status if status is not None and status >= 400 else None,
        retry_after=waits[-1].strip() if waits else None,
    )
