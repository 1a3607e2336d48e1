"""The REST interface on a real Jupyter server."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from labext.courses.model import Course
from labext.extension import SamepageExtension
from labext.handlers.base import SamepageHandler
from labext.handlers.routes import routes
from tests.integration.courses_upstream import Teacher
from tests.integration.jupyter_fixtures import *  # noqa: F403 - fixtures
from tests.integration.labext_server import LIMIT_SECONDS, Client, LagProbe
from tests.unit.labext.test_node import HEALTHY, HISTORY_JSON, NODE_JSON, agent

ACTIONS = "(start|stop|restart|retry|cancel|dismiss)"
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def settings() -> dict[str, Any]:
    """c.Samepage.*; tests change it before they ask for `client`."""
    return {"agent_url": ""}


@pytest.fixture(name="jp_server_config")
def server_config(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "ServerApp": {
            "jpserver_extensions": {"labext": True},
            "allow_unauthenticated_access": True,
        },
        "Samepage": settings,
    }


@pytest.fixture
def plain_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `caplog` hear the extension, whose own logger may not propagate. Before `client`."""
    monkeypatch.setattr("labext.extension.SamepageExtension.log", logging.getLogger("samepage"))


def errors_said(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [*caplog.get_records("setup"), *caplog.get_records("call")]
    return [r.getMessage() for r in records if r.name == "samepage" and r.levelno >= logging.ERROR]


@pytest.fixture
def client(jp_fetch: Any, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Client:
    return Client(jp_fetch, jp_asyncio_loop)


@pytest.fixture
def extension(jp_serverapp: Any) -> SamepageExtension:
    app = jp_serverapp.extension_manager.extension_points["samepage"].app
    assert isinstance(app, SamepageExtension)
    return app


def our_routes() -> list[tuple[str, type[SamepageHandler]]]:
    async def never() -> Any:
        raise AssertionError

    def no_service() -> Any:
        raise AssertionError

    return [
        (pattern.replace("([^/]+)", "phys").replace(ACTIONS, "stop"), handler)
        for pattern, handler, _ in routes(
            status=never, apps=no_service, courses=no_service, gpu=no_service
        )
    ]


def implemented(handler: type[SamepageHandler]) -> list[str]:
    return [
        verb
        for verb in VERBS
        if getattr(handler, verb.lower()).__qualname__.startswith(handler.__name__)
    ]


def test_every_verb_of_every_route_asks_who_is_there(
    client: Client, jp_base_url: str, http_server_client: Any
) -> None:
    asked = 0
    for path, handler in our_routes():
        for verb in VERBS:
            response = client.loop.run_until_complete(
                http_server_client.fetch(
                    jp_base_url.rstrip("/") + path,
                    method=verb,
                    body=b"" if verb in ("POST", "PUT", "PATCH") else None,
                    raise_error=False,
                    follow_redirects=False,
                )
            )
            asked += verb in implemented(handler)
            refusals = (401, 403) if verb in implemented(handler) else (401, 403, 405)
            assert response.code in refusals, (verb, path, response.code)
            assert b"Traceback" not in response.body
    assert asked == 20


def test_no_verb_is_left_out_by_the_decorator() -> None:
    for _, handler in our_routes():
        for verb in implemented(handler):
            method = getattr(handler, verb.lower())
            assert hasattr(method, "__wrapped__"), (handler, verb)


def test_what_is_polled_is_no_activity() -> None:
    polled = {handler.__name__: handler._track_activity for _, handler in our_routes()}
    assert polled == {
        "StatusHandler": False,
        "GpuHandler": False,
        "GpuSnoozeHandler": True,
        "AppsHandler": False,
        "AppHandler": False,
        "AppLogHandler": False,
        "AppActionHandler": True,
        "AppOpenHandler": True,
        "StopAllHandler": True,
        "CoursesHandler": False,
        "PullHandler": True,
        "NewsHandler": False,
        "SeenHandler": True,
        "EditingHandler": False,
        "DiffHandler": True,
        "TakeHandler": True,
        "CopyHandler": True,
        "MergeHandler": True,
        "UndoHandler": True,
        "RedoHandler": True,
    }


def test_a_cookie_alone_cannot_pull(
    client: Client, jp_serverapp: Any, jp_base_url: str, http_server_client: Any
) -> None:
    """Cross-site requests carry cookies, but not the XSRF token."""
    token = jp_serverapp.identity_provider.token
    login = client.loop.run_until_complete(
        http_server_client.fetch(
            f"{jp_base_url}api/status", headers={"Authorization": f"token {token}"}
        )
    )
    cookies = [value.split(";")[0] for value in login.headers.get_list("Set-Cookie")]
    assert cookies
    address = f"{jp_base_url}samepage/api/courses/phys/pull"

    def post(headers: dict[str, str]) -> int:
        answer = client.loop.run_until_complete(
            http_server_client.fetch(
                address, method="POST", body=b"", headers=headers, raise_error=False
            )
        )
        return int(answer.code)

    assert post({"Cookie": "; ".join(cookies)}) == 403
    good = {"Cookie": "; ".join([*cookies, "_xsrf=x"]), "X-XSRFToken": "x"}
    assert post(good) in (403, 404)
    assert post({"Authorization": f"token {token}"}) == 404


def test_status_on_a_plain_machine(client: Client) -> None:
    answer = client.get("status")
    assert answer.status == 200
    assert answer.json["agent"]["state"] == "off"
    assert (answer.json["node"], answer.json["history"]) == (None, None)
    assert answer.json["kernels"] == []
    memory = answer.json["memory"]
    assert memory["source"] in ("cgroup-v1", "cgroup-v2", "processes")
    assert 0 < memory["used_bytes"] < memory["host_total_bytes"]
    features = {feature["name"]: feature["state"] for feature in answer.json["features"]}
    assert list(features) == ["courses", "applications", "kernels", "node"]
    assert features["courses"] == "off"
    assert features["node"] == "off"


def test_status_with_an_agent(client: Client, extension: SamepageExtension) -> None:
    from labext.node import NodeClient
    from labext.recent import Recent

    with agent(HEALTHY) as url:
        extension._node = Recent(NodeClient(url, 5.0).ask, 60.0)
        answer = client.get("status")
    assert answer.json["agent"]["state"] == "ok"
    assert answer.json["node"] == NODE_JSON
    assert answer.json["history"] == HISTORY_JSON


def test_apps(client: Client) -> None:
    answer = client.get("apps")
    assert answer.status == 200
    assert {app["name"] for app in answer.json["apps"]} == {"openrefine", "rstudio"}
    keys = "name title description icon_svg path new_browser_tab available reason fix rank version"
    more = (
        "icon_url third_party launcher managed state phase why revision starting_seconds "
        "uptime_seconds idle_seconds ready_seconds usual_ready_seconds memory_bytes failure "
        "port_gate port_gate_reason"
    )
    for app in answer.json["apps"]:
        assert set(app) == {*keys.split(), *more.split()}
        assert app["managed"] is False, "jupyter-server-proxy is not enabled on this server"
    features = {feature["name"]: feature for feature in client.get("status").json["features"]}
    assert "applications can be used here" in features["applications"]["message"]


def test_a_failing_list_of_apps_is_a_clear_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> list[dict[str, Any]]:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr("serverproxy.catalog.list_apps", fail)
    answer = client.get("apps")
    assert answer.status == 500
    assert answer.json["code"] == "apps_failed"
    assert "disk is on fire" in answer.json["message"]
    assert answer.json["fix"]
    features = {feature["name"]: feature for feature in client.get("status").json["features"]}
    assert features["applications"]["state"] == "failed"


def test_no_courses(client: Client) -> None:
    answer = client.get("courses")
    assert (answer.json["state"], answer.json["courses"]) == ("unconfigured", [])
    assert answer.json["fix"]


def test_an_unknown_course(client: Client) -> None:
    answer = client.post("courses", "nope", "pull")
    assert answer.status == 404
    assert set(answer.json) == {"code", "message", "fix"}
    assert answer.json["code"] == "unknown_course"


def test_an_unexpected_error_shows_no_traceback(
    client: Client, extension: SamepageExtension, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Any:
        raise RuntimeError("secret detail")

    assert extension._service is not None
    monkeypatch.setattr(extension._service, "listing", fail)
    answer = client.get("courses")
    assert answer.status == 500
    assert answer.json["code"] == "internal"
    assert "secret detail" not in str(answer.json)


class TestBrokenManifest:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> dict[str, Any]:
        manifest = tmp_path / "samepage-course.yml"
        manifest.write_text("version: 1\ncourses:\n- id: a\n  url: ext::sh\n")
        return {"agent_url": "", "courses": str(manifest)}

    def test_lab_goes_on_and_the_line_is_named(
        self,
        plain_log: None,
        client: Client,
        settings: dict[str, Any],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        listing = client.wait_for(lambda answer: answer["state"] == "failed", "courses")
        assert listing["message"].startswith(f"{settings['courses']}:4:8: courses[0].url: ")
        assert listing["fix"]
        assert listing["courses"] == []
        features = {feature["name"]: feature for feature in client.get("status").json["features"]}
        assert features["courses"]["state"] == "failed"
        assert ":4:" in features["courses"]["message"]
        (said,) = errors_said(caplog)
        assert ":4:" in said


class TestFailingFeature:
    @pytest.fixture
    def client(
        self,
        monkeypatch: pytest.MonkeyPatch,
        plain_log: None,
        request: pytest.FixtureRequest,
    ) -> Client:
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("broken on purpose")

        monkeypatch.setattr("labext.courses.service.CourseService.__init__", fail)
        monkeypatch.setattr("labext.kernels.default.make_default", fail)
        monkeypatch.setattr("labext.node.NodeClient.__init__", fail)
        return Client(
            request.getfixturevalue("jp_fetch"), request.getfixturevalue("jp_asyncio_loop")
        )

    def test_the_rest_works_and_the_status_says_so(
        self, client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = client.get("status")
        assert answer.status == 200
        assert answer.json["agent"]["state"] == "error"
        features = {feature["name"]: feature for feature in answer.json["features"]}
        for name in ("courses", "kernels", "node"):
            assert features[name]["state"] == "failed"
            assert "broken on purpose" in features[name]["message"]
        assert client.get("apps").status == 200
        assert client.get("courses").json["code"] == "courses_failed"
        said = errors_said(caplog)
        assert [line.split(":")[0] for line in said] == [
            "Samepage courses",
            "Samepage kernels",
            "Samepage node",
        ]
        assert not any("\n" in line for line in said)


def test_no_endpoint_blocks_the_loop(client: Client, extension: SamepageExtension) -> None:
    from labext.node import NodeClient
    from labext.recent import Recent

    points = [
        {"time": float(n), "saved_bytes": n, "available_bytes": n, "ksmd_cpu_ratio": 0.5}
        for n in range(720)
    ]
    import json

    history = json.dumps({"interval_seconds": 10.0, "points": points}).encode()

    async def scenario(url: str) -> float:
        extension._node = Recent(NodeClient(url, 5.0).ask, 0.0)
        for path in ("status", "apps", "courses"):
            await client.ask(path)  # imports happen once, see the next test
        worst = []
        for _ in range(3):
            async with LagProbe() as probe:
                for path in ("status", "apps", "courses"):
                    await client.ask(path)
            worst.append(probe.worst_seconds)
        return min(worst)  # this machine may be busy with something else at one time

    with agent({**HEALTHY, "/v1/history": (200, history)}) as url:
        assert client.loop.run_until_complete(scenario(url)) < LIMIT_SECONDS


class TestCourse:
    @pytest.fixture
    def teacher(self, tmp_path: Path) -> Teacher:
        teacher = Teacher(tmp_path)
        teacher.publish({"a.txt": "a\n"})
        return teacher

    @pytest.fixture
    def settings(self, teacher: Teacher) -> dict[str, Any]:
        return {"agent_url": "", "course_url": teacher.bare.as_uri()}

    def test_it_comes_by_itself_and_on_demand(
        self, client: Client, teacher: Teacher, jp_root_dir: Path
    ) -> None:
        def at_rest(answer: Any) -> bool:
            return bool(answer["courses"]) and answer["courses"][0]["state"] == "up_to_date"

        course = client.wait_for(at_rest, "courses")["courses"][0]
        assert (jp_root_dir / "course/a.txt").read_text() == "a\n"
        assert set(course) == {field.name for field in fields(Course)}
        assert course["target"] == "course"
        teacher.publish({"b.txt": "b\n"})
        begun = client.post("courses", "course", "pull")
        assert (begun.status, begun.json["state"]) == (202, "pulling")
        assert client.post("courses", "course", "pull").status == 202
        course = client.wait_for(at_rest, "courses")["courses"][0]
        assert course["changes"] == [{"path": "b.txt", "kind": "new"}]

    def test_stopping_the_server_ends_the_pull(
        self, client: Client, extension: SamepageExtension
    ) -> None:
        async def scenario() -> None:
            await client.until(lambda answer: bool(answer["courses"]), "courses")
            await extension.stop_extension()

        client.loop.run_until_complete(scenario())
        assert client.post("courses", "course", "pull").json["state"] != "pulling"


def test_options_tells_nothing(client: Client, jp_serverapp: Any, jp_http_port: int) -> None:
    """The one verb without a login: Jupyter's answer to a browser's preflight, with no content."""
    loop = client.loop

    def ask() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", jp_http_port, timeout=10)
        with contextlib.closing(connection):
            connection.request("OPTIONS", f"{jp_serverapp.base_url}samepage/api/status")
            response = connection.getresponse()
            return response.status, response.read()

    status, body = loop.run_until_complete(loop.run_in_executor(None, ask))
    assert (status in (200, 204), body) == (True, b"")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from labext.config import Samepage

    monkeypatch.setenv("SAMEPAGE_AGENT_URL", "")
    monkeypatch.setenv("SAMEPAGE_COURSES", "/c.yml")
    monkeypatch.setenv("SAMEPAGE_COURSE_URL", "https://x/y")
    monkeypatch.setenv("SAMEPAGE_COURSE_BRANCH", "b")
    monkeypatch.setenv("SAMEPAGE_COURSE_TARGET", "t")
    options = Samepage()
    assert options.agent_url == ""
    assert options.courses == "/c.yml"
    assert (options.course_url, options.course_branch, options.course_target) == (
        "https://x/y",
        "b",
        "t",
    )
    for name in list(os.environ):
        if name.startswith("SAMEPAGE_"):
            monkeypatch.delenv(name)
    assert Samepage().agent_url == "http://127.0.0.1:9747"
    for name, trait in Samepage.class_own_traits(config=True).items():
        assert "Default:" in trait.help, name
