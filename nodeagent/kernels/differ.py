"""What makes an aligned kernel unlike another one, as codes and in words. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from nodeagent.kernels.table import Mark

Code = Literal[
    "python", "version", "module", "modules", "folder", "files", "missing", "variable", "unknown"
]
CODES: tuple[str, ...] = get_args(Code)


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One difference. `name`: a folder, variable, module or package with version; "": none.

    `foreign`: the name is from the other kernel, and not for who asks about this one.
    """

    code: Code
    name: str = ""
    foreign: bool = False

    @property
    def words(self) -> str:
        """For the operator, of the kernel that is unlike most."""
        return _WORDS[self.code].format(self.name)


_WORDS: dict[Code, str] = {
    "python": "it runs another build of Python",
    "version": "{} is another version",
    "module": "{} was not preloaded",
    "modules": "{} is preloaded and is not by most",
    "folder": "{} is on its sys.path and on nobody else's",
    "files": "{} has other files in it",
    "missing": "{} is missing on its sys.path",
    "variable": "the variable {} is another one",
    "unknown": "its memory is laid out differently, for no reason that was noted",
}


def differences(mark: Mark, reference: Mark) -> list[Cause]:
    """What the preload of `mark` saw that the reference did not; what tells most comes first."""
    return list(_differences(mark, reference)) or [Cause(code="unknown")]


def _differences(mark: Mark, reference: Mark) -> Iterator[Cause]:
    if mark.python != reference.python:
        yield Cause(code="python")
    for name, version in sorted(mark.versions.items()):
        if reference.versions.get(name, version) != version:
            yield Cause(code="version", name=f"{name} {version}")
    missing = sorted(set(reference.modules) - set(mark.modules))
    if missing:
        yield Cause(code="module", name=", ".join(missing), foreign=True)
    more = sorted(set(mark.modules) - set(reference.modules))
    if more:
        yield Cause(code="modules", name=", ".join(more))
    for folder in sorted(mark.folders.keys() | reference.folders.keys()):
        if folder not in reference.folders:
            yield Cause(code="folder", name=folder)
        elif folder not in mark.folders:
            yield Cause(code="missing", name=folder, foreign=True)
        elif mark.folders[folder] != reference.folders[folder]:
            yield Cause(code="files", name=folder)
    for name in sorted(mark.environment.keys() | reference.environment.keys()):
        if mark.environment.get(name) != reference.environment.get(name):
            yield Cause(code="variable", name=name, foreign=name not in mark.environment)
