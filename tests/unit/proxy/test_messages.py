"""Headers, locations, activity, bodies and rewriting."""

from __future__ import annotations

import re
from typing import Any

import pytest

from serverproxy.jupyter.activity import ActivityRule, Throttle
from serverproxy.jupyter.headers import end_to_end, overridden, sent_as
from serverproxy.jupyter.limits import Limits
from serverproxy.jupyter.locations import browser_cookie, browser_location
from serverproxy.jupyter.rewriting import Rewriter


def test_headers_of_one_hop_are_dropped() -> None:
    pairs = [
        ("Connection", "keep-alive, X-Mine, Content-Length"),
        ("X-Mine", "1"),
        ("TE", "trailers"),
        ("Transfer-Encoding", "chunked"),
        ("Expect", "100-continue"),
        ("Content-Length", "4"),
        ("Upgrade", "h2c"),
        ("Accept", "a"),
        ("Accept", "b"),
    ]
    kept = [("Content-Length", "4"), ("Accept", "a"), ("Accept", "b")]
    assert list(end_to_end(pairs, request=True)) == kept
    assert ("Expect", "100-continue") in list(end_to_end(pairs, request=False))


def test_overrides() -> None:
    pairs = [("host", "hub"), ("Cookie", "a"), ("X", "1")]
    given = {"Host": "127.0.0.1", "Cookie": "", "Authorization": "", "Empty": ""}
    assert overridden(pairs, given) == [("X", "1"), ("Host", "127.0.0.1"), ("Empty", "")]
    assert sent_as("ä".encode().decode("latin-1")) == "ä"
    assert sent_as("\xe4") == "\xe4"


SECRET = "/s3cret"


@pytest.mark.parametrize(
    ("location", "wanted"),
    [
        ("http://127.0.0.1:1/s3cret/project?project=1", "../project?project=1"),
        ("/s3cret/", "../"),
        ("/s3cret", "../"),
        ("/s3cretive", "../s3cretive"),
        ("/project", "../project"),
        ("https://elsewhere/s3cret/", "https://elsewhere/s3cret/"),
    ],
)
def test_a_secret_path_does_not_come_back(location: str, wanted: str) -> None:
    got = browser_location(
        location,
        request_path="/u/or/command/x",
        prefix="/u/or",
        own_hosts={"127.0.0.1"},
        context_path=SECRET,
    )
    assert got == wanted


def test_cookie_paths() -> None:
    def cookie(text: str) -> str:
        return browser_cookie(text, prefix="/u/or", context_path=SECRET)

    assert cookie("a=1; Path=/s3cret; HttpOnly") == "a=1; Path=/u/or; HttpOnly"
    assert cookie("a=1; path=/s3cret/x") == "a=1; path=/u/or/x"
    assert cookie("a=1; Path=/") == "a=1; Path=/"
    assert browser_cookie("a=1; Path=/x", prefix="/u", context_path="") == "a=1; Path=/x"


def test_activity_rules() -> None:
    stock = ActivityRule(excluded=[re.compile(".*/events/get_events")])
    assert stock.counts(None, "/u/r/x", "/x")
    assert not stock.counts(None, "/u/r/events/get_events", "/events/get_events")
    # Stock's patterns match at the start of the whole path.
    anchored = ActivityRule(excluded=[re.compile("/events")])
    assert anchored.counts(None, "/u/r/events", "/events")
    assert not ActivityRule(update=False).counts(None, "/", "/")
    chosen = ActivityRule(update=lambda handler: bool(handler == "yes"))
    assert chosen.counts("yes", "/", "/")
    assert not chosen.counts("no", "/", "/")
    quiet = ActivityRule(update=lambda _: True, quiet=[re.compile(r"/poll\b")])
    assert not quiet.counts(None, "/u/r/poll", "/poll")


def test_throttle() -> None:
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    assert throttle.due()
    now[0] = 0.5
    assert not throttle.due()
    now[0] = 1.0
    assert throttle.due()


def test_idle_limits() -> None:
    limits = Limits(idle_after_s={"a": 10.0, "never": 0.0, "*": 5.0})
    assert [limits.idle_of(name) for name in ("a", "never", "b")] == [10.0, None, 5.0]
    assert Limits().idle_of("a") is None


class TestRewriting:
    def test_headers_only(self) -> None:
        def function(response: Any, path: str) -> None:
            response.headers["X"] = path
            response.code = 404

        done = Rewriter([function]).without_body(200, "OK", [("A", "1"), ("A", "2")], {"path": "p"})
        assert done is not None
        assert (done.code, done.reason, done.body) == (404, "Not Found", None)
        assert sorted(done.headers) == [("A", "1"), ("A", "2"), ("X", "p")]

    def test_a_new_body_needs_no_old_one(self) -> None:
        def function(response: Any) -> None:
            response.body = b"no"

        done = Rewriter([function]).without_body(200, "OK", [], {})
        assert done is not None
        assert done.body == b"no"

    def test_chained_functions_see_each_other(self) -> None:
        def first(response: Any) -> None:
            response.body = response.body.replace(b"cat", b"dog")

        def second(response: Any, orig_response: Any) -> None:
            try:
                response.body += orig_response.body
            except Exception:  # noqa: BLE001 - as careless functions do
                response.body = b"hidden"

        rewriter = Rewriter([first, second])
        assert rewriter.without_body(200, "OK", [], {}) is None
        assert rewriter.without_body(200, "OK", [], {}) is None
        assert rewriter.with_body(200, "OK", [], b"cat", {}).body == b"dogcat"

    def test_an_error_of_a_function_is_told(self) -> None:
        def function(response: Any) -> None:
            raise KeyError("mistake")

        with pytest.raises(KeyError, match="mistake"):
            Rewriter([function]).without_body(200, "OK", [], {})
