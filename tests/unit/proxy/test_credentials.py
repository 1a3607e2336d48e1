from __future__ import annotations

import pytest

from serverproxy.jupyter.credentials import Credentials

BY_COOKIE = Credentials(login_cookie="my-login", tokens=("s3cret",))
BY_TOKEN = Credentials(login_cookie="my-login", tokens=("s3cret",), by_token=True)


@pytest.mark.parametrize(
    ("value", "by_cookie", "by_token"),
    [
        ("token s3cret", False, False),
        ("Token other", False, False),
        ("Bearer s3cret", False, False),
        ("bearer of-the-app", True, False),
        ("Basic eA==", True, True),
        ("Digest x", True, True),
        ("", True, True),
    ],
)
def test_authorization(value: str, by_cookie: bool, by_token: bool) -> None:
    assert BY_COOKIE.keeps_authorization(value) is by_cookie
    assert BY_TOKEN.keeps_authorization(value) is by_token


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("my-login=1; a=b", "a=b"),
        ("username-host-8888=1;a=b ; jupyterhub-session-id=2", "a=b"),
        ("_xsrf=x", ""),
        ("a=1; a=2; b", "a=1; a=2; b"),
        ("x=user; rs-csrf-token=1", "x=user; rs-csrf-token=1"),
        ("jupyterhub-user-alice-oauth-state-x=1; JUPYTERHUB-hub-login=2", ""),
        ("", ""),
    ],
)
def test_cookies(header: str, kept: str) -> None:
    assert BY_COOKIE.cookies(header) == kept


def test_an_xsrf_cookie_of_the_application_passes() -> None:
    known = Credentials(login_cookie="c", own_xsrf=("own",))
    assert known.cookies("_xsrf=own; _xsrf=jupyter") == "_xsrf=own"


@pytest.mark.parametrize(
    ("query", "by_cookie", "by_token"),
    [
        ("token=s3cret&a=1", "a=1", "a=1"),
        ("a=%20+&token=mine&b", "a=%20+&token=mine&b", "a=%20+&b"),
        ("%74oken=s3cret", "", ""),
        ("tokens=s3cret", "tokens=s3cret", "tokens=s3cret"),
        ("", "", ""),
    ],
)
def test_query(query: str, by_cookie: str, by_token: str) -> None:
    assert BY_COOKIE.query(query) == by_cookie
    assert BY_TOKEN.query(query) == by_token


def test_addresses_and_protocols() -> None:
    assert BY_COOKIE.address("https://h/lab?token=s3cret&x=1#f") == "https://h/lab?x=1#f"
    assert BY_COOKIE.address("https://h/lab") == "https://h/lab"
    assert BY_COOKIE.address("http://[bad?token=s3cret") == ""
    protocols = ["v1.token.websocket.jupyter.org", "v1.token.websocket.jupyter.org.s3cret", "b"]
    assert BY_COOKIE.protocols(protocols) == ["b"]


def test_nothing_secret_in_the_repr() -> None:
    assert "s3cret" not in repr(BY_COOKIE)
