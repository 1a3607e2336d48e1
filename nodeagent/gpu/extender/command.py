"""`samepage-agent gpu extender`: answers kube-scheduler until a signal."""

import asyncio
import gc
import logging
import signal
from collections.abc import Mapping

from tornado.httpserver import HTTPServer

from nodeagent.config import AgentConfig, load
from nodeagent.errors import ConfigError
from nodeagent.gpu.build import read_policy
from nodeagent.gpu.extender.app import MOST_BODY_BYTES, build_extender
from nodeagent.gpu.extender.ranker import Ranker, keep_learning
from nodeagent.gpu.fleet.agents import AgentClient, AgentEvidence
from nodeagent.gpu.fleet.evidence import Evidence
from nodeagent.gpu.fleet.published import PublishedEvidence
from nodeagent.gpu.fleet.standings import Standings
from nodeagent.gpu.publish.target import Kind
from nodeagent.http.app import bind
from nodeagent.kube.api import KubeApi
from nodeagent.log import configure

log = logging.getLogger("nodeagent.gpu.extender")

_NAMES = ("listen", "token_file", "gpu_policy", "log_format")


def spare_the_collector() -> None:
    """The facts of a large cluster live for minutes; walking them with every few answers would
    take longer than the answers."""
    gc.set_threshold(100_000, 20, 20)


def run_extender(flags: Mapping[str, object], env: Mapping[str, str]) -> int:
    """Blocks until SIGTERM or SIGINT; 0. AgentError: it cannot start."""
    given = {name: value for name, value in flags.items() if isinstance(value, str)}
    settings = load({}, {name: given.get(name) for name in _NAMES})
    configure(settings.log_format)
    seconds = load({}, {"interval": given.get("round")}).interval
    spare_the_collector()
    asyncio.run(_serve(settings, given, env, seconds))
    return 0


def _evidence(
    settings: AgentConfig, given: Mapping[str, str], env: Mapping[str, str]
) -> Evidence | None:
    if "agents" in given and "published" in given:
        raise ConfigError("--agents and --published are both given", fix="Give one of the two.")
    if "agents" in given:
        addresses = [part.strip() for part in given["agents"].split(",") if part.strip()]
        return AgentEvidence(addresses, AgentClient(token_file=settings.token_file))
    if "published" in given:
        kind: Kind = "node" if given["published"] == "node" else "lease"
        api = KubeApi.in_cluster(env)
        return PublishedEvidence(api, kind=kind, namespace=given.get("namespace"))
    # Facts may come with each question: nodes that publish on the Node, nodeCacheCapable: false.
    return None


async def _serve(
    settings: AgentConfig, given: Mapping[str, str], env: Mapping[str, str], seconds: float
) -> None:
    policy = read_policy(settings.gpu_policy)
    ranker = Ranker(policy)
    evidence = _evidence(settings, given, env)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sockets = bind(settings.listen)
    server = HTTPServer(build_extender(ranker), max_body_size=MOST_BODY_BYTES)
    server.add_sockets(sockets)
    host, port = settings.listen.host, sockets[0].getsockname()[1]
    log.info("extender on http://%s:%d/samepage/prioritize", host, port)
    try:
        if evidence is None:
            await stop.wait()
        else:
            await keep_learning(ranker, evidence, Standings(policy), stop, seconds=seconds)
    finally:
        if evidence is not None:
            evidence.close()
        server.stop()
        await server.close_all_connections()
    log.info("stopped")
