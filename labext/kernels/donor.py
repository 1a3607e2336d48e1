"""A donor for the node agent: an aligned kernel that no student ever gets.

`samepage-agent donors -- python -m labext.kernels.donor` in the students' image keeps two of them.
They hold what every idle kernel of the class holds and merge with each other first, so that the
node, and no student, is charged for the pages a class has in common.

It must be started as the students' kernels are: the same image, kernelspec and SAMEPAGE_*
variables. It prints `ready` when the kernel answers, and goes on until it is killed.
"""

import argparse
import sys
from collections.abc import Sequence

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from traitlets.config import Config

_READY_SECONDS = 120.0
_PROVISIONER = "samepage-provisioner"


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
    print("ready", flush=True)
    process = getattr(manager.provisioner, "process", None)
    if process is not None:
        process.wait()
    print("The donor's kernel ended.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
