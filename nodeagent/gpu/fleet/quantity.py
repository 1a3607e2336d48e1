"""Sizes as Kubernetes writes them. Pure.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

import math
import re

_FORM = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|k|M|G|T)?")
_UNITS = {
    None: 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def parse_bytes(text: str) -> int:
    """`6Gi`, `500M` or `1024` in bytes. ValueError: another form."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 6Gi, 500Mi or 6000000000")
    size = float(match[1]) * _UNITS[match[2]]
    if size == math.inf:
        raise ValueError("a size of more than 300 digits")
    return int(size)
