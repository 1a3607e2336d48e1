"""`samepage-course check` and `schema`: for who writes a manifest."""

from __future__ import annotations

import argparse
import json
import sys

from labext.courses.commands.choose import state_dir_of
from labext.courses.commands.say import FAILED, OK, as_json, printable
from labext.courses.manifest import ManifestError, Reader, Source
from labext.courses.manifest.schema import published


def check(options: argparse.Namespace) -> int:
    """Name everything that is wrong with a manifest, with its place; or say that it is fine."""
    try:
        reading = Reader(Source(manifest=options.file), state_dir_of(options)).read()
        courses = reading.courses or ()
        problems = reading.problem.problems if reading.problem is not None else ()
    except ManifestError as err:
        courses, problems = (), err.problems
    if options.json:
        as_json(
            {
                "ok": not problems,
                "problems": list(problems),
                "courses": [spec.id for spec in courses],
            }
        )
    elif problems:
        for problem in problems:
            print(printable(problem), file=sys.stderr)
    else:
        names = ", ".join(spec.id for spec in courses) or "no courses"
        print(printable(f"{options.file} is fine: {names}."))
    return FAILED if problems else OK


def schema(options: argparse.Namespace) -> int:
    """Print the JSON schema of a manifest."""
    print(json.dumps(published(), indent=2))
    return OK
