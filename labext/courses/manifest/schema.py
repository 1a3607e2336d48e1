"""What a manifest may hold, as a JSON schema; the published one is made of this."""

from __future__ import annotations

from typing import Any

BRANCH = r"^(?![-/.])(?!.*(\.\.|//|@\{|\.lock$|[/.]$))[^\x00-\x20\x7f~^:?*\[\\]+$"
_NAMED = r"(?=.*[^/.])"  # more than '.' and '/'
_INSIDE = rf"^(?!/)(?!.*(^|/)\.\.(/|$)){_NAMED}[^*?\[\]\\\x00-\x1f\x7f]+$"
_ABSOLUTE = r"^/(?!.*(^|/)\.\.(/|$))[^\x00-\x1f\x7f]+$"
_MOMENT = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?( ?(Z|[+-]\d{2}:?\d{2}))?)?$"
_DURATION = r"^\d+ ?(s|m|h)?$"
_HOST = r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\d{1,5})?$"

# What to write instead of a text that does not fit, by the name of its key.
RULES = {
    "id": "letters, digits, '.', '_' and '-', at most 64, a letter or digit first",
    "branch": "a branch name as git allows it, not starting with '-'",
    "include": "a folder or file of the course, such as labs/week1 (no '..', no patterns)",
    "path": "a folder or file of the course, such as labs/week1 (no '..', no patterns)",
    "readonly": "a folder or file of the course, such as data (no '..', no patterns)",
    "link": "an absolute path on the node, without '..'",
    "token_file": "the absolute path of a mounted file, without '..'",
    "ssh_key_file": "the absolute path of a mounted file, without '..'",
    "known_hosts": "the absolute path of a mounted file, without '..'",
    "from": "a date, or a date and a time, such as 2026-11-23T09:00+01:00",
    "until": "a date, or a date and a time, such as 2026-11-23T09:00+01:00",
    "interval": "seconds, or a time such as 15m or 2h",
    "timeout": "seconds, or a time such as 15m or 2h",
    "preload": "the name of a Python module, such as numpy or matplotlib.pyplot",
    "hosts": "the name of a host, such as git.example.org",
    "username": "a name without spaces and ':'",
}

_PATH = {"type": "string", "pattern": _INSIDE, "maxLength": 1024}
_FILE = {"type": "string", "pattern": _ABSOLUTE, "maxLength": 1024}
_WORD = {"type": "string", "minLength": 1, "maxLength": 200}


def _about(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {**schema, "description": description}


def _object(properties: dict[str, Any], *required: str, description: str = "") -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }
    if required:
        schema["required"] = list(required)
    if description:
        schema["description"] = description
    return schema


_MOMENTS = {
    "path": _about(_PATH, "Folder or file of the course."),
    "from": _about(
        {"type": "string", "pattern": _MOMENT},
        "Not delivered before. With a time zone (2026-11-23T09:00+01:00), or in `timezone`; "
        "a date alone is its first moment.",
    ),
    "until": _about(
        {"type": "string", "pattern": _MOMENT},
        "No updates from here on; what the student has stays. A date alone is its last moment.",
    ),
}
_RELEASE = {
    **_object(_MOMENTS, "path"),
    "anyOf": [{"required": ["from"]}, {"required": ["until"]}],
}
_READONLY = {
    **_object(
        {
            "path": _about(_PATH, "Folder or file of the course."),
            "link": _about(
                _FILE, "Where it is on the node: a link leads there, nothing is copied."
            ),
        },
        "path",
        "link",
    ),
    "type": ["string", "object"],
    "pattern": _INSIDE,
}
_TIME = {"type": ["integer", "string"], "minimum": 0, "pattern": _DURATION}

_COURSE = _object(
    {
        "id": _about(
            {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
            "Name of the course in addresses and on the command line.",
        ),
        "url": _about(
            {"type": "string", "minLength": 1},
            "Git address: https, http, ssh (also user@host:path), git or file.",
        ),
        "branch": _about(
            {"type": "string", "pattern": BRANCH}, "Default: the repository's own default branch."
        ),
        "target": _about(
            {"type": "string", "minLength": 1},
            "Folder below the server's root folder. Default: the repository's name.",
        ),
        "title": _about(_WORD, "For people. Default: the id."),
        "depth": _about(
            {"type": "integer", "minimum": 0},
            "Commits of history to fetch; 0: all. Default: 1. The folder is the same.",
        ),
        "include": _about(
            {"type": "array", "items": _PATH, "minItems": 1},
            "Only these folders and files of the course are delivered, and (where the server "
            "can) fetched. Default: all.",
        ),
        "release": _about(
            {"type": "array", "items": _RELEASE},
            "When paths are delivered. A convenience, not a secret: the files may be fetched "
            "earlier. Of several entries for a path the longest counts.",
        ),
        "readonly": _about(
            {"type": "array", "items": _READONLY},
            "Data: always the course's version, without write permission; with `link` a link to "
            "a folder of the node.",
        ),
        "deleted": _about(
            {"enum": ["restore", "keep"]},
            "What becomes of a file of the course that the student deleted. Default: restore.",
        ),
        "submodules": _about(
            {"type": "boolean"}, "Whether files of submodules are delivered. Default: true."
        ),
        "lfs": _about(
            {"type": "boolean"},
            "Whether Git LFS files are delivered with their content (needs git-lfs). "
            "Default: true.",
        ),
        "pull": _object(
            {
                "on_start": _about(
                    {"type": "boolean"}, "Pull when the server has started. Default: the server's."
                ),
                "interval": _about(
                    _TIME,
                    "Time between two pulls, in seconds or as 15m; 0: none. Default: the server's.",
                ),
                "timeout": _about(_TIME, "Longest time of one pull. Default: the server's."),
            },
            description="When to pull; what is not given is as set for the server.",
        ),
        "auth": _object(
            {
                "token_file": _about(_FILE, "A file that holds a token; read at each pull."),
                "username": _about(
                    {"type": "string", "pattern": r"^[^\s:]{1,200}$"},
                    "The user the token belongs to. Default: oauth2.",
                ),
                "ssh_key_file": _about(_FILE, "A private key (deploy key) for an ssh address."),
                "known_hosts": _about(
                    _FILE, "The server's public keys. Default: those the machine knows."
                ),
                "hosts": _about(
                    {"type": "array", "items": {"type": "string", "pattern": _HOST}},
                    "Other hosts, of submodules, that may be given the token or key too.",
                ),
            },
            description="A private repository: paths of mounted secrets, never a secret itself.",
        ),
        "preload": _about(
            {
                "type": "array",
                "items": {
                    "type": "string",
                    "pattern": r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
                },
            },
            "Python modules that the course's notebooks import; kernels may have them ready.",
        ),
        "merge": _about(
            {"type": "boolean"},
            "Whether kernels in the course's folder opt in to page merging. Default: true.",
        ),
        "align": _about(
            {"type": "boolean"},
            "Whether they start aligned, where the node does that. Default: true.",
        ),
        "image": _about(_WORD, "Hint for who starts servers: the container image of the course."),
        "profile": _about(_WORD, "Hint for who starts servers: the profile of the course."),
    },
    "id",
    "url",
)

SCHEMA: dict[str, Any] = _object(
    {
        "version": _about({"const": 1}, "Version of this format."),
        "timezone": _about(
            _WORD, "For dates without a time zone, such as Europe/Berlin. Default: none."
        ),
        "courses": _about({"type": "array", "items": _COURSE}, "The courses, in their order."),
    },
    "version",
    "courses",
)


def published() -> dict[str, Any]:
    """The schema as editors want it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "samepage-course.yml",
        "description": "Courses of a Samepage server, version 1.",
        **SCHEMA,
    }
