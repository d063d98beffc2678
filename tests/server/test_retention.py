"""What is old enough leaves the trash and the log, and nobody loses anything by it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from kafkaman_server import retention
from kafkaman_server.proof import is_sound
from kafkaman_server.purging import Piece
from kafkaman_server.server import RunningServer
from kafkaman_server.storage.records import Kept
from kafkaman_sync.errors import KafkamanError, RefusedError, StoreError
from kafkaman_sync.model.changes import Action, ConflictCode
from kafkaman_sync.model.entities import Entity, Kind
from kafkaman_sync.model.values import decode_value
from kafkaman_sync.protocol.messages import Entities, Events
from kafkaman_sync.protocol.records import decode_entity, decode_event
from tests.server.conftest import StartServer
from tests.server.device import Device, sign_in, sign_up

DAY = 24 * 3600.0
DAY_MS = retention.DAY_MS


class Clocks:
    """Time as the test wants it: `seconds` the server has run, `wall` what its clock shows."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.wall = 1_700_000_000_000

    def pass_days(self, days: float) -> None:
        self.seconds += days * DAY
        self.wall += int(days * DAY_MS)

    def settings(self) -> dict[str, Any]:
        return {"clock": lambda: self.wall, "running": lambda: self.seconds}


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@asynccontextmanager
async def kept_for(
    start_server: StartServer, clocks: Clocks, *, events: int = 90, trash: int = 30, **more: Any
) -> AsyncIterator[RunningServer]:
    settings = {"event_retention_days": events, "trash_retention_days": trash, **more}
    async with start_server(**settings, **clocks.settings()) as server:
        yield server


async def age(server: RunningServer, clocks: Clocks, days: int) -> None:
    """Let days pass, with a look at the trash and the log on each."""
    for _ in range(days):
        clocks.pass_days(1)
        await server.retention.work()


async def edit(
    one: Device, connection: ClientConnection, action: Action, *of: str, **more: Any
) -> None:
    for entity in of:
        one.add(action, entity, **more)
    await one.flush(connection)


async def sound(server: RunningServer, *devices: Device) -> None:
    """The rows of the server give its digest, and every device has the same ones."""
    assert await is_sound(server.storage, devices[0].workspace)
    first = devices[0].rows.get(devices[0].workspace, {})
    for device in devices[1:]:
        assert device.rows.get(device.workspace, {}) == first


async def name_at(one: Device, connection: ClientConnection, entity: str, seq: int) -> Any:
    found = await one.ask(connection, "entity_at", workspace=one.workspace, entity=entity, seq=seq)
    return None if found["entity"] is None else name(decode_entity(found["entity"]))


def name(entity: Entity) -> Any:
    return decode_value(entity.values["name"])


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


# The log


async def test_old_events_are_folded_and_the_history_says_how_far_it_reaches(
    start_server: StartServer, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "FOLDED_EVENTS_MAX", 4)
    monkeypatch.setattr(retention, "FOLDED_BYTES_MAX", 2000)
    async with kept_for(start_server, clocks) as server:
        one = await sign_up(server.url)
        async with one.live() as first:
            old, both = one.create("old", size=300), one.create("both")
            await one.flush(first)
            for number in range(8):
                await edit(one, first, Action.UPDATE, both, fields={"name": str(number)}, prior="?")
            first_at = clocks.wall
            await age(server, clocks, 60)
            await edit(one, first, Action.UPDATE, both, fields={"name": "new"}, prior="?")
            await age(server, clocks, 40)
            found = await one.ask(first, "history", workspace=one.workspace, entity=both)
            assert [each["seq"] for each in found["events"]] == [11]
            assert found["horizon"] == 10
            assert await name_at(one, first, both, 10) == "7"
            assert await name_at(one, first, both, 11) == "new"
            assert await name_at(one, first, old, 10) == "old"
            assert await name_at(one, first, old, 11) == "old"
            nothing = await one.ask(first, "history", workspace=one.workspace, entity=old)
            assert (nothing["events"], nothing["more"]) == ([], False)
            for moment in ({"seq": 9}, {"at": first_at - 1}):
                with pytest.raises(RefusedError) as caught:
                    await one.ask(
                        first, "entity_at", workspace=one.workspace, entity=both, **moment
                    )
                assert caught.value.code == "history.purged"
                assert caught.value.details["horizon"] == 10
            found = await one.ask(
                first, "entity_at", workspace=one.workspace, entity=both, at=first_at
            )
            assert found["seq"] == 10
            assert (await one.ask(first, "writes", workspace=one.workspace, seqs=[1, 11]))[
                "writes"
            ][0]["seq"] == 11
            await sound(server, one)


@pytest.mark.parametrize("seed", range(3))
async def test_every_place_from_the_horizon_on_is_shown_as_it_was(
    start_server: StartServer, clocks: Clocks, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(retention, "FOLDED_EVENTS_MAX", 3)
    random = Random(seed)
    async with kept_for(start_server, clocks) as server:
        one = await sign_up(server.url)
        async with one.live() as first:
            ids = [one.create(name, entity=f"{random.getrandbits(128):032x}") for name in "abcd"]
            await one.flush(first)
            states: list[dict[str, Entity]] = []
            for seq in range(5, 35):
                states.append(dict(one.rows[one.workspace]))
                entity = random.choice(ids)
                row = one.rows[one.workspace].get(entity)
                if row is None:
                    one.create("anew", entity=entity)
                elif row.deleted and random.random() < 0.5:
                    await server.journal.purge(Piece(one.workspace, [entity], seq))
                    await one.take_until(first, one.workspace, seq)
                elif row.deleted:
                    one.add(Action.RESTORE, entity)
                elif random.random() < 0.3:
                    one.add(Action.DELETE, entity)
                else:
                    one.add(Action.UPDATE, entity, fields={"name": str(seq)}, prior="?")
                await one.flush(first)
            states.append(one.rows[one.workspace])
            horizon = 0
            for upto in (9, 22, 34):
                while horizon < upto:
                    kept = Kept(one.workspace, horizon, upto, 0)
                    horizon = await server.storage.transact(
                        partial(retention._fold_some, kept=kept)
                    )
                for seq in range(horizon, 35):
                    for entity in ids:
                        expected = states[seq - 4].get(entity)
                        assert await entity_at(one, first, entity, seq) == expected


async def entity_at(
    one: Device, connection: ClientConnection, entity: str, seq: int
) -> Entity | None:
    try:
        found = await one.ask(
            connection, "entity_at", workspace=one.workspace, entity=entity, seq=seq
        )
    except RefusedError as error:
        if error.code == "entity.not_found":  # nothing is left of it
            return None
        raise
    return None if found["entity"] is None else decode_entity(found["entity"])


async def test_a_replay_that_the_horizon_overtakes_begins_anew(
    start_server: StartServer, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kept_for(start_server, clocks) as server:
        one = await sign_up(server.url)
        async with one.live() as first:
            entity = one.create("0")
            await one.flush(first)
            for number in range(1, 4):
                await edit(
                    one, first, Action.UPDATE, entity, fields={"name": str(number)}, prior="?"
                )
            clocks.pass_days(1)
            await edit(one, first, Action.UPDATE, entity, fields={"name": "late"}, prior="?")
            read, reads = server.storage.read, iter((False, True, False, False))

            async def fold_first(work: Any) -> Any:
                if next(reads):
                    kept = Kept(one.workspace, 0, 2, 0)
                    await server.storage.transact(partial(retention._fold_some, kept=kept))
                return await read(work)

            monkeypatch.setattr(server.storage, "read", fold_first)
            found = await one.ask(
                first, "entity_at", workspace=one.workspace, entity=entity, at=clocks.wall - 1
            )
            assert name(decode_entity(found["entity"])) == "3"
            assert next(reads, None) is None


async def test_what_was_purged_has_no_base_left(start_server: StartServer, clocks: Clocks) -> None:
    async with kept_for(start_server, clocks, events=40, trash=10) as server:
        one = await sign_up(server.url)
        async with one.live() as first:
            entity = one.create("secret")
            await one.flush(first)
            await edit(one, first, Action.DELETE, entity)
            await age(server, clocks, 12)
            assert await name_at(one, first, entity, 1) == "secret"
            await age(server, clocks, 42)
            for method, more in (("history", {}), ("entity_at", {"seq": 3})):
                with pytest.raises(RefusedError) as caught:
                    await one.ask(first, method, workspace=one.workspace, entity=entity, **more)
                assert caught.value.code == "entity.not_found"


async def test_a_device_from_before_the_horizon_gets_the_full_state(
    start_server: StartServer, clocks: Clocks
) -> None:
    async with kept_for(start_server, clocks) as server:
        one = await sign_up(server.url)
        two, three = await sign_in(server.url), await sign_in(server.url)
        async with one.live() as first, two.live() as second, three.live() as third:
            gone, stays = one.create("gone"), one.create("stays")
            await one.flush(first)
            for device, connection in ((two, second), (three, third)):
                await device.take_until(connection, device.workspace, 2)
        async with one.live() as first:
            await edit(one, first, Action.DELETE, gone)
            async with three.live() as third:
                pass
            await age(server, clocks, 100)
            await one.take_until(first, one.workspace, 4)
            two.create("from afar")
            for device, full in ((two, True), (three, False)):
                device.log.clear()
                async with device.live() as connection:
                    states = [each for each in device.log if isinstance(each, Entities)]
                    assert [message.full for message in states] == [True] * full
                    await device.flush(connection)
                    await one.take_until(first, one.workspace, 5)
            async with two.live(), three.live():
                await sound(server, one, two, three)
                assert stays in two.rows[two.workspace]


async def test_a_horizon_that_passes_a_catching_up_device_makes_it_start_anew(
    start_server: StartServer, clocks: Clocks, tmp_path: Path
) -> None:
    for events_max in (1000, 0):
        async with kept_for(
            start_server, clocks, replay_events_max=events_max, data=tmp_path / str(events_max)
        ) as server:
            one = await sign_up(server.url)
            two = await sign_in(server.url)
            async with one.live() as first, two.live() as second:
                gone = one.create("gone")
                await one.flush(first)
                await two.take_until(second, two.workspace, 1)
            async with one.live() as first:
                await edit(one, first, Action.DELETE, gone)
                for _ in range(30):
                    one.create(size=600_000)
                    await one.push(first, [one.last_op])
                await one.take_until_settled(first)
                await age(server, clocks, 89)
                async with two.connected() as second:
                    await two.take(second)
                    await age(server, clocks, 4)
                    await two.catch_up(second)
                    await one.take_until(first, one.workspace, 33)
                    await two.take_until(second, two.workspace, 33)
                    await sound(server, one, two)
                    assert any(
                        isinstance(message, Entities) and message.full for message in two.log
                    )


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
