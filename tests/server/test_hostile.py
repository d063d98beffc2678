"""Peers that send nonsense, too much, or nothing: they are closed, and harm nobody."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace

import msgpack
import pytest
from websockets.exceptions import ConnectionClosed

from kafkaman_server import connection as connection_module
from kafkaman_server.server import RunningServer
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import Call, Checkpoint, Goodbye, Hello, Push
from kafkaman_sync.protocol.records import encode_change
from tests.server.conftest import StartServer
from tests.server.device import dial, receive, sign_in, sign_up

NONSENSE = [
    b"",
    b"\xc1",
    b"\x80",
    msgpack.packb({"type": "nonsense"}),
    msgpack.packb([1, 2]),
    msgpack.packb({"type": "call"}),
    encode(Checkpoint("0" * 32, 1, bytes(16))),
    encode(Push((b"x",))),
    "text",
]


async def last_words(url: str, *messages: bytes | str) -> Goodbye:
    async with dial(url) as connection:
        for message in messages:
            await connection.send(message)
        goodbye = decode(await receive(connection))
        assert isinstance(goodbye, Goodbye)
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        return goodbye


@pytest.mark.parametrize("message", NONSENSE, ids=range(len(NONSENSE)))
async def test_nonsense_before_the_hello_is_a_protocol_violation(
    server: RunningServer, message: bytes | str
) -> None:
    assert (await last_words(server.url, message)).code == "protocol.violation"


@pytest.mark.parametrize("message", NONSENSE, ids=range(len(NONSENSE)))
async def test_nonsense_after_the_hello_is_a_protocol_violation(
    server: RunningServer, message: bytes | str
) -> None:
    one = await sign_up(server.url)
    other = await sign_in(server.url)
    async with one.live() as first, other.live() as second:
        await first.send(message)
        assert (await one.take_goodbye(first)).code == "protocol.violation"
        other.create()
        await other.flush(second)


async def test_a_second_hello_is_a_protocol_violation(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        await first.send(encode(one.hello()))
        assert (await one.take_goodbye(first)).code == "protocol.violation"


async def test_a_stranger_may_not_send_large_messages(server: RunningServer) -> None:
    async with dial(server.url) as connection:
        await connection.send(bytes(100_000))
        with pytest.raises(ConnectionClosed) as caught:
            await connection.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


async def test_a_device_may_not_send_more_than_the_largest_message(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        # The header of a frame of 20 MiB is enough.
        first.transport.write(b"\x82\xff" + (20 * 1024 * 1024).to_bytes(8) + bytes(4))
        with pytest.raises(ConnectionClosed) as caught:
            await one.take(first)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


async def test_silence_instead_of_a_hello_ends(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "HELLO_SECONDS", 0.05)
    async with dial(server.url) as connection:
        goodbye = decode(await receive(connection))
        assert isinstance(goodbye, Goodbye)
        assert goodbye.code == "network.slow"


async def test_changes_with_impossible_parts_are_refused_not_obeyed(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        one.create()
        change = one.outbox[1][0]
        future = replace(change, base=10**15)
        one.outbox[1] = (future, encode_change(future))
        await one.flush(first)
        refusal = one.verdicts[1].refusal
        assert refusal is not None
        assert refusal.code == "base.unknown"
        largest = replace(change, op=2**63 - 1, previous=0)
        await first.send(encode(Push((encode_change(largest),))))
        one.outbox[2**63 - 1] = (largest, encode_change(largest))
        await one.take_until_settled(first)


async def test_surrogates_and_odd_names_do_no_harm(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with dial(server.url) as connection:
        await connection.send(
            encode(Call(1, "sign_in", {"user": "a\x00b'; --", "password": "\U0001f600" * 9}))
        )
        await receive(connection)
    await last_words(server.url, encode(Hello("t", one.id, "'", ())))


async def test_random_frames_before_and_after_the_hello(start_server: StartServer) -> None:
    frames = [secrets.token_bytes(secrets.randbelow(200)) for _ in range(60)]
    async with start_server() as server:
        one = await sign_up(server.url)
        other = await sign_in(server.url)

        async def throw(frame: bytes, *, greeted: bool) -> None:
            async with dial(server.url) as connection:
                if greeted:
                    await other.greet(connection)
                await connection.send(frame)
                try:
                    while True:
                        await connection.recv()
                except ConnectionClosed:
                    pass

        async with one.live() as first:
            await asyncio.gather(*(throw(frame, greeted=False) for frame in frames))
            for frame in frames[:10]:
                await throw(frame, greeted=True)
            one.create()
            await one.flush(first)


async def test_connections_that_vanish_leave_nothing_behind(server: RunningServer) -> None:
    one = await sign_up(server.url)
    for _ in range(20):
        async with dial(server.url) as connection:
            await one.greet(connection)
            one.create()
            await one.push(connection, [one.last_op])
            connection.transport.abort()
    await server.hub.wait_empty()
    assert not server.hub._by_workspace
    async with one.live() as first:
        if one.outbox:
            await one.flush(first)
        assert one.cursors[one.workspace] == 20
