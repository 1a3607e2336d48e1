"""The node's own word on what its students' kernels may do. Any one "no" wins, this one too."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Switches:
    """`merge`: opt in to merging at all; `align`: start with a layout known to others."""

    merge: bool = True
    align: bool = True


ALL_ON = Switches()
