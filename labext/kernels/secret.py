"""The shared secret layout: one random offset for all who shall merge, unknown to others.

Without randomisation Linux places mappings below the stack limit, so a limit of 1 GiB to 1 TiB
moves every library and every big allocation by as much. Only readers of the secret know how far.
The program itself, its brk heap and the stack stay where they are. Source: mmap_base() in
arch/x86/mm/mmap.c; measured in docs/security.md.
"""

import hashlib
import resource
from pathlib import Path

from .aligned_process import NotAlignedError

_LEAST, _MOST = 1 << 30, 1 << 40
_PAGE = 4096


def stack_limit(secret: bytes) -> int:
    """Bytes, a multiple of the page, of which 28 bits depend on the secret. Pure."""
    number = int.from_bytes(hashlib.blake2b(secret, digest_size=8).digest(), "big")
    pages = (_MOST - _LEAST) // _PAGE
    return _LEAST + number % pages * _PAGE


def layout_from(file: str) -> tuple[str, int]:
    """The layout for `launch` and the usual soft stack limit.

    Errors: NotAlignedError when there is a file that cannot be used: an operator who set it does
    not want the well-known layout instead.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    if not file:
        return "fixed", soft
    try:
        secret = Path(file).read_bytes().strip()
    except OSError as err:
        raise NotAlignedError(f"the layout secret cannot be read ({err})", lasting=True) from err
    if len(secret) < 16:
        raise NotAlignedError(f"the layout secret in {file} is shorter than 16 bytes", lasting=True)
    wanted = stack_limit(secret)
    if hard not in {resource.RLIM_INFINITY, -1} and hard < wanted:
        raise NotAlignedError(
            f"the hard stack limit of {hard} bytes leaves no room for a secret layout", lasting=True
        )
    return str(wanted), soft
