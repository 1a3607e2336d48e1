"""Which devices the kubelet gave to which container: its pod-resources socket (gRPC, v1).

One unary call needs HTTP/2 (the h2 library) and five small messages; grpcio would double the
agent's memory for it. Source: k8s.io/kubelet pkg/apis/podresources/v1 api.proto.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LIST = "/v1.PodResourcesLister/List"
_VARINT, _LONG, _BYTES, _SHORT = 0, 1, 2, 5


class PodResourcesError(Exception):
    """The kubelet does not answer, or not with what it should."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """Devices of one resource in one container. `devices`: as the plugin names them."""

    namespace: str
    pod: str
    container: str
    resource: str
    devices: tuple[str, ...]


def list_given(path: Path) -> tuple[Given, ...]:
    """Every device of every container on this node. Blocks for at most seconds."""
    try:
        from nodeagent.gpu.unary import call
    except ImportError as err:
        raise PodResourcesError(
            f"{path} cannot be asked: {err}; install jupyter-samepage[nodeagent]"
        ) from err
    return parse_list(call(path, _LIST))


def parse_list(message: bytes) -> tuple[Given, ...]:
    """From ListPodResourcesResponse. PodResourcesError: it is none. Pure."""
    found: list[Given] = []
    try:
        for pod in _messages(message, 1):
            name, namespace = _text(pod, 1), _text(pod, 2)
            for container in _messages(pod, 3):
                about = {"namespace": namespace, "pod": name, "container": _text(container, 1)}
                found += [
                    Given(
                        resource=_text(devices, 1),
                        devices=tuple(each.decode() for each in _messages(devices, 2)),
                        **about,
                    )
                    for devices in _messages(container, 2)
                ]
                for claim in _messages(container, 5):
                    found += [
                        Given(
                            resource=_text(device, 2),
                            devices=(f"{_text(device, 3)}/{_text(device, 4)}",),
                            **about,
                        )
                        for device in _messages(claim, 4)
                    ]
    except (IndexError, UnicodeDecodeError, ValueError) as err:
        raise PodResourcesError(f"not a list of pods: {err!r}") from err
    return tuple(found)


def _fields(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(number, wire type, content) of a protobuf message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            start = at
            _, at = _varint(message, at)
        elif kind in (_LONG, _SHORT):
            start, at = at, at + (8 if kind == _LONG else 4)
        elif kind == _BYTES:
            size, start = _varint(message, at)
            at = start + size
        else:
            raise ValueError(f"wire type {kind}")
        if at > len(message):
            raise ValueError("cut off")
        yield key >> 3, kind, message[start:at]


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number without end")


def _messages(message: bytes, number: int) -> list[bytes]:
    return [
        content for field, kind, content in _fields(message) if (field, kind) == (number, _BYTES)
    ]


def _text(message: bytes, number: int) -> str:
    found = _messages(message, number)
    return found[-1].decode() if found else ""
