"""One unary gRPC call over HTTP/2 on a Unix socket, with an empty request.

A module of its own, as it needs h2: the students' image has the agent (for donors and the course
cache) without it.
"""

import socket
import struct
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from nodeagent.gpu.podresources import PodResourcesError

_TIMEOUT = 3.0
_MOST_BYTES = 16 * 2**20


def call(path: Path, method: str) -> bytes:
    """The answer to `method`. PodResourcesError: none, or not a whole one."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    connection.send_headers(
        1,
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("user-agent", "samepage-agent"),
        ],
    )
    connection.send_data(1, struct.pack(">BI", 0, 0), end_stream=True)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wire:
            wire.settimeout(_TIMEOUT)
            wire.connect(str(path))
            wire.sendall(connection.data_to_send())
            return _answer(connection, wire)
    except (OSError, h2.exceptions.ProtocolError) as err:
        raise PodResourcesError(f"{path}: {err}") from err


def _answer(connection: h2.connection.H2Connection, wire: socket.socket) -> bytes:
    body = bytearray()
    headers: dict[str, str] = {}
    ended = False
    while not ended:
        data = wire.recv(1 << 16)
        if not data:
            raise PodResourcesError("the kubelet closed before it had answered")
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                body += event.data
                connection.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                headers |= {str(name): str(value) for name, value in event.headers}
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                ended = True
        if len(body) > _MOST_BYTES:
            raise PodResourcesError("the answer does not end")
        wire.sendall(connection.data_to_send())
    if headers.get("grpc-status") != "0":
        said = headers.get("grpc-message") or f"HTTP {headers.get(':status', 'without a status')}"
        raise PodResourcesError(f"{said} (gRPC {headers.get('grpc-status', 'without a status')})")
    if len(body) < 5 or body[0] != 0 or len(body) - 5 != struct.unpack(">I", body[1:5])[0]:
        raise PodResourcesError("not one whole message")
    return bytes(body[5:])
