"""The server half of Samepage as an extension of the Jupyter server: puts the parts together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_core.paths import jupyter_data_dir
from jupyter_server.extension.application import ExtensionApp

from labext.applications import Applications
from labext.config import Samepage
from labext.errors import ApiError
from labext.features import Features, Name, State
from labext.recent import Recent

if TYPE_CHECKING:
    from labext.courses.service import CourseService
    from labext.gpu import GpuView
    from labext.memory import ServerMemory
    from labext.node import NodeAnswer
    from serverproxy.jupyter.takeover import Takeover

T = TypeVar("T")
# How long the kernels' first template waits for the course manifest, which may be far away.
_COURSES_SECONDS = 15.0
# What drifts does so at a kernel's start, and the agent looks every ten seconds.
_KERNEL_NOTES_SECONDS = 10.0


class SamepageExtension(ExtensionApp):
    """Sets up each feature by itself: one that fails is logged, told by `status`, and left out."""

    name = "samepage"
    description = "Courses, applications and node status of Samepage."
    classes = [Samepage]  # noqa: RUF012 - as traitlets declares it

    def initialize_handlers(self) -> None:
        """Called once, when the server loads its extensions; its loop does not run yet."""
        assert self.serverapp is not None
        self._options = Samepage(config=self.config, log=self.log)
        self._features = Features()
        self._left_out: set[Name] = set()
        self._unsupervised = ""
        # Not the loop's own pool: a hanging disk or program must not use up the server's threads.
        self._threads = ThreadPoolExecutor(max_workers=3, thread_name_prefix="samepage")
        self._service: CourseService | None = None
        self._starting: asyncio.Task[None] | None = None
        self._spares = False
        self._sparing: asyncio.Task[None] | None = None
        self._memory: Recent[ServerMemory] | None = None
        self._node: Recent[NodeAnswer] | None = None
        self._gpu: GpuView | None = None
        self._kernel_notes: Recent[list[dict[str, Any]]] | None = None
        self._listed_apps = Recent(self._read_apps, keep_seconds=5.0)
        self._takeover: Takeover | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._set_up("courses", self._set_up_courses)
        self._set_up("applications", self._set_up_applications)
        self._set_up("kernels", self._set_up_kernels)
        self._set_up("node", self._set_up_node)
        from labext.handlers.routes import routes

        self.handlers.extend(
            routes(
                status=self.status,
                apps=self.apps,
                courses=self.courses,
                gpu=self.gpu,
            )
        )
        self.serverapp.io_loop.add_callback(self._begin)

    async def stop_extension(self) -> None:
        """End pulls with their processes, and the applications when they have saved."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._service is not None:
            await self._service.stop()
        if self._takeover is not None:
            takeover, self._takeover = self._takeover, None
            await takeover.close()
        if self._sparing is not None:
            self._sparing.cancel()
            await asyncio.gather(self._sparing, return_exceptions=True)
        if "kernels" not in self._left_out:
            from labext.kernels.spare import keeper

            await self._in_thread(keeper.close)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def status(self) -> dict[str, Any]:
        """The answer of GET status."""
        memory, answer, kernels = await asyncio.gather(
            self._read_memory(), self._ask_node(), self._kernels_to_note()
        )
        self._look_at_courses()
        self._look_at_kernels(answer.node if answer is not None else None)
        return {
            "memory": memory,
            "agent": {"state": answer.state, "message": answer.message, "fix": answer.fix}
            if answer is not None
            else {
                "state": "error",
                "message": "The node panel could not be set up; the server's log says why.",
                "fix": "Show your operator the server's log.",
            },
            "node": answer.node if answer is not None else None,
            "history": answer.history if answer is not None else None,
            "kernels": kernels,
            "features": [asdict(feature) for feature in self._features.listed()],
        }

    def apps(self) -> Applications:
        """The applications."""
        assert self.serverapp is not None
        return Applications(self._list_apps, self._takeover, Path(self.serverapp.root_dir))

    async def _list_apps(self) -> list[dict[str, Any]]:
        """What can be used here. Errors: ApiError."""
        try:
            apps = await self._listed_apps.get()
        except Exception as err:
            sentence = f"The applications could not be listed ({type(err).__name__}: {err})."
            self._fail("applications", sentence)
            raise ApiError(
                500, "apps_failed", sentence, "Show your operator the server's log."
            ) from err
        if "applications" not in self._left_out:
            usable = sum(1 for app in apps if app.get("available"))
            sentence = f"{usable} of {len(apps)} applications can be used here."
            if self._unsupervised:
                sentence = f"{sentence} {self._unsupervised}"
            self._features.report("applications", "ok", sentence)
        return apps

    def courses(self) -> CourseService:
        """The courses. Errors: ApiError when they could not be set up."""
        if self._service is None:
            raise ApiError(
                503,
                "courses_failed",
                "Courses could not be set up on this server.",
                "Show your operator the server's log.",
            )
        return self._service

    def gpu(self) -> GpuView:
        """This user's GPUs. Errors: ApiError when they could not be set up."""
        if self._gpu is None:
            raise ApiError(
                503,
                "gpu_failed",
                "The node panel could not be set up on this server.",
                "Show your operator the server's log.",
            )
        return self._gpu

    def _set_up(self, name: Name, set_up: Callable[[], None]) -> None:
        try:
            set_up()
        except Exception as err:  # noqa: BLE001 - a feature that fails must leave Lab as it was
            self._left_out.add(name)
            self._fail(name, f"It could not be set up ({type(err).__name__}: {err}).")

    def _fail(self, name: Name, sentence: str) -> None:
        self._features.report(name, "failed", sentence)
        self.log.error("Samepage %s: %s", name, sentence)

    def _set_up_courses(self) -> None:
        from labext.courses.cache import CacheSettings
        from labext.courses.manifest import Source
        from labext.courses.rooms import live_paths
        from labext.courses.service import CourseService, Timing

        assert self.serverapp is not None
        options = self._options
        self._service = CourseService(
            source=Source(
                manifest=options.courses,
                inline=options.courses_yaml,
                url=options.course_url,
                branch=options.course_branch,
                target=options.course_target,
            ),
            root=Path(self.serverapp.root_dir),
            state_dir=Path(jupyter_data_dir()) / "samepage" / "courses",
            timing=Timing(
                on_start=options.pull_on_start,
                interval=options.pull_interval_seconds,
                jitter=options.pull_jitter_seconds,
                timeout=options.pull_timeout_seconds,
                connect_timeout=options.connect_timeout_seconds,
            ),
            log=self.log,
            live=partial(live_paths, self.serverapp),
            cache=CacheSettings(
                folder=Path(options.course_cache), owner=options.course_cache_owner
            ),
        )

    def _set_up_applications(self) -> None:
        from importlib.util import find_spec

        if find_spec("serverproxy.catalog") is None:
            raise ModuleNotFoundError("serverproxy.catalog")
        assert self.serverapp is not None
        self._features.report("applications", "ok", "Applications are listed in the launcher.")
        if not self._options.supervise_apps:
            self._unsupervised = "Their supervision is switched off."
        elif not self.serverapp.jpserver_extensions.get("jupyter_server_proxy", False):
            self._unsupervised = "They do not start here: jupyter-server-proxy is not enabled."
        else:
            self._take_over_applications()

    def _take_over_applications(self) -> None:
        from jupyter_server.utils import url_path_join

        from serverproxy.jupyter.limits import Limits
        from serverproxy.jupyter.takeover import install
        from serverproxy.supervisor.gate.decision import decide, read_facts
        from serverproxy.supervisor.supervisor import Supervisor

        assert self.serverapp is not None
        options = self._options
        self._takeover = install(
            self.serverapp,
            Supervisor(),
            limits=Limits(
                ready_timeout_s=options.app_ready_timeout,
                wait_s=options.app_wait_seconds,
                stop_grace_s=options.app_stop_grace_seconds,
                idle_after_s=dict(options.app_idle_seconds),
                idle_shown_after_s=options.app_idle_shown_seconds,
                max_starts=options.app_max_starts,
                window_s=options.app_start_window_seconds,
                log_bytes=options.app_log_bytes,
                upload_bytes=options.app_upload_bytes,
                message_bytes=options.app_message_bytes,
                keep_environment=frozenset(options.app_keep_environment),
                guard_ports=decide(options.app_port_gate, read_facts(os.environ)).wanted,
                json_log=options.app_log_format == "json",
            ),
            api_url=url_path_join(self.serverapp.base_url, "samepage/api/apps"),
        )

    def _set_up_kernels(self) -> None:
        from labext.kernels.default import make_default

        assert self.serverapp is not None
        self._spares = make_default(self.serverapp) is None
        self._features.report("kernels", "ok", "Kernels that you start opt in to page merging.")
        if self._service is not None:
            from labext.kernels.courses import courses
            from labext.kernels.server_spare import kernels_of

            service, root = self._service, Path(self.serverapp.root_dir)
            courses.source = lambda: kernels_of(service.specs(), root)

    def _set_up_node(self) -> None:
        from labext.gpu import GpuView
        from labext.gpu_kernels import running_kernels
        from labext.memory import read_server_memory
        from labext.node import NodeClient

        options = self._options
        self._memory = Recent(
            partial(self._in_thread, read_server_memory), options.memory_cache_seconds
        )
        client = NodeClient(options.agent_url, options.agent_timeout_seconds)
        from labext.kernels.node_switch import node_switch

        node_switch.url = options.agent_url
        self._node = Recent(client.ask, options.agent_cache_seconds)
        running = partial(running_kernels, self.serverapp)
        self._gpu = GpuView(
            client, running, self._in_thread, anywhere=options.trust_agent_on_network
        )
        if "kernels" not in self._left_out:
            from labext.kernels.ledger import ledger, notice
            from labext.kernels.own_drift import PATH, KernelNotes

            notes = KernelNotes(
                ledger,
                None if client.is_off else partial(client.get, PATH, word=notice.word),
                running,
            )
            self._kernel_notes = Recent(notes.read, _KERNEL_NOTES_SECONDS)

    def _begin(self) -> None:
        """The loop runs: the server answers before the first pull begins."""
        if self._service is not None:
            self._starting = asyncio.ensure_future(self._start_courses(self._service))
            self._take_over_links()
        if self._spares:
            self._sparing = asyncio.ensure_future(self._begin_spares())
        if self._takeover is not None:
            self._sweeping = asyncio.ensure_future(self._begin_applications(self._takeover))

    def _take_over_links(self) -> None:
        """All extensions are loaded now, nbgitpuller's too where it is enabled."""
        from labext.courses.links import LinkSettings, install

        assert self.serverapp is not None
        try:
            install(
                LinkSettings(
                    root=Path(self.serverapp.root_dir),
                    state_dir=Path(jupyter_data_dir()) / "samepage" / "courses",
                    timeout=self._options.pull_timeout_seconds,
                    connect_timeout=self._options.connect_timeout_seconds,
                    cache=self._options.course_cache,
                    cache_owner=self._options.course_cache_owner,
                )
            )
        except Exception as err:  # noqa: BLE001 - its links work as they did without us
            self.log.warning("Samepage courses: nbgitpuller keeps its own engine: %s", err)

    async def _begin_spares(self) -> None:
        """The first template has what the courses want; there is none where the node says no."""
        from labext.kernels.server_spare import open_for

        assert self.serverapp is not None
        if self._starting is not None:
            await asyncio.wait([self._starting], timeout=_COURSES_SECONDS)
        await self._ask_node()
        try:
            problem = open_for(self.serverapp)
        except Exception as err:  # noqa: BLE001 - as in _set_up
            self.log.warning("Samepage kernels: no template: %s: %s", type(err).__name__, err)
            return
        self.log.debug("Samepage kernels: template: %s", problem or "wanted")

    async def _begin_applications(self, takeover: Takeover) -> None:
        try:
            await takeover.begin()
        except Exception as err:  # noqa: BLE001 - as in _set_up
            self.log.warning("Samepage applications: looking for leftovers failed: %s", err)

    async def _start_courses(self, service: CourseService) -> None:
        try:
            await service.start()
        except Exception as err:  # noqa: BLE001 - as in _set_up
            self._service = None
            self._fail("courses", f"They could not be started ({type(err).__name__}: {err}).")

    async def _in_thread(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)

    async def _read_apps(self) -> list[dict[str, Any]]:
        from serverproxy.catalog import list_apps

        return [dict(item) for item in await self._in_thread(list_apps)]

    async def _read_memory(self) -> dict[str, Any]:
        try:
            if self._memory is not None:
                return asdict(await self._memory.get())
        except Exception as err:  # noqa: BLE001 - as in _set_up
            self.log.error("Samepage memory: %s: %s", type(err).__name__, err)
        return {
            "used_bytes": None,
            "limit_bytes": None,
            "source": "unavailable",
            "host_total_bytes": None,
            "message": "The memory of this server cannot be read; the server's log says why.",
        }

    async def _ask_node(self) -> NodeAnswer | None:
        if self._node is None:
            return None
        try:
            answer = await self._node.get()
        except Exception as err:  # noqa: BLE001 - as in _set_up
            self._fail("node", f"The node agent could not be asked ({type(err).__name__}: {err}).")
            return None
        # A machine without an agent is an ordinary one; nothing is broken.
        from labext.kernels.node_switch import node_switch

        node_switch.take(answer.node)
        states: dict[str, State] = {"ok": "ok", "error": "failed"}
        self._features.report("node", states.get(answer.state, "off"), answer.message)
        return answer

    async def _kernels_to_note(self) -> list[dict[str, Any]]:
        if self._kernel_notes is None:
            return []
        try:
            return await self._kernel_notes.get()
        except Exception as err:  # noqa: BLE001 - as in _set_up
            self.log.warning("Samepage kernels: not compared: %s: %s", type(err).__name__, err)
            return []

    def _look_at_courses(self) -> None:
        if self._service is None:
            return
        listing = self._service.listing()
        if listing.state == "failed":
            self._features.report("courses", "failed", listing.message or "")
        elif listing.state == "unconfigured":
            self._features.report("courses", "off", listing.message or "")
        else:
            count = len(listing.courses)
            noun = "course keeps" if count == 1 else "courses keep"
            self._features.report("courses", "ok", f"{count} {noun} up to date by itself.")

    def _look_at_kernels(self, node: dict[str, Any] | None) -> None:
        if "kernels" in self._left_out:
            return
        try:
            from labext.kernels.spare import keeper
            from labext.kernels.status import kernels_status, with_node

            keeper.review()
            seen = kernels_status()
        except Exception as err:  # noqa: BLE001 - as in _set_up
            self._fail("kernels", f"Their state cannot be read ({type(err).__name__}: {err}).")
            return
        self._features.report("kernels", seen.state, with_node(seen.message, node))
