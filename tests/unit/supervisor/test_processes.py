"""Which processes and listeners are an application's, and what is kept on disk."""

import fcntl
import json
import os
import stat
from pathlib import Path

import pytest

from serverproxy.supervisor.listeners import Listener, Owner, judge, parse_listeners
from serverproxy.supervisor.members import find_members, groups_of
from serverproxy.supervisor.memory import read_memory
from serverproxy.supervisor.oom import read_oom_kills
from serverproxy.supervisor.output_log import OutputLog, clean_lines
from serverproxy.supervisor.ports import Ports
from serverproxy.supervisor.probe import request
from serverproxy.supervisor.processes import ProcessRow, parse_stat, read_row
from serverproxy.supervisor.registry import RunRecord, read_records, remove_record, write_record
from serverproxy.supervisor.runtime import (
    create_instance,
    default_base,
    make_private,
    other_instances,
    owner_is_gone,
    take_over,
)
from serverproxy.supervisor.spec import LaunchSpec, TcpEndpoint
from serverproxy.supervisor.start_times import StartTimes, default_file

UID = os.getuid()
RECORD = RunRecord(name="web", mark="m", uid=1, boot_id="b", grace_s=1, pid=100, starttime=50)


def row(
    pid: int, ppid: int = 1, sid: int = 1, start: int = 60, *, zombie: bool = False
) -> ProcessRow:
    return ProcessRow(pid=pid, ppid=ppid, pgid=sid, sid=sid, starttime=start, uid=1, zombie=zombie)


LEADER = row(100, 10, 100, 50)


@pytest.mark.parametrize(
    ("rows", "marks", "strict", "found"),
    [
        ([LEADER, row(101, 100, 100), row(7)], {}, True, [100, 101]),
        ([row(101, 1, 100)], {}, False, [101]),
        ([row(101, 1, 100)], {}, True, []),  # the number may be another session's by now
        ([row(101, 1, 100)], {101: "m"}, True, [101]),
        ([row(101, 1, 100)], {101: "other"}, True, []),
        ([row(100, 1, 100, 90), row(101, 100, 100, 95)], {}, False, []),  # number used again
        ([LEADER, row(101, 100, 101), row(102, 101, 101)], {}, True, [100, 101, 102]),
        ([row(200, 1, 200), row(201, 200, 201)], {200: "m"}, True, [200, 201]),
        ([row(100, 10, 100, 50, zombie=True), row(101, 1, 100)], {}, True, [101]),
        ([row(40, 1, 40, 20)], {40: "m"}, False, []),  # older than the run
        ([LEADER, row(1, 100, 100)], {}, False, [100]),
    ],
)
def test_find_members(
    rows: list[ProcessRow], marks: dict[int, str], strict: bool, found: list[int]
) -> None:
    assert [one.pid for one in find_members(rows, RECORD, marks, strict=strict)] == found


def test_a_known_process_stays_known_but_not_its_number() -> None:
    assert find_members([row(300, start=70)], RECORD, {}, {(300, 70)}, strict=True)
    assert not find_members([row(300, start=71)], RECORD, {}, {(300, 70)}, strict=True)


def test_our_own_group_is_never_signalled() -> None:
    assert groups_of([row(1, sid=0), row(2, sid=1), row(3, sid=9), row(4, sid=8)], 9) == [8]


def test_parse_stat_with_an_awkward_name() -> None:
    text = "42 (a) b (c)) S 7 40 39 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 1"
    parsed = parse_stat(text, 5)
    assert (parsed.pid, parsed.ppid, parsed.pgid, parsed.sid) == (42, 7, 40, 39)
    assert (parsed.starttime, parsed.uid, parsed.zombie) == (12345, 5, False)


def test_this_process_is_read_as_the_system_says() -> None:
    own = read_row(os.getpid())
    assert own is not None
    assert (own.ppid, own.pgid, own.sid) == (os.getppid(), os.getpgrp(), os.getsid(0))
    assert (read_memory([os.getpid()]) or 0) > 1 << 20
    assert read_memory([]) is None


HEADER = "  sl  local_address rem_address   st ...\n"


def line(address: str, state: str, uid: int, inode: int) -> str:
    rest = f"00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid} 0 {inode} 1"
    return f"   0: {address} {rest}\n"


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("0100007F:0D05", True),
        ("00000000:0D05", False),
        (f"{'0' * 32}:0D05", False),
        (f"{'0' * 24}01000000:0D05", True),
        ("0000000000000000FFFF00000100007F:0D05", True),
        ("0000000000000000FFFF000000000000:0D05", False),
        ("0100007F:0D06", None),
        ("0A00000A:0D05", None),  # an address of the network card
    ],
)
def test_parse_listeners(address: str, loopback: bool | None) -> None:
    found = parse_listeners(HEADER + line(address, "0A", 5, 77), 0x0D05)
    expected = [] if loopback is None else [Listener(uid=5, inode=77, loopback=loopback)]
    assert found == expected
    assert parse_listeners(HEADER + line(address, "01", 5, 77), 0x0D05) == []


OURS = Listener(uid=5, inode=77, loopback=True)


@pytest.mark.parametrize(
    ("listeners", "held", "owner"),
    [
        (None, set(), Owner.UNKNOWN),
        ([], set(), Owner.NOBODY),
        ([OURS], {77}, Owner.OURS),
        ([OURS], set(), Owner.STRANGER),
        ([Listener(uid=6, inode=77, loopback=True)], {77}, Owner.ANOTHER_USER),
        ([OURS, Listener(uid=6, inode=78, loopback=False)], {77}, Owner.ANOTHER_USER),
        ([OURS, Listener(uid=5, inode=78, loopback=False)], {77}, Owner.STRANGER),
    ],
)
def test_judge_listeners(listeners: list[Listener] | None, held: set[int], owner: Owner) -> None:
    assert judge(listeners, uid=5, held_inodes=held) is owner


def test_records_survive_and_damaged_ones_are_left_out(tmp_path: Path) -> None:
    write_record(tmp_path, RECORD)
    (tmp_path / "run-broken.json").write_text("{")
    (tmp_path / "run-odd.json").write_text('{"name": 1}')
    (tmp_path / "run-text.json").write_text(
        json.dumps({**vars(RECORD), "pid": "1; rm", "mark": "x"})
    )
    assert read_records(tmp_path) == [RECORD]
    assert stat.S_IMODE((tmp_path / "run-m.json").stat().st_mode) == 0o600
    remove_record(tmp_path, "m")
    remove_record(tmp_path, "m")
    assert read_records(tmp_path) == []


def test_a_folder_belongs_to_a_server_while_it_holds_the_lock(tmp_path: Path) -> None:
    one, two = create_instance(tmp_path), create_instance(tmp_path)
    assert stat.S_IMODE(one.folder.stat().st_mode) == 0o700
    assert other_instances(tmp_path, one.folder) == [two.folder]
    assert take_over(two.folder) is None
    assert not owner_is_gone(two.folder)
    os.close(two.lock)
    lock = take_over(two.folder)
    assert lock is not None
    with pytest.raises(OSError, match="temporarily"):
        fcntl.flock(os.open(two.folder / "lock", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(lock)
    os.close(one.lock)


def test_the_base_is_private_and_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path("/tmp") / f"sp-{os.getpid()}"
    short.mkdir()
    try:
        monkeypatch.setattr("tempfile.tempdir", str(short))
        runtime = short / "run"
        runtime.mkdir()
        env = {"XDG_RUNTIME_DIR": str(runtime)}
        assert default_base(env, UID) == runtime / "samepage-apps"
        assert stat.S_IMODE((runtime / "samepage-apps").stat().st_mode) == 0o700
        long = {"XDG_RUNTIME_DIR": f"{runtime}/{'x' * 80}"}
        assert default_base(long, UID) == short / f"samepage-apps-{UID}"
        assert default_base({"XDG_RUNTIME_DIR": "/nowhere"}, UID) == short / f"samepage-apps-{UID}"
        (short / f"samepage-apps-{UID}").rmdir()
        (short / f"samepage-apps-{UID}").symlink_to(tmp_path)  # somebody set a trap
        trapped = default_base({}, UID)
        assert trapped.parent == short
        assert not trapped.is_symlink()
        assert stat.S_IMODE(trapped.stat().st_mode) == 0o700
        monkeypatch.setattr("tempfile.tempdir", f"/tmp/{'x' * 90}")
        assert default_base({}, UID).parent == Path("/tmp")
    finally:
        import shutil

        shutil.rmtree(short)


def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermissionError):
        make_private(tmp_path, UID + 1)


def test_the_log_keeps_the_newest(tmp_path: Path) -> None:
    log = OutputLog(tmp_path, 1000)
    assert log.tail(5) == ()
    descriptor = log.open_new()
    for number in range(300):
        os.write(descriptor, b"line %03d\n" % number)
    assert log.needs_trim()
    log.trim()
    assert not log.needs_trim()
    os.write(descriptor, b"last\n")
    assert log.tail(2) == ("line 299", "last")
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 1005
    os.close(descriptor)
    os.close(log.open_new())
    assert log.tail(5) == ()


def test_lines_are_plain_text() -> None:
    text = "\x1b[31mred\x1b[0m\r\n10%\r55%\r100%\n\x07bell\x00\ntab\there\n\n\n"
    assert clean_lines(text, 10) == ("red", "100%", "bell", "tab\there")
    assert clean_lines(text, 1) == ("tab\there",)
    assert clean_lines(text, 0) == ()
    assert len(clean_lines("x" * 9000, 1)[0]) == 2000


def test_start_times(tmp_path: Path) -> None:
    file = tmp_path / "state" / "starts.json"
    times = StartTimes(file)
    times.load()
    assert times.usual("web") is None
    for seconds in (100.0, *range(1, 11)):
        times.add("web", seconds)
    times.save()
    again = StartTimes(file)
    again.load()
    assert again.usual("web") == 5.5
    file.write_text('{"web": [1, "x", null, -3, 1e999, true], "odd": 3}')
    again.load()
    assert again.usual("web") == 1
    file.write_text("[broken")
    again.load()
    assert again.usual("web") is None


def test_where_start_times_are_kept() -> None:
    assert default_file({"XDG_STATE_HOME": "/s"}) == Path("/s/samepage/app-starts.json")
    assert default_file({"HOME": "/h"}) == Path("/h/.local/state/samepage/app-starts.json")
    assert default_file({"XDG_STATE_HOME": "relative"}) is None


def fake_cgroup(root: Path, membership: str, file: str, text: str) -> int | None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    (root / "sys" / file).parent.mkdir(parents=True)
    (root / "sys" / file).write_text(text)
    return read_oom_kills(root / "sys", root / "proc")


@pytest.mark.parametrize(
    ("membership", "file", "text", "count"),
    [
        ("0::/pod/x\n", "pod/x/memory.events", "oom 3\noom_kill 2\n", 2),
        ("0::/host/path\n", "memory.events", "oom_kill 1\n", 1),
        ("4:memory:/a\n", "memory/a/memory.oom_control", "under_oom 0\noom_kill 7\n", 7),
        ("0::/\n", "other", "", None),
        ("0::/\n", "memory.events", "damaged", None),
    ],
)
def test_read_oom_kills(
    tmp_path: Path, membership: str, file: str, text: str, count: int | None
) -> None:
    assert fake_cgroup(tmp_path, membership, file, text) == count


def test_ports_do_not_repeat_soon() -> None:
    ports = Ports()
    given = [ports.fresh() for _ in range(50)]
    assert len(set(given)) == 50


def test_the_question_carries_the_entrys_headers() -> None:
    spec = LaunchSpec(
        argv=[],
        env={},
        endpoint=TcpEndpoint(port=81),
        probe_path="/x",
        probe_headers={"host": "app.example.org", "X-A": "1"},
    )
    lines = request(spec).decode().split("\r\n")
    assert lines[0] == "GET /x HTTP/1.1"
    assert "Host: app.example.org" in lines
    assert "X-A: 1" in lines
    assert sum(one.lower().startswith("host:") for one in lines) == 1
    broken = LaunchSpec(argv=[], env={}, endpoint=TcpEndpoint(port=81), probe_path="/\r\nX: 1")
    with pytest.raises(ValueError, match="line ends"):
        request(broken)
