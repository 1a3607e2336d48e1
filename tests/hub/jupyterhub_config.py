"""JupyterHub as the tests run it: real hub, real proxy, servers as plain processes.

Everything comes from the environment that tests/integration/hub.py sets.
"""

import os
import sys
from pathlib import Path

c = get_config()  # noqa: F821 - jupyterhub defines it when it reads this file

state = Path(os.environ["TEST_HUB_STATE"])
hub_port = int(os.environ["TEST_HUB_PORT"])

c.JupyterHub.bind_url = os.environ["TEST_HUB_URL"]
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{hub_port}"
c.JupyterHub.db_url = f"sqlite:///{state / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(state / "cookie_secret")
c.JupyterHub.cleanup_servers = True
c.ConfigurableHTTPProxy.command = [
    os.environ.get("NODE", "node"),
    os.environ["TEST_HUB_PROXY"],
]
c.ConfigurableHTTPProxy.api_url = os.environ["TEST_HUB_PROXY_API"]
c.ConfigurableHTTPProxy.pid_file = str(state / "proxy.pid")

c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = os.environ["TEST_HUB_PASSWORD"]
c.Authenticator.allowed_users = {"alice", "bob"}

c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = str(state / "home" / "{username}")
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.http_timeout = 90
c.Spawner.start_timeout = 90
c.Spawner.default_url = "/lab"
c.Spawner.environment = {"SAMEPAGE_AGENT_URL": ""}
