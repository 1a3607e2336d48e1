import pytest

from nodeagent.workloads.cgroup import parse_cgroup

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
