import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nodeagent.errors import LockHeldError, StateError
from nodeagent.ksm.lock import KsmLock
from nodeagent.ksm.state import Originals, StateFile, read_originals, restore
from nodeagent.ksm.sysfs import KsmDir
from tests.unit.nodeagent.support import BOOT, FakeRoot


def state_file(root: FakeRoot, boot: str = BOOT) -> StateFile:
    return StateFile(root.state, boot_id=boot, sys_root=root.sys)


def test_round_trip(root: FakeRoot) -> None:
    originals = read_originals(KsmDir(root.sys))
    state_file(root).save(originals)
    assert state_file(root).load() == originals
    assert [path.name for path in root.state.iterdir()] == ["ksm-state.json"]


def test_another_boot_is_discarded(root: FakeRoot) -> None:
    state_file(root, "old").save(read_originals(KsmDir(root.sys)))
    assert state_file(root).load() is None
    assert not state_file(root).path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 9, "boot_id": ""}'])
def test_a_broken_file_is_an_error_and_stays(root: FakeRoot, text: str) -> None:
    state = state_file(root)
    root.state.mkdir()
    state.path.write_text(text)
    with pytest.raises(StateError, match="not a state file"):
        state.load()
    assert state.path.read_text() == text


@pytest.mark.parametrize("value", [-1, "1", True, None])
def test_wrong_values_are_refused(root: FakeRoot, value: object) -> None:
    state = state_file(root)
    state.save(Originals(numbers={"run": 0}, advisor=None))
    held = json.loads(state.path.read_text())
    held["numbers"]["run"] = value
    state.path.write_text(json.dumps(held))
    with pytest.raises(StateError):
        state.load()


def test_unwritable_folder(root: FakeRoot) -> None:
    root.state.write_text("a file, not a folder")
    with pytest.raises(StateError, match="Cannot write"):
        state_file(root).save(Originals(numbers={}, advisor=None))


def test_a_link_in_place_of_the_draft_is_not_followed(root: FakeRoot, tmp_path: Path) -> None:
    root.state.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (root.state / "ksm-state.json.new").symlink_to(victim)
    state_file(root).save(Originals(numbers={}, advisor=None))
    assert victim.read_text() == "precious"


def test_restore_writes_only_what_changed(root: FakeRoot) -> None:
    ksm = KsmDir(root.sys)
    originals = read_originals(ksm)
    root.set(run=1, pages_to_scan=5000)
    written, failed = restore(ksm, originals)
    assert (written, failed) == (["run=0", "pages_to_scan=100"], [])


def test_restore_turns_the_advisor_on_last(root: FakeRoot) -> None:
    root.set(advisor_mode="none [scan-time]", run=1)
    ksm = KsmDir(root.sys)
    originals = read_originals(ksm)
    root.set(advisor_mode="none", run=0, pages_to_scan=7)
    written, _ = restore(ksm, originals)
    assert written == ["run=1", "pages_to_scan=100", "advisor_mode=scan-time"]


def test_restore_turns_the_advisor_off_first(root: FakeRoot) -> None:
    originals = read_originals(KsmDir(root.sys))
    root.set(advisor_mode="none [scan-time]", pages_to_scan=7)
    written, _ = restore(KsmDir(root.sys), originals)
    assert written == ["advisor_mode=none", "pages_to_scan=100"]


def test_restore_leaves_what_others_set(root: FakeRoot) -> None:
    originals = read_originals(KsmDir(root.sys))
    root.set(run=1, pages_to_scan=7)
    written, _ = restore(KsmDir(root.sys), originals, keep={"run"})
    assert written == ["pages_to_scan=100"]


def test_an_original_unmerge_is_not_repeated(root: FakeRoot) -> None:
    root.set(run=2)
    originals = read_originals(KsmDir(root.sys))
    root.set(run=1)
    assert restore(KsmDir(root.sys), originals) == (["run=0"], [])


def test_lock_keeps_a_second_process_out(tmp_path: Path) -> None:
    path = tmp_path / "run/ksm.lock"
    code = (
        "import sys; from nodeagent.ksm.lock import KsmLock; from pathlib import Path\n"
        "from nodeagent.errors import LockHeldError\n"
        "try: KsmLock(Path(sys.argv[1])).acquire()\n"
        "except LockHeldError as err: print(err.message)"
    )
    with KsmLock(path) as lock:
        lock.acquire()
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        )
        assert f"(process {os.getpid()})" in done.stdout
        with pytest.raises(LockHeldError):
            KsmLock(path).acquire()
        assert KsmLock(path).held_elsewhere()
    assert not KsmLock(path).held_elsewhere()
    assert path.stat().st_mode & 0o777 == 0o600
    KsmLock(path).acquire()


def test_lock_in_an_impossible_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="Cannot open the lock"):
        KsmLock(tmp_path / "file/ksm.lock").acquire()
