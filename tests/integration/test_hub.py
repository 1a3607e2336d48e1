"""The whole path behind a real JupyterHub with its real proxy, for two people."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import psutil
import pytest

from tests.integration import hub as hubs

WEBAPP = Path(__file__).parents[1] / "standins" / "webapp.py"
CSV = "fruit,kilos\napple,12\nquince,3\nmedlar,1\n"
NAVIGATION = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}

pytestmark = [
    pytest.mark.skipif(hubs.missing() is not None, reason=str(hubs.missing())),
    pytest.mark.xdist_group("hub"),
    pytest.mark.timeout(400),
]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hubs.Hub]:
    with hubs.Hub(tmp_path_factory.mktemp("hub")) as running:
        for user in ("alice", "bob"):
            config = running.folder / "home" / user / ".jupyter"
            config.mkdir(parents=True)
            command = [sys.executable, str(WEBAPP), "{port}"]
            (config / "jupyter_server_config.json").write_text(
                json.dumps({"ServerProxy": {"servers": {"web": {"command": command}}}})
            )
        yield running


@pytest.fixture(scope="module")
def alice(hub: hubs.Hub) -> hubs.User:
    return hub.login("alice")


@pytest.fixture(scope="module")
def bob(hub: hubs.Hub) -> hubs.User:
    return hub.login("bob")


def app(user: hubs.User, name: str) -> dict[str, Any]:
    answer = user.get(f"samepage/api/apps/{name}")
    assert answer.ok, answer.text
    return dict(answer.json())


def ready(user: hubs.User, name: str) -> None:
    """Start an application as a click does, and wait until it can be used."""
    user.get(f"{name}/", headers=NAVIGATION)
    deadline = time.monotonic() + 90
    while app(user, name)["state"] not in ("ready", "idle"):
        assert time.monotonic() < deadline, app(user, name)
        time.sleep(0.2)


def test_everything_is_on_in_the_hubs_servers(alice: hubs.User) -> None:
    features = {f["name"]: f for f in alice.get("samepage/api/status").json()["features"]}
    assert features["applications"]["state"] == "ok", features
    assert features["kernels"]["state"] == "ok", features


def test_nobody_reaches_the_applications_of_another(alice: hubs.User, bob: hubs.User) -> None:
    ready(alice, "web")
    for path in ("web/tell", "samepage/api/apps", "samepage/api/apps/web"):
        answer = bob.session.get(alice.base + path, timeout=30)
        assert answer.status_code in (403, 404), f"{path}: {answer.status_code}"
    stop = bob.session.post(alice.base + "samepage/api/apps/web/stop", timeout=30)
    assert stop.status_code in (403, 404)
    assert app(alice, "web")["state"] in ("ready", "idle")


def test_the_application_sees_no_credential_of_the_hub(alice: hubs.User) -> None:
    ready(alice, "web")
    told = alice.get("web/tell", headers={"X-Mine": "kept"}).json()
    seen = json.dumps(told["headers"]).lower()
    assert "x-mine" in seen
    secrets = [cookie.value for cookie in alice.session.cookies if cookie.value]
    assert secrets
    for secret in secrets:
        assert secret.lower() not in seen
    assert "jupyterhub" not in seen.replace("x-forwarded", "")
    assert not [name for name in told["environment"] if re.search("TOKEN|SECRET", name)]


@pytest.mark.skipif(
    not (shutil.which("openrefine") or shutil.which("refine")), reason="OpenRefine is not installed"
)
def test_openrefine_makes_a_project_and_stays_below_the_users_prefix(alice: hubs.User) -> None:
    ready(alice, "openrefine")
    answer = alice.session.post(
        f"{alice.base}openrefine/command/core/create-project-from-upload",
        params={"csrf_token": hubs.csrf_token(alice)},
        data={"project-name": "harvest", "format": "text/line-based/*sv"},
        files={"project-file": ("harvest.csv", CSV)},
        allow_redirects=False,
        timeout=60,
    )
    assert answer.status_code in (301, 302, 303), answer.text[:500]
    followed = alice.session.get(urljoin(answer.url, answer.headers["Location"]), timeout=60)
    assert followed.ok
    assert followed.url.startswith(f"{alice.base}openrefine/project?project=")


def test_stopping_the_servers_leaves_no_application(hub: hubs.Hub, alice: hubs.User) -> None:
    ready(alice, "web")
    pid = int(alice.get("web/tell").json()["pid"])
    xsrf = next(
        cookie.value
        for cookie in alice.session.cookies
        if cookie.name == "_xsrf" and cookie.path == "/hub/"
    )
    stopped = alice.session.delete(
        f"{hub.url}/hub/api/users/alice/server",
        headers={"X-XSRFToken": xsrf or "", "Referer": f"{hub.url}/hub/home"},
        params={"_xsrf": xsrf or ""},
        timeout=90,
    )
    assert stopped.status_code in (202, 204), stopped.text
    deadline = time.monotonic() + 60
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the application outlives its server"
        time.sleep(0.2)
