"""An application that sends and takes large bodies, and does with HTTP what the test asks for.

`python largeapp.py PORT-OR-SOCKET`. By hand, not with a library: no library breaks off in the
middle, sends too much or speaks HTTP/1.0. A body's word of 8 bytes at offset 8 k is k, so that
nothing can be lost, doubled or swapped without notice.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PIECE = 1 << 18


def words(size: int) -> Iterator[bytes]:
    """A body of that many bytes (a multiple of 8), in pieces."""
    for start in range(0, size, PIECE):
        end = min(size, start + PIECE)
        yield array("Q", range(start // 8, end // 8)).tobytes()


def digest(size: int) -> str:
    """SHA-256 of such a body."""
    found = hashlib.sha256()
    for piece in words(size):
        found.update(piece)
    return found.hexdigest()


class Connection:
    """One connection, request after request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def serve(self) -> None:
        try:
            while head := await self._reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").strip().split("\r\n")
                method, target, _ = first.split(" ")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines)
                }
                parts = urlsplit(target)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                name = parts.path.strip("/") or "ready"
                await getattr(self, f"do_{name}")(method, headers, query)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writer.close()

    async def _head(self, status: str = "200 OK", version: str = "1.1", **headers: object) -> None:
        lines = [f"HTTP/{version} {status}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        await self._writer.drain()

    async def _send(self, size: int) -> None:
        for piece in words(size):
            self._writer.write(piece)
            await self._writer.drain()

    async def _tell(self, text: str) -> None:
        await self._head(Content_Length=len(text))
        self._writer.write(text.encode())
        await self._writer.drain()

    async def _taken(self, headers: dict[str, str]) -> tuple[int, str]:
        """Bytes and SHA-256 of the request's body."""
        found, size, length = hashlib.sha256(), 0, int(headers["content-length"])
        while size < length:
            piece = await self._reader.read(min(PIECE, length - size))
            if not piece:
                raise asyncio.IncompleteReadError(b"", length - size)
            found.update(piece)
            size += len(piece)
        return size, found.hexdigest()

    async def do_ready(self, method: str, headers: dict[str, str], query: dict[str, str]) -> None:
        await self._tell("ready")

    async def do_whole(self, method: str, headers: dict[str, str], query: dict[str, str]) -> None:
        """A body of known length; with `old` as HTTP/1.0, with `more` longer than said."""
        size = int(query["size"])
        await self._head(
            query.get("status", "200 OK"),
            "1.0" if "old" in query else "1.1",
            Content_Length=size,
            **{name: value for name, value in query.items() if name.startswith("X-")},
            **({"Content-Encoding": query["encoding"]} if "encoding" in query else {}),
        )
        if method != "HEAD" and not query.get("status", "").startswith("304"):
            await self._send(size)
        if "more" in query:
            self._writer.write(bytes(int(query["more"])))
            await self._writer.drain()
        if "old" in query:
            raise ConnectionError

    async def do_until_close(
        self, method: str, headers: dict[str, str], query: dict[str, str]
    ) -> None:
        await self._head(version="1.0")
        await self._send(int(query["size"]))
        raise ConnectionError

    async def do_chunked(self, method: str, headers: dict[str, str], query: dict[str, str]) -> None:
        await self._head(Transfer_Encoding="chunked")
        for piece in words(int(query["size"])):
            self._writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await self._writer.drain()
        self._writer.write(b"0\r\n\r\n")

    async def do_early(self, method: str, headers: dict[str, str], query: dict[str, str]) -> None:
        """Half of what was said, and the end: in order, or with `reset`."""
        size = int(query["size"])
        await self._head(Content_Length=size)
        await self._send(size // 2)
        if "reset" in query:
            self._writer.transport.abort()
        raise ConnectionError

    async def do_dribble(self, method: str, headers: dict[str, str], query: dict[str, str]) -> None:
        """64 kB every 0.1 s, until nobody listens; the note then says so."""
        await self._head(Content_Length=1 << 30)
        try:
            while True:
                self._writer.write(bytes(1 << 16))
                await self._writer.drain()
                await asyncio.sleep(0.1)
        finally:
            if "note" in query:
                Path(query["note"]).write_text("nobody listens")

    async def do_take(self, method: str, headers: dict[str, str], query: dict[str, str]) -> None:
        """Bytes and checksum of what was sent; the note says how it ended."""
        how = "incomplete"
        try:
            if "content-length" in headers:
                size, checksum = await self._taken(headers)
            else:
                text = await self._reader.readuntil(b"\r\n0\r\n\r\n")
                size, checksum = len(text), "chunked"
            how = "complete"
        finally:
            if "note" in query:
                Path(query["note"]).write_text(how)
        await self._tell(f"{size} {checksum}")

    async def do_refuse(self, method: str, headers: dict[str, str], query: dict[str, str]) -> None:
        """An answer at once, and nothing is read any more; with `close` the end."""
        await self._head("413 Too Large", Content_Length=2)
        self._writer.write(b"no")
        await self._writer.drain()
        if "close" in query:
            raise ConnectionError
        await asyncio.sleep(60)

    async def do_back(self, method: str, headers: dict[str, str], query: dict[str, str]) -> None:
        """The body back while it comes."""
        left = int(headers["content-length"])
        await self._head(Content_Length=left)
        while left and (piece := await self._reader.read(min(left, PIECE))):
            self._writer.write(piece)
            await self._writer.drain()
            left -= len(piece)


async def serve(where: str) -> None:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Connection(reader, writer).serve()

    if where.isdigit():
        server = await asyncio.start_server(one, "127.0.0.1", int(where), limit=PIECE)
    else:
        server = await asyncio.start_unix_server(one, where, limit=PIECE)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
