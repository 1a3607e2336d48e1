"""`samepage-agent run`: puts the parts together and runs them until a signal."""

import asyncio
import ctypes
import logging
import os
import signal
import socket
import time
from collections.abc import Mapping

from nodeagent import __version__
from nodeagent.config import Address, AgentConfig, resolve_paths
from nodeagent.coursecache.folder import CacheFolder
from nodeagent.coursecache.keeper import CourseKeeper
from nodeagent.coursecache.pace import Pace
from nodeagent.coursecache.sources import configured
from nodeagent.donors.follow import follow
from nodeagent.donors.keep import DonorKeeper, DonorPlan
from nodeagent.errors import AgentError
from nodeagent.gpu.build import build_monitor
from nodeagent.gpu.model import GpuReader, NoGpus
from nodeagent.gpu.publish.start import publishing
from nodeagent.history import History
from nodeagent.host import read_boot_id
from nodeagent.http.app import (
    PRIVATE_SOCKET,
    bind,
    bind_node_socket,
    bind_private,
    build_app,
    build_private_app,
    serve,
)
from nodeagent.http.peers import Peers
from nodeagent.http.private import read_token
from nodeagent.kernels.switches import Switches
from nodeagent.ksm.control import KsmController
from nodeagent.ksm.decide import KsmPolicy
from nodeagent.ksm.lock import KsmLock
from nodeagent.ksm.sources import facts_of
from nodeagent.ksm.spending import SpendingFile
from nodeagent.ksm.state import StateFile
from nodeagent.ksm.sysfs import KsmDir
from nodeagent.loop import TICK_SECONDS, Agent
from nodeagent.preflight import choose_mode

log = logging.getLogger("nodeagent.run")

_PR_SET_PDEATHSIG = 1
_LOCAL = Address(host="127.0.0.1", port=0)
"""A socket has no host name of its own: its clients send localhost."""


def stop_with_parent(parent: int) -> None:
    """Have the kernel send SIGTERM when the parent ends; at once if `parent` has ended already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise AgentError(
            f"Cannot ask to stop with the parent: {os.strerror(ctypes.get_errno())}",
            fix="Leave --exit-with-parent out.",
        )
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def run(config: AgentConfig, env: Mapping[str, str], *, parent: int) -> int:
    """Blocks until SIGTERM or SIGINT; 0. Raises AgentError when it cannot start."""
    state_dir, lock_file = resolve_paths(config, env)
    # The address first: a second agent on the same one must not touch KSM.
    sockets = bind(config.listen)
    private: list[socket.socket] = []
    node_socket: list[socket.socket] = []
    lock = KsmLock(lock_file)
    ksm = KsmDir(config.sys_root, dry_run=config.dry_run)
    try:
        token = None if config.token_file is None else read_token(config.token_file)
        choice = choose_mode(config, ksm, lock, state_dir)
        boot_id = read_boot_id(config.proc_root)
        controller = KsmController(
            ksm=ksm,
            facts=facts_of(config, ksm),
            state=StateFile(state_dir, boot_id=boot_id, sys_root=config.sys_root),
            spending=SpendingFile(state_dir, boot_id=boot_id),
            lock=lock,
            policy=KsmPolicy(
                cpu_budget=config.cpu_budget,
                pressure_cpu_budget=config.pressure_cpu_budget,
                burst_cpu=config.burst_cpu,
                burst_bytes=config.burst_bytes,
                verify_interval=config.verify_interval,
                tick=min(TICK_SECONDS, config.interval),
                limit_guard=config.limit_guard == "hold",
                uninvited_stop=config.uninvited == "hold",
            ),
            mode=choice.mode,
            mode_why=choice.why,
            mode_problem=choice.problem,
            clock=time.monotonic,
        )
        gpus: GpuReader = build_monitor(config, env) if config.gpu else NoGpus()
        agent = Agent(
            ksm=controller,
            gpus=gpus,
            history=History(hours=config.history_hours),
            proc=config.proc_root,
            interval=config.interval,
            version=__version__,
            node=os.uname().nodename,
            switches=Switches(merge=config.merge, align=config.align),
        )
        port = sockets[0].getsockname()[1]
        log.info(
            "samepage-agent %s on http://%s:%d, mode %s: %s%s",
            __version__,
            config.listen.host,
            port,
            choice.mode,
            choice.why,
            " (dry run)" if config.dry_run else "",
        )
        if (opened_private := bind_private(state_dir)) is not None:
            private.append(opened_private)
        if config.node_socket is not None:
            node_socket.append(bind_node_socket(config.node_socket))
        asyncio.run(_serve(agent, config, env, sockets, private, node_socket, token, parent))
    finally:
        lock.release()
        for opened in (*sockets, *private, *node_socket):
            opened.close()
        if node_socket and config.node_socket is not None:
            config.node_socket.unlink(missing_ok=True)
        if private:
            (state_dir / PRIVATE_SOCKET).unlink(missing_ok=True)
    return 0


def _course_keeper(config: AgentConfig, env: Mapping[str, str]) -> CourseKeeper | None:
    if config.course_cache is None:
        return None
    return CourseKeeper(
        folder=CacheFolder(path=config.course_cache),
        sources=lambda: configured(config),
        pace=Pace(interval=config.course_cache_interval),
        retention=config.course_cache_retention * 86_400,
        env=env,
    )


def _donors(config: AgentConfig, env: Mapping[str, str]) -> DonorKeeper | None:
    if not config.donor_command:
        return None
    plan = DonorPlan(command=config.donor_command, env=env, warm_seconds=config.donor_warm)
    return DonorKeeper(plan)


async def _serve(
    agent: Agent,
    config: AgentConfig,
    env: Mapping[str, str],
    sockets: list[socket.socket],
    private: list[socket.socket],
    node_socket: list[socket.socket],
    token: str | None,
    parent: int,
) -> None:
    stop = asyncio.Event()
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stop.set)
    if config.exit_with_parent:
        stop_with_parent(parent)
    keeper = _course_keeper(config, env)
    app = build_app(
        agent, listen=config.listen, allow_host=config.allow_host, courses=keeper, token=token
    )
    servers = [serve(app, sockets)]
    if private:
        servers.append(serve(build_private_app(agent, listen=config.listen), private))
    if node_socket:
        # Without the operator's pages, token or not: students' containers have this socket.
        peers = Peers()
        servers.append(serve(build_app(agent, listen=_LOCAL, peers=peers), node_socket, peers))
    donors = _donors(config, env)
    tasks = []
    if donors is not None:
        tasks.append(asyncio.create_task(donors.run(stop)))
        tasks.append(asyncio.create_task(follow(agent.donor_restarts, donors, stop)))
    if (publish := publishing(config, env, agent.gpu_monitor, stop)) is not None:
        tasks.append(asyncio.create_task(publish))
    keeping = None if keeper is None else asyncio.create_task(keeper.run(stop))
    try:
        await agent.run(stop)
    finally:
        stop.set()
        if keeping is not None:
            await asyncio.gather(keeping, return_exceptions=True)
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in servers:
            server.stop()
            await server.close_all_connections()
    log.info("stopped")
