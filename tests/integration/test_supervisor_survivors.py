"""Nothing outlives the server: guardian, exit handler, sweep."""

import asyncio
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from serverproxy.supervisor.processes import read_row
from serverproxy.supervisor.registry import RunRecord, read_boot_id, write_record
from serverproxy.supervisor.runtime import create_instance
from serverproxy.supervisor.spec import AppPolicy
from serverproxy.supervisor.state import AppState
from serverproxy.supervisor.supervisor import Supervisor
from tests.integration.supervisor_apps import (
    PYTHON,
    alive,
    eventually,
    host,
    pids_in,
    serving,
    short_folder,
    supervisor,
    wait_until,
)


def test_after_kill_9_the_guardian_lets_it_save_and_leaves_nothing(tmp_path: Path) -> None:
    saved, starts = tmp_path / "saved", tmp_path / "starts"
    options = json.dumps(
        {"save": str(saved), "save_s": 1, "starts": str(starts), "helper": True, "daemon": True}
    )
    with short_folder() as folder, host(folder / "apps", options) as (server, _, guardian):
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        wait_until(lambda: not any(alive(pid) for pid in pids_in(starts)), 8)
        assert saved.read_text().endswith("done\n")
        wait_until(lambda: not alive(guardian))
        assert list((folder / "apps").iterdir()) == []


def test_the_guardian_kills_what_does_not_listen(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    options = json.dumps({"deaf": True, "starts": str(starts)})
    with short_folder() as folder, host(folder / "apps", options, grace_s=1) as (server, app, _):
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        began = time.monotonic()
        wait_until(lambda: not alive(app), 6)
        assert time.monotonic() - began >= 0.8


def test_the_guardian_does_not_heed_signals_of_a_shutdown() -> None:
    options = json.dumps({})
    with short_folder() as folder, host(folder / "apps", options) as (server, app, guardian):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(guardian, number)
        assert alive(guardian)
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        wait_until(lambda: not alive(app), 6)


def test_when_the_guardian_is_killed_too_the_next_server_sweeps(tmp_path: Path) -> None:
    saved, starts = tmp_path / "saved", tmp_path / "starts"
    options = json.dumps({"save": str(saved), "save_s": 1, "starts": str(starts), "helper": True})
    with short_folder() as folder, host(folder / "apps", options) as (server, app, guardian):
        os.kill(guardian, signal.SIGKILL)
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        assert alive(app)

        async def body() -> None:
            async with supervisor(folder / "apps") as one:
                # A start waits for it: two programs on one folder of projects would lose data.
                fresh = one.add("web", AppPolicy(stop_grace_s=2), serving())
                await fresh.ensure_started()
                await fresh.wait_ready(15)
                assert not alive(app)
                assert saved.read_text().endswith("done\n")
                assert [record.name for record in await one.sweep()] == ["web"]

        asyncio.run(body())
        assert list((folder / "apps").iterdir()) == []


def test_a_start_waits_for_the_guardian_of_the_killed_server(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    options = json.dumps({"save": str(saved), "save_s": 2})
    with short_folder() as folder, host(folder / "apps", options) as (server, app, _):
        os.kill(server.pid, signal.SIGKILL)
        server.wait()

        async def body() -> None:
            async with supervisor(folder / "apps") as one:
                fresh = one.add("web", AppPolicy(stop_grace_s=2), serving())
                await fresh.ensure_started()
                await fresh.wait_ready(20)
                assert not alive(app)
                assert saved.read_text().endswith("done\n")

        asyncio.run(body())


def test_a_loop_that_ends_without_close_still_lets_it_save(tmp_path: Path) -> None:
    """As Jupyter does on SIGTERM: the exit handler waits, since a container ends with us."""
    saved = tmp_path / "saved"
    options = json.dumps({"save": str(saved), "save_s": 1})
    with (
        short_folder() as folder,
        host(folder / "apps", options, then="leave") as (server, app, guardian),
    ):
        assert server.wait(15) == 0
        assert saved.read_text().endswith("done\n")
        assert not alive(app)
        assert not alive(guardian)
        assert list((folder / "apps").iterdir()) == []


def test_a_living_server_is_not_swept() -> None:
    options = json.dumps({})
    with short_folder() as folder, host(folder / "apps", options) as (_, app, guardian):

        async def body() -> None:
            async with supervisor(folder / "apps") as one:
                assert await one.sweep() == []
                assert alive(app)
                os.kill(guardian, signal.SIGKILL)  # its server alone holds the folder now
                assert alive(app)

        asyncio.run(body())
        assert alive(app)


@pytest.mark.parametrize("own_session", [True, False])
def test_a_sweep_spares_a_foreign_process_with_a_used_number(own_session: bool) -> None:
    with (
        short_folder() as folder,
        subprocess.Popen(
            [*PYTHON, "-c", "import time; time.sleep(60)"], start_new_session=own_session
        ) as foreign,
    ):
        base = folder / "apps"
        base.mkdir(mode=0o700)
        dead = create_instance(base)
        row = read_row(foreign.pid)
        assert row is not None
        for mark, starttime, boot in (
            ("a" * 32, row.starttime - 1, read_boot_id()),  # its number was ours once
            ("b" * 32, row.starttime, "another boot"),
            ("c" * 32, None, read_boot_id()),
        ):
            record = RunRecord(
                name="web",
                mark=mark,
                uid=os.getuid(),
                boot_id=boot,
                grace_s=0,
                pid=foreign.pid if starttime else None,
                starttime=starttime,
            )
            write_record(dead.folder, record)
        os.close(dead.lock)

        async def body() -> None:
            one = Supervisor(base=base, start_times_file=folder / "starts.json")
            try:
                assert len(await one.sweep()) == 3
            finally:
                await one.close()

        asyncio.run(body())
        assert foreign.poll() is None
        assert list(base.iterdir()) == []
        foreign.kill()


def test_a_killed_guardian_is_replaced() -> None:
    async def body() -> None:
        async with supervisor() as one:
            app = one.add("web", AppPolicy(stop_grace_s=2), serving())
            await app.ensure_started()
            await app.wait_ready(15)
            first = one.guardian_pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            await eventually(
                lambda: one.guardian_pid not in (None, first) and alive(one.guardian_pid or 0), 15
            )
            assert app.status.state is AppState.READY

    asyncio.run(body())
