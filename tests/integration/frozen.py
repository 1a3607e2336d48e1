"""A copy of the packages that nobody edits while it runs, with the environment's libraries.

Kernels are alike when they load the same files. Those of a checkout may change between two starts
(somebody works on them, a test runs that compiles them), and its folder is on `sys.path`.
"""

from __future__ import annotations

import compileall
import shutil
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PACKAGES = ("labext", "serverproxy", "nodeagent")


def freeze(folder: Path, *scripts: str) -> Path:
    """Make it in `folder`; the folder of its python and of these scripts."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    skipped = shutil.ignore_patterns("__pycache__", "node_modules", "lab")
    for name in _PACKAGES:
        shutil.copytree(ROOT / name, packages / name, ignore=skipped)
    # Only a folder: the .pth files in there, one of which names the checkout, are not read.
    (packages / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    assert compileall.compile_dir(packages, quiet=1)
    for name in ("share", "etc"):
        (folder / name).symlink_to(Path(sys.prefix) / name)
    for name in scripts:
        _, _, body = (Path(sys.executable).parent / name).read_text().partition("\n")
        script = python.with_name(name)
        script.write_text(f"#!{python}\n{body}")
        script.chmod(0o755)
    return python.parent
