import pytest

from nodeagent.http.hosts import is_allowed


@pytest.mark.parametrize(
    ("header", "listen", "allowed", "answer"),
    [
        ("localhost:9747", "127.0.0.1", (), True),
        ("LOCALHOST", "127.0.0.1", (), True),
        ("127.0.0.1:9747", "127.0.0.1", (), True),
        ("[::1]:9747", "127.0.0.1", (), True),
        ("evil.example", "127.0.0.1", (), False),
        ("localhost.evil.example:9747", "127.0.0.1", (), False),
        ("127.0.0.1.evil.example", "127.0.0.1", (), False),
        ("10.0.0.7:9747", "127.0.0.1", (), False),
        ("10.0.0.7:9747", "0.0.0.0", (), True),
        ("node1.example:9747", "0.0.0.0", (), False),
        ("node1.example:9747", "0.0.0.0", ("node1.example",), True),
        ("node1.example.", "127.0.0.1", ("node1.example",), True),
        ("", "127.0.0.1", (), False),
        ("a@localhost", "127.0.0.1", (), False),
        ("localhost:x", "127.0.0.1", (), False),
    ],
)
def test_host(header: str, listen: str, allowed: tuple[str, ...], answer: bool) -> None:
    assert is_allowed(header, listen_host=listen, allowed=allowed) is answer
