"""Plain HTTP on the same port, and who may open a WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from kafkaman_server.server import RunningServer
from tests.server.conftest import StartServer
from tests.server.device import dial, sign_up


async def get(server: RunningServer, path: str) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body


async def handshake_status(server: RunningServer, subprotocols: Sequence[str]) -> int:
    with pytest.raises(InvalidStatus) as caught:
        async with connect(
            server.url, subprotocols=[Subprotocol(name) for name in subprotocols], proxy=None
        ):
            pass
    return caught.value.response.status_code


@pytest.mark.parametrize("path", ["/healthz", "/healthz?x=1"])
async def test_healthz_says_ok(server: RunningServer, path: str) -> None:
    status, headers, body = await get(server, path)
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body)["status"] == "ok"


async def test_healthz_tells_that_commits_fail(server: RunningServer) -> None:
    server.journal.failing = "store.full"
    status, _, body = await get(server, "/healthz")
    assert status == 503
    assert json.loads(body)["cause"] == "store.full"


async def test_a_browser_is_told_what_this_is(server: RunningServer) -> None:
    status, headers, body = await get(server, "/")
    assert status == 426
    assert headers["Upgrade"] == "websocket"
    assert b"kafkaman sync" in body
    assert (await get(server, "/other"))[0] == 404


async def test_the_subprotocol_is_required(server: RunningServer) -> None:
    assert await handshake_status(server, []) == 400
    assert await handshake_status(server, ["something.else"]) == 400


async def test_any_path_opens_a_websocket(server: RunningServer) -> None:
    async with dial(server.url + "/sync?x"):
        pass


async def test_a_full_server_turns_newcomers_away(start_server: StartServer) -> None:
    async with start_server(connections_max=2) as server:
        async with dial(server.url), dial(server.url):
            assert await handshake_status(server, ["kafkaman.sync.v1"]) == 503
        await sign_up(server.url)
