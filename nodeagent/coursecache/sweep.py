"""Removes from the cache what nobody has needed for long."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence

from nodeagent.coursecache import notice
from nodeagent.coursecache.folder import CacheBusyError, CacheFolder, locked
from nodeagent.coursecache.gitrun import GitFailedError, Running
from nodeagent.coursecache.mirror import Mirror
from nodeagent.coursecache.source import Source

log = logging.getLogger("nodeagent.coursecache")


def prune_all(
    folder: CacheFolder,
    sources: Sequence[Source],
    retention: float,
    env: Mapping[str, str],
    now: float,
    running: Running,
) -> tuple[int, int]:
    """How many old tips and how many courses went; retention in seconds.

    A course goes when it is not in the list any more and was not fetched for `retention`. Nobody
    borrows objects: a student has copies of what was pulled.
    """
    by_folder = {folder.of(source): source for source in sources}
    tips = courses = 0
    for place in folder.existing():
        source = by_folder.get(place)
        try:
            if source is not None:
                mirror = Mirror(source=source, folder=place, env=env, running=running)
                tips += mirror.prune(now, retention)
                continue
            known = notice.read(place)
            if known is not None and now - known.fetched_at <= retention:
                continue
            with locked(place):
                shutil.rmtree(place)
            courses += 1
        except (CacheBusyError, GitFailedError, OSError) as err:
            log.warning("course cache: pruning %s: %s", place.name, err)
    return tips, courses
