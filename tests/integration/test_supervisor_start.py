"""Starting: readiness, early exits, crash loops, ports of other people."""

import asyncio
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serverproxy.errors import AppError
from serverproxy.supervisor.errors import AppFailed, AppTimeout
from serverproxy.supervisor.spec import (
    AppPolicy,
    Endpoint,
    LaunchSpec,
    TcpEndpoint,
    UnixEndpoint,
)
from serverproxy.supervisor.state import AppState, Phase
from tests.integration.supervisor_apps import (
    PYTHON,
    alive,
    eventually,
    fetch,
    pids_in,
    serving,
    short_folder,
    spec,
    supervisor,
    until,
)

POLICY = AppPolicy(stop_grace_s=3, ready_timeout_s=15)
NOBODY = 65534


def test_readiness_is_noticed_soon_after_the_first_answer(tmp_path: Path) -> None:
    async def body() -> None:
        async with supervisor() as one:
            listening = tmp_path / "listening"
            app = one.add("web", POLICY, serving(delay=1.0, listening=str(listening)))
            late: list[float] = []
            # A poll that is too slow is late each time; a busy machine only now and then.
            while len(late) < 4 and not any(seconds <= 0.3 for seconds in late):
                listening.unlink(missing_ok=True)
                assert (await app.ensure_started()).state is AppState.STARTING
                endpoint = await app.wait_ready(15)
                late.append(time.time() - float(listening.read_text()))
                assert (await fetch(endpoint)).startswith(b"HTTP/1.1 404")
                await app.stop()
            assert min(late) <= 0.3
            usual = app.status.usual_ready_s
            assert usual is not None
            assert usual >= 1

    asyncio.run(body())


def test_the_phases_of_a_start_are_told() -> None:
    async def body() -> None:
        async with supervisor() as one:
            app = one.add("web", POLICY, serving())
            phases: list[Phase] = []
            one.subscribe(lambda status: phases.append(status.phase))
            await app.ensure_started()
            await app.wait_ready(15)
            order = [Phase.CHECKING, Phase.LAUNCHING, Phase.WAITING, Phase.NONE]
            assert [phase for phase in phases if phase in order][-4:] == order
            status = app.status
            assert status.state is AppState.READY
            assert status.started_at is not None
            assert status.ready_at is not None
            assert status.ready_at >= status.started_at
            assert await app.measure_memory() is not None
            assert app.status.memory_bytes is not None

    asyncio.run(body())


def test_an_application_that_thinks_before_it_answers_is_ready(tmp_path: Path) -> None:
    async def body() -> None:
        async with supervisor() as one:
            app = one.add("web", POLICY, serving(think=2.5))
            await app.ensure_started()
            await app.wait_ready(15)

    asyncio.run(body())


def test_many_callers_start_one_process(tmp_path: Path) -> None:
    async def body() -> None:
        async with supervisor() as one:
            app = one.add("web", POLICY, serving(starts=str(tmp_path / "starts")))
            await asyncio.gather(*(app.ensure_started() for _ in range(20)))
            await asyncio.gather(*(app.wait_ready(15) for _ in range(20)))
            assert len(pids_in(tmp_path / "starts")) == 1

    asyncio.run(body())


def test_an_early_exit_is_noticed_at_once_with_its_last_lines() -> None:
    async def body() -> None:
        async with supervisor() as one:
            say = ["first", "\x1b[31mOSError: [Errno 98] Address already in use\x1b[0m"]
            app = one.add("web", POLICY, serving(exit=3, say=say), title="Web")
            await app.ensure_started()
            began = time.monotonic()
            with pytest.raises(AppFailed) as caught:
                await app.wait_ready(15)
            assert time.monotonic() - began < 1.5
            failure = caught.value.status.failure
            assert failure is not None
            assert (failure.code, failure.exit_code) == ("address_in_use", 3)
            assert failure.log_tail[-1] == "OSError: [Errno 98] Address already in use"

    asyncio.run(body())


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["no-such-command-anywhere"], "command_not_found"),
        (["/etc/passwd"], "permission_denied"),
        (["sh", "-c", "no-such-command-anywhere"], "command_not_found"),
        (["sh", "-c", "kill -9 $$"], "killed"),
        (["sh", "-c", "exit 0"], "exited_early"),
        (["bad\0name"], "launch_failed"),
        (
            ["sh", "-c", "echo java.lang.OutOfMemoryError: Java heap >&2; exit 1"],
            "java_out_of_memory",
        ),
    ],
)
def test_failures_have_a_code(argv: list[str], code: str) -> None:
    async def body() -> None:
        async with supervisor() as one:
            app = one.add("web", POLICY, lambda endpoint: spec(endpoint, argv))
            await app.ensure_started()
            status = await until(app, AppState.FAILED)
            assert status.failure is not None
            assert status.failure.code == code
            assert status.pid is None

    asyncio.run(body())


def test_an_error_of_the_definition_is_shown_as_it_is() -> None:
    async def body() -> None:
        async with supervisor() as one:

            def refuse(endpoint: Endpoint) -> LaunchSpec:
                raise AppError("no_r", "There is no R.", "Install R.")

            def break_down(endpoint: Endpoint) -> LaunchSpec:
                raise KeyError("port")

            for name, make, code in (
                ("a", refuse, "no_r"),
                ("b", break_down, "launch_failed"),
            ):
                app = one.add(name, POLICY, make)
                await app.ensure_started()
                status = await until(app, AppState.FAILED)
                assert status.failure is not None
                assert status.failure.code == code

    asyncio.run(body())


def test_a_crash_loop_ends_after_three_starts(tmp_path: Path) -> None:
    async def body() -> None:
        async with supervisor() as one:
            starts = tmp_path / "starts"
            app = one.add("web", POLICY, serving(exit=1, starts=str(starts)))
            for _ in range(30):  # an impatient person, and pages that ask by themselves
                await app.retry()
                await app.ensure_started()
                await until(app, AppState.FAILED)
            assert len(pids_in(starts)) == 3
            status = app.status
            assert status.starts_in_window == 3
            failure = status.failure
            assert failure is not None
            assert (failure.code, failure.cause) == ("crash_loop", "exited_early")
            assert failure.retry_at is not None
            assert 50 < failure.retry_at - time.time() <= 60
            assert "hello" in failure.log_tail

    asyncio.run(body())


def test_after_the_window_another_start_is_possible(tmp_path: Path) -> None:
    async def body() -> None:
        async with supervisor() as one:
            policy = AppPolicy(max_starts=1, window_s=1)
            app = one.add("web", policy, serving(exit=1, starts=str(tmp_path / "starts")))
            await app.retry()
            await until(app, AppState.FAILED)
            assert len(pids_in(tmp_path / "starts")) == 1

            async def twice() -> None:
                while len(pids_in(tmp_path / "starts")) < 2:
                    await app.retry()
                    await asyncio.sleep(0.05)

            await asyncio.wait_for(twice(), 5)

    asyncio.run(body())


def test_no_answer_in_time_stops_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with supervisor() as one:
            starts = tmp_path / "starts"
            policy = AppPolicy(ready_timeout_s=1, stop_grace_s=2)
            app = one.add("web", policy, serving(delay=60, starts=str(starts)))
            await app.ensure_started()
            with pytest.raises(AppTimeout):
                await app.wait_ready(0.2)
            status = await until(app, AppState.FAILED)
            assert status.failure is not None
            assert status.failure.code == "start_timeout"
            assert not any(alive(pid) for pid in pids_in(starts))

    asyncio.run(body())


def test_a_definition_that_hangs_is_given_up_and_can_be_cancelled() -> None:
    async def body() -> None:
        async with supervisor() as one:

            async def forever(endpoint: Endpoint) -> LaunchSpec:
                await asyncio.sleep(600)
                raise AssertionError

            late = one.add("late", AppPolicy(ready_timeout_s=0.3), forever)
            await late.ensure_started()
            assert (await until(late, AppState.FAILED)).state is AppState.FAILED
            cancelled = one.add("cancelled", POLICY, forever)
            await cancelled.ensure_started()
            status = await cancelled.cancel()
            assert (status.state, status.why) == (AppState.STOPPED, "cancelled")
            assert status.starts_in_window == 0
            with pytest.raises(AppFailed):
                await cancelled.wait_ready(1)

    asyncio.run(body())


def test_a_unix_socket_lies_in_a_private_folder_that_goes_with_it() -> None:
    async def body() -> None:
        async with supervisor() as one:
            app = one.add(
                "a name/with *odd* characters and quite long" * 4,
                POLICY,
                serving(),
                endpoint="unix",
            )
            await app.ensure_started()
            endpoint = await app.wait_ready(15)
            assert isinstance(endpoint, UnixEndpoint)
            assert stat.S_IMODE(endpoint.path.parent.stat().st_mode) == 0o700
            assert await fetch(endpoint)
            assert await app.owns_endpoint()
            await app.restart()
            again = await app.wait_ready(15)
            assert again != endpoint
            assert not endpoint.path.parent.exists()

    asyncio.run(body())


def test_the_application_gets_no_descriptor_and_no_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "very-secret")
    monkeypatch.setenv("GITHUB_TOKEN", "the-users-own")
    seen = tmp_path / "seen"
    script = (
        "import os; open(os.environ['SEEN'], 'w').write("
        "repr([os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') "
        "if os.path.lexists(f'/proc/self/fd/{n}')]) + chr(10) + repr(dict(os.environ)))"
    )

    async def body() -> None:
        async with supervisor() as one:

            def make(endpoint: Endpoint) -> LaunchSpec:
                made = spec(endpoint, [*PYTHON, "-c", script])
                return LaunchSpec(
                    argv=made.argv, env={**made.env, "SEEN": str(seen)}, endpoint=endpoint
                )

            app = one.add("web", POLICY, make)
            opened, writing = os.pipe()
            os.set_inheritable(writing, True)  # careless code elsewhere in the server
            await app.ensure_started()
            await until(app, AppState.FAILED)
            os.close(opened)
            os.close(writing)

    asyncio.run(body())
    descriptors, environment = seen.read_text().split("\n")
    assert "pipe:" not in descriptors
    assert "very-secret" not in environment
    assert "the-users-own" in environment


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become another user")
@pytest.mark.parametrize("other", [NOBODY, None], ids=["another user", "another program"])
def test_a_port_that_somebody_else_holds_gets_nothing(tmp_path: Path, other: int | None) -> None:
    squatter = (
        # Root's interpreter may lie where the other user cannot reach it: become him afterwards.
        "import os, socket, sys; sys.argv[1:] and os.setuid(int(sys.argv[1]));"
        "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen();"
        "print(s.getsockname()[1], flush=True); p, _ = s.accept(); print(p.recv(99), flush=True)"
    )

    async def body(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        async with supervisor() as one:
            # It neither listens nor ends: only the squatter answers.
            app = one.add("web", POLICY, serving(delay=60), endpoint=TcpEndpoint(port=port))
            await app.ensure_started()
            status = await until(app, AppState.FAILED)
            assert status.failure is not None
            assert status.failure.code == "port_taken"
            assert status.ready_at is None
            # It would collide: the exit is explained by the squatter too.
            clash = one.add("clash", POLICY, serving(), endpoint=TcpEndpoint(port=port))
            await clash.ensure_started()
            status = await until(clash, AppState.FAILED)
            assert status.failure is not None
            assert status.failure.code in {"port_taken"}
        assert process.poll() is None  # it never got a byte

    with subprocess.Popen(
        [*PYTHON, "-c", squatter, *([str(other)] if other else [])],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            asyncio.run(body(process))
        finally:
            process.kill()


def test_the_event_loop_stays_free() -> None:
    async def worst_lag() -> float:
        async with supervisor() as one:
            worst = 0.0
            going = True

            async def measure() -> None:
                nonlocal worst
                while going:
                    before = time.perf_counter()
                    await asyncio.sleep(0.005)
                    worst = max(worst, time.perf_counter() - before - 0.005)

            def slow(endpoint: Endpoint) -> LaunchSpec:
                time.sleep(0.3)  # a third-party entry that runs `program --version`
                return serving()(endpoint)

            app = one.add("web", POLICY, serving(delay=0.3, chat=200_000))
            second = one.add("slow", POLICY, slow)
            probe = asyncio.create_task(measure())
            await asyncio.gather(app.ensure_started(), second.ensure_started())
            await asyncio.gather(app.wait_ready(15), second.wait_ready(15))
            await one.measure_memory()
            await app.restart()
            await app.wait_ready(15)
            await one.stop_all()
            going = False
            await probe
            return worst

    # What blocks the loop does so each time; a busy machine delays it now and then.
    lags: list[float] = []
    while len(lags) < 5 and not any(lag < 0.05 for lag in lags):
        lags.append(asyncio.run(worst_lag()))
    assert min(lags) < 0.05


def test_the_core_needs_neither_jupyter_nor_tornado() -> None:
    script = (
        "import pkgutil, importlib, sys, serverproxy.supervisor as s\n"
        "names = [m.name for m in pkgutil.iter_modules(s.__path__)]\n"
        "[importlib.import_module(f'{s.__name__}.{name}') for name in names]\n"
        "bad = [m for m in sys.modules if m.split('.')[0].startswith(('jupyter', 'tornado', "
        "'traitlets', 'aiohttp', 'labext', 'nodeagent'))]\n"
        "sys.exit(repr(bad) if bad else 0)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=root, check=True)


def test_usual_start_times_survive_the_server() -> None:
    async def start(folder: Path) -> float | None:
        from serverproxy.supervisor.supervisor import Supervisor

        one = Supervisor(base=folder / "apps", start_times_file=folder / "starts.json")
        app = one.add("web", POLICY, serving())
        try:
            await app.ensure_started()
            usual = None
            await eventually(lambda: app.status.phase is Phase.WAITING or app.status.running)
            if not app.status.running:
                usual = app.status.usual_ready_s
            await app.wait_ready(15)
            await eventually((folder / "starts.json").exists)
            return usual
        finally:
            await one.close(grace_s=2)

    with short_folder() as folder:
        asyncio.run(start(folder))
        assert asyncio.run(start(folder)) is not None
