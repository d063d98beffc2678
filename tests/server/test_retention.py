"""What is old enough leaves the trash, and nobody loses anything by it."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from kafkaman_server import retention
from kafkaman_server.purging import Piece
from kafkaman_sync.errors import KafkamanError, StoreError
from kafkaman_sync.model.changes import Action, ConflictCode
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.protocol.messages import Entities, Events
from kafkaman_sync.protocol.records import decode_event
from tests.server.ageing import (
    DAY_MS,
    Clocks,
    age,
    edit,
    kept_for,
    name,
    name_at,
    sound,
)
from tests.server.conftest import StartServer
from tests.server.device import sign_in, sign_up


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


# The trash


async def test_what_was_deleted_is_purged_with_all_below_when_it_is_old_enough(
    start_server: StartServer, clocks: Clocks
) -> None:
    async with kept_for(start_server, clocks) as server:
        one = await sign_up(server.url)
        two = await sign_in(server.url)
        async with one.live() as first, two.live() as second:
            kept = one.create("kept")
            top = one.create("top")
            folder = one.create("folder", parent=top, kind=Kind.FOLDER)
            for _ in range(3):
                one.create("leaf", parent=folder, kind=Kind.REQUEST)
            await one.flush(first)
            await age(server, clocks, 20)
            await edit(one, first, Action.DELETE, top)
            await age(server, clocks, 30)
            assert len(one.rows[one.workspace]) == 6
            await age(server, clocks, 2)
            for device, connection in ((one, first), (two, second)):
                await device.take_until(connection, device.workspace, 12)
                assert set(device.rows[device.workspace]) == {kept}
            await sound(server, one, two)
            purges = [
                decode_event(item)
                for message in two.log
                if isinstance(message, Events)
                for item in message.items
                if isinstance(item, bytes)
            ][-5:]
            assert {event.action for event in purges} == {Action.PURGE}
            order = [event.entity for event in purges]
            assert order[-2:] == [folder, top]
            assert all((event.device, event.account, event.op) == ("", "", 0) for event in purges)


async def test_what_was_restored_in_time_stays(start_server: StartServer, clocks: Clocks) -> None:
    async with kept_for(start_server, clocks) as server:
        one = await sign_up(server.url)
        async with one.live() as first:
            entity = one.create()
            await one.flush(first)
            await edit(one, first, Action.DELETE, entity)
            await age(server, clocks, 29)
            await edit(one, first, Action.RESTORE, entity)
            await age(server, clocks, 40)
            assert set(one.rows[one.workspace]) == {entity}
            await sound(server, one)


async def test_what_is_restored_at_the_last_moment_stays(
    start_server: StartServer, clocks: Clocks
) -> None:
    async with kept_for(start_server, clocks) as server:
        one = await sign_up(server.url)
        async with one.live() as first:
            top, other = one.create("top"), one.create("other")
            leaf = one.create("leaf", parent=top, kind=Kind.REQUEST)
            await one.flush(first)
            await edit(one, first, Action.DELETE, other, top)
            # They were found to be old enough, when one of them is restored.
            await edit(one, first, Action.RESTORE, top)
            await server.journal.purge(Piece(one.workspace, [leaf, top, other, "f" * 32], 5))
            await one.take_until(first, one.workspace, 7)
            assert set(one.rows[one.workspace]) == {top, leaf}
            await server.journal.purge(Piece(one.workspace, [other], 5))
            await server.journal.purge(Piece("f" * 32, [other], 5))
            await sound(server, one)


async def test_a_large_trash_is_emptied_in_pieces_from_the_leaves_up(
    start_server: StartServer, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PURGED_MAX", 3)
    monkeypatch.setattr(retention, "PURGED_BYTES_MAX", 1500)
    async with kept_for(start_server, clocks) as server:
        one = await sign_up(server.url)
        async with one.live() as first:
            top = parent = one.create("top")
            for _ in range(8):
                parent = one.create("folder", parent=parent, kind=Kind.FOLDER)
                one.create("leaf", parent=parent, kind=Kind.REQUEST, size=700)
            inner = parent
            await one.flush(first)
            # Deleted on its own before the rest was.
            await edit(one, first, Action.DELETE, inner, top)
            await age(server, clocks, 32)
            await one.take_until(first, one.workspace, 17 + 2 + 17)
            assert one.rows[one.workspace] == {}
            await sound(server, one)


async def test_a_device_that_was_away_over_the_purge_learns_of_it_by_events_and_by_state(
    start_server: StartServer, clocks: Clocks, tmp_path: Path
) -> None:
    for events_max in (1000, 0):
        clocks.pass_days(1)
        async with kept_for(
            start_server, clocks, replay_events_max=events_max, data=tmp_path / str(events_max)
        ) as server:
            one = await sign_up(server.url)
            two = await sign_in(server.url)
            async with one.live() as first, two.live() as second:
                gone, stays = one.create("gone"), one.create("stays")
                await one.flush(first)
                await two.take_until(second, two.workspace, 2)
            async with one.live() as first:
                await edit(one, first, Action.DELETE, gone)
                await age(server, clocks, 40)
                await one.take_until(first, one.workspace, 4)
            two.log.clear()
            async with two.live():
                by_state = [message for message in two.log if isinstance(message, Entities)]
                assert bool(by_state) == (events_max == 0)
                assert not any(message.full for message in by_state)
                assert set(two.rows[two.workspace]) == {stays}
                await sound(server, one, two)


async def test_a_purge_during_a_catch_up_by_state_is_not_missed(
    start_server: StartServer, clocks: Clocks
) -> None:
    async with kept_for(start_server, clocks, replay_events_max=0) as server:
        one = await sign_up(server.url)
        two = await sign_in(server.url)
        async with one.live() as first:
            top = one.create("top")
            leaf = one.create("leaf", parent=top, kind=Kind.REQUEST)
            await one.flush(first)
            for _ in range(40):
                one.create(size=600_000)
                await one.push(first, [one.last_op])
            await one.take_until_settled(first)
            await edit(one, first, Action.DELETE, top)
            await age(server, clocks, 29)
            async with two.connected() as second:
                await two.take(second)
                assert leaf in two.staged[two.workspace]
                await age(server, clocks, 3)
                await two.catch_up(second)
                assert any(each.purged for each in two.log if isinstance(each, Entities))
                await one.take_until(first, one.workspace, 45)
                await sound(server, one, two)


async def test_an_edit_of_what_was_purged_meanwhile_is_answered_deleted(
    start_server: StartServer, clocks: Clocks
) -> None:
    async with kept_for(start_server, clocks) as server:
        one = await sign_up(server.url)
        two = await sign_in(server.url)
        async with one.live() as first, two.live() as second:
            entity = one.create()
            await one.flush(first)
            await two.take_until(second, two.workspace, 1)
        two.add(Action.UPDATE, entity, fields={"name": "edited offline"}, prior="c")
        two.add(Action.DELETE, entity)
        async with one.live() as first:
            await edit(one, first, Action.DELETE, entity)
            await age(server, clocks, 32)
            await one.take_until(first, one.workspace, 3)
            async with two.live() as second:
                await two.flush(second)
                (part,) = two.verdicts[1].disagreements
                assert (part.code, part.version) == (ConflictCode.DELETED, 0)
                assert two.verdicts[2].seq == 3
                assert not two.verdicts[2].event
            # Its verdicts are kept for as long as the device has not confirmed them.
            two.outbox = {}
            async with two.live() as second:
                await sound(server, one, two)


async def test_a_purged_id_may_be_created_anew(start_server: StartServer, clocks: Clocks) -> None:
    async with kept_for(start_server, clocks, replay_events_max=0) as server:
        one = await sign_up(server.url)
        two = await sign_in(server.url)
        async with one.live() as first, two.live() as second:
            entity = one.create("old")
            await one.flush(first)
            await two.take_until(second, two.workspace, 1)
        async with one.live() as first:
            await edit(one, first, Action.DELETE, entity)
            await age(server, clocks, 32)
            await one.take_until(first, one.workspace, 3)
            one.create("new", entity=entity)
            await one.flush(first)
            assert await name_at(one, first, entity, 1) == "old"
            assert await name_at(one, first, entity, 3) is None
            assert await name_at(one, first, entity, 4) == "new"
            async with two.live():
                await sound(server, one, two)
                assert name(two.rows[two.workspace][entity]) == "new"


# Ages


async def test_time_between_runs_counts_for_a_day_at_most(
    start_server: StartServer, clocks: Clocks
) -> None:
    async with kept_for(start_server, clocks, trash=3) as server:
        one = await sign_up(server.url)
        async with one.live() as first:
            entity = one.create()
            await one.flush(first)
            await edit(one, first, Action.DELETE, entity)
        await server.retention.note()
    # A clock that is wrong by years, forwards or backwards, purges nothing.
    for years in (10, -20, 15):
        clocks.wall += years * 365 * DAY_MS
        clocks.seconds = secrets.randbelow(1000)
        async with kept_for(start_server, clocks, trash=3) as server:
            one.url = server.url
            await server.retention.work()
            async with one.live():
                assert entity in one.rows[one.workspace]
    async with kept_for(start_server, clocks, trash=3) as server:
        one.url = server.url
        await age(server, clocks, 2)
        async with one.live():
            assert entity not in one.rows[one.workspace]


async def test_nothing_is_removed_where_everything_is_kept_for_good(
    start_server: StartServer, clocks: Clocks
) -> None:
    async with kept_for(start_server, clocks, events=0, trash=0) as server:
        one = await sign_up(server.url)
        async with one.live() as first:
            entity = one.create()
            await one.flush(first)
            await edit(one, first, Action.DELETE, entity)
            await age(server, clocks, 400)
            found = await one.ask(first, "history", workspace=one.workspace, entity=entity)
            assert (len(found["events"]), found["horizon"]) == (2, 0)
        await server.retention.run()  # has nothing to do, and returns


async def test_only_samples_that_can_still_matter_are_kept(
    start_server: StartServer, clocks: Clocks
) -> None:
    async with kept_for(start_server, clocks, events=10, trash=5) as server:
        one = await sign_up(server.url)
        async with one.live() as first:
            for _ in range(40):
                one.create()
                await one.flush(first)
                await age(server, clocks, 1)
        rows = await server.storage._database.fetch("SELECT count(*) FROM samples")
        assert rows[0][0] <= 12


# Faults


async def test_a_fault_is_logged_and_the_next_hour_goes_on(
    start_server: StartServer,
    clocks: Clocks,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(retention, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(retention, "EVERY_SECONDS", 0.0)
    faults: list[Exception] = [
        StoreError("The disk is full.", code="store.full"),
        KafkamanError("The log is broken.", code="log.broken"),
        ValueError("a bug"),
    ]

    async def fail(*_: Any, **__: Any) -> Any:
        if faults:
            raise faults.pop(0)
        return None

    monkeypatch.setattr("kafkaman_server.journal.purge_piece", fail)
    async with kept_for(start_server, clocks) as server:
        one = await sign_up(server.url)
        async with one.live() as first:
            entity = one.create()
            await one.flush(first)
            await edit(one, first, Action.DELETE, entity)
            await server.retention.note()
            clocks.pass_days(32)
            while faults:
                one.create()
                await one.flush(first)
            assert not server.journal.failing
    out = capsys.readouterr().out
    assert "store.full" in out
    assert "log.broken" in out
    assert "ValueError" in out
