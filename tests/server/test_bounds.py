"""What one peer may cost, and that its faults stay its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from websockets.exceptions import ConnectionClosed

from kafkaman_server import journal as journal_module
from kafkaman_server import proof as proof_module
from kafkaman_server import sender as sender_module
from kafkaman_server.hub import News
from kafkaman_server.server import RunningServer
from kafkaman_server.session import Session
from kafkaman_server.storage.interface import Snapshot, Storage, Transaction
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import Call, Goodbye
from tests.server.conftest import StartServer
from tests.server.device import call_once, dial, receive, sign_in, sign_up, until

T = TypeVar("T")


async def test_small_changes_to_large_entities_are_committed_in_parts(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        ids = [one.create(size=50_000) for _ in range(20)]
        await one.flush(first)
        monkeypatch.setattr(journal_module, "LOAD_BYTES_MAX", 200_000)
        for entity in ids:
            one.add(Action.UPDATE, entity, fields={"name": "new"}, prior="c")
        await one.flush(first)
        assert one.cursors[one.workspace] == 40
        (session,) = server.hub.sessions()
        assert isinstance(session, Session)
        assert session._undecided.changes == 0


async def test_a_large_entity_among_small_ones_is_loaded_with_all_its_fields(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        ids = [one.create(size=size) for size in (60_000, *[10] * 9)]
        await one.flush(first)
        monkeypatch.setattr(journal_module, "LOAD_BYTES_MAX", 100_000)
        for entity in ids:
            one.add(Action.UPDATE, entity, fields={"name": "new"}, prior="c")
        await one.flush(first)  # compares digests: the server's are of all that it loaded
        assert one.cursors[one.workspace] == 20
        assert not any(verdict.disagreements for verdict in one.verdicts.values())


async def test_what_is_edited_above_what_is_edited_keeps_its_fields(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        top = one.create()
        folder = one.create(kind=Kind.FOLDER, parent=top)
        ids = [top, *[one.create(kind=Kind.REQUEST, parent=folder) for _ in range(10)]]
        await one.flush(first)
        for entity in ids:  # but not what lies between them
            one.add(Action.UPDATE, entity, fields={"name": "new"}, prior="c")
        await one.flush(first)  # compares digests: the server's are of what it loaded
        assert one.cursors[one.workspace] == 23


async def test_one_change_to_a_very_large_entity_is_committed_all_the_same(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "LOAD_BYTES_MAX", 1)
    one = await sign_up(server.url)
    async with one.live() as first:
        entity = one.create()
        await one.flush(first)
        for _ in range(3):
            one.create()
            one.add(Action.UPDATE, entity, fields={"name": "c"}, prior="c")
        await one.flush(first)
        assert one.cursors[one.workspace] == 7


async def test_a_fault_while_hearing_news_ends_only_that_session(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await sign_up(server.url)
    bad = await sign_in(server.url)
    good = await sign_in(server.url)
    async with one.live() as first, bad.live() as second, good.live() as third:
        heard = Session.hear

        def hear(self: Session, news: News) -> None:
            if self.device == bad.id:
                raise RuntimeError("a fault")
            heard(self, news)

        monkeypatch.setattr(Session, "hear", hear)
        one.create()
        await one.flush(first)
        await good.take_until(third, good.workspace, 1)
        assert (await bad.take_goodbye(second)).code == "server.failed"


async def test_a_fault_in_a_session_is_a_goodbye(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await sign_up(server.url)

    def prove(*_: Any) -> None:
        raise RuntimeError("a fault")

    async with one.live() as first:
        monkeypatch.setattr(proof_module, "_sum", prove)
        with pytest.raises((ConnectionClosed, AssertionError)):
            await one.ask(first, "prove")
        assert one.goodbye is not None
        assert one.goodbye.code == "server.failed"


async def test_who_asks_and_never_reads_is_not_heard_any_more(start_server: StartServer) -> None:
    async with start_server(queue_bytes_max=64 * 1024) as server:
        one = await sign_up(server.url)
        async with dial(server.url) as connection:
            await one.greet(connection)
            (session,) = server.hub.sessions()
            assert isinstance(session, Session)
            asked = 0

            async def ask() -> None:
                nonlocal asked
                while True:
                    await connection.send(encode(Call(asked, "devices")))
                    asked += 1

            asking = asyncio.create_task(ask())
            await until(lambda: session._outgoing.size > 64 * 1024)
            for _ in range(2000):
                await asyncio.sleep(0)  # it would hear more now if it did
            assert session._outgoing.size < 70 * 1024
            asking.cancel()
            connection.transport.abort()


async def test_a_peer_that_takes_nothing_is_cut_off(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "STALL_SECONDS", 0.2)
    one = await sign_up(server.url)
    deaf = await sign_in(server.url)
    async with one.live() as first, dial(server.url) as second:
        await deaf.greet(second)
        while server.hub.connected(deaf.id):
            one.create(size=500_000)
            await one.flush(first)


async def test_strangers_may_call_only_so_often(server: RunningServer) -> None:
    async with dial(server.url) as connection:
        for number in range(17):
            await connection.send(encode(Call(number, "nonsense")))
        for _ in range(17):
            message = decode(await receive(connection))
        message = decode(await receive(connection))
        assert isinstance(message, Goodbye)
        assert message.code == "protocol.violation"


async def test_a_proof_holds_while_others_write(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof_module, "MESSAGE_BYTES_TARGET", 3000)
    one = await sign_up(server.url)
    async with one.live() as first:
        ids = [one.create(size=1000) for _ in range(40)]
        await one.flush(first)
        storage = Interrupted(server.storage)

        async def write() -> None:
            # A half of some chunks, the whole of others, and rows not yet read.
            for entity in (*ids[0:6:2], *ids[6:10], ids[30]):
                one.add(Action.UPDATE, entity, fields={"name": "new"}, prior="c")
            await one.flush(first)

        storage.between = write
        assert await proof_module.is_sound(storage, one.workspace)
        assert storage.reads > 15
        await server.storage._database._writer.execute_fetchall(
            "UPDATE entities SET position = 'Z' WHERE id = ?", (ids[0],)
        )
        assert not await proof_module.is_sound(storage, one.workspace)


class Interrupted:
    """A storage in which something happens between its tenth and eleventh read."""

    def __init__(self, storage: Storage) -> None:
        self.server = storage.server
        self.reads = 0
        self.between: Callable[[], Awaitable[None]] | None = None
        self._storage = storage

    async def read(self, work: Callable[[Snapshot], Awaitable[T]]) -> T:
        self.reads += 1
        if self.reads == 11 and self.between is not None:
            await self.between()
        return await self._storage.read(work)

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._storage.transact(work)


async def test_a_proof_finds_a_row_that_was_tampered_with(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        entity = one.create()
        await one.flush(first)
        await server.storage._database._writer.execute_fetchall(
            "UPDATE entities SET position = 'Z' WHERE id = ?", (entity,)
        )
        (part,) = (await one.ask(first, "prove"))["workspaces"]
        assert not part["sound"]


async def test_a_stopping_server_takes_no_newcomers(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with dial(server.url) as connection:
        server.hub.close()
        await one.greet(connection)
        assert one.goodbye is not None
        assert one.goodbye.code == "server.stopping"


async def test_a_store_that_cannot_be_read_is_a_failed_call_not_an_end(
    server: RunningServer,
) -> None:
    await sign_up(server.url)
    await server.storage._database._writer.execute_fetchall("ALTER TABLE accounts RENAME TO lost")
    async with dial(server.url) as connection:
        await connection.send(encode(Call(1, "sign_in", {"user": "ann", "password": "secret"})))
        reply: Any = decode(await receive(connection))
        assert reply.error["code"] == "server.failed"
    await server.storage._database._writer.execute_fetchall("ALTER TABLE lost RENAME TO accounts")
    await call_once(server.url, "sign_in", user="ann", password="correct horse battery")
