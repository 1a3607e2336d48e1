"""JupyterHub on Docker Swarm: one service per student, courses from files.

Given to the hub as a config of the stack.
What changes from place to place comes from the environment and the secrets of stack.yml.
"""

import os
import sys
from html import escape
from pathlib import Path

from docker.types import DriverConfig, Mount
from dockerspawner import SwarmSpawner

sys.path.insert(0, str(Path(__file__).parent))

import samepage_courses

c = get_config()  # noqa: F821 - jupyterhub defines it when it reads this file

COURSES = Path(os.environ.get("SAMEPAGE_COURSES_FOLDER", "/etc/samepage/courses"))
SECRETS = Path(os.environ.get("SAMEPAGE_SECRETS", "/run/secrets"))
HOME_OPTIONS = dict(
    pair.split("=", 1) for pair in os.environ.get("SAMEPAGE_HOME_OPTIONS", "").split(";") if pair
)
TIMEOUT = int(os.environ.get("SAMEPAGE_CULL_SECONDS", "3600"))
# Of gpus.yml: the hub gives out GPUs by what they really do, in place of Swarm's counting.
GPU_AGENTS = os.environ.get("SAMEPAGE_HUB_GPU_AGENTS", "")

HOME_DEVICE = HOME_OPTIONS.get("device")
if HOME_DEVICE and HOME_OPTIONS.get("type") != "tmpfs" and "{username}" not in HOME_DEVICE:
    raise ValueError(
        f"SAMEPAGE_HOME_OPTIONS: with device={HOME_DEVICE} all students would have one and the same"
        " home; write {username} where a student's folder is, as in device=:/homes/{username}"
    )


def secret(name: str) -> str:
    """A secret of the stack."""
    return (SECRETS / name).read_text(encoding="utf-8").strip()


class CourseSpawner(SwarmSpawner):
    """A student's service: the chosen course, a home volume, the socket of the node's agent."""

    def seen(self):
        """The courses of this user."""
        groups = [group.name for group in self.user.groups]
        return samepage_courses.visible(samepage_courses.read(COURSES), groups)

    def _options_form_default(self):
        courses = self.seen()
        if not courses:
            return ""
        options = "".join(
            f'<option value="{escape(one.id)}">{escape(one.title)}</option>' for one in courses
        )
        return (
            '<label for="course">Course</label>'
            f'<select class="form-control" id="course" name="course">{options}</select>'
        )

    def options_from_form(self, formdata):
        """What the form says: the id of a course."""
        return {"course": formdata.get("course", [""])[0]}

    @property
    def mounts(self):
        """A volume for the home (as SAMEPAGE_HOME_OPTIONS says), and the agent's socket."""
        options = {key: self.format_volume_name(text, self) for key, text in HOME_OPTIONS.items()}
        home = DriverConfig("local", options) if options else None
        name = self.format_volume_name("samepage-home-{username}", self)
        return [
            Mount(target="/home/jovyan", source=name, type="volume", driver_config=home),
            Mount(
                target="/run/samepage",
                source=os.environ["SAMEPAGE_NODE_VOLUME"],
                type="volume",
                read_only=True,
                driver_config=DriverConfig(
                    "local", {"type": "tmpfs", "device": "tmpfs", "o": "mode=0755,size=1m"}
                ),
            ),
            *super().mounts,
        ]

    def run_pre_spawn_hook(self):
        """The course first, so that every pre_spawn_hook, hubext's too, adds to it."""
        self.take_course()
        return super().run_pre_spawn_hook()

    def take_course(self):
        """Set what the chosen course says over the configuration; without a course, that alone.

        Not over what the last start had, which may be of another course. ValueError: there is none
        of that name for this user.
        """
        wanted = self.user_options.get("course")
        found = {one.id: one for one in self.seen()}
        if wanted and wanted not in found:
            raise ValueError(f"There is no course {wanted!r} for {self.user.name}.")
        one = found.get(wanted) or samepage_courses.Course(id="none", title="")

        def usual(trait):
            return samepage_courses.configured(self, trait)

        self.image = one.image or usual("image")
        self.mem_limit = one.memory_limit or usual("mem_limit")
        self.mem_guarantee = one.memory_guarantee or usual("mem_guarantee")
        self.cpu_limit = usual("cpu_limit") if one.cpu_limit is None else one.cpu_limit
        self.cpu_guarantee = (
            usual("cpu_guarantee") if one.cpu_guarantee is None else one.cpu_guarantee
        )
        # Counted by Swarm, unless the hub itself gives them out.
        counted = {one.gpu_resource: one.gpu_count} if one.gpu_count and not GPU_AGENTS else {}
        # Images made for GPUs ask for all of the node's.
        shown = {} if counted else {"NVIDIA_VISIBLE_DEVICES": "void"}
        self.environment = {**usual("environment"), **shown, **one.environment}
        resources = dict(usual("extra_resources_spec"))
        if counted:
            resources["generic_resources"] = {**resources.get("generic_resources", {}), **counted}
        self.extra_resources_spec = resources
        place = dict(usual("extra_placement_spec"))
        labels = [f"node.labels.{name} == {value}" for name, value in one.nodes.items()]
        self.extra_placement_spec = {
            **place,
            "constraints": [*place.get("constraints", ()), *labels],
        }


c.JupyterHub.spawner_class = CourseSpawner
c.CourseSpawner.image = os.environ["SAMEPAGE_SINGLEUSER_IMAGE"]
c.CourseSpawner.cmd = ["samepage-singleuser"]
c.CourseSpawner.mem_guarantee = "384M"
c.CourseSpawner.mem_limit = "2G"
c.CourseSpawner.network_name = os.environ["SAMEPAGE_NETWORK"]
c.CourseSpawner.use_internal_ip = True
c.CourseSpawner.default_url = "/lab"
c.CourseSpawner.start_timeout = 300
# A service knows no no-new-privileges; give that to the daemon ("no-new-privileges": true).
c.CourseSpawner.extra_container_spec = {"user": "1000:100", "cap_drop": ["ALL"]}
c.CourseSpawner.environment = {
    "SAMEPAGE_AGENT_URL": "unix:///run/samepage/node.sock",
    # What the hub does not hear of in time counts as idle: a kernel that computes, an open page.
    "JUPYTERHUB_ACTIVITY_INTERVAL": str(min(300, TIMEOUT // 5)),
}

c.JupyterHub.hub_ip = "0.0.0.0"
c.JupyterHub.hub_connect_ip = "hub"
c.JupyterHub.last_activity_interval = min(300, TIMEOUT // 5)
# Students' services go on while the hub is replaced.
c.JupyterHub.cleanup_servers = False
c.JupyterHub.db_url = "sqlite:////srv/jupyterhub/data/jupyterhub.sqlite"
c.JupyterHub.cookie_secret = bytes.fromhex(secret("hub-cookie"))
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://proxy:8001"
c.ConfigurableHTTPProxy.auth_token = secret("proxy-token")

# One password for a class, to begin with; name your own authenticator in its place.
c.JupyterHub.authenticator_class = os.environ.get("SAMEPAGE_AUTHENTICATOR", "shared-password")
c.SharedPasswordAuthenticator.user_password = secret("class-password")
# Whom another authenticator lets in, its own settings say.
c.SharedPasswordAuthenticator.allow_all = True

c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "services": ["idle-culler"],
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
    }
]
c.JupyterHub.services = [
    {
        "name": "idle-culler",
        "command": [
            sys.executable,
            "-m",
            "jupyterhub_idle_culler",
            f"--timeout={TIMEOUT}",
            f"--cull-every={max(60, TIMEOUT // 10)}",
        ],
    }
]

if GPU_AGENTS:
    # In this hub's image, and after all that it may wrap.
    import hubext

    hubext.set_up(
        c,
        cmd=None,
        gpus=hubext.Gpus(
            agents=tuple(GPU_AGENTS.replace(",", " ").split()),
            token_file=os.environ.get("SAMEPAGE_HUB_GPU_TOKEN_FILE") or None,
            profiles=samepage_courses.GpuProfiles(COURSES, hubext.GpuProfile),
        ),
    )
