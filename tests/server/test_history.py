"""The calls about the past: history, an entity at a moment, and who wrote what."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from kafkaman_server import past
from kafkaman_server.server import RunningServer
from kafkaman_sync.errors import RefusedError
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import ROOT, Entity, Kind, Place
from kafkaman_sync.model.values import decode_value, encode_value
from kafkaman_sync.protocol.records import decode_entity
from tests.server.conftest import StartServer
from tests.server.device import Device, sign_in, sign_up


async def asked(
    device: Device, connection: ClientConnection, method: str, **params: Any
) -> dict[str, Any]:
    return await device.ask(connection, method, workspace=device.workspace, **params)


async def refusal(device: Device, connection: ClientConnection, method: str, **params: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        await device.ask(connection, method, **{"workspace": device.workspace, **params})
    return caught.value.code


async def at(device: Device, connection: ClientConnection, entity: str, **moment: int) -> Any:
    """Return the entity at a moment, None if it was not there."""
    found = await asked(device, connection, "entity_at", entity=entity, **moment)
    data = found["entity"]
    return None if data is None else decode_entity(data)


def named(entity: Entity) -> Any:
    return decode_value(entity.values["name"])


async def test_history_tells_who_did_what_newest_first(server: RunningServer) -> None:
    one = await sign_up(server.url)
    two = await sign_in(server.url)
    async with one.live() as first, two.live() as second:
        entity = one.create("a")
        await one.flush(first)
        await two.take_until(second, two.workspace, 1)
        two.add(Action.UPDATE, entity, fields={"url": "u"})
        await two.flush(second)
        await one.take_until(first, one.workspace, 2)
        one.add(Action.MOVE, entity, place=Place(ROOT, "X"))
        one.add(Action.DELETE, entity)
        await one.flush(first)
        found = await asked(one, first, "history", entity=entity)
        assert (found["horizon"], found["more"], found["next"]) == (0, False, None)
        events = found["events"]
        assert [(each["seq"], each["action"]) for each in events] == [
            (4, "delete"),
            (3, "move"),
            (2, "update"),
            (1, "create"),
        ]
        assert [each["device_name"] for each in events] == ["ann-1", "ann-1", "more", "ann-1"]
        assert {each["username"] for each in events} == {"ann"}
        assert [each["device"] for each in events] == [one.id, one.id, two.id, one.id]
        assert events[0]["fields"] == {}
        assert (events[1]["parent"], events[1]["position"]) == (ROOT, "X")
        assert events[2]["fields"] == {"url": encode_value("u")}
        assert (events[3]["kind"], events[3]["op"]) == ("collection", 1)
        assert all(each["at"] > 1_600_000_000_000 for each in events)


async def test_history_comes_in_pages_of_bounded_number_and_size(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await sign_up(server.url)
    async with one.live() as connection:
        entity = one.create()
        await one.flush(connection)
        for number in range(6):
            one.add(Action.UPDATE, entity, fields={"name": f"{number}" * 1000}, prior="?")
            await one.flush(connection)
        first = await asked(one, connection, "history", entity=entity, limit=2)
        assert [each["seq"] for each in first["events"]] == [7, 6]
        assert first["more"]
        rest = await asked(one, connection, "history", entity=entity, before=first["next"])
        assert [each["seq"] for each in rest["events"]] == [5, 4, 3, 2, 1]
        assert not rest["more"]
        nothing = await asked(one, connection, "history", entity=entity, before=1)
        assert nothing["events"] == []
        monkeypatch.setattr(past, "HISTORY_BYTES_MAX", 2500)
        seqs: list[int] = []
        before = None
        while True:
            page = await asked(one, connection, "history", entity=entity, before=before)
            assert 1 <= len(page["events"]) <= 2
            seqs += [each["seq"] for each in page["events"]]
            before = page["next"]
            if not page["more"]:
                break
        assert seqs == [7, 6, 5, 4, 3, 2, 1]


async def test_the_history_of_a_field_is_what_wrote_it(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await sign_up(server.url)
    async with one.live() as connection:
        entity = one.create("url")  # a value that looks like the name of the field
        await one.flush(connection)
        for number in range(10):
            name = "url" if number % 3 == 0 else "name"
            one.add(Action.UPDATE, entity, fields={name: f"url {number}"}, prior="?")
            await one.flush(connection)
        found = await asked(one, connection, "history", entity=entity, field="url")
        assert [each["seq"] for each in found["events"]] == [11, 8, 5, 2]
        assert [each["fields"] for each in found["events"]] == [
            {"url": encode_value(f"url {number}")} for number in (9, 6, 3, 0)
        ]
        assert not found["more"]
        monkeypatch.setattr(past, "SCANNED_EVENTS_MAX", 4)
        seqs: list[int] = []
        before = None
        while True:
            page = await asked(
                one, connection, "history", entity=entity, field="url", before=before, limit=1
            )
            seqs += [each["seq"] for each in page["events"]]
            before = page["next"]
            if not page["more"]:
                break
        assert seqs == [11, 8, 5, 2]


async def test_an_entity_is_shown_as_it_was_at_each_seq(server: RunningServer) -> None:
    one = await sign_up(server.url)
    states: list[Entity | None] = [None]
    async with one.live() as connection:
        folder = one.create("parent")
        entity = one.create("0", parent=folder, kind=Kind.FOLDER)
        steps: list[tuple[Action, dict[str, Any]]] = [
            (Action.UPDATE, {"fields": {"name": "1"}, "prior": "0"}),
            (Action.MOVE, {"place": Place(folder, "X")}),
            (Action.DELETE, {}),
            (Action.RESTORE, {}),
            (Action.UPDATE, {"fields": {"name": "2"}, "prior": "1"}),
        ]
        await one.flush(connection)
        states += [None, one.rows[one.workspace][entity]]
        for action, parts in steps:
            one.add(action, entity, **parts)
            await one.flush(connection)
            states.append(one.rows[one.workspace][entity])
        for seq, state in enumerate(states):
            assert await at(one, connection, entity, seq=seq) == state
        assert await refusal(one, connection, "entity_at", entity=entity, seq=8) == "history.future"


async def test_a_time_stands_for_what_was_before_the_first_later_event(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    # The clock goes back, then on again.
    times = iter((1000, 2000, 500, 3000))
    server.journal.clock = lambda: next(times)
    async with one.live() as connection:
        entity = one.create("1000")
        await one.flush(connection)
        for name in ("2000", "500", "3000"):
            one.add(Action.UPDATE, entity, fields={"name": name}, prior="?")
            await one.flush(connection)
        assert await at(one, connection, entity, at=999) is None
        for time, name in ((1000, "1000"), (1999, "1000"), (2000, "500"), (2999, "500")):
            assert named(await at(one, connection, entity, at=time)) == name
        assert named(await at(one, connection, entity, at=3000)) == "3000"


async def test_a_long_past_is_replayed_in_pieces(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "HISTORY_BYTES_MAX", 1000)
    one = await sign_up(server.url)
    async with one.live() as connection:
        entity = one.create("0")
        await one.flush(connection)
        for number in range(1, 30):
            one.add(Action.UPDATE, entity, fields={"name": str(number)}, prior="?")
            await one.flush(connection)
        for seq in (1, 7, 30):
            assert named(await at(one, connection, entity, seq=seq)) == str(seq - 1)


async def test_who_wrote_a_version_is_told_without_what_was_written(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    two = await sign_in(server.url)
    async with one.live() as first, two.live() as second:
        one.create(size=600_000)
        await one.flush(first)
        await two.take_until(second, two.workspace, 1)
        two.create()
        await two.flush(second)
        await one.take_until(first, one.workspace, 2)
        found = await asked(one, first, "writes", seqs=[2, 1, 77])
        assert [(each["seq"], each["device_name"], each["op"]) for each in found["writes"]] == [
            (1, "ann-1", 1),
            (2, "more", 1),
        ]
        assert all(set(each) == {
            "seq", "account", "username", "device", "device_name", "op", "at"
        } for each in found["writes"])  # fmt: skip


async def test_a_database_of_the_first_release_has_its_history_at_once(
    start_server: StartServer, tmp_path: Path
) -> None:
    async with start_server() as server:
        one = await sign_up(server.url)
        async with one.live() as connection:
            entity = one.create("a")
            await one.flush(connection)
            one.add(Action.UPDATE, entity, fields={"name": "b"}, prior="a")
            await one.flush(connection)
    with closing(sqlite3.connect(tmp_path / "data" / "kafkaman.db")) as database:
        for table in ("bases", "purges", "age", "samples", "disputes"):
            database.execute(f"DROP TABLE {table}")
        for index in ("events_by_block", "entities_deleted"):
            database.execute(f"DROP INDEX {index}")
        for table, columns in (
            ("workspaces", ("horizon", "horizon_at")),
            ("events", ("basis", "digest")),
        ):
            for column in columns:
                database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        database.execute("PRAGMA user_version = 1")
        database.commit()
    async with start_server() as server:
        one.url = server.url
        async with one.live() as connection:
            found = await asked(one, connection, "history", entity=entity)
            assert [each["seq"] for each in found["events"]] == [2, 1]
            assert named(await at(one, connection, entity, seq=1)) == "a"


async def test_only_members_look_into_the_past(server: RunningServer) -> None:
    one = await sign_up(server.url)
    other = await sign_up(server.url, "bob")
    async with one.live() as connection:
        entity = one.create()
        await one.flush(connection)
    async with other.live() as connection:
        params: tuple[tuple[str, dict[str, Any]], ...] = (
            ("history", {"entity": entity}),
            ("entity_at", {"entity": entity, "seq": 1}),
            ("writes", {"seqs": [1]}),
        )
        for method, more in params:
            theirs = {"workspace": one.workspace, **more}
            assert await refusal(other, connection, method, **theirs) == "workspace.unknown"
            if method != "writes":
                assert await refusal(other, connection, method, **more) == "entity.not_found"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("history", {}),
        ("history", {"entity": "x"}),
        ("history", {"entity": "a" * 32, "workspace": 5}),
        ("history", {"entity": "a" * 32, "limit": 201}),
        ("history", {"entity": "a" * 32, "limit": True}),
        ("history", {"entity": "a" * 32, "before": -1}),
        ("history", {"entity": "a" * 32, "before": "1"}),
        ("history", {"entity": "a" * 32, "field": ""}),
        ("history", {"entity": "a" * 32, "field": "x" * 129}),
        ("history", {"entity": "a" * 32, "field": 1}),
        ("entity_at", {"entity": "a" * 32}),
        ("entity_at", {"entity": "a" * 32, "seq": 1, "at": 1}),
        ("entity_at", {"entity": "a" * 32, "seq": 1.5}),
        ("writes", {}),
        ("writes", {"seqs": 1}),
        ("writes", {"seqs": [-1]}),
        ("writes", {"seqs": ["1"]}),
        ("writes", {"seqs": [1] * 101}),
    ],
)
async def test_wrong_parameters_are_named(
    server: RunningServer, method: str, params: dict[str, Any]
) -> None:
    one = await sign_up(server.url)
    async with one.live() as connection:
        assert await refusal(one, connection, method, **params) == "call.invalid"
