"""The server's private folder for sockets, logs and records, and the lock that says it is in use.

<base>/                 0700, ours; $XDG_RUNTIME_DIR/samepage-apps or below the temporary folder
  <id>/                 one Jupyter server
    lock                flock held by the server and its guardian while either lives
    owner.json          the server's process
    run-<mark>.json     one running application (`registry`)
    <app>/              its log and its socket's folder
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2s
from pathlib import Path

from serverproxy.supervisor.processes import PROC, read_row
from serverproxy.supervisor.registry import write_private
from serverproxy.supervisor.spec import UNIX_PATH_BYTES

_ID = re.compile(r"[0-9a-f]{8}")
_FRESH = "new-"
_FORGOTTEN_S = 3600.0
# "/<id>/<app>/<run>/s" with room to spare; longest first part that still leaves a valid address.
_TAIL_BYTES = len("/12345678/12345678/12345678/s")


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A server's folder. lock: descriptor that holds the lock."""

    folder: Path
    lock: int

    def app_folder(self, name: str) -> Path:
        """Folder of one application, made when it is missing. Short, for socket addresses."""
        folder = self.folder / blake2s(name.encode(), digest_size=4).hexdigest()
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder


def default_base(env: Mapping[str, str], uid: int) -> Path:
    """Where the folders of this user's servers go: a private folder, made when it is missing.

    OSError when neither $XDG_RUNTIME_DIR nor a temporary folder can hold one.
    """
    name = f"samepage-apps-{uid}"
    temporary = Path(tempfile.gettempdir())
    if not _has_room(temporary / name):
        temporary = Path("/tmp")  # a long TMPDIR, as of a batch job
    candidates = [temporary / name]
    runtime = env.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        candidates.insert(0, Path(runtime) / "samepage-apps")
    for base in candidates:
        if not _has_room(base):
            continue
        try:
            make_private(base, uid)
        except OSError:
            continue
        return base
    # Somebody else holds the well-known name: run all the same, without a sweep at the next start.
    return Path(tempfile.mkdtemp(prefix="samepage-", dir=temporary))


def _has_room(base: Path) -> bool:
    """Whether the path of a socket below `base` is short enough for Linux."""
    return len(os.fsencode(base)) + _TAIL_BYTES <= UNIX_PATH_BYTES


def make_private(folder: Path, uid: int) -> None:
    """Make a folder of mode 0700, or check that it is a real folder of ours. OSError otherwise."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid:
        raise PermissionError(f"{folder} is not a folder of user {uid}.")
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written.")


def create_instance(base: Path, proc: Path = PROC) -> Instance:
    """A new folder for this process, locked before others can see it under its name."""
    fresh = Path(tempfile.mkdtemp(prefix=_FRESH, dir=base))
    lock = os.open(fresh / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        row = read_row(os.getpid(), proc)
        owner = {"pid": os.getpid(), "starttime": row.starttime if row else None}
        write_private(fresh / "owner.json", json.dumps({**owner, "namespace": _namespace(proc)}))
        folder = base / secrets.token_hex(4)
        fresh.rename(folder)
    except BaseException:
        os.close(lock)
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return Instance(folder=folder, lock=lock)


def other_instances(base: Path, own: Path | None) -> list[Path]:
    """Folders of other servers; leftovers of a server that died while it made one are removed."""
    found = []
    for folder in sorted(base.iterdir()) if base.is_dir() else []:
        if folder == own or folder.is_symlink():
            continue
        if _ID.fullmatch(folder.name):
            found.append(folder)
        elif folder.name.startswith(_FRESH):
            try:
                age = time.time() - folder.lstat().st_mtime
            except OSError:
                continue
            if age > _FORGOTTEN_S:
                shutil.rmtree(folder, ignore_errors=True)
    return found


def take_over(folder: Path) -> int | None:
    """Lock a folder nobody uses any more; None while its server or its guardian lives."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def owner_is_gone(folder: Path, proc: Path = PROC) -> bool:
    """Whether the server of a folder has ended for sure (its guardian may still be at work)."""
    try:
        owner = json.loads((folder / "owner.json").read_text(encoding="utf-8"))
        pid, starttime, namespace = owner["pid"], owner["starttime"], owner["namespace"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if namespace is None or namespace != _namespace(proc) or not isinstance(pid, int):
        return False  # process numbers of another container mean nothing here
    row = read_row(pid, proc)
    return row is None or row.zombie or row.starttime != starttime


def _namespace(proc: Path) -> str | None:
    try:
        return os.readlink(proc / "self/ns/pid")  # noqa: PTH115 - the target is no path
    except OSError:
        return None
