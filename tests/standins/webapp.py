"""A web application for the tests of the proxy, that does what real ones do.

`python webapp.py PORT-OR-SOCKET [--delay S] [--mute S] [--exit N] [--raw]`: listens after `delay`
seconds; with `mute` it listens at once and answers after so many seconds; with `exit` it ends with
that code instead.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path

import aiohttp
from aiohttp import web

BLOCK = bytes(range(256)) * 1024
PIECE = 1 << 18


async def tell(request: web.Request) -> web.StreamResponse:
    body = await request.read()
    told = {
        "pid": os.getpid(),
        "answers_since": request["answers_since"],
        "cwd": str(Path.cwd()),
        "method": request.method,
        "path": request.raw_path,
        "headers": [[name, value] for name, value in request.headers.items()],
        "environment": dict(os.environ),
        "body_bytes": len(body),
    }
    return web.json_response(told)


async def big(request: web.Request) -> web.StreamResponse:
    size = int(request.query["size"])
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    if "chunked" in request.query:
        response.enable_chunked_encoding()
    else:
        response.content_length = size
    await response.prepare(request)
    left = size
    while left > 0:
        piece = BLOCK[: min(left, PIECE)]
        await response.write(piece)
        left -= len(piece)
        if "break" in request.query and left < size // 2:
            assert request.transport is not None
            request.transport.abort()
            return response
    return response


async def upload(request: web.Request) -> web.StreamResponse:
    size = 0
    good = True
    async for piece in request.content.iter_any():
        at = size % 256
        good = good and piece[:1] == bytes([at])
        size += len(piece)
        if "slow" in request.query:
            await asyncio.sleep(float(request.query["slow"]))
    encoding = request.headers.get("Transfer-Encoding", "")
    return web.json_response({"bytes": size, "in_order": good, "encoding": encoding})


async def echo(request: web.Request) -> web.StreamResponse:
    """The body back while it still comes."""
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    async for piece in request.content.iter_any():
        await response.write(piece)
    return response


async def events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for number in range(int(request.query.get("count", "3"))):
        await response.write(f"data: {number} {time.time()}\n\n".encode())
        await asyncio.sleep(0.2)
    return response


async def answer(request: web.Request) -> web.StreamResponse:
    """Status and headers as asked for."""
    code = int(request.match_info["code"])
    headers = [(name, value) for name, value in request.query.items() if name != "body"]
    response = web.Response(status=code, body=request.query.get("body", "").encode() or None)
    for name, value in headers:
        response.headers.add(name, value)
    return response


async def ranged(request: web.Request) -> web.StreamResponse:
    return web.FileResponse(Path(__file__))


async def quit_clean(request: web.Request) -> web.StreamResponse:
    asyncio.get_running_loop().call_later(0.05, os._exit, int(request.query.get("code", "0")))
    return web.Response(text="bye")


async def sleepy(request: web.Request) -> web.StreamResponse:
    try:
        await asyncio.sleep(float(request.query["seconds"]))
    except asyncio.CancelledError:
        Path(request.query["note"]).write_text("cancelled")
        raise
    return web.Response(text="done")


async def page(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<!doctype html><h1>The application</h1>", content_type="text/html")


async def websocket(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse(protocols=("second", "third"), autoping=False, max_msg_size=0)
    await socket.prepare(request)
    told = {
        "headers": [[name, value] for name, value in request.headers.items()],
        "query": request.query_string,
        "protocol": socket.ws_protocol,
    }
    await socket.send_str(json.dumps(told))
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            if message.data == "close":
                await socket.close(code=4321, message=b"as you like")
            elif message.data == "ping":
                await socket.ping(b"of the application")
            else:
                await socket.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await socket.send_bytes(message.data)
        elif message.type is aiohttp.WSMsgType.PING:
            await socket.pong(message.data)
            await socket.send_str(f"pinged with {message.data.decode()}")
        elif message.type is aiohttp.WSMsgType.PONG:
            await socket.send_str(f"ponged with {message.data.decode()}")
    return socket


def make(mute_until: float) -> web.Application:
    @web.middleware
    async def muted(
        request: web.Request,
        handler: web.Handler,  # type: ignore[name-defined]  # as its docs
    ) -> web.StreamResponse:
        request["answers_since"] = mute_until
        await asyncio.sleep(max(0.0, mute_until - time.time()))
        made: web.StreamResponse = await handler(request)
        return made

    app = web.Application(client_max_size=1 << 40, middlewares=[muted])
    app.router.add_route("*", "/", page)
    app.router.add_get("/big", big)
    app.router.add_post("/upload", upload)
    app.router.add_post("/echo", echo)
    app.router.add_get("/events", events)
    app.router.add_route("*", "/answer/{code}", answer)
    app.router.add_route("*", "/user/{user}/absolute/answer/{code}", answer)
    app.router.add_get("/ranged", ranged)
    app.router.add_get("/quit", quit_clean)
    app.router.add_get("/sleepy", sleepy)
    app.router.add_get("/ws", websocket)
    app.router.add_route("*", "/{rest:.*}", tell)
    return app


async def serve_raw(where: str) -> None:
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1 << 16):
            writer.write(piece[::-1] if len(piece) < 100 else piece)
            await writer.drain()
        writer.close()

    if where.isdigit():
        server = await asyncio.start_server(carry, "127.0.0.1", int(where))
    else:
        server = await asyncio.start_unix_server(carry, where)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("where")
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--mute", type=float, default=0.0)
    parser.add_argument("--exit", type=int)
    parser.add_argument("--raw", action="store_true")
    parser.add_argument("--note", type=Path)
    options = parser.parse_args()
    print(f"started, listening on {options.where} soon", flush=True)
    if options.note is not None:
        with options.note.open("a") as file:
            file.write(f"{os.getpid()} {time.time()}\n")
    if options.exit is not None:
        print("something is very wrong here", file=sys.stderr)
        sys.exit(options.exit)
    time.sleep(options.delay)
    if options.raw:
        asyncio.run(serve_raw(options.where))
    app = make(time.time() + options.mute)
    if options.where.isdigit():
        web.run_app(
            app, host="127.0.0.1", port=int(options.where), print=None, handler_cancellation=True
        )
    else:
        web.run_app(app, path=options.where, print=None, handler_cancellation=True)


if __name__ == "__main__":
    main()
