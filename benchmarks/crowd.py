"""A node full of processes: half of them opted in to KSM with equal memory, all at rest.

Run as a program (`python crowd.py COUNT OPTED_IN MEGABYTES`); prints `ready` and ends, with all
its processes, when its standard input closes.
"""

import ctypes
import os
import signal
import sys

_SET_DEATH_SIGNAL, _SET_MEMORY_MERGE = 1, 67


def main(count: int, opted_in: int, megabytes: int) -> None:
    """Start them, say so, wait."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    children = []
    for number in range(count):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
            if number < opted_in and prctl(_SET_MEMORY_MERGE, 1, 0, 0, 0) != 0:
                os._exit(ctypes.get_errno())
            pages = megabytes * 256
            # Equal among all, and unlike from page to page, as an imported module's pages are.
            held = b"".join(page.to_bytes(8, "little") * 512 for page in range(1, pages + 1))
            os.write(writer, b"x")
            while held:
                signal.pause()
        os.close(writer)
        if os.read(reader, 1) != b"x":
            _, status = os.waitpid(pid, 0)
            raise OSError(os.waitstatus_to_exitcode(status), "PR_SET_MEMORY_MERGE")
        os.close(reader)
        children.append(pid)
    print("ready", flush=True)
    sys.stdin.read()
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
