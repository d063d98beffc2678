"""Watching a server: every frame, no secret, and no harm from who watches."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import msgpack
import pytest

from kafkaman_server import watching
from kafkaman_server.server import RunningServer
from kafkaman_sync.protocol.codec import decode
from kafkaman_sync.protocol.recording import Recorded, Sort, decode_recorded
from tests.server.conftest import StartServer
from tests.server.device import dial, sign_up

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def watch(tmp_path: Path) -> tuple[dict[str, Any], Streams]:
    streams = await asyncio.open_unix_connection(tmp_path / "data" / watching.SOCKET)
    header = msgpack.unpackb(await block(streams))
    return header, streams


async def block(streams: Streams) -> bytes:
    size = int.from_bytes(await streams[0].readexactly(4), "big")
    return await streams[0].readexactly(size)


async def take(streams: Streams, upto: Sort) -> list[Recorded]:
    found: list[Recorded] = []
    while not found or found[-1].sort is not upto:
        found.append(decode_recorded(await block(streams)))
    return found


async def test_the_socket_is_for_its_owner_only_and_goes_with_the_server(
    start_server: StartServer, tmp_path: Path
) -> None:
    path = tmp_path / "data" / watching.SOCKET
    async with start_server():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


async def test_a_watcher_sees_every_frame_in_order_without_secrets(
    server: RunningServer, tmp_path: Path
) -> None:
    header, streams = await watch(tmp_path)
    assert header["server"] == server.storage.server
    ann = await sign_up(server.url)
    async with ann.live() as connection:
        ann.create("a")
        await ann.flush(connection)
    found = await take(streams, Sort.CLOSED)
    found += await take(streams, Sort.CLOSED)
    names = [
        type(decode(record.data)).__name__
        for record in found
        if record.sort in (Sort.UP, Sort.DOWN)
    ]
    assert names[:4] == ["Call", "Reply", "Hello", "Welcome"]
    assert names[-2:] == ["Push", "Events"]
    (known,) = [record.facts for record in found if record.sort is Sort.STATE]
    assert known["device"] == ann.id
    assert found[0].sort is Sort.OPENED
    for record in found:
        assert ann.token.encode() not in record.data
        assert b"horse" not in record.data
    streams[1].close()


async def test_a_connection_that_stood_before_is_named_first(
    server: RunningServer, tmp_path: Path
) -> None:
    ann = await sign_up(server.url)
    async with ann.live():
        _, streams = await watch(tmp_path)
        opened = decode_recorded(await block(streams))
        assert opened.sort is Sort.OPENED
        assert opened.facts == {"device": ann.id, "account": ann.account, "already": True}
        streams[1].close()


async def test_a_frame_that_is_no_message_leaves_its_size_only(
    server: RunningServer, tmp_path: Path
) -> None:
    ann = await sign_up(server.url)
    _, streams = await watch(tmp_path)
    async with dial(ann.url) as connection:
        await connection.send(b"nonsense")
        found = await take(streams, Sort.ILLEGIBLE)
    assert found[-1].facts == {"from": "device", "bytes": 8}
    streams[1].close()


async def test_a_watcher_that_reads_too_slowly_is_told_and_dropped(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "BACKLOG_BYTES_MAX", 200_000)
    ann = await sign_up(server.url)
    _, streams = await watch(tmp_path)
    async with ann.live() as connection:
        for _ in range(40):
            ann.create("a", size=50_000)
            await ann.flush(connection)
    found = await take(streams, Sort.LOST)
    assert found[-1].facts["slow"] is True
    assert found[-1].facts["records"] > 0
    assert await streams[0].read() == b""
    streams[1].close()


async def test_a_watcher_that_goes_is_forgotten(server: RunningServer, tmp_path: Path) -> None:
    for _ in range(2 * watching.WATCHERS_MAX):
        header, streams = await watch(tmp_path)
        assert header["server"]
        streams[1].close()
        await streams[1].wait_closed()
        await asyncio.sleep(0.02)


async def test_more_watchers_than_allowed_are_told_so(
    server: RunningServer, tmp_path: Path
) -> None:
    all_streams = [await watch(tmp_path) for _ in range(watching.WATCHERS_MAX)]
    header, (reader, writer) = await watch(tmp_path)
    assert header == {"busy": True}
    assert await reader.read() == b""
    for _, streams in [*all_streams, (header, (reader, writer))]:
        streams[1].close()


async def test_a_path_that_is_too_long_for_a_socket_leaves_the_server_working(
    start_server: StartServer, tmp_path: Path
) -> None:
    async with start_server(data=tmp_path / ("long" * 30)) as server:
        ann = await sign_up(server.url)
        async with ann.live():
            pass
