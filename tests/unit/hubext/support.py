"""A real user of a real JupyterHub, with a spawner of any class, without the hub's web server."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_asyncio.config.kube_config
import pytest
from jupyterhub import orm
from jupyterhub.auth import DummyAuthenticator
from jupyterhub.objects import Hub
from jupyterhub.user import User
from traitlets.config import Config

from nodeagent.gpu.snapshot import GpuFacts, Snapshot
from tests.unit.nodeagent.gpu_support import node

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: stand-in, cluster: {server: "%s"}}]
contexts: [{name: stand-in, context: {cluster: stand-in, user: hub}}]
current-context: stand-in
users: [{name: hub, user: {token: of-the-hub}}]
"""


def fresh(*gpus: GpuFacts, name: str = "n1") -> Snapshot:
    """Read just now, by the real clock."""
    return replace(node(*gpus, name=name), taken=time.time())


class Users:
    """Users of one hub. `config`: as jupyterhub_config.py leaves it."""

    def __init__(self, spawner_class: type[Any], config: Config) -> None:
        self._db = orm.new_session_factory("sqlite:///:memory:")()
        self._settings = {
            "spawner_class": spawner_class,
            "config": config,
            "hub": Hub(),
            "authenticator": DummyAuthenticator(),
        }

    def spawner(self, name: str, **options: Any) -> Any:
        """A new spawner for a user; `options`: what was chosen in the form."""
        known = self._db.query(orm.User).filter(orm.User.name == name).one_or_none()
        if known is None:
            known = orm.User(name=name)
            self._db.add(known)
            self._db.commit()
        spawner = User(known, self._settings).spawner
        spawner.user_options = options
        spawner.oauth_client_id = f"client-{name}"
        return spawner

    def close(self) -> None:
        self._db.close()
        self._db.get_bind().dispose()


def point_at(api_url: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let KubeSpawner find this API server as it finds one outside a cluster."""
    path = folder / "kubeconfig"
    path.write_text(KUBECONFIG % api_url)
    patch.setattr(kubernetes_asyncio.config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    patch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
