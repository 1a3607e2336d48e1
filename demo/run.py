"""Start the git server, the node agent and JupyterLab; keep them; stop them in order."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from demo import agent, course_repository, dataset, lab
from demo.child import Child, adopt_orphans, end_descendants, remember, sweep
from demo.git_server import Access, GitServer, GitServerError
from demo.http import free_port, is_free
from demo.state import AlreadyRunningError, Lock, Paths, ensure_token, read_ports, write_ports

LAB_PORTS = range(8888, 8899)
AGENT_READY_SECONDS = 10.0
LAB_READY_SECONDS = 90.0
COURSE_READY_SECONDS = 120.0
LAB_STOP_SECONDS = 15.0
AGENT_STOP_SECONDS = 10.0
ORPHANS_STOP_SECONDS = 5.0
POLL_SECONDS = 0.1
STEPS = 4

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What can be chosen on the command line.

    state: folder of everything the demo writes. port: of JupyterLab, None for 8888 or the next
    free one. agent_mode: None for no agent, else its --mode. stations: size of the data, 1 to 48.
    """

    state: Path
    port: int | None = None
    agent_mode: str | None = "auto"
    stations: int = dataset.STATIONS


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


class _StoppedError(Exception):
    """Ctrl-C, SIGTERM or SIGHUP arrived."""


class _Signals:
    """Counts the signals that mean stop: one asks for it, two ask for haste."""

    def __init__(self) -> None:
        self.count = 0

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Within the block, the signals do nothing but count."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup: live on
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._count) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _count(self, number: int, frame: FrameType | None) -> None:
        self.count += 1

    def hurry(self) -> bool:
        return self.count >= 2

    def pause(self) -> None:
        """Sleep a moment. Errors: _StoppedError when the demo shall stop."""
        if self.count:
            raise _StoppedError
        time.sleep(POLL_SECONDS)
        if self.count:
            raise _StoppedError


def say(line: str = "") -> None:
    """Print; a terminal that is gone must not keep the demo from cleaning up."""
    with contextlib.suppress(OSError, ValueError):
        print(line, flush=True)


def run(options: Options) -> int:
    """Run until a signal; the exit status. What it started has ended when it returns."""
    paths, signals = Paths(state=options.state.resolve()), _Signals()
    try:
        paths.make()
    except OSError as err:
        say(f"Cannot make the demo's folder {paths.state}: {err.strerror}. Give another: --state")
        return 1
    with signals.caught():
        try:
            with Lock(paths.lock) as lock:
                return _Demo(options, paths, signals, lock).run()
        except AlreadyRunningError as running:
            say(_already_running(running, paths))
            return 1


def _already_running(running: AlreadyRunningError, paths: Paths) -> str:
    where = f"Open {running.url}" if running.url else "It is still starting; look at its terminal"
    end = f" or: kill {running.pid}" if running.pid else ""
    return (
        f"The demo is already running in {paths.state}.\n  {where}\n"
        f"  To stop it: Ctrl-C in its terminal{end}\n"
        "  To run a second one beside it: --state OTHER-FOLDER"
    )


class _Demo:
    def __init__(self, options: Options, paths: Paths, signals: _Signals, lock: Lock) -> None:
        self._options = options
        self._paths = paths
        self._signals = signals
        self._lock = lock
        self._ports = read_ports(paths)
        self._git: GitServer | None = None
        self._agent: Child | None = None
        self._lab: Child | None = None

    def run(self) -> int:
        status = 0
        adopt_orphans()
        try:
            self._start()
            self._keep()
        except _StoppedError:
            pass
        except DemoError as err:
            say(str(err))
            status = 1
        finally:
            self._stop()
        return status

    def _start(self) -> None:
        begun = time.monotonic()
        left = sweep(self._paths.children)
        if left:
            say(f"The last demo was killed; ended {left} program(s) that it left running.")
        self._check_port()
        token = ensure_token(self._paths)
        self._start_git()
        self._start_agent()
        client = self._start_lab(token)
        self._await_course(client)
        self._lock.note(client.url)
        say()
        say(f"Ready after {time.monotonic() - begun:.1f} s. Open this in a browser:")
        say()
        say(f"    {client.url}")
        say()
        for line in self._suggestions():
            say(line)
        say("Ctrl-C stops everything.")

    # The steps, in the order of their lines

    def _check_port(self) -> None:
        port = self._options.port
        if port is not None and not is_free(port):
            raise DemoError(
                f"Port {port} cannot be used: another program listens there, or it needs root. "
                "Give another one with --port, or leave it out to get a free one."
            )

    def _start_git(self) -> None:
        begun = time.monotonic()
        repository = self._paths.git / f"{course_repository.NAME}.git"
        if not repository.is_dir():
            say("      making the course and its data; only the first time, some seconds ...")
        try:
            course = course_repository.ensure(self._paths.git, stations=self._options.stations)
            port = free_port(self._ports.git)
            self._git = GitServer(self._paths.git, port, on_access=self._log_access)
        except (GitServerError, course_repository.CourseError) as err:
            raise DemoError(f"The git server did not start. {err}") from err
        self._ports = replace(self._ports, git=port)
        url = self._git.url(course_repository.NAME)
        self._redirect_clone(url)
        lab.write_settings(self._paths, url)
        made = f", made the course ({course.commit[:10]})" if course.built else ""
        _step(1, "git server", url + made, begun)

    def _log_access(self, access: Access) -> None:
        line = f"{access.method} {access.target} {access.status} {access.sent_bytes}"
        with (self._paths.logs / "git.log").open("a", encoding="utf-8") as log:
            log.write(f"{line} {access.seconds:.3f} {access.problem or ''}".rstrip() + "\n")

    def _redirect_clone(self, url: str) -> None:
        """The port of the last start may be taken: then tell the clone that we made about it."""
        clone = self._paths.work / course_repository.NAME
        if (clone / ".git").is_dir():
            env = lab.environment(self._paths, os.environ, None)
            subprocess.run(
                ["git", "remote", "set-url", "origin", url],
                cwd=clone,
                env=env,
                capture_output=True,
                check=False,  # a clone that a student took apart is for the pull to judge
            )

    def _start_agent(self) -> None:
        mode = self._options.agent_mode
        if mode is None:
            _step(2, "node agent", "left out (--no-agent)")
            return
        begun = time.monotonic()
        port = free_port(self._ports.agent, agent.DEFAULT_PORT)
        self._ports = replace(self._ports, agent=port)
        child = Child(
            "node agent",
            agent.command(port, mode, agent.node_socket(self._paths.node_socket)),
            log=self._paths.logs / "agent.log",
            cwd=lab.CHECKOUT,
            env=agent.environment(dict(os.environ)),
        )
        self._agent = child
        self._remember()
        line = self._wait(child, lambda: agent.describe(port), AGENT_READY_SECONDS)
        if line is None:
            self._lose_agent("did not start" if child.exit_status is not None else "is silent")
            _step(2, "node agent", "not running; the rest works without it", begun)
        else:
            _step(2, "node agent", f"{agent.url(port)}  {line}", begun)

    def _lose_agent(self, what: str) -> None:
        assert self._agent is not None
        say(f"The node agent {what}. The end of its log, {self._agent.log}:")
        for line in self._agent.last_lines():
            say(f"  | {line}")
        self._agent.stop(AGENT_STOP_SECONDS, self._signals.hurry)
        self._agent = None
        self._remember()

    def _start_lab(self, token: str) -> lab.LabClient:
        begun = time.monotonic()
        port = self._options.port or free_port(self._ports.lab, *LAB_PORTS)
        self._ports = replace(self._ports, lab=port)
        write_ports(self._paths, self._ports)
        agent_url = self._agent_for_lab()
        child = Child(
            "JupyterLab",
            lab.command(port),
            log=self._paths.logs / "lab.log",
            cwd=self._paths.work,
            env=lab.environment(self._paths, os.environ, agent_url),
        )
        self._lab = child
        self._remember()
        client = lab.LabClient(port, token)
        if self._wait(child, lambda: client.answers() or None, LAB_READY_SECONDS) is None:
            raise self._lab_failure("did not start")
        features = client.features()
        if features is None:
            bundle = "WITHOUT the bundle: its server extension does not answer"
        else:
            failed = [name for name, state in features.items() if state == "failed"]
            bundle = f"with the bundle{', failed: ' + ', '.join(failed) if failed else ''}"
        installed = (
            ""
            if lab.is_installed()
            else ", not installed in this environment: no applications (type: make demo)"
        )
        _step(3, "JupyterLab", f"{client.base}  {bundle}{installed}", begun)
        return client

    def _agent_for_lab(self) -> str | None:
        """The socket, on which the agent knows who asks; people look at its page."""
        if self._agent is None or self._ports.agent is None:
            return None
        node = agent.node_socket(self._paths.node_socket)
        return agent.url(self._ports.agent).rstrip("/") if node is None else f"unix://{node}"

    def _lab_failure(self, what: str) -> DemoError:
        assert self._lab is not None
        end = "\n".join(f"  | {line}" for line in self._lab.last_lines())
        return DemoError(f"JupyterLab {what}. The end of its log, {self._lab.log}:\n{end}")

    def _await_course(self, client: lab.LabClient) -> None:
        begun = time.monotonic()
        assert self._lab is not None

        def settled() -> dict[str, Any] | None:
            course = client.course()
            if course is None:
                return {"state": "unknown"}
            return course if course.get("state") not in ("waiting", "pulling") else None

        course = self._wait(self._lab, settled, COURSE_READY_SECONDS)
        if self._lab.exit_status is not None:
            raise self._lab_failure("ended")
        state = "pulling" if course is None else str(course["state"])
        if state == "up_to_date":
            text = f"pulled into {course_repository.NAME}/"
        elif state == "unknown":
            text = "not pulled: the server extension shows no course"
        elif state == "pulling":
            text = "still being pulled; see Courses in the left side bar"
        else:
            assert course is not None
            text = f"{state}: {course.get('message')} {course.get('fix') or ''}".rstrip()
        _step(4, "course", text, begun)
        for app in client.applications():
            if not app.get("available"):
                say(
                    f"      {app.get('title')}: {app.get('reason')} {app.get('fix') or ''}".rstrip()
                )

    def _suggestions(self) -> list[str]:
        python = Path(sys.executable)
        if python.is_relative_to(lab.CHECKOUT):
            python = python.relative_to(lab.CHECKOUT)
        publish = f"{python} -m demo publish-update"
        if self._options.state.resolve() != lab.CHECKOUT / ".demo":
            publish += f" --state {self._options.state}"
        course = course_repository.NAME
        lines = [
            "Try this:",
            f"  * Launcher, Applications, OpenRefine: upload {course}/data/stations.csv from "
            f"{self._paths.work}",
            f"  * Open {course}/03-pandas.ipynb, Run All Cells, and watch the memory at the bottom",
            f"  * Be the teacher, in a second terminal: {publish}\n"
            '    then Courses in the left side bar, "Pull now": see what changed',
        ]
        if self._agent is not None and self._ports.agent is not None:
            lines.append(f"  * See the memory that this node saves: {agent.url(self._ports.agent)}")
        return lines

    def _wait(self, child: Child, ask: Callable[[], T | None], seconds: float) -> T | None:
        """The first answer; None when the child ended or the time is over."""
        deadline = time.monotonic() + seconds
        while child.exit_status is None and time.monotonic() < deadline:
            answer = ask()
            if answer is not None:
                return answer
            self._signals.pause()
        return None

    def _keep(self) -> None:
        """Stay until a signal, or until JupyterLab ends by itself."""
        assert self._lab is not None
        while self._lab.exit_status is None:
            if self._agent is not None and self._agent.exit_status is not None:
                self._lose_agent("ended; the rest works on without it")
            self._signals.pause()
        if self._lab.exit_status != 0:
            raise self._lab_failure("ended by itself")
        say("JupyterLab was shut down from its menu.")

    def _remember(self) -> None:
        remember(self._paths.children, [c for c in (self._agent, self._lab) if c is not None])

    def _stop(self) -> None:
        """JupyterLab first, that applications may save; then KSM is put back; git last."""
        if self._signals.count:
            say("\nStopping.")
        if self._lab is not None:
            by_itself = self._lab.stop(LAB_STOP_SECONDS, self._signals.hurry)
            say(f"JupyterLab and its kernels {'ended' if by_itself else 'were killed'}.")
        if self._agent is not None:
            # In haste as well: what it has to do takes milliseconds, and a kill would leave KSM.
            self._agent.stop(AGENT_STOP_SECONDS, lambda: False)
            if self._agent.exit_status == 0:
                say("The node agent ended; KSM is as it was found.")
            else:
                say(
                    f"The node agent failed at its end; see {self._agent.log}. "
                    "To put KSM back: samepage-agent restore, or start the demo again."
                )
        if self._git is not None:
            self._git.close()
            say("The git server ended.")
        end_descendants(ORPHANS_STOP_SECONDS)
        self._paths.children.unlink(missing_ok=True)


def _step(number: int, name: str, text: str, begun: float | None = None) -> None:
    seconds = "" if begun is None else f"  {time.monotonic() - begun:.1f} s"
    say(f"[{number}/{STEPS}] {name:<11} {text}{seconds}")


def publish(state: Path) -> int:
    """Commit the teacher's next change to the course of this state folder; the exit status."""
    try:
        update = course_repository.publish_update(Paths(state=state.resolve()).git)
    except course_repository.CourseError as err:
        say(str(err))
        return 1
    say(f"Published week {update.number} ({update.commit[:10]}): {', '.join(update.files)}")
    say('Now, in JupyterLab: Courses in the left side bar, "Pull now".')
    return 0
