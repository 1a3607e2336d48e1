"""A Jupyter Server extension that does for kernels what labext does, and nothing else."""

from jupyter_server.serverapp import ServerApp

from labext.kernels.default import make_default
from labext.kernels.status import kernels_status


def _load_jupyter_server_extension(server: ServerApp) -> None:
    server.log.warning("make_default: %r; %s", make_default(server), kernels_status().message)
