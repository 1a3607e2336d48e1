"""Git addresses and the credentials in them."""

from __future__ import annotations

import base64

import pytest

from labext.courses.address import AddressError, default_folder, parse


@pytest.mark.parametrize(
    ("text", "remote"),
    [
        ("https://git.example/a/b.git", "https://git.example/a/b.git"),
        ("http://git.example:8080/b", "http://git.example:8080/b"),
        ("ssh://git@git.example:2222/a/b", "ssh://git@git.example:2222/a/b"),
        ("git@git.example:a/b.git", "ssh://git@git.example/a/b.git"),
        ("git://git.example/b", "git://git.example/b"),
        ("file:///srv/b.git", "file:///srv/b.git"),
        ("https://[::1]:1/b", "https://[::1]:1/b"),
    ],
)
def test_accepted(text: str, remote: str) -> None:
    assert parse(text).remote == remote


@pytest.mark.parametrize(
    "text",
    [
        "",
        " https://git.example/b",
        "https://git.example/a b",
        "https://git.example/b\nx",
        "-uhttps://git.example/b",
        "ext::sh",
        "fd::3",
        "ftp://git.example/b",
        "javascript:alert(1)",
        "/srv/b.git",
        "../b",
        "file://host/b",
        "file:b",
        "https:///b",
        "https://git.example:port/b",
        "ssh://-oProxyCommand=id/b",
        "ssh://git.example/-x",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse(text)


def test_credentials_are_taken_out() -> None:
    address = parse("https://me:to%40ken-1234@git.example/b.git")
    assert address.remote == address.shown == "https://git.example/b.git"
    header = base64.b64encode(b"me:to@ken-1234").decode()
    assert address.authorization == f"Basic {header}"
    said = f"fatal: unable to access 'https://me:x@git.example': to@ken-1234 to%40ken-1234 {header}"
    assert address.redact(said) == "fatal: unable to access 'https://git.example': *** *** ***"
    for secret in ("ken-1234", header):
        assert secret not in repr(address)


def test_a_token_in_the_query_is_not_shown() -> None:
    address = parse("https://git.example/b?private_token=abcdef")
    assert address.shown == "https://git.example/b"
    assert "abcdef" not in address.redact("GET /b?private_token=abcdef")


def test_a_token_alone() -> None:
    address = parse("https://ghp_abcdef@git.example/b")
    assert address.remote == "https://git.example/b"
    assert address.redact("ghp_abcdef") == "***"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("https://git.example/a/b", True),
        ("https://GIT.example/a/b.git/", True),
        ("https://u:p@git.example/a/b.git", True),
        ("https://git.example/a/c.git", False),
        ("https://other.example/a/b.git", False),
        ("http://git.example/a/b.git", False),
        ("../somewhere", False),
    ],
)
def test_same_repository(other: str, same: bool) -> None:
    assert parse("https://git.example/a/b.git").same_repository(other) is same


def test_default_folder() -> None:
    assert default_folder("https://git.example/group/stats.git/") == "stats"
