"""The control socket, spoken to by hand."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kafkaman_sync.device import feed, rpc
from kafkaman_sync.device.control import Control, Peer
from kafkaman_sync.device.launch import Streams
from kafkaman_sync.device.params import Params
from tests.device.world import Device, World


@pytest.fixture
async def device(world: World) -> Device:
    return await world.device("laptop")


@pytest.fixture
async def streams(device: Device) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_unix_connection(
        device.home.socket, limit=rpc.LINE_BYTES_MAX
    )
    yield reader, writer
    writer.close()


async def ask(streams: Streams, line: bytes) -> dict[str, Any]:
    reader, writer = streams
    writer.write(line + b"\n")
    answer: dict[str, Any] = json.loads(await reader.readline())
    return answer


async def test_the_socket_and_its_folder_are_for_their_owner_only(device: Device) -> None:
    assert stat.S_IMODE(device.home.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(device.home.root.stat().st_mode) == 0o700
    for path in device.home.root.rglob("*.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_request_gets_its_answer(streams: Streams) -> None:
    answer = await ask(streams, b'{"jsonrpc": "2.0", "id": "mine", "method": "status"}')
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", "mine")
    assert answer["result"]["state"] == "OFFLINE"


@pytest.mark.parametrize(
    ("line", "number", "code"),
    [
        (b"hello", -32700, "control.parse_error"),
        (b"[1, 2]", -32600, "control.invalid_request"),
        (b'{"id": 1, "method": "status"}', -32600, "control.invalid_request"),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 7}', -32600, "control.invalid_request"),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "dance"}', -32601, "control.unknown_method"),
        (
            b'{"jsonrpc": "2.0", "id": 1, "method": "show", "params": [1]}',
            -32602,
            "control.invalid_params",
        ),
        (
            b'{"jsonrpc": "2.0", "id": 1, "method": "show", "params": {"id": 1}}',
            -32602,
            "control.invalid_params",
        ),
        (
            b'{"jsonrpc": "2.0", "id": 1, "method": "show", "params": {"id": "x"}}',
            -32000,
            "entity.not_found",
        ),
    ],
)
async def test_what_is_wrong_is_answered_and_the_connection_goes_on(
    streams: Streams, line: bytes, number: int, code: str
) -> None:
    error = (await ask(streams, line))["error"]
    assert (error["code"], error["data"]["code"]) == (number, code)
    answer = await ask(streams, b'{"jsonrpc": "2.0", "id": 2, "method": "status"}')
    assert answer["id"] == 2


async def test_a_request_that_is_too_long_ends_its_connection_only(
    device: Device, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = streams
    line = b'{"jsonrpc": "2.0", "id": 1, "method": "' + b"x" * rpc.LINE_BYTES_MAX + b'"}\n'
    writer.write(line)
    error = json.loads(await reader.readline())["error"]
    assert error["data"]["code"] == "control.too_large"
    assert await reader.read() == b""
    assert (await device.client.status()).pid


async def test_a_client_that_leaves_in_the_middle_hurts_nobody(device: Device) -> None:
    for _ in range(20):
        _, writer = await asyncio.open_unix_connection(device.home.socket)
        writer.write(b'{"jsonrpc": "2.0", "id": 1, "method": "ls"}\n{"jsonrpc": "2')
        writer.close()
    assert (await device.client.status()).pid


async def test_closing_waits_for_what_a_client_that_left_had_begun(tmp_path: Path) -> None:
    begun, cut, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(_peer: Peer, _params: Params) -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            cut.set()
            with suppress(asyncio.CancelledError):  # as a transaction is ended first
                await asyncio.sleep(0.1)
            await asyncio.sleep(0)
            ended.set()

    async with Control({"slow": slow}).serve(tmp_path / "socket"):
        _, writer = await asyncio.open_unix_connection(tmp_path / "socket")
        writer.write(b'{"jsonrpc": "2.0", "id": 1, "method": "slow"}\n')
        await begun.wait()
        writer.close()
        await cut.wait()
    assert ended.is_set()


async def test_answers_of_slow_requests_do_not_hold_up_the_others(device: Device) -> None:
    made = await asyncio.gather(
        *(device.client.create("collection", fields={"name": str(n)}) for n in range(100)),
        device.client.status(),
    )
    assert len(made) == 101
    assert len(await device.client.ls()) == 100


async def test_a_slow_watcher_is_dropped_with_a_reason(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "BACKLOG_BYTES_MAX", 20_000)
    reader, writer = await asyncio.open_unix_connection(device.home.socket)
    answer = await ask((reader, writer), b'{"jsonrpc": "2.0", "id": 1, "method": "changes"}')
    assert answer["result"] == {}
    root = await device.client.create("collection", fields={"name": "C"})
    while True:
        # It never reads: first the socket's buffers fill, then the backlog.
        edits = [{"action": "update", "id": root, "fields": {"n" * 100: n}} for n in range(200)]
        await device.client.edit(edits)
        if all(each._overrun for each in device.daemon._changes._subscriptions):
            break
    text = (await reader.read()).decode()
    last = json.loads(text.rstrip().splitlines()[-1])
    assert last["error"]["data"]["code"] == "control.slow_watcher"
    writer.close()


async def test_an_import_is_dropped_with_its_connection(device: Device) -> None:
    reader, writer = await asyncio.open_unix_connection(device.home.socket)
    begun = await ask((reader, writer), b'{"jsonrpc": "2.0", "id": 1, "method": "import_begin"}')
    create = {"id": "a" * 32, "kind": "collection", "parent": "", "fields": {"name": "Half"}}
    params = {"stage": begun["result"]["stage"], "creates": [create]}
    added = await ask((reader, writer), rpc.request(2, "import_add", params).rstrip())
    assert added["result"] == {}
    writer.close()
    assert await device.client.ls() == []
    other = await asyncio.open_unix_connection(device.home.socket)
    commit = rpc.request(3, "import_commit", {"stage": begun["result"]["stage"]}).rstrip()
    assert (await ask(other, commit))["error"]["data"]["code"] == "control.invalid_params"
    other[1].close()


async def test_numbers_keep_their_value(streams: Streams) -> None:
    fields = b'{"big": 123456789012345678901234567890, "fine": 0.1000000000000000000001}'
    line = b'{"jsonrpc": "2.0", "id": 1, "method": "edit", "params": {"edits": [{"action": '
    line += b'"create", "kind": "collection", "fields": %s}]}}' % fields
    made = (await ask(streams, line))["result"]["ids"][0]
    reader, writer = streams
    writer.write(rpc.request(2, "show", {"id": made}))
    text = await reader.readline()
    assert b"123456789012345678901234567890" in text
    assert b"0.1000000000000000000001" in text


async def test_nan_is_refused(streams: Streams) -> None:
    line = b'{"jsonrpc": "2.0", "id": 1, "method": "edit", "params": {"edits": [{"action": '
    line += b'"create", "kind": "collection", "fields": {"n": NaN}}]}}'
    assert (await ask(streams, line))["error"]["data"]["code"] in (
        "value.invalid",
        "control.parse_error",
    )
