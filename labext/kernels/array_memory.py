"""How much memory of freed arrays a kernel may have ready for its next ones. Pure."""

#: Beyond it the share of big arrays that need new memory hardly falls (measured on the course).
MOST = 64 << 20
_PART_OF_LIMIT = 16


def kept_bytes(limit_bytes: int | None) -> int:
    """Bytes, for a container with this memory limit (None: without): several kernels may run in it,
    and none of them may come to its limit for memory that holds nothing.
    """
    return MOST if limit_bytes is None else min(MOST, max(limit_bytes, 0) // _PART_OF_LIMIT)
