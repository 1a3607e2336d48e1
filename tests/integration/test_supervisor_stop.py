"""Stopping: saving, killing, background commands, idling, logs."""

import asyncio
import os
import signal
import stat
import time
from pathlib import Path

import pytest

from serverproxy.supervisor.spec import AppPolicy, Endpoint, LaunchSpec, UnixEndpoint
from serverproxy.supervisor.state import AppState, AppStatus, Phase
from tests.integration.supervisor_apps import (
    alive,
    command,
    eventually,
    fetch,
    marked,
    pids_in,
    serving,
    spec,
    supervisor,
    until,
)

POLICY = AppPolicy(stop_grace_s=5, ready_timeout_s=15)


def test_an_application_gets_its_time_to_save(tmp_path: Path) -> None:
    async def body() -> None:
        async with supervisor() as one:
            saved = tmp_path / "saved"
            app = one.add("web", POLICY, serving(save=str(saved), save_s=2))
            await app.ensure_started()
            await app.wait_ready(15)
            phases: list[tuple[AppState, Phase]] = []
            one.subscribe(lambda status: phases.append((status.state, status.phase)))
            status = await app.stop()
            assert saved.read_text().endswith("done\n")
            assert (status.state, status.why) == (AppState.STOPPED, "stopped")
            assert phases == [
                (AppState.STOPPING, Phase.SAVING),
                (AppState.STOPPED, Phase.NONE),
            ]

    asyncio.run(body())


def test_one_that_does_not_listen_is_killed_after_its_grace(tmp_path: Path) -> None:
    async def body() -> None:
        async with supervisor() as one:
            starts = tmp_path / "starts"
            policy = AppPolicy(stop_grace_s=1)
            app = one.add("web", policy, serving(deaf=True, helper=True, starts=str(starts)))
            await app.ensure_started()
            await app.wait_ready(15)
            began = time.monotonic()
            await app.stop()
            assert 1 <= time.monotonic() - began < 2.5
            assert not any(alive(pid) for pid in pids_in(starts))

    asyncio.run(body())


def test_nothing_is_left_of_a_wrapper_and_its_children(tmp_path: Path) -> None:
    """As Debian's `refine`: a shell that does not exec, and a server with a helper."""

    async def body() -> None:
        async with supervisor() as one:
            starts = tmp_path / "starts"

            def make(endpoint: Endpoint) -> LaunchSpec:
                inner = command(endpoint, {"helper": True, "starts": str(starts)})
                return spec(endpoint, ["sh", "-c", '"$@"; exit $?', "refine", *inner])

            before = marked()
            app = one.add("web", POLICY, make)
            await app.ensure_started()
            await app.wait_ready(15)
            assert len(marked() - before) == 3
            await app.stop()
            assert marked() - before == set()

    asyncio.run(body())


@pytest.mark.parametrize("endpoint", ["tcp", "unix"])
def test_a_command_that_goes_to_the_background_is_followed(tmp_path: Path, endpoint: str) -> None:
    async def body() -> None:
        async with supervisor() as one:
            starts = tmp_path / "starts"
            app = one.add(
                "web",
                POLICY,
                serving(daemon=True, starts=str(starts)),
                endpoint="unix" if endpoint == "unix" else "tcp",
            )
            await app.ensure_started()
            where = await app.wait_ready(15)
            daemon = pids_in(starts)[-1]
            await eventually(lambda: app.status.pid == daemon)
            assert await app.owns_endpoint()
            await asyncio.sleep(1.2)  # several looks at it: it stays
            assert app.status.state is AppState.READY
            if isinstance(where, UnixEndpoint):
                os.kill(daemon, signal.SIGKILL)
                await until(app, AppState.STOPPED)
            else:
                await app.stop()
            assert not alive(daemon)

    asyncio.run(body())


def test_a_clean_exit_can_be_opened_again_elsewhere() -> None:
    async def body() -> None:
        async with supervisor() as one:
            app = one.add("web", POLICY, serving())
            await app.ensure_started()
            first = await app.wait_ready(15)
            await fetch(first, "/quit/0")
            status = await until(app, AppState.STOPPED)
            assert status.failure is None
            assert status.endpoint is None
            await app.ensure_started()
            assert await app.wait_ready(15) != first

    asyncio.run(body())


def test_a_crash_while_running_is_a_failure_and_rests(tmp_path: Path) -> None:
    async def body() -> None:
        async with supervisor() as one:
            starts = tmp_path / "starts"
            app = one.add("web", POLICY, serving(starts=str(starts)))
            await app.ensure_started()
            endpoint = await app.wait_ready(15)
            began = time.monotonic()
            await fetch(endpoint, "/quit/7")
            status = await until(app, AppState.FAILED)
            assert time.monotonic() - began < 1
            assert status.failure is not None
            assert (status.failure.code, status.failure.exit_code) == ("crashed", 7)
            assert (await app.ensure_started()).state is AppState.FAILED  # it rests
            assert len(pids_in(starts)) == 1
            assert (await app.retry()).state is AppState.STARTING
            await app.wait_ready(15)

    asyncio.run(body())


def test_stop_while_starting_and_start_while_stopping(tmp_path: Path) -> None:
    async def body() -> None:
        async with supervisor() as one:
            starts, saved = tmp_path / "starts", tmp_path / "saved"
            app = one.add(
                "web", POLICY, serving(delay=0.5, starts=str(starts), save=str(saved), save_s=1)
            )
            await app.ensure_started()
            await eventually(lambda: app.status.phase is Phase.WAITING)
            assert (await app.stop()).state is AppState.STOPPED
            assert not any(alive(pid) for pid in pids_in(starts))

            await app.ensure_started()
            await app.wait_ready(15)
            stopping = asyncio.create_task(app.stop())
            await until(app, AppState.STOPPING)
            assert (await app.ensure_started()).state is AppState.STOPPING
            await app.wait_ready(15)  # it comes back by itself
            await stopping
            assert saved.read_text().endswith("done\n")

            racing = [app.restart(), app.stop(), app.ensure_started(), app.cancel(), app.stop()]
            await asyncio.gather(*racing)
            await app.stop()
            assert not any(alive(pid) for pid in pids_in(starts))

    asyncio.run(body())


def test_an_unused_application_shows_idle_and_then_stops() -> None:
    async def body() -> None:
        async with supervisor() as one:
            policy = AppPolicy(idle_after_s=2.0, idle_shown_after_s=0.5, stop_grace_s=2)
            app = one.add("web", policy, serving())
            await app.ensure_started()
            await app.wait_ready(15)
            await until(app, AppState.IDLE)
            app.touch()
            await until(app, AppState.READY)
            touched = time.monotonic()
            app.touch(time.time() - 1000)  # old news
            status = await until(app, AppState.STOPPED)
            assert status.why == "idle"
            assert 1.9 <= time.monotonic() - touched < 4
            assert status.starts_in_window == 0

    asyncio.run(body())


def test_a_chatty_application_fills_nothing() -> None:
    async def body() -> None:
        async with supervisor() as one:
            policy = AppPolicy(log_bytes=100_000, stop_grace_s=2)
            app = one.add("web", policy, serving(chat=200_000))
            await app.ensure_started()
            await app.wait_ready(15)
            instance = one._instance
            assert instance is not None
            folder = instance.app_folder("web")
            sizes = []
            for _ in range(40):
                await asyncio.sleep(0.1)
                sizes.append(sum(file.stat().st_size for file in folder.glob("output.log*")))
            assert max(sizes) < 2 * 100_000 + 300_000
            assert (folder / "output.log.1").exists()
            for file in folder.glob("output.log*"):
                assert stat.S_IMODE(file.stat().st_mode) == 0o600
            lines = await app.read_log(5)
            assert set(lines[-1]) == {"x"}

    asyncio.run(body())


def test_a_long_poll_is_told_of_changes_only() -> None:
    async def body() -> None:
        async with supervisor() as one:
            app = one.add("web", POLICY, serving())
            version = app.status.version
            began = time.monotonic()
            assert (await app.wait_change(version, 0.2)).version == version
            assert time.monotonic() - began >= 0.2
            waiting = asyncio.create_task(app.wait_change(version, 10))
            await asyncio.sleep(0)
            await app.ensure_started()
            assert (await waiting).version > version
            await app.wait_ready(15)
            version = app.status.version
            await app.measure_memory(0)
            app.touch()
            assert app.status.version == version

    asyncio.run(body())


def test_a_closed_supervisor_starts_nothing() -> None:
    async def body() -> None:
        async with supervisor() as one:
            app = one.add("web", POLICY, serving())
            await app.ensure_started()
            await app.wait_ready(15)
            await one.close(grace_s=1)
            status = await app.ensure_started()
            assert status.state is AppState.STOPPED
            assert status.failure is not None
            assert status.failure.code == "server_stopping"

    asyncio.run(body())


def test_a_request_while_a_failure_is_cleared_away_does_not_undo_the_rest(tmp_path: Path) -> None:
    """A page that asks by itself must not start a crashing application over and over."""

    async def body() -> None:
        async with supervisor() as one:
            starts = tmp_path / "starts"
            make = serving(exit=1, exit_after=0.2, starts=str(starts))
            app = one.add("web", POLICY, make)
            asked = asyncio.Event()

            def ask(status: AppStatus) -> None:
                if status.state is AppState.STOPPING and status.failure is not None:
                    asked.set()

            one.subscribe(ask)
            await app.ensure_started()
            await asked.wait()
            assert app.status.state is AppState.STOPPING
            assert (await app.ensure_started()).state is AppState.STOPPING
            await until(app, AppState.FAILED)
            assert app.status.failure is not None
            version = app.status.version
            assert (await app.wait_change(version, 0.5)).state is AppState.FAILED
            assert len(pids_in(starts)) == 1

    asyncio.run(body())


def test_a_failure_can_be_dismissed(tmp_path: Path) -> None:
    async def body() -> None:
        async with supervisor() as one:
            starts = tmp_path / "starts"
            app = one.add("web", POLICY, serving(exit=1, starts=str(starts)))
            for count in range(1, 4):
                assert (await app.ensure_started()).state is AppState.STARTING
                await until(app, AppState.FAILED)
                status = await app.dismiss()
                assert (status.state, status.failure, status.why) == (
                    AppState.STOPPED,
                    None,
                    "dismissed",
                )
                assert len(pids_in(starts)) == count
            limited = await app.ensure_started()
            assert limited.failure is not None
            assert limited.failure.code == "crash_loop"
            running = one.add("other", POLICY, serving())
            await running.ensure_started()
            await running.wait_ready(15)
            assert (await running.dismiss()).state is AppState.READY

    asyncio.run(body())
