"""What a preloaded kernel looks like, small enough to compare: was the start really aligned?

Two kernels that started aligned have the same mappings at the same addresses and nearly all pages
in common. `layout` is a hash of the mappings; `pages` holds a short hash of every n-th page of
private writable memory, in the order of addresses, so that the share of equal pages can be told
from two fingerprints. The other fields say what the preload saw, to name a difference: `versions`
holds those of the modules' packages as far as their names tell which those are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

SAMPLES = 256
#: Packages that are not called as the module they bring.
_PACKAGES = {
    "sklearn": "scikit_learn",
    "skimage": "scikit_image",
    "PIL": "pillow",
    "cv2": "opencv_python",
    "yaml": "pyyaml",
}
_PAGE = os.sysconf("SC_PAGE_SIZE")


def fingerprint(modules: list[str]) -> dict[str, Any]:
    """Of this process, now. Plain JSON. Takes milliseconds; unreadable parts are None."""
    ranges = list(private_ranges())
    folders = {entry: _listing(entry) for entry in sys.path if Path(entry).is_dir()}
    return {
        "prefix": sys.prefix,
        "versions": _versions(modules, folders),
        "python": f"{sys.implementation.cache_tag} {_short(sys.version.encode())}",
        "environment": {k: _short(os.fsencode(v)) for k, v in sorted(os.environ.items())},
        "folders": folders,
        "modules": modules,
        "layout": _short(repr(ranges).encode()),
        "pages": _pages(ranges),
    }


def _short(content: bytes) -> str:
    return blake2b(content, digest_size=4).hexdigest()


def _listing(folder: str) -> str | None:
    try:
        return _short("\0".join(sorted(os.listdir(folder))).encode(errors="surrogateescape"))  # noqa: PTH208
    except OSError:
        return None


def _versions(modules: list[str], folders: Iterable[str]) -> dict[str, str]:
    """Version by package, from the names of their metadata (PACKAGE-VERSION.dist-info)."""
    tops = dict.fromkeys(name.partition(".")[0] for name in modules)
    wanted = {_PACKAGES.get(name, name).lower() for name in tops}
    found: dict[str, str] = {}
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208
        except OSError:
            continue
        for name in names:
            package, dash, version = name.removesuffix(".dist-info").partition("-")
            if dash and name.endswith(".dist-info") and package.lower() in wanted:
                found.setdefault(package.lower(), version)
    return found


def private_ranges() -> Iterator[tuple[int, int]]:
    """Writable private mappings without the stack, whose top holds random bytes."""
    try:
        rows = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return
    for row in rows:
        addresses, rights, rest = row.split(maxsplit=2)
        if (rights == "rw-p" and not rest.endswith("]")) or rest.endswith("[heap]"):
            start, _, end = addresses.partition("-")
            yield int(start, 16), int(end, 16)


def _pages(ranges: list[tuple[int, int]]) -> list[str] | None:
    total = sum(end - start for start, end in ranges) // _PAGE
    step = max(total // SAMPLES, 1)
    found: list[str] = []
    position = 0
    try:
        with open("/proc/self/mem", "rb", buffering=0) as memory:  # noqa: PTH123 - not a real file
            for start, end in ranges:
                pages = (end - start) // _PAGE
                for page in range((-position) % step, pages, step):
                    memory.seek(start + page * _PAGE)
                    found.append(_short(memory.read(_PAGE)))
                position += pages
    except (OSError, OverflowError):
        return None
    return found
