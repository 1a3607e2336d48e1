"""JupyterLab with the bundle: its settings, its command, what its own interface says."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo import course_repository
from demo.http import HOST, get_json
from demo.state import Paths, write_json

CHECKOUT = Path(__file__).resolve().parents[1]
EXTENSION = "jupyter-samepage"
COURSE_ID = "answers-from-data"

# The user's own set-up must not reach the demo, nor the demo the user's files.
FOREIGN = ("JUPYTER", "JPY_", "IPYTHON", "XDG_", "SAMEPAGE_", "GIT_", "NODEAGENT_", "MPLCONFIG")


def is_installed() -> bool:
    """Whether the bundle is installed in this environment, with its entry points."""
    try:
        importlib.metadata.distribution(EXTENSION)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def write_settings(paths: Paths, course_url: str) -> None:
    """The course manifest and Jupyter's configuration, anew at each start."""
    # JSON is YAML, and quotes whatever a URL may hold.
    course = {
        "id": COURSE_ID,
        "title": course_repository.TITLE,
        "url": course_url,
        "branch": course_repository.BRANCH,
        "target": course_repository.NAME,
    }
    manifest = json.dumps({"version": 1, "courses": [course]}, indent=2)
    paths.manifest.write_text(f"# Written by the demo at each start.\n{manifest}\n")
    config: dict[str, Any] = {
        "ServerApp": {
            "jpserver_extensions": {"labext": True, "jupyter_server_proxy": True},
            "root_dir": str(paths.work),
            "ip": HOST,
            "port_retries": 0,
            "open_browser": False,
            "allow_root": os.geteuid() == 0,
        },
        "LabApp": {
            "news_url": None,
            "check_for_updates_class": "jupyterlab.handlers.announcements.NeverCheckForUpdate",
        },
    }
    if not (Path(sys.prefix) / "share/jupyter/labextensions" / EXTENSION).exists():
        config["LabServerApp"] = {"extra_labextensions_path": [str(_from_checkout(paths))]}
        config["LabApp"]["extra_labextensions_path"] = [str(_from_checkout(paths))]
    write_json(paths.config / "jupyter_server_config.json", config)
    # Without it a newcomer's first sight is a question about news.
    labconfig = paths.config / "labconfig"
    labconfig.mkdir(exist_ok=True)
    announcements = {"@jupyterlab/apputils-extension:announcements": True}
    write_json(labconfig / "page_config.json", {"disabledExtensions": announcements})


def _from_checkout(paths: Paths) -> Path:
    """A labextensions folder with the checkout's build, for an environment without the bundle."""
    folder = paths.state / "labextensions"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    build = CHECKOUT / "labext/labextension"
    if build.is_dir():
        (folder / EXTENSION).symlink_to(build)
    return folder


def environment(paths: Paths, base: Mapping[str, str], agent_url: str | None) -> dict[str, str]:
    """The environment of JupyterLab and all it starts: everything below the state folder."""
    env = {name: text for name, text in base.items() if not name.startswith(FOREIGN)}
    env |= {
        "HOME": str(paths.home),
        "JUPYTER_CONFIG_DIR": str(paths.config),
        "JUPYTER_DATA_DIR": str(paths.home / ".local/share/jupyter"),
        "JUPYTER_RUNTIME_DIR": str(paths.runtime),
        "JUPYTER_TOKEN_FILE": str(paths.token),
        "SAMEPAGE_COURSES": str(paths.manifest),
    }
    if agent_url is not None:
        env["SAMEPAGE_AGENT_URL"] = agent_url
    # What the environment's python and git are must not depend on an activated shell.
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    if not is_installed():
        env["PYTHONPATH"] = str(CHECKOUT)
    return env


def command(port: int) -> list[str]:
    """-P: a student's numpy.py in the work folder must not become the server's numpy."""
    return [sys.executable, "-P", "-m", "jupyterlab", f"--ServerApp.port={port}"]


class LabClient:
    """Asks the running server what it says about itself."""

    def __init__(self, port: int, token: str) -> None:
        self.base = f"http://{HOST}:{port}/"
        self._token = token

    @property
    def url(self) -> str:
        """What a person opens."""
        return f"{self.base}lab?token={self._token}"

    def answers(self) -> bool:
        """Whether the server is up, and is ours."""
        return self._get("api/status") is not None

    def features(self) -> dict[str, str] | None:
        """State of each Samepage feature by name; None when the extension does not answer."""
        answer = self._get("samepage/api/status")
        if not isinstance(answer, dict):
            return None
        return {
            str(feature.get("name")): str(feature.get("state"))
            for feature in answer.get("features", [])
        }

    def course(self) -> dict[str, Any] | None:
        """The demo's course as the server shows it; None when it shows none."""
        answer = self._get("samepage/api/courses")
        if not isinstance(answer, dict):
            return None
        for course in answer.get("courses", []):
            if course.get("id") == COURSE_ID:
                return dict(course)
        return None

    def applications(self) -> list[dict[str, Any]]:
        """The application cards of the launcher."""
        answer = self._get("samepage/api/apps")
        return list(answer.get("apps", [])) if isinstance(answer, dict) else []

    def _get(self, path: str) -> Any | None:
        return get_json(self.base + path, self._token, timeout=10.0)
