"""What faults of a connection mean, against real sockets that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from kafkaman_sync import LinkError, RefusedError, UsageError
from kafkaman_sync.device import link as links
from kafkaman_sync.device.link import Link, ask, check_url
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import SUBPROTOCOL, Call, Goodbye, Message, Notice, Reply
from tests.device.world import free_port

Talk = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def server(talk: Talk, subprotocol: str = SUBPROTOCOL) -> AsyncIterator[str]:
    async with serve(
        talk,
        "127.0.0.1",
        0,
        subprotocols=[Subprotocol(subprotocol)],
        compression=None,
        close_timeout=0.1,
    ) as running:
        port = running.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}/"


@asynccontextmanager
async def plain_server(answer: bytes) -> AsyncIterator[str]:
    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(meet, "127.0.0.1", 0) as running:
        yield f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}/"


async def code_of(url: str) -> tuple[str, str]:
    with pytest.raises(LinkError) as caught:
        async with Link.open(url) as link:
            await link.receive()
    return caught.value.code, caught.value.message


async def quiet(connection: ServerConnection) -> None:
    await connection.wait_closed()


async def test_no_server_is_a_network_fault_that_names_the_address() -> None:
    port = free_port()
    code, message = await code_of(f"ws://127.0.0.1:{port}/")
    assert code == "network.unreachable"
    assert f"127.0.0.1:{port}" in message


async def test_a_name_that_does_not_exist_is_a_network_fault() -> None:
    assert (await code_of("ws://no-such-host.invalid/"))[0] == "network.unreachable"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "server.foreign"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "server.foreign"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "server.foreign"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "server.unavailable"),
        (b"", "network.unreachable"),
    ],
)
async def test_something_else_that_listens_is_no_kafkaman_server(answer: bytes, code: str) -> None:
    async with plain_server(answer) as url:
        assert (await code_of(url))[0] == code


async def test_another_subprotocol_is_another_version() -> None:
    async def unselected(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with serve(unselected, "127.0.0.1", 0) as running:
        port = running.sockets[0].getsockname()[1]
        assert (await code_of(f"ws://127.0.0.1:{port}/"))[0] == "server.version"


async def test_a_server_that_closes_is_a_drop() -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.close()

    async with server(leave) as url:
        assert (await code_of(url))[0] == "network.dropped"


async def test_text_is_not_of_this_protocol() -> None:
    async def chat(connection: ServerConnection) -> None:
        await connection.send("hello")
        await connection.wait_closed()

    async with server(chat) as url:
        assert (await code_of(url))[0] == "wire.invalid"


async def test_what_came_before_the_end_is_still_received() -> None:
    async def tell(connection: ServerConnection) -> None:
        for number in range(3):
            await connection.send(encode(Notice(str(number), "")))

    seen: list[Message] = []
    async with server(tell) as url, Link.open(url) as link:
        with suppress(LinkError):
            while True:
                seen += await link.receive()
    assert [message.code for message in seen if isinstance(message, Notice)] == ["0", "1", "2"]


async def test_a_server_that_fell_silent_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "SILENCE_SECONDS", 0.05)
    monkeypatch.setattr(links, "PONG_SECONDS_MAX", 0.05)

    async def freeze(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await connection.wait_closed()

    async with server(freeze) as url:
        assert (await code_of(url))[0] == "network.silent"


async def test_a_quiet_server_that_answers_pings_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "SILENCE_SECONDS", 0.01)

    async def late(connection: ServerConnection) -> None:
        await asyncio.sleep(0.2)
        await connection.send(encode(Notice("late", "")))
        await connection.wait_closed()

    async with server(late) as url, Link.open(url) as link:
        assert await link.receive() == [Notice("late", "")]


async def test_a_device_that_is_slow_to_apply_does_not_mistake_it_for_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "SILENCE_SECONDS", 0.02)
    monkeypatch.setattr(links, "PONG_SECONDS_MAX", 0.02)
    monkeypatch.setattr(links, "WAITING_BYTES_MAX", 1000)

    async def flood(connection: ServerConnection) -> None:
        for _ in range(200):
            await connection.send(encode(Notice("n", "x" * 4000)))
        await connection.wait_closed()

    count = 0
    async with server(flood) as url, Link.open(url) as link:
        await asyncio.sleep(0.3)
        while count < 200:
            count += len(await link.receive())
    assert count == 200


async def test_a_call_before_hello_gets_its_result_or_its_error() -> None:
    async def answer(connection: ServerConnection) -> None:
        data = await connection.recv(decode=False)
        call = decode(data)
        assert isinstance(call, Call)
        if call.method == "good":
            await connection.send(encode(Reply(call.id, {"echo": call.params["word"]})))
        elif call.method == "bad":
            await connection.send(encode(Reply(call.id, error={"code": "auth.failed"})))
        else:
            await connection.send(encode(Goodbye("server.busy", "Later.", 3)))
        await connection.wait_closed()

    async with server(answer) as url:
        assert await ask(url, "good", {"word": "hi"}) == {"echo": "hi"}
        for method, code in (("bad", "auth.failed"), ("busy", "server.busy")):
            with pytest.raises(RefusedError) as caught:
                await ask(url, method, {})
            assert caught.value.code == code


async def test_a_server_that_never_answers_a_call_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "CALL_SECONDS_MAX", 0.05)
    async with server(quiet) as url:
        with pytest.raises(LinkError) as caught:
            await ask(url, "sign_in", {})
    assert caught.value.code == "network.silent"


async def test_an_answer_that_is_not_of_the_protocol_is_foreign() -> None:
    async def babble(connection: ServerConnection) -> None:
        await connection.send(b"\xc1")
        await connection.wait_closed()

    async with server(babble) as url:
        with pytest.raises(LinkError) as caught:
            await ask(url, "sign_in", {})
    assert caught.value.code == "server.foreign"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("ws://localhost:8080", "ws://localhost:8080/"),
        (" wss://sync.example.org ", "wss://sync.example.org/"),
        ("wss://example.org/sync", "wss://example.org/sync"),
        ("ws://[::1]:9/", "ws://[::1]:9/"),
    ],
)
def test_a_servers_address_has_one_spelling(given: str, kept: str) -> None:
    assert check_url(given) == kept


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8080",
        "http://x",
        "ws://",
        "ws://u:p@x",
        "ws://x:0",
        "ws://x:99999",
        "ws://x?q",
    ],
)
def test_what_is_no_servers_address_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_url(url)
    assert caught.value.code == "server.invalid_url"
