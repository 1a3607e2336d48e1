"""Settings of the hub's part, as an operator writes them in jupyterhub_config.py."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nodeagent.gpu.fleet.addresses import check_address
from nodeagent.gpu.fleet.quantity import parse_bytes
from nodeagent.gpu.publish.target import Kind
from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.sharing.request import Request, Want, Work


@dataclass(frozen=True, kw_only=True)
class GpuProfile:
    """What a server of this profile needs. ValueError: what cannot be asked for.

    `memory`: of the GPU, such as 6Gi; None: what the policy takes for granted. `groups`: of the
    hub, whose members may have it; empty: everybody. A form is no bar: who may start a server can
    ask the hub's API for any profile.
    """

    memory: str | None = None
    want: Want = "share"
    gpus: int = 1
    mig_profile: str | None = None
    work: Work = "interactive"
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        given: Any = self.groups
        if isinstance(given, str):
            raise TypeError(f"groups is a tuple of names, not {given!r}")
        self.request("check", None)

    def open_to(self, groups: Collection[str]) -> bool:
        """Whether a member of these groups may have it."""
        return not self.groups or not set(self.groups).isdisjoint(groups)

    def request(self, pod: str, user: str | None) -> Request:
        """The request of one server."""
        return Request(
            pod=pod,
            user=user,
            work=self.work,
            want=self.want,
            memory_bytes=None if self.memory is None else parse_bytes(self.memory),
            gpus=self.gpus,
            mig_profile=self.mig_profile,
        )


@dataclass(frozen=True, kw_only=True)
class Published:
    """Facts that nodes publish in the cluster, read with the hub's service account."""

    kind: Kind = "lease"
    namespace: str = "samepage"


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """Where facts come from, and what is decided with them. ConfigError, ValueError: unusable.

    `agents`: addresses of node agents; each address that a name resolves to is asked.
    `profiles`: by slug of the hub's own profile list. `default`: for servers without a profile.
    `pin`: set NVIDIA_VISIBLE_DEVICES by UUID; None: everywhere but under KubeSpawner, where the
    kubelet picks the GPU of a node. `when_full`: the hub's own default, or a server without GPU.
    """

    agents: tuple[str, ...] = ()
    published: Published | None = None
    token_file: str | Path | None = None
    profiles: Mapping[str, GpuProfile] = field(default_factory=dict)
    default: GpuProfile | None = None
    pin: bool | None = None
    when_full: Literal["default", "without"] = "default"
    budget_seconds: float = 2.0
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        for address in self.agents:
            check_address(address)
        if bool(self.agents) == (self.published is not None):
            raise ValueError("Gpus: give agents, or published, and not both")
        if not 0.1 <= self.budget_seconds <= 30:
            raise ValueError(f"Gpus: budget_seconds is {self.budget_seconds}, give 0.1 to 30")
        if self.when_full not in ("default", "without"):
            raise ValueError(f"Gpus: when_full is {self.when_full!r}, give default or without")
