"""As jupyterhub_config, with servers through samepage-singleuser and the hub's usual culler."""

import os
import sys
from pathlib import Path

load_subconfig(str(Path(__file__).with_name("jupyterhub_config.py")))  # noqa: F821 - jupyterhub's
c = get_config()  # noqa: F821 - as above

programs = Path(os.environ["TEST_HUB_PROGRAMS"])
c.Spawner.cmd = [str(programs / "samepage-singleuser")]
c.Spawner.environment = {
    "SAMEPAGE_SINGLEUSER": str(programs / "jupyterhub-singleuser"),
    "PATH": f"{programs}:{os.environ['PATH']}",
    "SAMEPAGE_AGENT_URL": os.environ["TEST_HUB_AGENT"],
    "SAMEPAGE_ALIGNED": "1",
    "SAMEPAGE_PRELOAD": "numpy",
    "JUPYTER_IMAGE_SPEC": os.environ["TEST_HUB_IMAGE"],
    "JUPYTERHUB_ACTIVITY_INTERVAL": "2",
}
c.JupyterHub.services = [
    {
        "name": "culler",
        "api_token": os.environ["TEST_HUB_TOKEN"],
        "command": [
            *(sys.executable, "-m", "jupyterhub_idle_culler"),
            *("--timeout=20", "--cull-every=2"),
        ],
    }
]
c.JupyterHub.load_roles = [
    {
        "name": "culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["culler"],
    }
]
