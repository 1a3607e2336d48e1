"""How much memory a Java application may take here. Pure."""

from __future__ import annotations

MIB = 1 << 20

HEAP_MIN_MIB = 256
HEAP_MAX_MIB = 2048
# Metaspace, code cache, thread stacks and Jetty's buffers: 216-251 MB resident were measured for
# an idle OpenRefine 3.6 with a nearly empty heap.
BESIDE_HEAP_MIB = 200


def heap_mib(available_bytes: int | None) -> int | None:
    """Heap in MiB for this much free memory; None when it is too little to start.

    Half of what is free once the JVM itself is paid for, so that notebooks keep the other half;
    at least 256 MiB and at most 2 GiB. With unknown free memory (None) the smallest heap.
    """
    if available_bytes is None:
        return HEAP_MIN_MIB
    spare = available_bytes // MIB - BESIDE_HEAP_MIB
    if spare < HEAP_MIN_MIB:
        return None
    return max(HEAP_MIN_MIB, min(spare // 2, HEAP_MAX_MIB))


def needed_bytes() -> int:
    """Free memory below which `heap_mib` gives None."""
    return (HEAP_MIN_MIB + BESIDE_HEAP_MIB) * MIB
