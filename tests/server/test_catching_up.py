"""Catching up by events, by state, after restarts, forks and lag."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from kafkaman_server.catch_up import End, Start, start_at
from kafkaman_server.hub import News, Outcome
from kafkaman_server.server import RunningServer
from kafkaman_server.session import Session
from kafkaman_server.storage.interface import Snapshot
from kafkaman_sync.model.changes import Action
from kafkaman_sync.protocol.messages import (
    Checkpoint,
    Entities,
    EpochStart,
    Events,
    Position,
    Verdicts,
)
from kafkaman_sync.protocol.records import decode_event
from tests.server.conftest import StartServer
from tests.server.device import Device, dial, sign_in, sign_up


async def test_a_large_gap_is_caught_up_by_state_each_entity_once(
    start_server: StartServer,
) -> None:
    async with start_server(replay_events_max=10) as server:
        one = await sign_up(server.url)
        two = await sign_in(server.url)
        async with two.live():
            pass
        async with one.live() as first:
            entity = one.create("a")
            other = one.create("b")
            await one.flush(first)
            for number in range(30):
                one.add(Action.UPDATE, entity, fields={"name": str(number)}, prior="?")
                await one.flush(first)
            one.add(Action.DELETE, other)
            await one.flush(first)
        two.cursors[two.workspace] = 1
        two.rows[two.workspace] = {}
        two.epochs = one.epochs
        two.log.clear()
        async with two.live():
            states = [message for message in two.log if isinstance(message, Entities)]
            assert [len(message.rows) for message in states] == [2]
            assert states[0].total == 2
            assert not states[0].full
            assert states[0].through == 33
            assert two.rows == one.rows
            assert two.rows[two.workspace][other].deleted


async def test_a_broken_catch_up_by_state_goes_on_behind_its_mark(
    start_server: StartServer,
) -> None:
    async with start_server(replay_events_max=0) as server:
        one = await sign_up(server.url)
        async with one.live() as first:
            one.create()
            await one.flush(first)
            for _ in range(5):
                one.create(size=600_000)
                await one.push(first, [one.last_op])
            await one.take_until_settled(first)
        two = await sign_in(server.url)
        two.cursors = {one.workspace: 1}
        two.epochs = dict(one.epochs)
        two.rows = {one.workspace: {
            row.id: row for row in one.rows[one.workspace].values() if row.version == 1
        }}  # fmt: skip
        async with two.connected() as second:
            message = await two.take(second)
            assert isinstance(message, Entities)
            assert message.through is None
        assert 1 < two.marks[two.workspace] < 6
        held = len(two.rows[two.workspace])
        two.log.clear()
        async with two.live():
            sent = sum(len(message.rows) for message in two.log if isinstance(message, Entities))
            assert sent == 6 - held
            assert two.rows == one.rows


async def test_rows_written_during_a_catch_up_by_state_are_not_missed(
    start_server: StartServer,
) -> None:
    async with start_server(replay_events_max=0) as server:
        one = await sign_up(server.url)
        two = await sign_in(server.url)
        async with one.live() as first:
            ids = []
            for _ in range(40):
                ids.append(one.create(size=200_000))
                await one.push(first, [one.last_op])
            await one.take_until_settled(first)
            async with two.connected() as second:
                await two.take(second)
                for entity in ids[:20]:
                    one.add(Action.UPDATE, entity, fields={"name": "new"}, prior="c")
                await one.flush(first)
                await two.catch_up(second)
                await two.take_until(second, two.workspace, 60)
                assert two.rows == one.rows


async def test_a_restart_is_a_new_epoch_and_the_position_stays_good(
    start_server: StartServer,
) -> None:
    async with start_server() as server:
        one = await sign_up(server.url)
        async with one.live() as first:
            one.create()
            await one.flush(first)
    # A run that writes nothing leaves no trace that could hurt.
    for _ in range(3):
        async with start_server() as server:
            one.url = server.url
            one.log.clear()
            async with one.live():
                assert not any(isinstance(message, Entities) for message in one.log)
    async with start_server() as server:
        one.url = server.url
        async with one.live() as first:
            one.create()
            await one.flush(first)
            assert one.welcome is not None
            assert one.welcome.workspaces[0].epochs[-1] == EpochStart(one.welcome.epoch, 2)
            assert len(one.welcome.workspaces[0].epochs) == 2


async def test_an_unknown_epoch_gets_the_full_state(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        one.create()
        await one.flush(first)
    one.epochs[one.workspace] = "f" * 32
    one.rows.clear()
    one.log.clear()
    async with one.live():
        (message,) = [message for message in one.log if isinstance(message, Entities)]
        assert message.full
        assert len(one.rows[one.workspace]) == 1


def test_a_position_counts_only_within_its_epoch() -> None:
    epochs = (EpochStart("a", 1), EpochStart("b", 11), EpochStart("c", 21))
    whole = Start("w", full=True)

    def at(epoch: str, cursor: int, mark: int = 0) -> Start:
        return start_at(Position("w", epoch, cursor, mark), epochs, 30)

    assert at("a", 10) == Start("w", 10)
    assert at("a", 11) == whole
    assert at("b", 20) == Start("w", 20)
    assert at("b", 5, 20) == Start("w", 5, 20)
    assert at("b", 15, 21) == whole
    assert at("c", 15, 29) == Start("w", 15, 29)
    assert at("c", 15, 31) == whole
    assert at("c", 30) == Start("w", 30)
    assert at("c", 31) == whole
    assert at("", 0) == whole
    assert at("x", 0) == whole


async def test_a_slow_reader_costs_no_more_than_its_queue_and_misses_nothing(
    start_server: StartServer,
) -> None:
    async with start_server(queue_bytes_max=64 * 1024) as server:
        one = await sign_up(server.url)
        slow = await sign_in(server.url)
        async with one.live() as first, slow.live() as second:
            session = next(s for s in server.hub.sessions() if s.device == slow.id)
            assert isinstance(session, Session)
            for _ in range(36):
                one.create(size=500_000)
                await one.push(first, [one.last_op])
                await one.take_until_settled(first)
            assert session._outgoing.size <= 64 * 1024 + 2 * 500_000
            slow.log.clear()
            await slow.take_until(second, slow.workspace, 36)
            assert slow.rows == one.rows
            # Having fallen behind, it gets a catch-up with its end once more, and is live again.
            while not any(isinstance(message, Checkpoint) for message in slow.log):
                await slow.take(second)
            one.create()
            await one.flush(first)
            await slow.take_until(second, slow.workspace, 37)


async def test_a_slow_pusher_gets_each_verdict_once_and_in_order(
    start_server: StartServer,
) -> None:
    async with start_server(queue_bytes_max=64 * 1024) as server:
        one = await sign_up(server.url)
        slow = await sign_in(server.url)
        async with one.live() as first, slow.live() as second:
            for number in range(50):
                one.create(size=400_000)
                slow.create(f"{number}")
                await slow.push(second, [slow.last_op])
                await one.push(first, [one.last_op])
                await one.take_until_settled(first)
            await slow.take_until_settled(second)
            assert list(slow.verdicts) == list(range(1, 51))
            head = max(slow.cursors[slow.workspace], 100)
            await slow.take_until(second, slow.workspace, head)
            await one.take_until(first, one.workspace, 100)
            assert slow.rows == one.rows


async def test_nobody_is_harmed_by_a_device_that_never_reads(start_server: StartServer) -> None:
    async with start_server(queue_bytes_max=64 * 1024) as server:
        one = await sign_up(server.url)
        deaf = await sign_in(server.url)
        two = await sign_in(server.url)
        async with one.live() as first, two.live() as second, dial(server.url) as third:
            await deaf.greet(third)

            async def write() -> None:
                for _ in range(40):
                    one.create(size=400_000)
                    await one.push(first, [one.last_op])
                    await one.take_until_settled(first)

            await asyncio.gather(write(), two.take_until(second, two.workspace, 40))
            assert two.rows == one.rows


async def test_a_newer_connection_of_a_device_replaces_the_older(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        again = Device(one.url, one.account, one.id, one.token, lease=one.lease)
        async with again.live() as second:
            goodbye = await one.take_goodbye(first)
            assert goodbye.code == "device.replaced"
            with pytest.raises(ConnectionClosed):
                await first.recv()
            again.create()
            await again.flush(second)
            assert isinstance(again.log[-1], Events)


async def test_news_that_a_session_has_in_part_or_wholly_is_not_sent_again(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    two = await sign_in(server.url)
    async with one.live() as first, two.live() as second:
        one.create()
        one.create()
        await one.flush(first)
        await two.take_until(second, two.workspace, 2)
        session = next(s for s in server.hub.sessions() if s.device == two.id)
        chunk = await server.storage.read(
            lambda snapshot: snapshot.events_after(two.workspace, 0, bytes_max=10_000)
        )
        old = list(enumerate(chunk.events, start=1))
        session.hear(News(two.workspace, chunk.digest, old))
        one.create()
        one.create()
        await one.flush(first)
        await two.take_until(second, two.workspace, 4)  # the device checks for repetitions
        assert isinstance(session, Session)
        session._queued[two.workspace] = 3
        del two.rows[two.workspace][decode_event(await last_event(server, two)).entity]
        two.cursors[two.workspace] = 3
        chunk = await server.storage.read(
            lambda snapshot: snapshot.events_after(two.workspace, 2, bytes_max=10_000)
        )
        both = list(enumerate(chunk.events, start=3))
        session.hear(News(two.workspace, chunk.digest, both))
        await two.take_until(second, two.workspace, 4)
        assert two.rows == one.rows


async def last_event(server: RunningServer, device: Device) -> bytes:
    chunk = await server.storage.read(
        lambda snapshot: snapshot.events_after(device.workspace, 3, bytes_max=10_000)
    )
    return chunk.events[-1]


async def test_many_large_stored_verdicts_come_in_several_messages(server: RunningServer) -> None:
    one = await sign_up(server.url)
    two = await sign_in(server.url)
    async with one.live() as first, two.live() as second:
        ids = [one.create(size=400_000) for _ in range(6)]
        for op in list(one.outbox):
            await one.push(first, [op])
        await one.take_until_settled(first)
        await two.take_until(second, two.workspace, 6)
        for entity in ids:
            one.add(Action.UPDATE, entity, fields={"description": "y" * 400_000}, prior="?")
            await one.flush(first)
        for entity in ids:
            two.add(Action.UPDATE, entity, fields={"description": "z"}, base=6, prior="?")
        await two.push(second)
        stored: tuple[bytes, ...] = ()
        while not stored:
            chunk = await server.storage.read(
                lambda snapshot: snapshot.verdicts_after(two.id, 5, bytes_max=1)
            )
            stored = chunk.verdicts
    async with two.live():
        messages = [message for message in two.log if isinstance(message, Verdicts)]
        assert not two.outbox
        assert [verdict.op for message in messages for verdict in message.verdicts] == list(
            range(1, 7)
        )


async def test_a_verdict_without_an_event_is_not_lost_at_the_end_of_a_catch_up(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await sign_up(server.url)
    async with one.live() as connection:
        one.create()
        await one.flush(connection)
        (session,) = server.hub.sessions()
        assert isinstance(session, Session)
        read, publish = server.storage.read, server.hub.publish
        published = asyncio.Event()

        async def read_then_decide(work: Callable[[Snapshot], Awaitable[Any]]) -> Any:
            found = await read(work)
            if isinstance(found, End) and one.last_op == 1:
                one.add(Action.DELETE, "f" * 32)
                await one.push(connection)
                await published.wait()
            return found

        def publish_and_tell(outcome: Outcome) -> None:
            publish(outcome)
            published.set()

        monkeypatch.setattr(server.storage, "read", read_then_decide)
        monkeypatch.setattr(server.hub, "publish", publish_and_tell)
        session._fall_behind()
        async with asyncio.timeout(5):
            await published.wait()
            await one.take_until_settled(connection)
