"""`samepage-course restore`."""

from __future__ import annotations

import argparse
import time

from labext.courses.commands.choose import local_environment, one
from labext.courses.commands.look import relative
from labext.courses.commands.say import OK, as_json, printable
from labext.courses.store import Store
from labext.courses.sync.engine import StateEngine
from labext.courses.sync.fresh import bring
from labext.courses.sync.undo import undo


def restore(options: argparse.Namespace) -> int:
    """Undo the last pull of a folder, or bring the course's version of files."""
    place = one(options)
    target, repository = place.target, place.repository()
    with Store(folder=place.state_dir, target=target).locked():
        StateEngine(place.state_dir).recover(target, local_environment(target))
        repository.prepare()
        if options.path:
            paths = [relative(target, path) for path in options.path]
            beside = bring(repository, target, paths, time.time)
            if options.json:
                as_json({"restored": paths, "beside": list(beside)})
                return OK
            for name in beside:
                print(f"Yours is now {printable(name)}.")
            print(f"The course's version is here: {', '.join(map(printable, paths))}.")
            return OK
        undone = undo(repository, target, time.time)
    if options.json:
        as_json({"restored": list(undone.paths), "kept": list(undone.kept)})
        return OK
    for path in undone.kept:
        print(f"  left as it is, you changed it since: {printable(path)}")
    print(f"The last pull was undone; {len(undone.paths)} files are as they were before it.")
    return OK
