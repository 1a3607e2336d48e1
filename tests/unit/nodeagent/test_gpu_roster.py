"""Who was given what: a real gRPC server as the kubelet, a real HTTP server as the API."""

import asyncio
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from nodeagent.gpu.podresources import Given, PodResourcesError, list_given, parse_list
from nodeagent.gpu.pods import parse_pod, unescape
from nodeagent.gpu.procfs import Seen
from nodeagent.gpu.roster import Roster, RosterSource
from nodeagent.kube.api import KubeApi
from nodeagent.workloads.cgroup import parse_cgroup
from tests.unit.nodeagent.gpu_rig import CONTAINER, POD, pod_cgroup

STRING, MESSAGE = 9, 11


def _messages() -> dict[str, Any]:
    """The kubelet's messages, by protobuf itself."""
    shapes: dict[str, list[tuple[str, int, int, str | None, bool]]] = {
        "ContainerDevices": [
            ("resource_name", 1, STRING, None, False),
            ("device_ids", 2, STRING, None, True),
        ],
        "ClaimResource": [
            ("driver_name", 2, STRING, None, False),
            ("pool_name", 3, STRING, None, False),
            ("device_name", 4, STRING, None, False),
        ],
        "DynamicResource": [
            ("claim_name", 2, STRING, None, False),
            ("claim_resources", 4, MESSAGE, "ClaimResource", True),
        ],
        "ContainerResources": [
            ("name", 1, STRING, None, False),
            ("devices", 2, MESSAGE, "ContainerDevices", True),
            ("dynamic_resources", 5, MESSAGE, "DynamicResource", True),
        ],
        "PodResources": [
            ("name", 1, STRING, None, False),
            ("namespace", 2, STRING, None, False),
            ("containers", 3, MESSAGE, "ContainerResources", True),
        ],
        "ListPodResourcesResponse": [("pod_resources", 1, MESSAGE, "PodResources", True)],
    }
    file = descriptor_pb2.FileDescriptorProto(name="podresources.proto", package="v1")
    file.syntax = "proto3"
    for name, fields in shapes.items():
        message = file.message_type.add(name=name)
        for field, number, kind, of, many in fields:
            message.field.add(
                name=field,
                number=number,
                type=kind,
                type_name=None if of is None else f".v1.{of}",
                label=3 if many else 1,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"v1.{name}"))
        for name in shapes
    }


def _answer(*pods: tuple[str, str, dict[str, list[str]]]) -> bytes:
    kinds = _messages()
    whole = kinds["ListPodResourcesResponse"]()
    for namespace, name, resources in pods:
        pod = whole.pod_resources.add(name=name, namespace=namespace)
        container = pod.containers.add(name="notebook")
        for resource, devices in resources.items():
            container.devices.add(resource_name=resource, device_ids=devices)
    return bytes(whole.SerializeToString())


@contextmanager
def kubelet(path: Path, answer: bytes | None) -> Iterator[None]:
    """`answer` None: it refuses."""

    def listed(request: bytes, context: grpc.ServicerContext) -> bytes:
        assert request == b""
        if answer is None:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many questions")
        return answer or b""

    handler = grpc.unary_unary_rpc_method_handler(listed)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("v1.PodResourcesLister", {"List": handler}),)
    )
    server.add_insecure_port(f"unix:{path}")
    server.start()
    try:
        yield
    finally:
        server.stop(None).wait()


@contextmanager
def api(answers: dict[str, tuple[int, Any]]) -> Iterator[Callable[[], KubeApi]]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers[self.path.partition("?")[0]]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield lambda: KubeApi(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def pod_json(name: str = "jupyter-ada", **annotations: str) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "hub",
            "name": name,
            "uid": POD,
            "annotations": annotations,
            "labels": {"hub.jupyter.org/username": "ada-40uni-2eorg"},
        },
        "status": {
            "phase": "Running",
            "startTime": "2027-01-15T08:00:00Z",
            "containerStatuses": [{"name": "notebook", "containerID": f"containerd://{CONTAINER}"}],
        },
    }


def seen(cgroup: str, uid: int = 1000) -> Seen:
    return Seen(
        pid=1,
        started=1,
        zombie=False,
        cpu_ticks=0,
        uid=uid,
        workload=parse_cgroup(f"0::{cgroup}\n"),
        name="python3",
        kernel_id=None,
        inner_pid=None,
    )


def test_a_kubelet_is_asked_over_grpc(tmp_path: Path) -> None:
    path = tmp_path / "kubelet.sock"
    many = [(f"ns{at}", f"pod-{at}", {"nvidia.com/gpu": [f"GPU-{at}::{at}"]}) for at in range(3000)]
    with kubelet(path, _answer(*many)):
        found = list_given(path)
    assert len(found) == 3000
    assert found[7] == Given(
        namespace="ns7",
        pod="pod-7",
        container="notebook",
        resource="nvidia.com/gpu",
        devices=("GPU-7::7",),
    )


def test_a_kubelet_that_refuses_says_so(tmp_path: Path) -> None:
    path = tmp_path / "kubelet.sock"
    with kubelet(path, None), pytest.raises(PodResourcesError, match="too many questions"):
        list_given(path)
    with pytest.raises(PodResourcesError, match=r"kubelet\.sock"):
        list_given(tmp_path / "nobody" / "kubelet.sock")


@pytest.mark.parametrize("cut", [1, 2, 9, 20])
def test_half_a_message_is_no_list(cut: int) -> None:
    whole = _answer(("hub", "jupyter-ada", {"nvidia.com/gpu": ["GPU-a"]}))
    with pytest.raises(PodResourcesError):
        parse_list(whole[:-cut])


def test_names_users_wishes_and_devices_come_together(tmp_path: Path) -> None:
    notes = {
        "samepage/gpu-memory-bytes": "4Gi",
        "samepage/gpu-ends": "1800000000",
        "samepage/gpu-exclusive": "no",
    }
    path = tmp_path / "kubelet.sock"
    given = _answer(
        ("hub", "jupyter-ada", {"nvidia.com/gpu.shared": ["GPU-a::2"], "cpu": ["GPU-no"]}),
        ("hub", "whole", {"nvidia.com/gpu": ["GPU-b"]}),
        ("hub", "mig", {"nvidia.com/mig-1g.5gb": ["MIG-c::0"]}),
    )
    pods = {"items": [pod_json(**notes)]}
    node = {"metadata": {"annotations": {"samepage/gpu-cordon": "GPU-x, GPU-y"}}}
    answers = {"/api/v1/pods": (200, pods), "/api/v1/nodes/n1": (200, node)}
    with kubelet(path, given), api(answers) as client:
        source = RosterSource(node="n1", api=client, pod_resources=path, pod_logs=tmp_path)
        roster = asyncio.run(source.read())
    assert roster.allocations.known == "kubelet"
    assert roster.cordoned == {"GPU-x", "GPU-y"}
    shared, whole = roster.claims["GPU-a"][0], roster.claims["GPU-b"][0]
    assert (shared.owner, shared.user, shared.alone) == ("hub/jupyter-ada", "ada@uni.org", False)
    assert (shared.requested_bytes, shared.ends) == (4 * 2**30, 1_800_000_000.0)
    assert shared.started == 1_800_000_000.0
    assert (whole.owner, whole.user, whole.alone) == ("hub/whole", None, True)
    assert set(roster.claims) == {"GPU-a", "GPU-b", "MIG-c"}
    assert roster.owner(seen(pod_cgroup())) == ("hub/jupyter-ada", "ada@uni.org")
    # A neighbour that may make cgroups in its own pod, and gives one this pod's container's name.
    other = POD.replace("1111", "9999")
    there = replace(roster, by_uid={**roster.by_uid, other: parse_pod(pod_json(name="eve"))})
    spoof = f"/kubepods/pod{other}/{'e' * 64}/{CONTAINER}"
    assert there.owner(seen(spoof))[0] == "hub/eve"


@pytest.mark.parametrize(
    ("cgroup", "uid", "owner"),
    [
        pytest.param(pod_cgroup(), 1000, (f"pod/{POD}", None), id="pod-without-api"),
        pytest.param(f"/docker/{CONTAINER}", 0, (f"container/{CONTAINER[:12]}", None), id="docker"),
        pytest.param(
            "/system.slice/jupyter-ada.service",
            1000,
            ("unit/jupyter-ada.service", "ada"),
            id="unit",
        ),
        pytest.param("/user.slice", 0, ("user/0", "root"), id="user"),
        pytest.param("/user.slice", 54321, ("user/54321", "54321"), id="user-of-no-account"),
    ],
)
def test_owners_without_a_cluster(
    tmp_path: Path, cgroup: str, uid: int, owner: tuple[str, str | None]
) -> None:
    source = RosterSource(
        node="n1", api=lambda: None, pod_resources=tmp_path / "no", pod_logs=tmp_path
    )
    roster = asyncio.run(source.read())
    assert roster.owner(seen(cgroup, uid)) == owner
    # Nobody gives out GPUs here, so nobody bypasses anything.
    assert roster.allocations.status == "unsupported"


def test_the_kubelets_folders_name_pods(tmp_path: Path) -> None:
    (tmp_path / f"hub_jupyter-ada_{POD}").mkdir()
    source = RosterSource(
        node="n1", api=lambda: None, pod_resources=tmp_path / "no", pod_logs=tmp_path
    )
    assert asyncio.run(source.read()).owner(seen(pod_cgroup())) == ("hub/jupyter-ada", None)


def test_a_source_that_fails_is_unknown_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "kubelet.sock"
    now = [0.0]
    answers = {"/api/v1/pods": (403, {"message": "no right"})}
    with kubelet(path, None), api(answers) as client:
        source = RosterSource(
            node="n1", api=client, pod_resources=path, pod_logs=tmp_path, clock=lambda: now[0]
        )

        async def twice() -> Roster:
            first = await source.read()
            now[0] = 60.0
            await source.read()
            return first

        roster = asyncio.run(twice())
    assert roster.allocations.status == "unknown"
    assert "too many questions" in roster.allocations.why
    assert len([each for each in caplog.records if "403" in each.getMessage()]) == 1


def test_a_socket_that_cannot_be_looked_for_costs_no_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/var/lib/kubelet may be closed to the agent's user; who is root enters it all the same."""
    (tmp_path / f"hub_jupyter-ada_{POD}").mkdir()
    closed = PermissionError(13, "Permission denied")

    def refused(path: Path) -> bool:
        raise closed

    monkeypatch.setattr(Path, "is_socket", refused)
    source = RosterSource(
        node="n1", api=lambda: None, pod_resources=tmp_path / "s", pod_logs=tmp_path
    )
    roster = asyncio.run(source.read())
    assert roster.owner(seen(pod_cgroup())) == ("hub/jupyter-ada", None)
    assert (roster.allocations.status, "Permission denied" in roster.allocations.why) == (
        "unknown",
        True,
    )


def test_the_last_answer_counts_while_the_kubelet_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "kubelet.sock"
    now = [0.0]
    source = RosterSource(
        node="n1", api=lambda: None, pod_resources=path, pod_logs=tmp_path, clock=lambda: now[0]
    )
    with kubelet(path, _answer(("hub", "a", {"nvidia.com/gpu": ["GPU-a"]}))):
        asyncio.run(source.read())
    now[0] = 60.0
    kept = asyncio.run(source.read())
    assert (kept.allocations.status, kept.allocations.age_seconds) == ("ok", 60.0)
    assert "GPU-a" in kept.claims
    now[0] = 300.0
    gone = asyncio.run(source.read())
    assert (gone.allocations.status, dict(gone.claims)) == ("unknown", {})


def test_devices_without_uuids_are_no_allocation(tmp_path: Path) -> None:
    path = tmp_path / "kubelet.sock"
    with kubelet(path, _answer(("hub", "a", {"nvidia.com/gpu": ["nvidia0/gi1/vgpu0"]}))):
        source = RosterSource(node="n1", api=lambda: None, pod_resources=path, pod_logs=tmp_path)
        roster = asyncio.run(source.read())
    assert roster.allocations.status == "unknown"


def test_static_pods_and_finished_ones() -> None:
    raw = pod_json(**{"kubernetes.io/config.hash": "f" * 32, "hub.jupyter.org/username": "Ada"})
    raw["status"]["phase"] = "Succeeded"
    pod = parse_pod(raw)
    assert (pod.uids, pod.user, pod.finished) == ((POD, "f" * 32), "Ada", True)
    # Nobody becomes a neighbour's pod by an annotation.
    other = POD.replace("1111", "9999")
    assert parse_pod(pod_json(**{"kubernetes.io/config.hash": other})).uids == (POD,)


@pytest.mark.parametrize(
    ("label", "name"),
    [("ada", "ada"), ("ada-40uni-2eorg", "ada@uni.org"), ("a--b", "a--b"), ("x-zz", "x-zz")],
)
def test_names_are_unescaped(label: str, name: str) -> None:
    assert unescape(label) == name
