"""A class of students with one course: what merging saves, how soon, and at what cost.

python -m benchmarks.memory [--classes 16:abcdef 8:aef 32:af] [--seed 1] [--page]

Every class that is measured goes into one file of results at once, and what that file has already
is not measured again (--again does): a run that was cut off goes on where it was. Together with
`memory_pace` (paired kernels) and `memory_charges` (memory cgroups) it makes one page.
"""

import argparse
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import memory_results as results
from .memory_class import measure
from .memory_page import publish
from .memory_students import live_in, prepare
from .memory_ways import CannotRunError, ksmtuned_by_itself, setups, sweep
from .page import DOCS
from .reachable import end_on_signal, ensure

NOTEBOOKS = ("02-numpy.ipynb", "03-pandas.ipynb", "04-matplotlib.ipynb", "05-scikit-learn.ipynb")
CLASSES = ("16:abcdef", "8:aef", "32:af")


def jobs(classes: Sequence[str], seed: int) -> list[tuple[int, str]]:
    """(students, letter) in an order that `seed` draws, so that no way always comes first. Pure.

    Errors: ValueError.
    """
    found = []
    for text in classes:
        count, _, letters = text.partition(":")
        if not count.isdigit() or not letters or set(letters) - set("abcdef"):
            raise ValueError(f"{text!r} is not like 16:abcdef")
        found += [(int(count), letter) for letter in letters]
    random.Random(seed).shuffle(found)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--classes", nargs="+", default=CLASSES, help="students and ways (%(default)s)"
    )
    parser.add_argument("--stations", type=int, default=24, help="of data, 1 to 48 (24)")
    parser.add_argument("--notebooks", nargs="+", default=NOTEBOOKS, help="of the course (all)")
    parser.add_argument("--apart", type=float, default=1.0, help="seconds between starts (1)")
    parser.add_argument(
        "--look-around", type=float, default=20, help="seconds from login to first notebook (20)"
    )
    parser.add_argument("--patience", type=float, default=90, help="seconds for merging (90)")
    parser.add_argument("--quiet", type=float, default=30, help="without gain: done (30)")
    parser.add_argument("--calm", type=float, default=8, help="an agent's rest: done (8)")
    parser.add_argument("--idle", type=float, default=30, help="seconds watched at rest (30)")
    parser.add_argument("--seed", type=int, default=1, help="of the order (1)")
    parser.add_argument("--ksmtuned", type=Path, help="its script, when not installed")
    parser.add_argument("--again", action="store_true", help="measure what is there already")
    parser.add_argument("--page", action="store_true", help="measure nothing, make the page")
    parser.add_argument("--results", type=Path, default=results.FILE, help="file of readings")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of the page")
    return parser.parse_args()


def main() -> None:
    """Measure what is missing, and publish the page."""
    options = _options()
    found = results.load(options.results)
    if not options.page:
        ensure("benchmarks.memory")
        end_on_signal()
        _run(options, found)
    if not found.classes:
        raise SystemExit("There are no results yet.")
    publish(found, options.docs)


def _run(options: argparse.Namespace, found: results.Results) -> None:
    ways = setups(options.ksmtuned)
    with tempfile.TemporaryDirectory(prefix="samepage-benchmark-") as name:
        folder = Path(name)
        prepare(folder, stations=options.stations)
        live_in(folder, options.notebooks)
        for count, letter in jobs(options.classes, options.seed):
            if not options.again and found.find(letter, count) is not None:
                continue
            setup = ways[letter]
            print(f"{count} students, ({letter}) {setup.name}", flush=True)
            try:
                if letter == "c":
                    starts = ksmtuned_by_itself(options.ksmtuned, folder)
                    found.facts["ksmtuned by itself"] = "starts" if starts else "does not start"
                sweep()
                found.put(measure(setup, count, folder, options))
            except CannotRunError as err:
                found.facts[f"not run: {letter}"] = str(err)
                print(f"not run: {err}", flush=True)
                continue
            results.save(found, options.results)


if __name__ == "__main__":
    main()
