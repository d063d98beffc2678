"""History and going back, on real devices with a real server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kafkaman_sync import RefusedError
from kafkaman_sync.model.values import Value
from tests.device.looking_back import (
    Clocks,
    code_of,
    settled,
    told,
)
from tests.device.world import SECONDS, World

# History


async def test_history_says_who_changed_what_field_by_field(world: World) -> None:
    _, laptop, desktop = await world.pair()
    api = await laptop.client.create("collection", fields={"name": "API"})
    box = await laptop.client.create("folder", api, {"name": "Box"})
    ping = await laptop.client.create("request", api, {"name": "Ping", "url": "a"})
    await settled(laptop, desktop)
    await desktop.client.update(ping, {"url": "b", "auth": None})
    await desktop.client.update(ping, removed=["url"])
    await desktop.client.move(ping, box)
    await settled(desktop, laptop)
    await laptop.client.delete(ping)
    await settled(laptop)
    history = await laptop.client.history("API/Box/Ping")
    assert (history.id, history.kind, history.name) == (ping, "request", "Ping")
    assert (history.horizon, history.next, history.waiting) == (0, None, False)
    assert [told(event) for event in history.events] == [
        ("delete", {}),
        ("move", {}),
        ("update", {"url": ("b", "-")}),
        ("update", {"url": ("a", "b"), "auth": ("-", None)}),
        ("create", {"name": ("-", "Ping"), "url": ("-", "a")}),
    ]
    move, created = history.events[1], history.events[-1]
    assert move.place is not None
    assert (move.place["before"]["name"], move.place["after"]["name"]) == ("API", "Box")
    assert created.place is not None
    assert created.place["before"] is None
    names = [(each.by["device_name"], each.by["this_device"]) for each in history.events]
    assert names == [("laptop", True), *[("desktop", False)] * 3, ("laptop", True)]
    assert all(each.by["username"] == "anna" for each in history.events)
    assert all(datetime.fromisoformat(each.by["at"]).tzinfo for each in history.events)
    older = await laptop.client.history(ping, before=history.events[2].seq, limit=1)
    assert [told(event) for event in older.events] == [told(history.events[3])]
    assert older.next == history.events[3].seq


async def test_the_history_of_one_field_tells_each_version(world: World) -> None:
    _, laptop, _ = await world.pair()
    api = await laptop.client.create("environment", fields={"name": "Local"})
    host = await laptop.client.create("environment_variable", api, {"key": "host", "value": "0"})
    for number in range(1, 4):
        await laptop.client.update(host, {"value": str(number)})
        await laptop.client.update(host, {"enabled": bool(number % 2)})
    await settled(laptop)
    history = await laptop.client.history("Local/host", field="value")
    assert [told(event) for event in history.events] == [
        ("update", {"value": ("2", "3")}),
        ("update", {"value": ("1", "2")}),
        ("update", {"value": ("0", "1")}),
        ("create", {"value": ("-", "0")}),
    ]
    nothing = await laptop.client.history(host, field="never")
    assert nothing.events == []


async def test_blame_says_who_last_wrote_each_field_and_each_part_of_one(world: World) -> None:
    _, laptop, desktop = await world.pair()
    items: list[Value] = [{"key": "A", "value": "1"}, {"key": "B", "value": "1"}]
    preset = await laptop.client.create(
        "header_preset", fields={"name": "Auth", "header": items, "script": "one\ntwo"}
    )
    await settled(laptop, desktop)
    items = [items[0], {"key": "B", "value": "2"}]
    await desktop.client.update(preset, {"header": items, "script": "one\n2"}, removed=["name"])
    await settled(desktop, laptop)
    await laptop.client.update(preset, {"name": "Auth 2"})
    await settled(laptop)
    fields = await laptop.client.blame(preset)
    assert [(part.label, part.seq) for part in fields.parts] == [
        ("header", 2),
        ("name", 3),
        ("script", 2),
    ]
    header = await laptop.client.blame("Auth 2", field="header")
    assert [(part.label, part.value, part.seq) for part in header.parts] == [
        ("A", items[0], 1),
        ("B", items[1], 2),
    ]
    by = [part.by and part.by["device_name"] for part in header.parts]
    assert by == ["laptop", "desktop"]
    script = await laptop.client.blame(preset, field="script")
    assert [(part.value, part.seq) for part in script.parts] == [("one", 1), ("2", 2)]
    assert (await laptop.client.blame(preset, field="never")).parts == []
    assert await code_of(laptop.client.blame("f" * 32)) == "entity.not_found"


async def test_blame_knows_no_more_than_the_history_that_is_kept(world: World) -> None:
    clocks = Clocks()
    server, laptop, _ = await world.pair(**clocks.settings())
    api = await laptop.client.create("collection", fields={"name": "A", "event": {"a": 1}})
    old = await laptop.client.create("collection", fields={"name": "Old", "event": {"c": 3}})
    await settled(laptop)
    await clocks.pass_days(server, 95)
    await laptop.client.update(api, {"event": {"a": 1, "b": 2}})
    await settled(laptop)
    blame = await laptop.client.blame(api, field="event")
    assert [(part.label, part.seq) for part in blame.parts] == [("a", None), ("b", 3)]
    assert blame.parts[0].by is None
    fields = await laptop.client.blame(api)
    assert [(part.label, part.seq, part.by is None) for part in fields.parts] == [
        ("event", 3, False),
        ("name", None, True),
    ]
    fields = await laptop.client.blame(old)
    assert [(part.label, part.seq) for part in fields.parts] == [("event", None), ("name", None)]
    parts = (await laptop.client.blame(old, field="event")).parts
    assert [(part.label, part.value, part.seq) for part in parts] == [("c", 3, None)]
    assert (await laptop.client.blame(old, field="never")).parts == []


async def test_offline_the_past_says_when_it_can_be_asked_again(world: World) -> None:
    server, laptop, _ = await world.pair()
    api = await laptop.client.create("collection", fields={"name": "API"})
    await settled(laptop)
    await server.stop()
    await laptop.client.wait("offline", SECONDS)
    hints: set[str] = set()
    # Between two waits it tries; then it says so.
    while not any("tries again at" in hint for hint in hints):
        with pytest.raises(RefusedError) as caught:
            await laptop.client.history(api)
        assert caught.value.code == "link.offline"
        assert "kept by the server" in caught.value.message
        at = caught.value.details["retry_at"]
        assert (at is not None) == ("tries again at" in caught.value.hint)
        assert at is not None or "right now" in caught.value.hint
        hints.add(caught.value.hint)
    assert await code_of(laptop.client.show_at(api, 1)) == "link.offline"
    assert await code_of(laptop.client.revert(api, 1)) == "link.offline"
    await laptop.client.sync(False)
    with pytest.raises(RefusedError) as caught:
        await laptop.client.history(api)
    assert "kafkaman sync on" in caught.value.hint


async def test_what_the_server_has_not_got_has_no_history_yet(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, laptop, _ = await world.pair()
    monkeypatch.setattr(server.insides.journal, "submit", lambda _: None)  # it takes its time
    api = await laptop.client.create("collection", fields={"name": "API"})
    assert await code_of(laptop.client.history(api)) == "history.not_yet"
    assert await code_of(laptop.client.show_at("API", 0)) == "history.not_yet"
    assert await code_of(laptop.client.blame(api)) == "history.not_yet"


async def test_what_no_server_knows_has_no_history(world: World) -> None:
    _, laptop, _ = await world.pair()
    scratch = await laptop.client.create("collection", fields={"name": "S"}, workspace="scratch")
    assert await code_of(laptop.client.history(scratch)) == "history.local"
    assert await code_of(laptop.client.show_at(scratch, 1)) == "history.local"
    assert await code_of(laptop.client.history("f" * 32)) == "entity.not_found"
    assert await code_of(laptop.client.history("no such thing")) == "entity.not_found"


# At a moment


async def test_an_entity_is_shown_as_it_was(world: World) -> None:
    _, laptop, _ = await world.pair()
    api = await laptop.client.create("collection", fields={"name": "One", "description": "d"})
    await settled(laptop)
    between = datetime.now(UTC)
    await laptop.client.update(api, {"name": "Two"}, removed=["description"])
    await laptop.client.delete(api)
    await settled(laptop)
    first = await laptop.client.show_at(api, 1)
    assert (first.fields, first.seq, first.version) == ({"name": "One", "description": "d"}, 1, 1)
    assert not first.deleted
    assert first.by is not None
    assert first.by["device_name"] == "laptop"
    then = await laptop.client.show_at(api, between)
    assert (then.fields, then.seq) == (first.fields, 1)
    last = await laptop.client.show_at("Two", 3)
    assert (last.fields, last.deleted) == ({"name": "Two"}, True)
    assert await code_of(laptop.client.show_at(api, 0)) == "entity.not_found"
    assert await code_of(laptop.client.show_at(api, 9)) == "history.future"


# Going back


async def test_going_back_makes_edits_that_can_be_undone_the_same_way(world: World) -> None:
    _, laptop, desktop = await world.pair()
    api = await laptop.client.create("collection", fields={"name": "API"})
    box = await laptop.client.create("folder", api, {"name": "Box"})
    one, two, three = [
        await laptop.client.create("request", api, {"name": name, "url": name}) for name in "123"
    ]
    await settled(laptop)
    await laptop.client.update(two, {"url": "changed", "method": "GET"}, removed=["name"])
    await laptop.client.move(two, box)
    await settled(laptop)
    done = await laptop.client.revert(two, 4)
    assert (done.fields, done.moved, done.restored) == (["method", "name", "url"], True, False)
    assert (done.seq, done.ops, done.note) == (4, 2, "")
    await settled(laptop, desktop)
    shown = await desktop.client.show(two)
    assert (shown.fields, shown.parent) == ({"name": "2", "url": "2"}, api)
    assert [each.id for each in await desktop.client.ls("API", recursive=False)] == [
        box, one, two, three
    ]  # fmt: skip
    again = await laptop.client.revert(two, 7)
    assert again.ops == 2
    await settled(laptop, desktop)
    undone = await desktop.client.show(two)
    assert (undone.fields, undone.parent) == ({"url": "changed", "method": "GET"}, box)
    nothing = await laptop.client.revert(two, 7)
    assert (nothing.ops, nothing.fields, nothing.moved) == (0, [], False)


async def test_going_back_restores_the_order_of_siblings(world: World) -> None:
    _, laptop, _ = await world.pair()
    ids = [await laptop.client.create("collection", fields={"name": name}) for name in "abc"]
    await settled(laptop)
    await laptop.client.move(ids[2], before=ids[0])
    await settled(laptop)
    assert await laptop.names() == ["c", "a", "b"]
    assert (await laptop.client.revert(ids[2], 3)).moved
    assert await laptop.names() == ["a", "b", "c"]
    await settled(laptop)
    assert (await laptop.client.revert(ids[2], 4)).moved
    assert await laptop.names() == ["c", "a", "b"]


async def test_going_back_brings_back_what_is_deleted(world: World) -> None:
    _, laptop, _ = await world.pair()
    api = await laptop.client.create("collection", fields={"name": "API"})
    ping = await laptop.client.create("request", api, {"name": "Ping", "url": "old"})
    await settled(laptop)
    await laptop.client.update(ping, {"url": "new"})
    await laptop.client.delete(ping)
    await settled(laptop)
    done = await laptop.client.revert("API/Ping", 2)
    assert (done.restored, done.fields) == (True, ["url"])
    assert (await laptop.client.show("API/Ping")).fields["url"] == "old"
    await settled(laptop)
    assert await code_of(laptop.client.revert(ping, 4)) == "history.deleted_then"
    assert await code_of(laptop.client.revert(ping, 1)) == "entity.not_found"


async def test_where_the_place_cannot_be_had_the_fields_go_back_alone(world: World) -> None:
    _, laptop, _ = await world.pair()
    api = await laptop.client.create("collection", fields={"name": "API"})
    old = await laptop.client.create("folder", api, {"name": "Old"})
    ping = await laptop.client.create("request", old, {"name": "Ping", "url": "old"})
    await settled(laptop)
    await laptop.client.move(ping, api)
    await laptop.client.update(ping, {"url": "new"})
    await laptop.client.delete(old)
    await settled(laptop)
    done = await laptop.client.revert(ping, 3)
    assert (done.fields, done.moved, done.parent) == (["url"], False, api)
    assert "is deleted" in done.note
    assert (await laptop.client.revert(ping, 3, to="API")).ops == 0
    # Deleted itself, it comes back to where it lay last; and nowhere, when that is deleted too.
    await laptop.client.delete(ping)
    await settled(laptop)
    done = await laptop.client.revert(ping, 3)
    assert (done.restored, done.parent) == (True, api)
    await laptop.client.delete(ping)
    await laptop.client.delete(api)
    await settled(laptop)
    assert await code_of(laptop.client.revert(ping, 3)) == "parent.deleted"
    other = await laptop.client.create("collection", fields={"name": "Other"})
    assert await code_of(laptop.client.revert(ping, 3, to="/")) == "parent.kind"
    assert (await laptop.client.revert(ping, 3, to="Other")).parent == other
    assert await code_of(laptop.client.revert(ping, 3, to="/")) == "parent.kind"
    assert (await laptop.client.revert(ping, 3, to="Other")).ops == 0
