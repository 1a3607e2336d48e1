"""docs/openapi.yml says what the server does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from labext.handlers.routes import routes
from tests.integration.proxy_server import running
from tests.standins.jupyter_process import JupyterProcess

DOCUMENT: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "docs" / "openapi.yml").read_text(encoding="utf-8")
)


def never(*_: object) -> Any:
    raise AssertionError


def test_every_route_and_verb_is_documented_and_no_other() -> None:
    found = set()
    for pattern, handler, _ in routes(status=never, apps=never, courses=never, gpu=never):
        for verb in ("get", "post", "put", "patch", "delete"):
            if getattr(handler, verb).__qualname__.startswith(handler.__name__):
                path = pattern.removeprefix("/samepage/api")
                path = path.replace("(start|stop|restart|retry|cancel|dismiss)", "{}")
                found.add((re.sub(r"\(\[\^/\]\+\)", "{}", path), verb))
    documented = {
        (re.sub(r"\{[^}]+\}", "{}", path), verb)
        for path, item in DOCUMENT["paths"].items()
        for verb in item
        if verb != "parameters"
    }
    assert documented == found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterProcess]:
    with running(tmp_path_factory.mktemp("openapi")) as process:
        yield process


def schema_of(path: str, verb: str, status: int) -> dict[str, Any]:
    answers = DOCUMENT["paths"][path][verb]["responses"]
    answer = answers.get(str(status), answers["default"])
    if "$ref" in answer:
        answer = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    schema: dict[str, Any] = answer["content"]["application/json"]["schema"]
    return {**schema, "components": DOCUMENT["components"]}


@pytest.mark.parametrize(
    ("path", "verb", "address", "status"),
    [
        ("/status", "get", "status", 200),
        ("/apps", "get", "apps", 200),
        ("/apps/{name}", "get", "apps/web?revision=-1&wait=5", 200),
        ("/apps/{name}", "get", "apps/none", 404),
        ("/apps/{name}/{action}", "post", "apps/absent/start", 200),
        ("/apps/{name}/{action}", "post", "apps/web/stop", 200),
        ("/apps/{name}/{action}", "post", "apps/absent/dismiss", 200),
        ("/apps/{name}/log", "get", "apps/web/log", 200),
        ("/apps/{name}/open", "post", "apps/web/open", 400),
        ("/apps/stop-all", "post", "apps/stop-all", 200),
        ("/courses", "get", "courses", 200),
        ("/courses/{id}/pull", "post", "courses/none/pull", 404),
    ],
)
def test_answers_are_as_documented(
    server: JupyterProcess, path: str, verb: str, address: str, status: int
) -> None:
    answer = server.session().request(verb, f"{server.url}samepage/api/{address}", timeout=60)
    assert answer.status_code == status, answer.text
    jsonschema.Draft202012Validator(schema_of(path, verb, status)).validate(answer.json())
