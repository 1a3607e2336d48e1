"""A Localhost seccomp profile for aligned kernels: `seccomp_profile.py DEFAULT [--arch arm64]`.

DEFAULT is the default profile of a container engine as Docker and podman write it: default.json of
moby's seccomp profiles, from which containerd's comes, or podman's, which is wider (mount, setns;
the kernel still wants capabilities), /usr/share/containers/seccomp.json. Printed is the same for a
container without capabilities, with one value of one call added: personality(0x40000), a fixed
address layout.

Docker's form has rules "only with this capability" or "only on this architecture". What a kubelet
hands to the runtime has none, and runtimes pass over these words: given such a file as it is, they
would allow mount and bpf to everybody. So the conditions are settled here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ADDR_NO_RANDOMIZE = 0x0040000
ARCHITECTURES = {"amd64": "SCMP_ARCH_X86_64", "arm64": "SCMP_ARCH_AARCH64"}
_RULE = ("names", "action", "errnoRet", "args")
_CONDITIONS = {"caps", "arches", "minKernel"}


class ProfileError(Exception):
    """The profile is none we understand; using it could allow too much."""


def applies(rule: Mapping[str, Any], arch: str) -> bool:
    """Whether a rule holds for a container without capabilities on `arch`."""
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    unknown = (set(includes) | set(excludes)) - _CONDITIONS
    if unknown:
        raise ProfileError(f"a rule has the unknown condition {sorted(unknown)[0]!r}")
    if includes.get("caps") or arch in (excludes.get("arches") or []):
        return False
    # minKernel: none above 4.8 is in use, and merging needs 6.4.
    return not includes.get("arches") or arch in includes["arches"]


def flattened(profile: Mapping[str, Any], arch: str) -> dict[str, Any]:
    """The profile in the runtimes' own form, with the one value added. ProfileError."""
    if profile.get("defaultAction") not in ("SCMP_ACT_ERRNO", "SCMP_ACT_KILL"):
        raise ProfileError("it does not deny by default")
    own = ARCHITECTURES[arch]
    maps = [entry for entry in profile.get("archMap") or [] if entry["architecture"] == own]
    architectures = [own, *(maps[0].get("subArchitectures") or [] if maps else [])]
    rules = [
        {key: rule[key] for key in _RULE if rule.get(key)}
        for rule in profile["syscalls"]
        if applies(rule, arch)
    ]
    if not any("personality" in rule["names"] and rule.get("args") for rule in rules):
        raise ProfileError("it has no rule for values of personality, as engines' defaults do")
    rules.append(
        {
            "names": ["personality"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": ADDR_NO_RANDOMIZE, "op": "SCMP_CMP_EQ"}],
        }
    )
    kept = {key: profile[key] for key in ("defaultAction", "defaultErrnoRet") if key in profile}
    return kept | {"architectures": architectures, "syscalls": rules}


def main(arguments: list[str]) -> int:
    """Exit status 1: the profile cannot be used, and why."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    parser.add_argument("default", type=Path)
    parser.add_argument("--arch", choices=sorted(ARCHITECTURES), default="amd64")
    given = parser.parse_args(arguments)
    try:
        profile = flattened(json.loads(given.default.read_text(encoding="utf-8")), given.arch)
    except (OSError, ValueError, KeyError, TypeError, ProfileError) as err:
        print(f"{given.default} is no default profile that can be used: {err}", file=sys.stderr)
        return 1
    print(json.dumps(profile, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
