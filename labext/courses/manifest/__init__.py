"""The course manifest (`samepage-course.yml`): read from wherever it is, checked, as values."""

from __future__ import annotations

from labext.courses.manifest.problems import ManifestError
from labext.courses.manifest.reading import load, read, single
from labext.courses.manifest.source import Reader, Reading, Source
from labext.courses.manifest.values import preload_modules

__all__ = [
    "ManifestError",
    "Reader",
    "Reading",
    "Source",
    "load",
    "preload_modules",
    "read",
    "single",
]
