"""Websockets and raw streams of supervised applications."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import aiohttp
import pytest

from tests.integration.proxy_server import api, running, with_client
from tests.standins.jupyter_process import JupyterProcess

MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterProcess]:
    with running(tmp_path_factory.mktemp("sockets")) as process:
        yield process


@pytest.mark.parametrize("app", ["web", "unix"])
def test_text_binary_and_large_messages(server: JupyterProcess, app: str) -> None:
    async def scenario(session: aiohttp.ClientSession, base: str) -> None:
        async with session.ws_connect(f"{base}{app}/ws?a=1", max_msg_size=0) as line:
            told = json.loads(await line.receive_str())
            assert told["query"] == "a=1"
            await line.send_str("grüße")
            assert await line.receive_str() == "grüße"
            await line.send_bytes(bytes(range(256)))
            assert await line.receive_bytes() == bytes(range(256))
            await line.send_bytes(bytes(12 * MIB))  # stock ends at 10 MiB
            assert len(await line.receive_bytes()) == 12 * MIB

    with_client(server, scenario)


def test_the_application_chooses_the_subprotocol(server: JupyterProcess) -> None:
    """Mends: stock tells the browser the first one it offered (jupyter-server-proxy#459)."""

    async def scenario(session: aiohttp.ClientSession, base: str) -> None:
        protocols = ("first", "second", "v1.token.websocket.jupyter.org.secret")
        async with session.ws_connect(f"{base}web/ws", protocols=protocols) as line:
            assert line.protocol == "second"
            assert "secret" not in await line.receive_str()
        async with session.ws_connect(f"{base}web/ws", protocols=("other",)) as line:
            assert line.protocol is None

    with_client(server, scenario)


def test_pings_go_both_ways(server: JupyterProcess) -> None:
    async def scenario(session: aiohttp.ClientSession, base: str) -> None:
        async with session.ws_connect(f"{base}web/ws", autoping=False) as line:
            await line.receive_str()
            await line.ping(b"of mine")
            seen = {(await line.receive()).type, (await line.receive()).type}
            assert seen == {aiohttp.WSMsgType.PONG, aiohttp.WSMsgType.TEXT}
            await line.send_str("ping")
            seen_data = []
            for _ in range(2):
                message = await line.receive()
                seen_data.append(message.data)
            assert b"of the application" in seen_data
            assert "ponged with of the application" in seen_data

    with_client(server, scenario)


def test_close_codes_go_both_ways(server: JupyterProcess) -> None:
    async def scenario(session: aiohttp.ClientSession, base: str) -> None:
        async with session.ws_connect(f"{base}web/ws") as line:
            await line.receive_str()
            await line.send_str("close")
            message = await line.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 4321)
            assert message.extra == "as you like"

    with_client(server, scenario)


def test_200_at_once(server: JupyterProcess) -> None:
    async def scenario(session: aiohttp.ClientSession, base: str) -> None:
        lines = await asyncio.gather(*(session.ws_connect(f"{base}web/ws") for _ in range(200)))
        await asyncio.gather(*(line.receive_str() for line in lines))
        for number, line in enumerate(lines):
            await line.send_str(str(number))
        answers = await asyncio.gather(*(line.receive_str() for line in lines))
        assert answers == [str(number) for number in range(200)]
        await asyncio.gather(*(line.close() for line in lines))

    with_client(server, scenario)


def test_a_refusal_is_passed_on(server: JupyterProcess) -> None:
    async def scenario(session: aiohttp.ClientSession, base: str) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(f"{base}web/answer/403")
        assert caught.value.status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(f"{base}web/not-a-socket")
        assert caught.value.status == 502

    with_client(server, scenario)


def test_without_a_login_or_from_another_site(server: JupyterProcess) -> None:
    async def scenario(session: aiohttp.ClientSession, base: str) -> None:
        async with aiohttp.ClientSession(trust_env=False) as stranger:
            for app in ("web", "raw"):
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    await stranger.ws_connect(f"{base}{app}/ws")
                assert caught.value.status == 403
                login = await session.get(f"{server.url}api/status")
                cookies = {name: each.value for name, each in login.cookies.items()}
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    await stranger.ws_connect(
                        f"{base}{app}/ws",
                        headers={
                            "Origin": "https://evil.example",
                            "Cookie": "; ".join(f"{k}={v}" for k, v in cookies.items()),
                        },
                    )
                assert caught.value.status == 403

    with_client(server, scenario)


@pytest.mark.parametrize("app", ["raw", "rawunix"])
def test_raw_streams(server: JupyterProcess, app: str) -> None:
    async def scenario(session: aiohttp.ClientSession, base: str) -> None:
        async with session.ws_connect(f"{base}{app}/", protocols=("binary",)) as line:
            assert line.protocol == "binary"
            await line.send_bytes(b"abc")
            assert await line.receive_bytes() == b"cba"
            await line.send_str("ä")
            assert await line.receive_bytes() == "ä".encode()[::-1]
            # More than any buffer on the way, in both directions at once.
            sent, got = 32 * MIB, 0
            sending = asyncio.create_task(_send(line, sent))
            while got < sent:
                got += len(await line.receive_bytes())
            await sending
            assert got == sent

    with_client(server, scenario)
    answer = server.session().get(f"{server.url}{app}/x", timeout=30)
    assert answer.status_code == 405
    assert api(server, f"apps/{app}")["state"] in {"ready", "idle"}


async def _send(line: aiohttp.ClientWebSocketResponse, size: int) -> None:
    for _ in range(size // (1 << 16)):
        await line.send_bytes(bytes(1 << 16))
