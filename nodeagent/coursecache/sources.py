"""The courses that the settings name."""

from __future__ import annotations

from nodeagent.config import AgentConfig
from nodeagent.coursecache.source import Source, sources


def configured(config: AgentConfig) -> tuple[Source, ...]:
    """All courses to keep. Reads the list anew. Errors: ConfigError."""
    return sources(
        config.course_cache_urls, config.course_cache_list, config.course_cache_credentials
    )
