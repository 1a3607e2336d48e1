"""Every setting of the server extension, in one place."""

from __future__ import annotations

import os

from traitlets import Bool, Dict, Enum, Float, Int, List, Unicode, default
from traitlets.config import LoggingConfigurable


class Samepage(LoggingConfigurable):
    """Settings of Samepage in the Jupyter server (`c.Samepage.*` in `jupyter_server_config.py`)."""

    agent_url = Unicode(
        help="""Address of the node agent, such as http://127.0.0.1:9747, or
        unix:///run/samepage/node.sock for a socket. An empty text turns the node panel off.
        Default: $SAMEPAGE_AGENT_URL, else http://127.0.0.1:9747."""
    ).tag(config=True)

    @default("agent_url")
    def _default_agent_url(self) -> str:
        return os.environ.get("SAMEPAGE_AGENT_URL", "http://127.0.0.1:9747")

    trust_agent_on_network = Bool(
        False,
        help="""Whether to believe an agent_url that is neither a socket nor loopback when it tells
        which GPU processes are this user's. Only where something between here and that agent tells
        students apart. Default: False.""",
    ).tag(config=True)

    agent_timeout_seconds = Float(
        1.5,
        min=0.1,
        help="How long to wait for an answer of the node agent, in seconds. Default: 1.5.",
    ).tag(config=True)

    agent_cache_seconds = Float(
        3.0,
        min=0.0,
        help="""How long an answer of the node agent is given to every browser tab before it is
        asked again, in seconds. Default: 3.""",
    ).tag(config=True)

    memory_cache_seconds = Float(
        2.0,
        min=0.0,
        help="How long a reading of this server's memory is kept, in seconds. Default: 2.",
    ).tag(config=True)

    courses = Unicode(
        help="""Where the course manifest (samepage-course.yml) is: a file, a folder of such files
        (a mounted ConfigMap), or an https address. Empty: see `courses_yaml` and `course_url`.
        Default: $SAMEPAGE_COURSES, else empty."""
    ).tag(config=True)

    @default("courses")
    def _default_courses(self) -> str:
        return os.environ.get("SAMEPAGE_COURSES", "")

    courses_yaml = Unicode(
        help="""The course manifest itself, as YAML or JSON. Only read when `courses` is empty.
        Default: $SAMEPAGE_COURSES_YAML, else empty."""
    ).tag(config=True)

    @default("courses_yaml")
    def _default_courses_yaml(self) -> str:
        return os.environ.get("SAMEPAGE_COURSES_YAML", "")

    course_url = Unicode(
        help="""Git address of a single course, for servers without a manifest. Only read when
        `courses` and `courses_yaml` are empty. Default: $SAMEPAGE_COURSE_URL, else empty: no
        course."""
    ).tag(config=True)

    @default("course_url")
    def _default_course_url(self) -> str:
        return os.environ.get("SAMEPAGE_COURSE_URL", "")

    course_branch = Unicode(
        help="""Branch of the course of `course_url`. Default: $SAMEPAGE_COURSE_BRANCH, else empty:
        the repository's own default branch."""
    ).tag(config=True)

    @default("course_branch")
    def _default_course_branch(self) -> str:
        return os.environ.get("SAMEPAGE_COURSE_BRANCH", "")

    course_target = Unicode(
        help="""Folder of the course of `course_url`, relative to the server's root folder.
        Default: $SAMEPAGE_COURSE_TARGET, else empty: the repository's name."""
    ).tag(config=True)

    @default("course_target")
    def _default_course_target(self) -> str:
        return os.environ.get("SAMEPAGE_COURSE_TARGET", "")

    pull_on_start = Bool(
        True,
        help="Whether every course is pulled when the server has started. Default: True.",
    ).tag(config=True)

    pull_interval_seconds = Float(
        0.0,
        min=0.0,
        help="""Time between two pulls of a course while the server runs, in seconds. 0: only at
        start and on demand. Default: 0.""",
    ).tag(config=True)

    pull_jitter_seconds = Float(
        10.0,
        min=0.0,
        help="""Up to this many seconds are added, at random, to each `pull_interval_seconds`, so
        that a class does not reach the git server in one instant. The pull at start is not
        delayed: somebody waits for it. Default: 10.""",
    ).tag(config=True)

    pull_timeout_seconds = Float(
        600.0,
        min=1.0,
        help="""Longest time of one pull, in seconds; then it is ended and tried again at the next
        occasion. Default: 600.""",
    ).tag(config=True)

    connect_timeout_seconds = Float(
        15.0,
        min=0.5,
        help="""How long a git server may take to tell its branches, in seconds, before the course
        counts as offline. Default: 15.""",
    ).tag(config=True)

    course_cache = Unicode(
        help="""Folder of the node's cache of course repositories, as the node agent keeps it
        (NODEAGENT_COURSE_CACHE), mounted read-only. A pull asks the node instead of the git server
        while what the node knows is fresh, and copies from it; without it, or when others could
        have written it, from the git server. Default: $SAMEPAGE_COURSE_CACHE, else empty: none.""",
    ).tag(config=True)

    @default("course_cache")
    def _default_course_cache(self) -> str:
        return os.environ.get("SAMEPAGE_COURSE_CACHE", "")

    course_cache_owner = Int(
        min=0,
        help="""User id that may own `course_cache` and what is in it, besides root. Default:
        $SAMEPAGE_COURSE_CACHE_OWNER, else 0.""",
    ).tag(config=True)

    @default("course_cache_owner")
    def _default_course_cache_owner(self) -> int:
        given = os.environ.get("SAMEPAGE_COURSE_CACHE_OWNER", "")
        return int(given) if given.isascii() and given.isdigit() else 0

    supervise_apps = Bool(
        True,
        help="""Whether Samepage starts, watches and stops the applications of jupyter-server-proxy
        (those with a command). False leaves them to jupyter-server-proxy. Default: True.""",
    ).tag(config=True)

    app_ready_timeout = Float(
        60.0,
        min=1.0,
        help="""How long an application may take until its first answer, in seconds; an entry whose
        own `timeout` is longer has that. Default: 60.""",
    ).tag(config=True)

    app_wait_seconds = Float(
        90.0,
        min=1.0,
        help="""How long a request that cannot show the start page (of a script, or a websocket)
        waits for an application that starts, in seconds. Default: 90.""",
    ).tag(config=True)

    app_stop_grace_seconds = Float(
        30.0,
        min=0.0,
        help="""How long an application may take to save and end after SIGTERM before it is killed,
        in seconds. Keep it below the time your hub gives a server that stops. Default: 30.""",
    ).tag(config=True)

    app_idle_seconds = Dict(
        value_trait=Float(min=0.0),
        key_trait=Unicode(),
        help="""Seconds without use until an application is stopped, by name; "*" stands for all
        that are not named, 0 for never. Example: {"rstudio": 7200, "*": 3600}. Default: empty,
        nothing is stopped for being idle.""",
    ).tag(config=True)

    app_idle_shown_seconds = Float(
        60.0,
        min=1.0,
        help="Seconds without use until an application is shown as idle. Default: 60.",
    ).tag(config=True)

    app_max_starts = Int(
        3,
        min=1,
        help="""How often an application that ends by itself is started within
        `app_start_window_seconds` before it has to rest. A count. Default: 3.""",
    ).tag(config=True)

    app_start_window_seconds = Float(
        60.0,
        min=1.0,
        help="The time in which `app_max_starts` are counted, in seconds. Default: 60.",
    ).tag(config=True)

    app_log_bytes = Int(
        1 << 20,
        min=4096,
        help="""How much of its newest output is kept of each application, in bytes; on disk it
        takes up to twice that. Default: 1048576.""",
    ).tag(config=True)

    app_upload_bytes = Int(
        0,
        min=0,
        help="""Largest upload to an application, in bytes; 0: no limit, as uploads are passed on
        piece by piece and take no memory here. Default: 0.""",
    ).tag(config=True)

    app_message_bytes = Int(
        64 << 20,
        min=1024,
        help="Largest websocket message to or from an application, in bytes. Default: 67108864.",
    ).tag(config=True)

    app_port_gate = Enum(
        ["auto", "on", "off"],
        help="""Whether connections of other users of the machine to the TCP ports of applications
        are closed before the application sees them. "auto": unless this is a container that
        nobody else uses. Where the kernel or a sandbox does not allow it, applications start
        without, and their status says so. While it is on, setuid programs (sudo, ping) gain no
        privileges inside an application. Default: $SAMEPAGE_APP_PORT_GATE, else auto.""",
    ).tag(config=True)

    @default("app_port_gate")
    def _default_app_port_gate(self) -> str:
        asked = os.environ.get("SAMEPAGE_APP_PORT_GATE", "auto")
        return asked if asked in ("auto", "on", "off") else "auto"

    app_log_format = Enum(
        ["text", "json"],
        help="""How the events of applications (start, ready, failed, stopped) are written to the
        server's log: "text" for people, "json" for programs, one object a line. Default: text.""",
        default_value="text",
    ).tag(config=True)

    app_keep_environment = List(
        Unicode(),
        help="""Names of environment variables that applications get although they look like a
        secret of Jupyter or its hub (such as JUPYTERHUB_API_TOKEN). Default: none.""",
    ).tag(config=True)
