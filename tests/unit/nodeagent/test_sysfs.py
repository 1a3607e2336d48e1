import errno
import os
from pathlib import Path

import pytest

from nodeagent.errors import (
    KsmConflictError,
    KsmError,
    KsmPermissionError,
    KsmReadError,
    KsmUnsupportedError,
)
from nodeagent.ksm.sysfs import KsmDir
from tests.unit.nodeagent.support import FakeRoot


def test_profit_is_signed(root: FakeRoot) -> None:
    root.set(general_profit=-4096)
    assert KsmDir(root.sys).read("general_profit") == -4096


def test_absent_is_none_not_zero(root: FakeRoot) -> None:
    root.remove("smart_scan", "advisor_mode")
    ksm = KsmDir(root.sys)
    assert ksm.read("smart_scan") is None
    assert ksm.read_word("advisor_mode") is None


@pytest.mark.parametrize(
    ("text", "word"),
    [("[none] scan-time", "none"), ("none [scan-time]", "scan-time"), ("none", "none")],
)
def test_advisor_words(root: FakeRoot, text: str, word: str) -> None:
    root.set(advisor_mode=text)
    assert KsmDir(root.sys).read_word("advisor_mode") == word


def test_a_file_that_is_no_number_is_an_error(root: FakeRoot) -> None:
    root.set(pages_shared="many")
    with pytest.raises(KsmReadError, match="'many'"):
        KsmDir(root.sys).read("pages_shared")


def test_writes_only_a_change(root: FakeRoot) -> None:
    ksm = KsmDir(root.sys)
    path = root.sys / "kernel/mm/ksm/run"
    before = path.stat().st_mtime_ns
    assert ksm.write("run", 0) is False
    assert path.stat().st_mtime_ns == before
    assert ksm.write("run", 1) is True
    assert root.ksm("run") == "1"


def test_dry_run_writes_nothing(root: FakeRoot) -> None:
    before = root.values()
    assert KsmDir(root.sys, dry_run=True).write("run", 1) is True
    assert root.values() == before


def test_never_unmerges_everything(root: FakeRoot) -> None:
    with pytest.raises(KsmConflictError, match="unmerge"):
        KsmDir(root.sys).write("run", 2)


def test_missing_setting(root: FakeRoot) -> None:
    with pytest.raises(KsmUnsupportedError):
        KsmDir(root.sys).write("smart_scanner", 1)


@pytest.mark.parametrize(
    ("number", "kind", "fix"),
    [
        (errno.EACCES, KsmPermissionError, "root"),
        (errno.EPERM, KsmPermissionError, "root"),
        (errno.EROFS, KsmPermissionError, "read-write"),
        (errno.EINVAL, KsmConflictError, "advisor_mode"),
        (errno.EBUSY, KsmConflictError, "reboot"),
        (errno.EIO, KsmError, "dmesg"),
    ],
)
def test_each_refusal_says_what_to_do(
    root: FakeRoot, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[KsmError], fix: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("nodeagent.ksm.sysfs.os.write", refuse)
    with pytest.raises(kind) as caught:
        KsmDir(root.sys).write("pages_to_scan", 200)
    assert "Cannot write 200 to" in caught.value.message
    assert os.strerror(number) in caught.value.message
    assert fix in caught.value.fix


def test_no_ksm(tmp_path: Path) -> None:
    ksm = KsmDir(tmp_path)
    assert not ksm.supported
    assert not ksm.writable
    assert ksm.read("run") is None
