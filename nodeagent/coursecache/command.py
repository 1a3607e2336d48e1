"""`samepage-agent course-cache fetch | status | prune`: for cron, and to look."""

from __future__ import annotations

import time
from collections.abc import Mapping

from nodeagent.config import AgentConfig
from nodeagent.coursecache import notice
from nodeagent.coursecache.folder import CacheBusyError, CacheFolder
from nodeagent.coursecache.gitrun import GitFailedError, Running
from nodeagent.coursecache.mirror import Mirror
from nodeagent.coursecache.pace import Pace, retry_seconds
from nodeagent.coursecache.source import Source
from nodeagent.coursecache.sources import configured
from nodeagent.coursecache.sweep import prune_all
from nodeagent.errors import ConfigError


def run_command(action: str, config: AgentConfig, env: Mapping[str, str]) -> int:
    """0: done. 1: a course could not be fetched. Errors: ConfigError, CacheFolderError."""
    if config.course_cache is None:
        raise ConfigError(
            "There is no course cache",
            fix="Give --course-cache FOLDER, or set NODEAGENT_COURSE_CACHE.",
        )
    folder = CacheFolder(path=config.course_cache)
    sources = configured(config)
    if action == "status":
        return _status(folder, sources)
    folder.prepare()
    if action == "prune":
        retention = config.course_cache_retention * 86_400
        tips, courses = prune_all(folder, sources, retention, env, time.time(), Running())
        print(f"{tips} old versions and {courses} courses were removed.")
        return 0
    pace = Pace(interval=config.course_cache_interval)
    results = [_fetch(folder, source, pace, env) for source in sources]
    if not sources:
        print("No courses are listed; give --course-cache-urls or --course-cache-list.")
    return 0 if all(results) else 1


def _fetch(folder: CacheFolder, source: Source, pace: Pace, env: Mapping[str, str]) -> bool:
    mirror = Mirror(source=source, folder=folder.of(source), env=env, running=Running())
    known = notice.read(mirror.folder)
    now = time.time()
    if known is not None and known.throttled_until is not None and now < known.throttled_until:
        left = known.throttled_until - now
        print(f"{source.remote}: its server asked to be left alone for another {left:.0f} s.")
        return True
    try:
        fetched = mirror.fetch(now, 2 * pace.interval + 30)
    except CacheBusyError:
        print(f"{source.remote}: another process fetches it now.")
        return True
    except GitFailedError as err:
        if err.status in (429, 503):
            wait = pace.next(1, retry_seconds(err.retry_after, now), 0.0)
            mirror.throttled(now + wait)
        print(f"{source.remote}: failed: {' '.join(err.text.split())[:500]}")
        return False
    print(f"{source.remote}: {'new' if fetched.changed else 'nothing new'}, {fetched.bytes} bytes")
    return True


def _status(folder: CacheFolder, sources: tuple[Source, ...]) -> int:
    now = time.time()
    listed = {source.name: source for source in sources}
    for place in folder.existing():
        known = notice.read(place)
        source = listed.get(place.name)
        size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        age = "never fetched" if known is None else f"fetched {now - known.fetched_at:.0f} s ago"
        name = "not listed any more" if source is None else source.remote
        print(f"{place.parent.name}/{place.name}  {size / 1e6:.1f} MB  {age}  {name}")
    return 0
