"""What can be said of the node's cache of a course."""

from __future__ import annotations

import time
from collections.abc import Mapping

from labext.courses.address import AddressError, parse
from labext.courses.cache import CacheRefusedError, find, settings_of


def cache_note(url: str, environ: Mapping[str, str], now: float) -> str | None:
    """A sentence on the node's copy of the course at `url`; None: there is no cache here."""
    settings = settings_of(None, None, environ)
    if not settings.folder.is_absolute():
        return None
    try:
        found = find(settings, parse(url))
    except CacheRefusedError as err:
        return f"The node's course cache is not used, as it cannot be trusted: {err}."
    except AddressError:
        return None
    if found is None:
        return f"The node's course cache {settings.folder} does not have this course."
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.fetched_at))
    fresh = "fresh" if now < found.fresh_until else "too old to be used"
    return f"The node's course cache has this course as of {when}; that is {fresh}."
