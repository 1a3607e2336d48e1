"""A donor for the node agent: an aligned kernel that no student ever gets.

`samepage-agent donors -- python -m labext.kernels.donor` in the students' image keeps two of them.
They hold what every idle kernel of the class holds and merge with each other first, so that the
node, and no student, is charged for the pages a class has in common.

It must be started as the students' kernels are: the same image, kernelspec and SAMEPAGE_*
variables. It prints `ready awake` when the kernel answers: the keeper then leaves it running, so
that it can tell when its kernel ends, as the kernel ends with it. What remains of this program is
a small process that waits for the kernel.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from traitlets.config import Config

from .alignment import fingerprint_file, report_file
from .ledger import ledger, notice

_READY_SECONDS = 120.0
_PROVISIONER = "samepage-provisioner"
#: Runs without our packages, in a few megabytes: what starting a kernel takes is not needed again.
_WAIT = """
import os, sys
os.waitpid(int(sys.argv[1]), 0)
for name in sys.argv[2:]:
    try:
        os.unlink(name)
    except OSError:
        pass
sys.exit("The donor's kernel ended.")
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs until killed; 1 when the kernel could not start, or ended."""
    parser = argparse.ArgumentParser(prog="python -m labext.kernels.donor", description=__doc__)
    parser.add_argument("--kernel", default="python3", help="kernelspec of the students (python3)")
    name = parser.parse_args(arguments).kernel
    # Whether the node merges pages is not the question here: it will, because of this donor.
    config = Config({"SamepageProvisioner": {"aligned": True}})
    manager = KernelManager(kernel_name=name, config=config)
    try:
        spec = manager.kernel_spec
        assert spec is not None
        spec.metadata = {**spec.metadata, "kernel_provisioner": {"provisioner_name": _PROVISIONER}}
        manager.start_kernel()
        client = manager.client()
        assert isinstance(client, BlockingKernelClient)
        client.start_channels()
        client.wait_for_ready(timeout=_READY_SECONDS)
        client.stop_channels()
    except Exception as err:  # noqa: BLE001 - whatever it was, the keeper tells it and tries again
        print(f"The donor's kernel did not start: {type(err).__name__}: {err}", file=sys.stderr)
        manager.shutdown_kernel(now=True)
        return 1
    for record in ledger.records.values():
        if record.alignment is None or record.alignment.state != "aligned":
            why = record.reason if record.alignment is None else record.alignment.reason
            # It is kept all the same: it is what the students' kernels here are, too.
            print(f"The donor's kernel is not aligned: {why}", file=sys.stderr)
    print("ready awake", flush=True)
    return _wait(manager)


def _wait(manager: KernelManager) -> NoReturn:
    """Become the process that waits for the kernel, whose parent it stays."""
    pid = getattr(manager.provisioner, "pid", None)
    identity = str(manager.kernel_id)
    # The agent compares the donor's kernel with the students'.
    notice.keep()
    files = [manager.connection_file, str(fingerprint_file(identity)), str(report_file(identity))]
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", _WAIT, str(pid), *files])


if __name__ == "__main__":
    sys.exit(main())
