"""What is old enough leaves the log, and the past is told from the horizon on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from kafkaman_server import retention
from kafkaman_server.purging import Piece
from kafkaman_server.storage.records import Kept
from kafkaman_sync.errors import RefusedError
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.protocol.messages import Entities
from kafkaman_sync.protocol.records import decode_entity
from tests.server.ageing import (
    Clocks,
    age,
    edit,
    kept_for,
    name,
    name_at,
    sound,
)
from tests.server.conftest import StartServer
from tests.server.device import Device, sign_in, sign_up


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


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
