"""What a supervised application sees of Jupyter, and where its redirects lead."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from tests.integration.proxy_server import running
from tests.standins.jupyter_process import JupyterProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterProcess]:
    with running(
        tmp_path_factory.mktemp("safety"),
        more_config="c.Samepage.app_keep_environment = ['JUPYTERHUB_CRYPT_KEPT']",
        JUPYTERHUB_API_TOKEN="hub-secret-1",
        CONFIGPROXY_AUTH_TOKEN="hub-secret-2",
        JUPYTERHUB_CRYPT_KEPT="wanted",
        GITHUB_TOKEN="the user's own",
    ) as process:
        yield process


def told(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    value: dict[str, Any] = answer.json()
    value["names"] = {name.lower(): text for name, text in value["headers"]}
    return value


def test_token_and_cookies_stay_with_jupyter(server: JupyterProcess) -> None:
    """Mends: stock hands Authorization, all cookies and ?token= to the application."""
    session = server.session()
    for name, value in {
        "username-8888": "2|login",
        "username-hub-example-org": "2|login",
        "_xsrf": "2|xsrf",
        "jupyterhub-session-id": "hubsession",
        "jupyterhub-user-alice": "hubuser",
        "mine": "of the application",
    }.items():
        session.cookies.set(name, value)
    seen = told(
        session.get(
            f"{server.url}web/tell?token={server.token}&x=1",
            headers={
                "X-XSRFToken": "2|xsrf",
                "Referer": f"{server.url}lab?token={server.token}&a=b",
            },
            timeout=30,
        )
    )
    assert seen["names"]["cookie"] == "mine=of the application"
    assert seen["path"] == "/tell?x=1"
    assert "authorization" not in seen["names"]
    assert "x-xsrftoken" not in seen["names"]
    assert seen["names"]["referer"].endswith("lab?a=b")
    text = json.dumps(seen)
    for secret in (server.token, "2|login", "hubsession", "hubuser", "hub-secret"):
        assert secret not in text
    assert seen["environment"]["GITHUB_TOKEN"] == "the user's own"
    assert seen["environment"]["JUPYTERHUB_CRYPT_KEPT"] == "wanted"


def test_the_login_cookie_alone(server: JupyterProcess) -> None:
    login = server.session().get(f"{server.url}api/status", timeout=30)
    session = requests.Session()
    session.trust_env = False
    session.cookies.update(login.cookies)
    seen = told(session.get(f"{server.url}web/tell?token=of-the-app", timeout=30))
    assert "cookie" not in seen["names"]
    assert seen["path"] == "/tell?token=of-the-app"
    # An application with a login of its own, asked by its own page.
    for own in ("Basic b3duOm93bg==", "Bearer of-the-app", "Digest x=y"):
        seen = told(
            session.get(f"{server.url}web/tell", headers={"Authorization": own}, timeout=30)
        )
        assert seen["names"]["authorization"] == own


def test_an_application_keeps_an_xsrf_cookie_of_its_own(server: JupyterProcess) -> None:
    session = server.session()
    session.get(
        f"{server.url}web/answer/200", params={"Set-Cookie": "_xsrf=own; Path=/x"}, timeout=30
    )
    seen = told(
        session.get(
            f"{server.url}web/tell", headers={"Cookie": "_xsrf=own; _xsrf=jupyter"}, timeout=30
        )
    )
    assert seen["names"]["cookie"] == "_xsrf=own"


def test_nobody_without_a_login(server: JupyterProcess) -> None:
    plain = requests.Session()
    plain.trust_env = False
    for app in ("web", "raw", "callables"):
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            answer = plain.request(
                method, f"{server.url}{app}/tell", allow_redirects=False, timeout=30
            )
            assert answer.status_code in {302, 403}, (app, method)
            if answer.status_code == 302:
                assert "/login" in answer.headers["Location"]
            assert "environment" not in answer.text


def test_options_of_entries_mean_what_they_mean_in_stock(server: JupyterProcess) -> None:
    seen = told(server.session().get(f"{server.url}callables/mapped", timeout=30))
    assert seen["path"] == "/to%20here/%C3%A4"
    assert seen["names"]["x-where"] == "/user/alice/"
    assert seen["names"]["authorization"] == "Basic b3duOm93bg=="
    assert seen["environment"]["WHERE"] == "/user/alice/"
    assert seen["names"]["x-forwarded-prefix"] == "/user/alice/callables"
    assert seen["names"]["x-forwarded-context"] == "/user/alice/callables"
    whole = told(server.session().get(f"{server.url}absolute/tell", timeout=30))
    assert whole["path"] == "/user/alice/absolute/tell"
    assert "x-forwarded-prefix" not in whole["names"]


@pytest.mark.parametrize(
    ("app", "location", "lands"),
    [
        ("web", "/next?a=1#b", "web/next?a=1#b"),
        ("web", "/user/alice/web/next", "web/next"),
        ("web", "http://127.0.0.1:4/next", "web/next"),
        ("web", "http://localhost/next", "web/next"),
        ("web", "https://hub.example.org/next", "web/next"),
        ("web", "https://hub.example.org, hub.example.org/next", "web/next"),
        ("web", "//hub.example.org/next", "web/next"),
        ("web", "relative", "web/answer/relative"),
        ("unix", "http://localhost/next", "unix/next"),
        ("web", "https://elsewhere.example/next", "https://elsewhere.example/next"),
        ("absolute", "/user/alice/absolute/next", "absolute/next"),
        ("absolute", "http://hub.example.org/user/alice/absolute/next", "absolute/next"),
        ("absolute", "/user/alice/lab", "lab"),
    ],
)
def test_redirects_keep_the_prefix(
    server: JupyterProcess, app: str, location: str, lands: str
) -> None:
    """Mends: stock passes absolute addresses as they are, out of the hub's prefix."""
    path = f"{app}/answer/302"
    answer = server.session().get(
        f"{server.url}{path}",
        params={"Location": location},
        headers={"Host": "hub.example.org", "X-Forwarded-Proto": "https"},
        allow_redirects=False,
        timeout=30,
    )
    assert answer.status_code == 302
    base = "https://hub.example.org/user/alice/"
    assert urljoin(f"{base}{path}", answer.headers["Location"]) == urljoin(base, lands)


def test_the_address_without_a_slash(server: JupyterProcess) -> None:
    answer = server.session().get(f"{server.url}web?a=1", allow_redirects=False, timeout=30)
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/user/alice/web/?a=1"


def test_what_is_not_ours_stays_stock(server: JupyterProcess) -> None:
    session = server.session()
    info = session.get(f"{server.url}server-proxy/servers-info", timeout=30).json()
    assert {"web", "openrefine"} <= {each["name"] for each in info["server_processes"]}
    port = told(session.get(f"{server.url}web/tell", timeout=30))["names"]["host"].split(":")[1]
    assert (
        session.get(f"{server.url}proxy/{port}/user/alice/api/status", timeout=30).status_code
        == 200
    )
