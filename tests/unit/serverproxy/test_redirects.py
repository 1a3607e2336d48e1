"""Redirects of an application end up below its address, whatever it believes its address is."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import urljoin

import pytest

from serverproxy.redirects import keep_inside, own_hosts, proxy_prefix, relative_location

PREFIX = "/user/alice/openrefine"
BROWSER = "https://hub.example.org"
HOSTS = own_hosts("hub.example.org")


def follow(location: str, request_path: str, prefix: str = PREFIX) -> str:
    """Where a browser goes that asked for `request_path`."""
    answer = relative_location(location, request_path=request_path, prefix=prefix, own_hosts=HOSTS)
    return urljoin(BROWSER + request_path, answer)


INSIDE = f"{BROWSER}{PREFIX}/project?project=12"


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("/project?project=12", id="root-relative"),
        pytest.param("http://127.0.0.1/project?project=12", id="loopback"),
        pytest.param("http://127.0.0.1:43211/project?project=12", id="loopback with port"),
        pytest.param("http://localhost:43211/project?project=12", id="localhost"),
        pytest.param("http://[::1]:43211/project?project=12", id="IPv6 loopback"),
        pytest.param("http://hub.example.org/project?project=12", id="http of a https hub"),
        pytest.param("https://HUB.example.org:8787/project?project=12", id="port, upper case"),
        pytest.param("https://hub.example.org, hub.example.org/project?project=12", id="doubled"),
        pytest.param(
            "https://hub.example.org,hub.example.org/project?project=12", id="doubled, no space"
        ),
        pytest.param("//hub.example.org/project?project=12", id="no scheme"),
        pytest.param(f"{PREFIX}/project?project=12", id="has the prefix"),
        pytest.param(f"{BROWSER}{PREFIX}/project?project=12", id="whole address"),
        pytest.param("//127.0.0.1//project?project=12", id="doubled slash"),
    ],
)
@pytest.mark.parametrize(
    "request_path",
    [f"{PREFIX}/", f"{PREFIX}/x", f"{PREFIX}/command/core/create", f"{PREFIX}/a/b/"],
)
def test_stays_below_the_prefix(location: str, request_path: str) -> None:
    assert follow(location, request_path) == INSIDE


@pytest.mark.parametrize(
    "root", ["/", "http://127.0.0.1", "http://127.0.0.1/", PREFIX, PREFIX + "/"]
)
def test_the_applications_own_front_page(root: str) -> None:
    assert follow(root, f"{PREFIX}/a/b") == f"{BROWSER}{PREFIX}/"


@pytest.mark.parametrize(
    "location",
    [
        "https://accounts.example.com/login?next=/",
        "//elsewhere.example.com/x",
        "project?project=12",
        "../x",
        "?page=2",
        "mailto:someone@example.org",
        "https://",
        "http:///x",
        "http://[broken/x",
        "",
    ],
)
def test_left_alone(location: str) -> None:
    assert (
        relative_location(location, request_path=f"{PREFIX}/x", prefix=PREFIX, own_hosts=HOSTS)
        == location
    )


def test_the_answer_never_starts_with_a_slash_or_a_scheme() -> None:
    for location in ("//127.0.0.1//evil.example/x", "/javascript:alert(1)", "/a:b/c"):
        answer = relative_location(
            location, request_path=f"{PREFIX}/x", prefix=PREFIX, own_hosts=HOSTS
        )
        assert answer.startswith("./")


def test_query_and_fragment_are_kept() -> None:
    assert follow("/p?a=1&b=%2F#top", f"{PREFIX}/x/y") == f"{BROWSER}{PREFIX}/p?a=1&b=%2F#top"


def test_a_prefix_that_is_encoded_in_one_of_the_two() -> None:
    prefix = "/user/al%40example/rstudio"
    answer = follow("/user/al@example/rstudio/auth", f"{prefix}/x", prefix)
    assert answer == f"{BROWSER}{prefix}/auth"


def test_a_longer_name_is_not_the_prefix() -> None:
    assert follow(f"{PREFIX}-two/x", f"{PREFIX}/y") == f"{BROWSER}{PREFIX}{PREFIX}-two/x"


@pytest.mark.parametrize(
    ("request_path", "proxied", "prefix"),
    [
        ("/user/alice/openrefine/", "/", "/user/alice/openrefine"),
        ("/openrefine/a/b", "/a/b", "/openrefine"),
        ("/user/openrefine/openrefine/a", "/a", "/user/openrefine/openrefine"),
        ("/u/openrefine/a%20b/c%2Fd", "/a b/c/d", "/u/openrefine"),
        ("/u/al%40x/openrefine/a", "/a", "/u/al%40x/openrefine"),
        ("/u/openrefine/a", "/b", None),
        ("", "/", None),
    ],
)
def test_prefix_of_a_request(request_path: str, proxied: str, prefix: str | None) -> None:
    assert proxy_prefix(request_path, proxied) == prefix


def test_the_rewriter_uses_host_and_forwarded_host() -> None:
    request = SimpleNamespace(
        path=f"{PREFIX}/a/b",
        headers={"Host": "10.0.0.7:8888", "X-Forwarded-Host": "one.example.org, one.example.org"},
    )
    for host in ("10.0.0.7:8888", "one.example.org", "one.example.org, one.example.org"):
        response = SimpleNamespace(headers={"Location": f"http://{host}/c"})
        keep_inside(response, request, "/a/b")
        assert response.headers["Location"] == "../c"


def test_the_rewriter_leaves_an_answer_without_location() -> None:
    response = SimpleNamespace(headers={"X": "y"})
    keep_inside(response, SimpleNamespace(path=f"{PREFIX}/a", headers={}), "/a")
    assert response.headers == {"X": "y"}
