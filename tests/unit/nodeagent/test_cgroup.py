import re

import pytest

from nodeagent.workloads.cgroup import parse_cgroup
from nodeagent.workloads.invite import Invitation
from nodeagent.workloads.owner import Owner, owner_of

A, B = "a1" * 32, "b2" * 32
UID = "0f9c7ab1-2d3e-4f56-8a9b-0c1d2e3f4a5b"
LOW = UID.replace("-", "_")
STATIC = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "container", "pod"),
    [
        pytest.param("0::/", None, None, id="host-v2"),
        pytest.param("0::/user.slice/user-1000.slice/session-2.scope", None, None, id="login"),
        pytest.param(f"0::/system.slice/docker-{A}.scope", A, None, id="docker-systemd"),
        pytest.param(f"12:memory:/docker/{A}\n0::/docker/{A}", A, None, id="docker-v1"),
        pytest.param(
            f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{LOW}.slice"
            f"/cri-containerd-{A}.scope",
            A,
            UID,
            id="containerd-systemd",
        ),
        pytest.param(
            f"0::/kubepods.slice/kubepods-pod{LOW}.slice/crio-{A}.scope", A, UID, id="crio"
        ),
        pytest.param(
            f"0::/kubepods.slice/kubepods-pod{LOW}.slice/crio-conmon-{A}.scope",
            None,
            None,
            id="crio-monitor-is-no-workload",
        ),
        pytest.param(f"4:memory:/kubepods/besteffort/pod{UID}/{A}", A, UID, id="cgroupfs-v1"),
        pytest.param(
            f"5:cpu,cpuacct:/system.slice/containerd.service/kubepods-besteffort-pod{LOW}.slice"
            f":cri-containerd:{A}",
            A,
            UID,
            id="driver-mismatch",
        ),
        pytest.param(
            f"0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{LOW}.slice"
            f"/cri-containerd-{A}.scope",
            A,
            UID,
            id="kind",
        ),
        pytest.param(f"0::/kubepods/pod{UID}/{A}/docker/{B}", B, UID, id="docker-in-docker"),
        pytest.param(f"0::/kubepods/burstable/pod{STATIC}/{A}", A, STATIC, id="static-pod"),
        pytest.param(f"0::/../../pod{UID}/{A}", A, UID, id="private-cgroupns"),
        pytest.param(
            f"9:name=systemd:/\n4:memory:/docker/{A}\n0::/", A, None, id="only-one-line-tells"
        ),
        pytest.param(f"0::/job/{A}ff", None, None, id="longer-hex-is-no-id"),
        pytest.param("", None, None, id="empty"),
    ],
)
def test_layouts(text: str, container: str | None, pod: str | None) -> None:
    workload = parse_cgroup(text)
    assert (workload.container_id, workload.pod_uid) == (container, pod)
    assert workload.key == (pod or container)


MANAGER = "/user.slice/user-1000.slice/user@1000.service"


@pytest.mark.parametrize(
    "below",
    [
        f"user.slice/libpod-{A}.scope/container",
        f"docker-{A}.scope",
        f"kubepods.slice/kubepods-pod{LOW}.slice/cri-containerd-{A}.scope",
        f"kubepods/pod{UID}/{A}",
        "jupyter-bob.service",
        "user@1001.service/app.slice/x.service",
        "lxc.payload.bob",
    ],
)
@pytest.mark.parametrize("uid", [1000, 165_536, 0], ids=["itself", "subordinate", "sudo"])
def test_below_their_own_manager_everything_is_a_users_own(below: str, uid: int) -> None:
    for text in (
        f"0::{MANAGER}/{below}",
        f"1:name=systemd:{MANAGER}/{below}\n4:memory:/user.slice/user-1000.slice\n0::/",
    ):
        workload = parse_cgroup(text)
        assert (workload.container_id, workload.pod_uid, workload.key) == (None, None, None)
        assert owner_of(workload, uid) == Owner(kind="user", name="1000")


def test_what_is_above_a_manager_counts() -> None:
    inside = parse_cgroup(f"0::/docker/{A}{MANAGER}/docker-{B}.scope")
    assert owner_of(inside, 1000) == Owner(kind="container", name=A)


def test_a_student_with_a_delegated_service_is_that_service() -> None:
    for below in (f"docker-{A}.scope", "user@1001.service", "jupyter-bob.service"):
        workload = parse_cgroup(f"0::/system.slice/jupyter-ada.service/{below}")
        assert owner_of(workload, 1000) == Owner(kind="unit", name="jupyter-ada.service")


def test_a_pod_in_a_pod_is_the_outer_one() -> None:
    other = UID.replace("0f9c", "1111")
    assert parse_cgroup(f"0::/kubepods/pod{UID}/{A}/kubepods/pod{other}/{B}").pod_uid == UID


def test_services_of_all_users_tell_nobody_apart() -> None:
    for unit in ("cron", "sshd", "slurmd"):
        assert owner_of(parse_cgroup(f"0::/system.slice/{unit}.service"), 7).kind == "user"


def test_nobody_invites_themselves_by_a_name_of_their_own() -> None:
    invitation = Invitation(cgroup=re.compile("kubepods"))
    assert invitation.allows(parse_cgroup(f"0::/kubepods/pod{UID}/{A}"), 1000)
    assert not invitation.allows(parse_cgroup(f"0::{MANAGER}/kubepods/pod{UID}"), 1000)
    assert Invitation(cgroup=re.compile("user-1000")).allows(parse_cgroup(f"0::{MANAGER}/a"), 0)
