"""Bad inputs made by hand, each with the code that it must get."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

import msgpack
import pytest
from websockets.exceptions import ConnectionClosed

from kafkaman_server.server import RunningServer
from kafkaman_sync.model.limits import (
    INTEGER_MAX,
    MESSAGE_BYTES_ANONYMOUS_MAX,
)
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import (
    Checkpoint,
    Entities,
    Goodbye,
    Hello,
    Position,
    Push,
    Reply,
    Resend,
    Welcome,
)
from kafkaman_sync.protocol.records import encode_change
from tests.hostile.attacker import Identity, honest_change
from tests.hostile.peers import Peer, Site
from tests.hostile.talk import ID, code_of, say
from tests.server.device import dial, receive, sign_up


def packed(**record: Any) -> bytes:
    return bytes(msgpack.packb(record))


def call(**record: Any) -> bytes:
    return packed(**{"type": "call", "id": 1, "method": "ping", "params": {}} | record)


VIOLATIONS: Final[dict[str, bytes | str]] = {
    "nothing": b"",
    "text": "text",
    "no map": msgpack.packb([1]),
    "no type": packed(id=1),
    "an unknown type": packed(type="colour"),
    "a type that is no text": packed(type=7),
    "a type in another case": packed(type="Call", id=1, method="ping"),
    "bytes behind the message": call() + b"\x00",
    "a message cut short": call()[:-1],
    "a byte that is never used": b"\xc1",
    "the same key twice": b"\x82\xa4type\xa4call\xa4type\xa4call",
    "a key that is a number": b"\x81\x01\x02",
    "a key that is bytes": b"\x81\xc4\x04type\xa4call",
    "a text that is no UTF-8": b"\x81\xa4type\xa2\xff\xfe",
    "a surrogate": b"\x81\xa4type\xa3\xed\xa0\x80",
    "an extension type": call(params={"x": msgpack.ExtType(5, b"x")}),
    "a timestamp": call(params={"x": msgpack.Timestamp(1)}),
    "not a number": call(params={"x": float("nan")}),
    "an infinite number": call(params={"x": float("inf")}),
    "a list deeper than plain values go": call(params={"x": [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}),
    "lists deeper than MessagePack goes": b"\x81\xa4type" + b"\x91" * 5000,
    "maps deeper than MessagePack goes": b"\x81\xa4type" + b"\x81\xa1a" * 5000,
    "a number where text belongs": call(method=1),
    "text where a number belongs": call(id="1"),
    "a boolean where a number belongs": call(id=True),
    "a fraction where a number belongs": call(id=1.0),
    "nil where a number belongs": call(id=None),
    "a negative number": call(id=-1),
    "an integer past 63 bits": call(id=2**63),
    "an integer past 64 bits": call(id=1)[:-1] + b"\xcf" + b"\xff" * 9,
    "a list where a map belongs": call(params=[]),
    "a method of 4,097 characters": call(method="m" * 4097),
    **{
        f"a claim of 4 GiB with {head:x}": b"\x81\xa4type" + bytes([head]) + struct.pack(
            ">I", 2**32 - 1
        )
        for head in (0xC6, 0xDB, 0xDD, 0xDF, 0xC9)
    },
    "what only a server says": encode(Checkpoint(ID, 1, bytes(16))),
    "a welcome": encode(Welcome("s", "e", "l", "a", ID, 0, ())),
    "a goodbye": encode(Goodbye("device.revoked", "go")),
    "a resend": encode(Resend(1)),
}  # fmt: skip


@pytest.mark.parametrize("name", VIOLATIONS)
async def test_before_the_hello_it_is_a_violation(site: Site, name: str) -> None:
    assert code_of(await say(site, VIOLATIONS[name])) == "protocol.violation"


@pytest.mark.parametrize("name", VIOLATIONS)
async def test_after_the_hello_it_is_a_violation(site: Site, me: Identity, name: str) -> None:
    assert code_of(await say(site, VIOLATIONS[name], me=me)) == "protocol.violation"


async def test_a_push_before_the_hello_is_a_violation(site: Site) -> None:
    push = encode(Push((encode_change(honest_change(ID, 1, ID)),)))
    assert code_of(await say(site, push)) == "protocol.violation"


async def test_a_second_hello_is_a_violation(site: Site, me: Identity) -> None:
    said = await say(site, encode(Hello(me.token, me.device, me.lease, ())), me=me)
    assert code_of(said) == "protocol.violation"


async def test_calls_that_are_unknown_or_come_too_early_are_answered_by_name(site: Site) -> None:
    for method in ("devices", "prove", "sign_out", "nonsense", ""):
        (reply,) = await say(site, call(method=method))
        assert isinstance(reply, Reply)
        assert reply.error is not None
        assert reply.error["code"] == "call.unknown"


# Hellos


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"device": "f" * 32}, "device.unknown"),
        ({"token": "guess"}, "device.unknown"),
        ({"token": ""}, "device.unknown"),
        ({"lease": "stale"}, "lease.stale"),
        ({"device": "F" * 32}, "protocol.violation"),
        ({"device": "x"}, "protocol.violation"),
        ({"confirmed_op": -1}, "protocol.violation"),
        ({"confirmed_op": True}, "protocol.violation"),
        ({"confirmed_op": 2**63}, "protocol.violation"),
        ({"highest_base": {ID: -1}}, "protocol.violation"),
        ({"positions": [{"workspace": ID, "cursor": -1}]}, "protocol.violation"),
        ({"positions": [{"workspace": ID, "cursor": True}]}, "protocol.violation"),
        ({"positions": [{"workspace": ID, "mark": 2**64 - 1}]}, "protocol.violation"),
        ({"positions": [{"workspace": "x"}]}, "protocol.violation"),
        ({"positions": [{"workspace": ID, "epoch": 1}]}, "protocol.violation"),
    ],
)
async def test_a_hello_that_is_wrong_gets_its_code(
    site: Site, me: Identity, change: dict[str, Any], code: str
) -> None:
    hello = {"type": "hello", "token": me.token, "device": me.device, "lease": ""} | change
    assert code_of(await say(site, packed(**hello))) == code


@pytest.mark.parametrize(
    "place",
    [
        Position(ID, "", INTEGER_MAX),  # a cursor from the future
        Position(ID, "", 0, INTEGER_MAX),
        Position(ID, "no epoch of this server", 1),
        Position("f" * 32, "", 7, 9),  # a workspace of nobody
    ],
)
async def test_a_position_that_cannot_be_gets_the_full_state(
    site: Site, me: Identity, place: Position
) -> None:
    await say(site, me=me)  # learns its workspace
    push = encode(Push((encode_change(honest_change(me.workspace, 1, "e" * 32)),)))
    await say(site, push, me=me)
    for workspace in {ID: me.workspace}.get(place.workspace, place.workspace), "f" * 32:
        hello = Hello(me.token, me.device, me.lease, (replace(place, workspace=workspace),) * 2)
        peer = Peer(site)
        await peer.run(_until_caught_up(peer, encode(hello)))
        welcome, state = peer.said[:2]
        assert isinstance(welcome, Welcome)
        assert isinstance(state, Entities)
        assert state.full
        assert len(state.rows) == 1
        me.lease = welcome.lease


async def _until_caught_up(peer: Peer, hello: bytes) -> AsyncIterator[bytes]:
    yield hello
    await peer.until(lambda: any(isinstance(one, Checkpoint) for one in peer.said))


# What only a real socket does


async def test_fragments_are_one_message_and_an_empty_frame_is_a_violation(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        data = call()
        await first.send([data[:5], data[5:9], b"", data[9:]])
        while not isinstance(message := await one.take(first), Reply):
            pass
        assert message.result == {}
        await first.send([b"", b""])
        assert (await one.take_goodbye(first)).code == "protocol.violation"


async def test_a_stranger_may_send_just_so_much_at_once(server: RunningServer) -> None:
    for more in (0, 1):
        size = MESSAGE_BYTES_ANONYMOUS_MAX + more - len(call(params={"x": b""})) - 1
        data = call(params={"x": bytes(size)})
        assert len(data) == MESSAGE_BYTES_ANONYMOUS_MAX + more
        async with dial(server.url) as connection:
            await connection.send(data)
            if not more:
                assert isinstance(decode(await receive(connection)), Reply)
                continue
            with pytest.raises(ConnectionClosed) as caught:
                await connection.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1009
