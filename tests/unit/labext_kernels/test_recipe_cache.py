"""Where the preload's caches are: never where another user could have put them."""

import os
from pathlib import Path

import pytest

from labext.kernels.recipe import private_cache

USER = os.getuid()


def runtime(tmp_path: Path, mode: int = 0o700) -> Path:
    folder = tmp_path / "run" / str(USER)
    folder.mkdir(parents=True)
    folder.chmod(mode)
    return folder


def test_the_users_own_runtime_folder_is_taken(tmp_path: Path) -> None:
    own = runtime(tmp_path)
    made = Path(private_cache(tmp_path, {"XDG_RUNTIME_DIR": str(own)}))
    assert made.parent == own
    assert made.stat().st_mode & 0o777 == 0o700
    # Users with more digits have paths of the same length.
    assert len(f"{own.name}{made.name}") == 20 + len("samepage-")
    assert private_cache(tmp_path, {"XDG_RUNTIME_DIR": str(own)}) == str(made)


@pytest.mark.parametrize("how", ["unset", "gone", "open", "link", "relative", "file"])
def test_one_that_is_not_safe_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    own = runtime(tmp_path, 0o755 if how == "open" else 0o700)
    link = tmp_path / "link"
    link.symlink_to(own)
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.chdir(tmp_path)
    given = {
        "unset": {},
        "gone": {"XDG_RUNTIME_DIR": str(tmp_path / "gone")},
        "open": {"XDG_RUNTIME_DIR": str(own)},
        "link": {"XDG_RUNTIME_DIR": str(link)},
        "relative": {"XDG_RUNTIME_DIR": f"run/{USER}"},
        "file": {"XDG_RUNTIME_DIR": str(file)},
    }[how]
    assert private_cache(tmp_path, given) == str(tmp_path / f"samepage-{USER:010d}")


@pytest.mark.skipif(USER != 0, reason="gives a folder away")
def test_somebody_elses_is_neither_used_nor_taken_over(tmp_path: Path) -> None:
    own = runtime(tmp_path)
    os.chown(own, 54321, -1)
    assert private_cache(tmp_path, {"XDG_RUNTIME_DIR": str(own)}).startswith(f"{tmp_path}/samepage")
    os.chown(tmp_path / f"samepage-{USER:010d}", 54321, -1)
    with pytest.raises(PermissionError, match="not a folder of this user"):
        private_cache(tmp_path, {"XDG_RUNTIME_DIR": str(own)})
