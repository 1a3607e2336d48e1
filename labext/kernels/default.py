"""Makes ours the provisioner of every kernelspec that names none, or says why it is not.

Files in `jupyter_server_config.d` switch extensions on and off and nothing else: Jupyter Server
reads only `ServerApp.jpserver_extensions` from them. So the running extension sets the default.
"""

import os

from jupyter_client.provisioning.factory import KernelProvisionerFactory
from traitlets.config import Configurable

from .ledger import KernelLedger
from .ledger import ledger as this_servers

PROVISIONER = "samepage-provisioner"
_STOCK = "local-provisioner"


def make_default(server: Configurable, *, ledger: KernelLedger = this_servers) -> str | None:
    """Use our provisioner by default in this server; None when done, else why not.

    `server` is the ServerApp. A name set by the administrator (configuration or
    JUPYTER_DEFAULT_PROVISIONER_NAME) stays. If our provisioner cannot be loaded the stock one
    stays, so kernels start in any case.
    """
    reason = _refusal(server)
    ledger.is_default = reason is None
    ledger.not_default_because = reason
    return reason


def _refusal(server: Configurable) -> str | None:
    factory = KernelProvisionerFactory.instance(parent=server)
    current = factory.default_provisioner_name
    variable = KernelProvisionerFactory.default_provisioner_name_env
    chosen = "default_provisioner_name" in server.config.get("KernelProvisionerFactory", {})
    if current == PROVISIONER:
        problem = _problem(factory)
        if problem is not None:
            factory.default_provisioner_name = _STOCK
        return problem
    if chosen or variable in os.environ or current != _STOCK:
        return f"this server is configured to start kernels with {current!r}"
    problem = _problem(factory)
    if problem is None:
        factory.default_provisioner_name = PROVISIONER
    return problem


def _problem(factory: KernelProvisionerFactory) -> str | None:
    """Why our entry point cannot be used; a broken installation must not break kernels."""
    entry = factory.provisioners.get(PROVISIONER)
    if entry is None:
        return f"the entry point {PROVISIONER!r} is missing; install jupyter-samepage again"
    try:
        entry.load()
    except Exception as err:  # noqa: BLE001 - importing may fail in any way
        return f"loading {PROVISIONER!r} failed ({type(err).__name__}: {err})"
    return None
