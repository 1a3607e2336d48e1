"""Whether the bundle can join this image's Jupyter, and the start of the server when it can.

What the image has is used as it is: the bundle's folders come after all of the image's on the path
of the server's Python, and a distribution of the bundle that the image has too gives neither code
nor configuration. No variable puts them there: the start script does, so kernels, terminals and
other Pythons of the image never see them.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

NAME = "jupyter-samepage"
SWITCH = "SAMEPAGE_BUNDLE"
ROOT = Path(__file__).resolve().parents[1]
_GLIBC = (2, 28)
_OFF = frozenset({"0", "off", "no", "false"})


class UnfitError(Exception):
    """This image's server has to start as stock; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What of the bundle joins the image."""

    folders: tuple[Path, ...]
    names: tuple[str, ...]


def become(stock: str, words: Sequence[str], given: Sequence[str]) -> str | None:
    """Become the server with Samepage; returns only when that cannot be: why, None if unasked.

    `words`: of the chosen command after its program; `given`: of the command line.
    """
    if os.environ.get(SWITCH, "").lower() in _OFF:
        return None
    own = shutil.which("samepage-singleuser", path=str(Path(sys.executable).parent))
    if own is not None and _found(NAME) is not None:
        os.execv(own, [own, *given])
    try:
        joined = survey(ROOT)
        script = write_start(ROOT, stock, joined)
    except UnfitError as err:
        return str(err)
    environment = variables(os.environ, ROOT, joined, script)
    program = [sys.executable, str(ROOT / "libexec" / "aligned.py"), *words, *given]
    try:
        os.execve(program[0], program, environment)
    except OSError as err:
        return f"{program[0]} cannot be run again ({err})"


def survey(root: Path) -> Joined:
    """What of the bundle in `root` this Python lacks. Errors: UnfitError."""
    try:
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.utils import canonicalize_name
    except ImportError:
        raise UnfitError(f"{sys.executable} has no JupyterLab") from None
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < _GLIBC:
        raise UnfitError(f"its libraries need glibc 2.28 or newer, and this is {name} {version}")
    site = root / f"site-{sys.version_info[0]}.{sys.version_info[1]}"
    if not site.is_dir():
        versions = ", ".join(sorted(found.name.partition("-")[2] for found in root.glob("site-*")))
        raise UnfitError(f"this is Python {platform.python_version()}; the bundle has {versions}")
    folders = (root / "ours", site)
    carried = {
        canonicalize_name(found.metadata["Name"]): found
        for found in distributions(path=[str(folder) for folder in folders])
    }
    names: list[str] = [NAME]
    waiting: list[tuple[str, str, Distribution]] = [
        ("notebook", NAME, carried[canonicalize_name(NAME)])
    ]
    while waiting:
        extra, owner, holder = waiting.pop()
        for line in holder.requires or ():
            try:
                wanted = Requirement(line)
            except InvalidRequirement as err:
                raise UnfitError(f"{owner} has a requirement that cannot be read ({err})") from None
            if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
                continue
            key = canonicalize_name(wanted.name)
            there = _found(key)
            chosen = there or carried.get(key)
            if chosen is None:
                raise UnfitError(f"the image has no {wanted.name}, which {owner} needs")
            if not wanted.specifier.contains(chosen.version, prereleases=True):
                holds = "the image has" if there is not None else "the bundle has"
                raise UnfitError(
                    f"{owner} needs {wanted.name}{wanted.specifier}; {holds} {chosen.version}"
                )
            if there is None and key not in names:
                names.append(key)
                waiting.append(("", key, chosen))
    return Joined(folders=folders, names=tuple(names))


def write_start(root: Path, stock: str, joined: Joined) -> Path:
    """The server's script: the image's own, after the bundle's folders joined the path.

    A file, as the start that aligns memory reads its first line and its text. In the bundle's
    folder where that may be written: one name for every student. Errors: UnfitError.
    """
    try:
        first = Path(stock).read_bytes()[:2048]
    except OSError as err:
        raise UnfitError(f"{stock} cannot be read ({err})") from None
    if not first.startswith(b"#!") or b"python" not in first:
        raise UnfitError(f"{stock} is not a script of Python")
    if any(character.isspace() for character in str(root)):
        raise UnfitError(f"the folder {str(root)!r} has a space in its name")
    text = "\n".join(
        [
            f"#!{sys.executable}",
            "import sys",
            f"sys.path += {[str(folder) for folder in joined.folders]!r}",
            f"sys.argv[0] = __file__ = {stock!r}",
            "with open(__file__, encoding='utf-8') as script:",
            "    code = compile(script.read(), __file__, 'exec')",
            "del script",
            "exec(code)",
            "",
        ]
    )
    folder = root / "run"
    try:
        folder.mkdir(exist_ok=True)
        return _write(folder / Path(stock).name, text)
    except OSError:
        pass
    try:
        return _write(Path(tempfile.mkdtemp(prefix="samepage-")) / Path(stock).name, text)
    except OSError as err:
        raise UnfitError(
            f"neither {folder} nor a temporary folder can be written ({err})"
        ) from None


def variables(
    environment: Mapping[str, str], root: Path, joined: Joined, script: Path
) -> dict[str, str]:
    """The server's environment: where Jupyter finds the bundle's extensions, and whom to start."""
    added = dict(environment)
    for variable, part in (("JUPYTER_PATH", "share"), ("JUPYTER_CONFIG_PATH", "etc")):
        own = [str(root / "data" / name / part / "jupyter") for name in joined.names]
        own = [folder for folder in own if Path(folder).is_dir()]
        given = [entry for entry in environment.get(variable, "").split(os.pathsep) if entry]
        added[variable] = os.pathsep.join([*given, *own])
    added["SAMEPAGE_SINGLEUSER"] = str(script)
    return added


def _found(name: str) -> Distribution | None:
    with contextlib.suppress(PackageNotFoundError):
        return distribution(name)
    return None


def _write(path: Path, text: str) -> Path:
    """Whole or not at all: another container of the pod may start in the same moment."""
    try:
        if path.read_text(encoding="utf-8") == text and os.access(path, os.X_OK):
            return path
    except OSError:
        pass
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.chmod(0o755)
    draft.replace(path)
    if not os.access(path, os.X_OK):
        raise PermissionError(f"{path} cannot be made executable: a file system mounted noexec")
    return path
