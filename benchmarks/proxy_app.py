"""The application behind the proxies: small, and never what a measurement waits for.

`python proxy_app.py PORT [--listens-after S] [--answers-after S] [--note FILE]`: seconds since its
process began. The note tells the epoch second of its first possible answer.
"""

import argparse
import asyncio
import contextlib
import time
from pathlib import Path

import psutil
from aiohttp import WSMsgType, web

SMALL = bytes(range(256)) * 4
PIECE = bytes(range(256)) * 1024
_BEGUN = psutil.Process().create_time()


async def small(request: web.Request) -> web.StreamResponse:
    """1 KiB."""
    return web.Response(body=SMALL, content_type="application/octet-stream")


async def download(request: web.Request) -> web.StreamResponse:
    """As many bytes as the query's `size`, in pieces of 256 KiB."""
    left = int(request.query["size"])
    response = web.StreamResponse(headers={"Content-Length": str(left)})
    await response.prepare(request)
    while left > 0:
        piece = PIECE[: min(left, len(PIECE))]
        await response.write(piece)
        left -= len(piece)
    return response


async def upload(request: web.Request) -> web.StreamResponse:
    """The number of bytes of the body."""
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
    return web.Response(text=str(size))


async def echo(request: web.Request) -> web.StreamResponse:
    """Every message of a websocket back."""
    line = web.WebSocketResponse(compress=False)
    await line.prepare(request)
    async for message in line:
        if message.type is WSMsgType.BINARY:
            await line.send_bytes(message.data)
    return line


async def serve(port: int, listens_after: float, answers_after: float, note: Path | None) -> None:
    """For ever."""
    opens = _BEGUN + answers_after

    async def hold(request: web.Request, response: web.StreamResponse) -> None:
        await asyncio.sleep(max(0.0, opens - time.time()))

    app = web.Application()
    if answers_after > 0:
        app.on_response_prepare.append(hold)
    app.router.add_get("/", small)
    app.router.add_get("/small", small)
    app.router.add_get("/download", download)
    app.router.add_post("/upload", upload)
    app.router.add_get("/echo", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await asyncio.sleep(max(0.0, _BEGUN + listens_after - time.time()))
    await web.TCPSite(runner, "127.0.0.1", port).start()
    if note is not None:
        note.write_text(str(max(opens, time.time())))
    await asyncio.Event().wait()


def main() -> None:
    """The script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--listens-after", type=float, default=0.0)
    parser.add_argument("--answers-after", type=float, default=0.0)
    parser.add_argument("--note", type=Path)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options.port, options.listens_after, options.answers_after, options.note))


if __name__ == "__main__":
    main()
