"""Names what makes two aligned kernels unlike: ``python -m labext.kernels.drift A.json B.json``.

The files hold fingerprints (see `aligned.fingerprint`), alone or as `fingerprint` of an object.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def shared_pages(one: Mapping[str, Any], other: Mapping[str, Any]) -> float | None:
    """Share of the sampled pages that are equal at the same place, 0 to 1. Pure.

    None when a kernel could not read its own pages.
    """
    pages, others = one.get("pages"), other.get("pages")
    if not pages or not others:
        return None
    equal = sum(bool(a == b) for a, b in zip(pages, others, strict=False))
    return float(equal / max(len(pages), len(others)))


def drift(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What the preloads of two kernels saw differently, in words; [] when nothing. Pure."""
    found: list[str] = []
    if one.get("python") != other.get("python"):
        found.append("they run different versions of Python")
    if one.get("prefix") != other.get("prefix"):
        found.append(f"they are of {one.get('prefix')} and {other.get('prefix')}")
    first, second = one.get("versions", {}), other.get("versions", {})
    for name in sorted(set(first) & set(second)):
        if first[name] != second[name]:
            found.append(f"{name} is version {first[name]} and {second[name]}")
    if one.get("modules") != other.get("modules"):
        only = set(one.get("modules", ())) ^ set(other.get("modules", ()))
        found.append(
            f"they preload different modules: {', '.join(sorted(only)) or 'another order'}"
        )
    for part, words in (("environment", "the variable {} differs"), ("folders", "{} differs")):
        first, second = one.get(part, {}), other.get(part, {})
        for name in sorted(set(first) | set(second)):
            if first.get(name) != second.get(name):
                found.append(words.format(name))
    if not found and one.get("layout") != other.get("layout"):
        found.append("their memory is laid out differently, for no reason that was noted")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the share of equal pages and each difference; 1 when there is one."""
    paths = list(sys.argv[1:] if arguments is None else arguments)
    if len(paths) != 2:
        print("usage: python -m labext.kernels.drift A.json B.json", file=sys.stderr)
        return 2
    try:
        one, other = (json.loads(Path(path).read_text()) for path in paths)
    except (OSError, ValueError) as err:
        print(f"A fingerprint cannot be read: {err}", file=sys.stderr)
        return 2
    one, other = one.get("fingerprint", one), other.get("fingerprint", other)
    share = shared_pages(one, other)
    print("Pages: not known" if share is None else f"Pages: {share:.1%} of the sample are equal")
    differences = drift(one, other)
    for sentence in differences:
        print(f"- {sentence}")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
