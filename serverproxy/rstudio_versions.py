"""The versions of R that a machine has, each of which gets a card of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serverproxy.host import Host
from serverproxy.preflight.executable import is_executable
from serverproxy.settings import AppSettings

# docs.posit.co/resources/install-r: Posit's builds, and what administrators put beside them.
_POSIT = "/opt/R"
_CONDA = ("/opt/conda", "/opt/miniconda3", "/opt/miniforge3", "/opt/mambaforge")


@dataclass(frozen=True, kw_only=True)
class RVersion:
    """One R. label: what people call it, such as "4.3". conda: it is a conda environment's."""

    label: str
    r: Path
    conda: bool = False

    @property
    def name(self) -> str:
        """Of its application: segment of the URL."""
        return f"rstudio-{re.sub('[^a-z0-9._-]+', '-', self.label.lower())}"

    @property
    def title(self) -> str:
        """Of its card."""
        return f"RStudio (R in {self.label})" if self.conda else f"RStudio (R {self.label})"


def installed(host: Host, settings: AppSettings) -> tuple[RVersion, ...]:
    """Those the setting names; unset, Posit's and conda's, newest first. Starts none of them."""
    if settings.rstudio_r_versions is not None:
        return tuple(RVersion(label=label, r=path) for label, path in settings.rstudio_r_versions)
    return (*_named(_posit(host)), *_conda(host))


def beside(versions: Sequence[RVersion], default: Path | None) -> tuple[RVersion, ...]:
    """Those that are not the default R, each R and each name once."""
    seen = set() if default is None else {_real(default)}
    names = {"rstudio"}
    kept = []
    for version in versions:
        real = _real(version.r)
        if real not in seen and version.name not in names:
            seen.add(real)
            names.add(version.name)
            kept.append(version)
    return tuple(kept)


def conda_libraries(r: Path) -> Path | None:
    """Folder of the libraries of the conda environment that R belongs to; None: it is none.

    R finds them by itself, rsession, which loads R as a library, does not (repo2docker#1237).
    """
    prefix = r.parent.parent
    return prefix / "lib" if (prefix / "conda-meta").is_dir() else None


def _posit(host: Host) -> list[tuple[str, Path]]:
    found = [(folder.name, folder / "bin/R") for folder in _folders(host.at(_POSIT))]
    return sorted(
        (each for each in found if is_executable(each[1])),
        key=lambda each: _order(each[0]),
        reverse=True,
    )


def _conda(host: Host) -> list[RVersion]:
    prefixes = [host.at(place) for place in _CONDA]
    for variable, up in (("CONDA_EXE", 2), ("CONDA_PREFIX", 0), ("MAMBA_ROOT_PREFIX", 0)):
        value = host.env.get(variable, "")
        if value.startswith("/"):
            path = Path(value)
            prefixes.append(path.parents[up - 1] if up else path)
    found: dict[str, RVersion] = {}
    for prefix in dict.fromkeys(prefixes):
        for folder in _folders(prefix / "envs"):
            r = folder / "bin/R"
            if is_executable(r) and (folder / "conda-meta").is_dir():
                found.setdefault(folder.name, RVersion(label=folder.name, r=r, conda=True))
    return [found[name] for name in sorted(found)]


def _named(found: Sequence[tuple[str, Path]]) -> list[RVersion]:
    """Short labels where they tell the versions apart: 4.3 for 4.3.3."""
    short = [_short(name) for name, _ in found]
    often = Counter(short)
    return [
        RVersion(label=label if often[label] == 1 else name, r=path)
        for label, (name, path) in zip(short, found, strict=True)
    ]


def _short(name: str) -> str:
    version = re.fullmatch(r"(\d+\.\d+)\.\d+", name)
    return name if version is None else version.group(1)


def _order(name: str) -> tuple[tuple[int, ...], str]:
    return tuple(int(part) for part in re.findall(r"\d+", name)), name


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if each.is_dir())
    except OSError:
        return []


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path
