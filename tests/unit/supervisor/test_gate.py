import os
import socket
import struct
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from serverproxy.supervisor.gate import peers
from serverproxy.supervisor.gate.decision import HostFacts, decide, read_facts
from serverproxy.supervisor.gate.keeper import socket_address
from serverproxy.supervisor.gate.program import (
    ALLOW,
    ERRNO,
    IO_URING_SETUP,
    MACHINES,
    NOTIFY,
    Numbers,
    filter_program,
)

ALONE = HostFacts(container=True, others=0, strangers=0)


@pytest.mark.parametrize(
    ("mode", "facts", "wanted"),
    [
        ("auto", ALONE, False),
        ("auto", replace(ALONE, container=False), True),
        ("auto", replace(ALONE, others=1), True),
        ("auto", replace(ALONE, strangers=1), True),
        ("on", ALONE, True),
        ("off", replace(ALONE, container=False, others=9), False),
        ("on", replace(ALONE, ambiguous=True), False),
    ],
)
def test_when_it_is_wanted(mode: str, facts: HostFacts, *, wanted: bool) -> None:
    decision = decide(mode, facts)
    assert decision.wanted is wanted
    assert decision.why.endswith(".")


def test_facts_of_a_machine(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/1").mkdir()
    (tmp_path / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/bash\njovyan:x:1000:100::/home/jovyan:/bin/bash\n"
        "daemon:x:1001:1:::/usr/sbin/nologin\nada:x:1002:1::/home/ada:/bin/zsh\n"
        "nobody:x:65534:1::/:/bin/sh\nbroken\n"
    )
    (tmp_path / "proc/sys/kernel/overflowuid").write_text("65534\n")
    (tmp_path / "proc/self/uid_map").write_text("0 100000 65536\n")
    owner = (tmp_path / "proc/1").stat().st_uid
    plain = read_facts({}, root=tmp_path, uid=1000)
    assert plain == HostFacts(
        container=False, others=1, strangers=int(owner >= 1000), ambiguous=False
    )
    assert read_facts({}, root=tmp_path, uid=65534).ambiguous
    assert read_facts({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, root=tmp_path, uid=1000).container
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.containerenv").touch()
    assert read_facts({}, root=tmp_path, uid=1000).container


def run(program: bytes, architecture: int, number: int) -> int:
    """What the filter says, by a machine for its four instructions."""
    data = struct.pack("=iI", number, architecture)
    lines = list(struct.iter_unpack("=HBBI", program))
    at, loaded = 0, 0
    while True:
        code, when_true, when_false, value = lines[at]
        at += 1
        if code == 0x20:
            (loaded,) = struct.unpack_from("=I", data, value)
        elif code == 0x15:
            at += when_true if loaded == value else when_false
        elif code == 0x35:
            at += when_true if loaded >= value else when_false
        else:
            assert code == 0x06
            return int(value)


@pytest.mark.parametrize("numbers", MACHINES.values(), ids=MACHINES.keys())
def test_the_filter_asks_about_accept_and_nothing_else(numbers: Numbers) -> None:
    program = filter_program(numbers)
    said = {number: run(program, numbers.audit, number) for number in range(600)}
    assert {number for number, word in said.items() if word == NOTIFY} == {
        numbers.accept,
        numbers.accept4,
    }
    assert said[IO_URING_SETUP] == ERRNO | 38
    assert {word for number, word in said.items() if number != IO_URING_SETUP} == {ALLOW, NOTIFY}
    assert run(program, 0x40000003, numbers.accept) == ALLOW  # a 32-bit program
    assert run(program, numbers.audit, 0x40000000 | numbers.accept) == ALLOW  # x32


def test_the_owner_of_a_connection_is_our_user() -> None:
    with closing(peers.Peers()) as quick:
        looks = (quick, without_netlink())
        owners_are_told(looks)


def owners_are_told(looks: tuple[peers.Peers, ...]) -> None:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as listening:
            listening.bind((host, 0))
            listening.listen()
            with socket.create_connection(listening.getsockname()[:2]) as client:
                accepted, address = listening.accept()
                with accepted:
                    for look in looks:
                        assert look.owner(accepted) == os.geteuid()
                    expected = struct.pack("=H", family)
                    assert socket_address(address).startswith(expected)
                    client.close()
                    # Nobody holds the other end any more, whatever uid an old kernel tells.
                    for look in looks:
                        assert look.owner(accepted) is None


def without_netlink() -> peers.Peers:
    look = peers.Peers()
    look.close()
    return look


def test_a_listener_on_the_port_of_the_peer_is_not_the_peer() -> None:
    ends = peers.Ends(peer=b"\x7f\0\0\1", peer_port=1234, local=b"\x7f\0\0\1", local_port=80)
    body = struct.pack("=BBBB", socket.AF_INET, 1, 0, 0) + struct.pack(
        "!HH16s16s", 1234, 80, ends.peer.ljust(16, b"\0"), ends.local.ljust(16, b"\0")
    )
    body += bytes(12) + bytes(12) + struct.pack("=II", 1000, 77)

    def answer(content: bytes) -> bytes:
        return struct.pack("=IHHII", 16 + len(content), 20, 0, 1, 0) + content

    assert peers.owner_in(answer(body), ends) == 1000
    listening = bytes([socket.AF_INET, 10]) + body[2:]
    assert peers.owner_in(answer(listening), ends) is None
    assert peers.owner_in(answer(body), replace(ends, peer_port=1235)) is None
    closed = body[:-4] + bytes(4)
    assert peers.owner_in(answer(closed), ends) is None
    absent = struct.pack("=IHHII", 36, 2, 0, 1, 0) + struct.pack("=i", -2) + bytes(16)
    assert peers.owner_in(absent, ends) is None
    refused = struct.pack("=IHHII", 36, 2, 0, 1, 0) + struct.pack("=i", -1) + bytes(16)
    with pytest.raises(OSError, match="sock_diag"):
        peers.owner_in(refused, ends)
