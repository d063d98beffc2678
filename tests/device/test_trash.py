"""The trash and what leaves it, on real devices with a real server."""

from __future__ import annotations

import asyncio

import pytest

from kafkaman_sync import RefusedError, ViewChange
from tests.device.looking_back import (
    Clocks,
    code_of,
    settled,
    watch,
)
from tests.device.world import SECONDS, World

# Trash


async def test_the_trash_lists_what_was_deleted_and_by_whom(world: World) -> None:
    server, laptop, desktop = await world.pair()
    api = await laptop.client.create("collection", fields={"name": "A/PI"})
    box = await laptop.client.create("folder", api, {"name": "Box"})
    ping = await laptop.client.create("request", box, {"name": "Ping"})
    await laptop.client.create("request", box, {"name": "Pong"})
    other = await laptop.client.create("environment", fields={"name": "Local"})
    await settled(laptop, desktop)
    await laptop.client.delete(ping)
    await desktop.client.delete(other)
    await settled(laptop, desktop, laptop)
    await laptop.client.delete(box)
    await settled(laptop)
    trash = await laptop.client.trash()
    assert trash.note == ""
    assert [(each.id, each.path, each.below) for each in trash.entities] == [
        (box, ["A/PI", "Box"], 1),
        (other, ["Local"], 0),
    ]
    assert [each.kind for each in trash.entities] == ["folder", "environment"]
    by = [each.by for each in trash.entities]
    assert [each and each["device_name"] for each in by] == ["laptop", "desktop"]
    await server.stop()
    await laptop.client.wait("offline", SECONDS)
    await laptop.client.delete(api)
    trash = await laptop.client.trash()
    assert "only the server knows" in trash.note
    assert [(each.name, each.by, each.seq > 0) for each in trash.entities] == [
        ("A/PI", None, False),
        ("Local", None, True),
    ]


async def test_what_was_deleted_is_restored_by_id_prefix_or_path(world: World) -> None:
    _, laptop, desktop = await world.pair()
    api = await laptop.client.create("collection", fields={"name": "API"})
    ids = [await laptop.client.create("request", api, {"name": name}) for name in "abc"]
    await settled(laptop)
    for entity, text in zip(ids, (ids[0], ids[1][:12], "API/c"), strict=True):
        await laptop.client.delete(entity)
        restored = await laptop.client.restore(text)
        assert (restored.id, restored.parent) == (entity, api)
    await settled(laptop, desktop)
    assert await desktop.names() == ["API", "a", "b", "c"]
    assert await code_of(laptop.client.restore("API/c")) == "entity.not_deleted"
    assert await code_of(laptop.client.restore("nothing")) == "entity.not_found"
    assert await code_of(laptop.client.restore("abcd12")) == "entity.not_found"


async def test_two_of_one_name_in_the_trash_are_told_apart_by_id(world: World) -> None:
    laptop = await world.device("laptop")
    ids = []
    for _ in range(2):
        ids.append(await laptop.client.create("collection", fields={"name": "Twin"}))
        await laptop.client.delete(ids[-1])
    with pytest.raises(RefusedError) as caught:
        await laptop.client.restore("Twin")
    assert caught.value.code == "entity.ambiguous"
    assert {each["id"] for each in caught.value.details["candidates"]} == set(ids)
    # The Scratch Pad has a trash as well.
    assert (await laptop.client.restore(ids[1])).id == ids[1]
    assert await laptop.names() == ["Twin"]


async def test_what_lies_in_something_deleted_is_restored_with_it_or_elsewhere(
    world: World,
) -> None:
    _, laptop, _ = await world.pair()
    api = await laptop.client.create("collection", fields={"name": "API"})
    box = await laptop.client.create("folder", api, {"name": "Box"})
    ping = await laptop.client.create("request", box, {"name": "Ping"})
    await settled(laptop)
    await laptop.client.delete(box)
    with pytest.raises(RefusedError) as caught:
        await laptop.client.restore("API/Box/Ping")
    assert caught.value.code == "parent.deleted"
    assert f"kafkaman restore {box[:8]}" in caught.value.hint
    assert "--to" in caught.value.hint
    assert (await laptop.client.restore("API/Box/Ping", to="API")).parent == api
    await laptop.client.move(ping, api)
    assert await code_of(laptop.client.restore("Box", to="/")) == "entity.not_found"
    assert await code_of(laptop.client.restore("API/Box", to="/")) == "parent.kind"
    await laptop.client.restore("API/Box")
    assert await laptop.names() == ["API", "Box", "Ping"]


# Purges


async def test_a_purge_reaches_devices_that_are_there_and_those_that_were_away(
    world: World,
) -> None:
    clocks = Clocks()
    server, laptop, desktop = await world.pair(**clocks.settings())
    away = await world.device("away")
    await away.sign_in(server)
    seen: dict[int, ViewChange] = {}
    watching = asyncio.create_task(watch(desktop, seen))
    api = await laptop.client.create("collection", fields={"name": "API"})
    box = await laptop.client.create("folder", api, {"name": "Box"})
    ping = await laptop.client.create("request", box, {"name": "Ping", "url": "a"})
    await settled(laptop, desktop, away)
    await away.client.sync(False)
    await away.client.update(ping, {"url": "from away"})
    await laptop.client.delete(box)
    await settled(laptop)
    await clocks.pass_days(server, 32)
    await settled(laptop, desktop)
    for device in (laptop, desktop):
        assert (await device.client.trash()).entities == []
        assert all(proof.equal for proof in await device.client.prove())
    await away.client.sync(True)
    await away.client.wait("in-sync", SECONDS)
    assert all(proof.equal for proof in await away.client.prove())
    watching.cancel()
    purges = [each for each in seen.values() if each.action == "purge"]
    assert [(each.entity, each.device, each.local) for each in purges] == [
        (ping, "", False),
        (box, "", False),
    ]
    # The edit met the purge, and everything that was known is in its conflict.
    (conflict,) = await away.client.conflicts()
    assert (conflict.code, conflict.entity, conflict.path) == (
        "deleted",
        ping,
        ["API", "Box", "Ping"],
    )
    await away.client.resolve(conflict.id, mine=True, to="API")
    await settled(away, laptop)
    shown = await laptop.client.show("API/Ping")
    assert (shown.id, shown.fields) == (ping, {"name": "Ping", "url": "from away"})
    for device in (laptop, desktop, away):
        assert all(proof.equal for proof in await device.client.prove())


async def test_what_was_purged_can_be_made_anew_while_its_events_are_kept(world: World) -> None:
    clocks = Clocks()
    server, laptop, desktop = await world.pair(**clocks.settings())
    api = await laptop.client.create("collection", fields={"name": "API"})
    ping = await laptop.client.create("request", api, {"name": "Ping"})
    await settled(laptop)
    await laptop.client.delete(api)
    await settled(laptop)
    await clocks.pass_days(server, 32)
    await settled(laptop)
    assert await code_of(laptop.client.show(api)) == "entity.not_found"
    history = await laptop.client.history(ping)
    assert [event.action for event in history.events] == ["purge", "create"]
    assert history.events[0].by["device_name"] == ""
    assert await code_of(laptop.client.revert(ping, 2)) == "parent.gone"
    assert await code_of(laptop.client.revert(ping, 2, to="/")) == "parent.kind"
    assert await code_of(laptop.client.blame(ping)) == "entity.not_found"
    done = await laptop.client.revert(api, 1)
    assert (done.restored, done.name) == (True, "API")
    assert (await laptop.client.revert(ping, 2)).parent == api
    await settled(laptop, desktop)
    assert await desktop.names() == ["API", "Ping"]
    await clocks.pass_days(server, 100)
    assert await code_of(laptop.client.show_at(ping, 2)) == "history.purged"
