"""Who connects to the node's socket, and how many may."""

import asyncio
from pathlib import Path

from tornado import web

from nodeagent.http.app import bind_node_socket, serve
from nodeagent.http.peers import MOST_CONNECTIONS, Peers


def test_connections_are_bounded_and_the_first_ones_are_answered(tmp_path: Path) -> None:
    path = tmp_path / "node.sock"

    async def scenario() -> None:
        server = serve(web.Application([]), [bind_node_socket(path)], Peers())
        opened = [await asyncio.open_unix_connection(str(path)) for _ in range(MOST_CONNECTIONS)]
        try:
            refused, writer = await asyncio.open_unix_connection(str(path))
            opened.append((refused, writer))
            async with asyncio.timeout(30):
                assert await refused.read() == b""
                reader, writer = opened[0]
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (await reader.readline()).startswith(b"HTTP/1.1 404")
        finally:
            for _, writer in opened:
                writer.close()
            server.stop()
            await server.close_all_connections()

    asyncio.run(scenario())
