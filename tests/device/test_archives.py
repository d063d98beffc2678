"""Sealed work: told, listed, shown, and brought back without overwriting or doubling anything."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kafkaman_sync import RefusedError
from kafkaman_sync.client.unsynced import Archive
from tests.device.world import SECONDS, Device, Server, World


async def sealed_laptop(world: World) -> tuple[Server, Device, Device]:
    """A device that signed out with work that no server had got, and one that goes on."""
    server, laptop, desktop = await world.pair()
    shop = await laptop.client.create("collection", fields={"name": "Shop", "note": "old"})
    order = await laptop.client.create("request", shop, {"name": "Order", "url": "/old"})
    await laptop.client.wait("in-sync", SECONDS)
    await desktop.client.reload()
    await server.stop()
    await laptop.client.wait("offline", SECONDS)
    await laptop.client.update(order, {"url": "/mine"})
    box = await laptop.client.create("folder", shop, {"name": "Box"})
    await laptop.client.create("request", box, {"name": "Refund"})
    await laptop.client.create("environment", fields={"name": "Live"})
    result = await laptop.client.sign_out()
    assert (result.sealed_changes, result.kinds) == (
        4,
        {"request": 2, "folder": 1, "environment": 1},
    )
    assert result.names == ["Shop/Order", "Shop/Box", "Shop/Box/Refund", "Live"]
    await server.start()
    return server, laptop, desktop


async def the_archive(device: Device) -> Archive:
    (archive,) = (await device.client.unsynced()).archives
    return archive


async def refusal(work: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        await work
    return caught.value.code


async def test_an_archive_is_counted_listed_and_shown(world: World) -> None:
    _, laptop, _ = await sealed_laptop(world)
    assert (await laptop.client.status()).unsynced == 1
    archive = await the_archive(laptop)
    assert (archive.reason, archive.username, archive.changes) == ("signed_out", "anna", 4)
    assert archive.restored is None
    content = await laptop.client.unsynced_content(archive.id[:8])
    shown = {each["name"]: each for each in content.entities}
    assert list(shown) == ["Shop/Order", "Shop/Box", "Shop/Box/Refund", "Live"]
    assert shown["Shop/Order"]["actions"] == ["update"]
    assert shown["Shop/Order"]["fields"] == [{"name": "url", "seen": "/old", "mine": "/mine"}]
    assert shown["Live"]["actions"] == ["create"]


async def test_signed_in_again_everything_goes_where_it_was_made(world: World) -> None:
    server, laptop, desktop = await sealed_laptop(world)
    await laptop.sign_in(server)
    archive = await the_archive(laptop)
    done = await laptop.client.restore_unsynced(archive.id)
    assert (done.created, done.updated) == (["Shop/Box", "Shop/Box/Refund", "Live"], ["Shop/Order"])
    assert [each["name"] for each in done.workspaces] == ["Personal"]
    await laptop.client.wait("in-sync", SECONDS)
    assert (await laptop.client.show("Shop/Order")).fields["url"] == "/mine"
    again = await laptop.client.restore_unsynced(archive.id)
    assert (again.changes, again.conflicts, len(again.already)) == (0, 0, 4)
    assert (await laptop.client.status()).unsynced == 0
    assert (await the_archive(laptop)).restored is not None
    await desktop.reconnected()
    await desktop.client.reload()
    assert sorted(await desktop.names()) == ["Box", "Live", "Order", "Refund", "Shop"]


async def test_a_newer_value_is_not_overwritten_but_disputed(world: World) -> None:
    server, laptop, desktop = await sealed_laptop(world)
    await desktop.reconnected()
    await desktop.client.update("Shop/Order", {"url": "/theirs"})
    await desktop.client.wait("in-sync", SECONDS)
    await laptop.sign_in(server)
    archive = await the_archive(laptop)
    done = await laptop.client.restore_unsynced(archive.id)
    assert (done.conflicts, done.updated) == (1, [])
    assert (await laptop.client.show("Shop/Order")).fields["url"] == "/theirs"
    (conflict,) = await laptop.client.conflicts()
    assert (conflict.field, conflict.base, conflict.mine, conflict.theirs) == (
        "url",
        "/old",
        "/mine",
        "/theirs",
    )
    assert (await laptop.client.restore_unsynced(archive.id)).conflicts == 0
    await laptop.client.resolve(conflict.id, mine=True)
    await laptop.client.wait("in-sync", SECONDS)
    assert (await laptop.client.show("Shop/Order")).fields["url"] == "/mine"
    assert all(proof.equal for proof in await laptop.client.prove())


async def test_into_the_scratch_pad_what_lost_its_folder_gets_another(world: World) -> None:
    _, laptop, _ = await sealed_laptop(world)
    archive = await the_archive(laptop)
    done = await laptop.client.restore_unsynced(archive.id, into="scratch")
    assert done.created == ["Shop/Order", "Shop/Box", "Shop/Box/Refund", "Live"]
    names = [entity.name for entity in await laptop.client.ls(workspace="scratch")]
    assert names[0].startswith("Restored ")
    assert names[1:] == ["Order", "Box", "Refund", "Live"]
    order = await laptop.client.show(f"{names[0]}/Order", workspace="scratch")
    assert order.fields == {"name": "Order", "url": "/mine"}
    again = await laptop.client.restore_unsynced(archive.id, into="scratch")
    assert (again.changes, len(again.already)) == (0, 4)
    assert len(await laptop.client.ls(workspace="scratch")) == 5


async def test_into_another_account_on_another_server(world: World) -> None:
    _, laptop, _ = await sealed_laptop(world)
    other = await world.server("other")
    await laptop.sign_up(other, "berta")
    archive = await the_archive(laptop)
    done = await laptop.client.restore_unsynced(archive.id)
    assert len(done.created) == 4
    await laptop.client.wait("in-sync", SECONDS)
    assert all(proof.equal for proof in await laptop.client.prove())
    assert (await laptop.client.restore_unsynced(archive.id)).changes == 0
    assert len(await laptop.names()) == 5


async def test_what_was_deleted_meanwhile_comes_back_as_a_copy(world: World) -> None:
    server, laptop, desktop = await sealed_laptop(world)
    await desktop.reconnected()
    await desktop.client.delete("Shop")
    await desktop.client.wait("in-sync", SECONDS)
    await laptop.sign_in(server)
    archive = await the_archive(laptop)
    await laptop.client.restore_unsynced(archive.id)
    await laptop.client.wait("in-sync", SECONDS)
    names = await laptop.names()
    assert names[0].startswith("Restored ")
    assert names[1:] == ["Order", "Box", "Refund", "Live"]
    assert (await laptop.client.restore_unsynced(archive.id)).changes == 0


async def test_deletions_are_repeated_only_when_asked_for(world: World) -> None:
    server, laptop, _ = await world.pair()
    await laptop.client.create("collection", fields={"name": "Old"})
    await laptop.client.wait("in-sync", SECONDS)
    await server.stop()
    await laptop.client.wait("offline", SECONDS)
    await laptop.client.delete("Old")
    await laptop.client.sign_out()
    await server.start()
    await laptop.sign_in(server)
    archive = await the_archive(laptop)
    kept = await laptop.client.restore_unsynced(archive.id)
    assert (kept.skipped, kept.changes) == ([{"name": "Old", "why": "delete"}], 0)
    assert await laptop.names() == ["Old"]
    gone = await laptop.client.restore_unsynced(archive.id, deletes=True)
    assert gone.deleted == ["Old"]
    assert await laptop.names() == []


async def test_work_of_a_revoked_device_is_named_in_its_status(world: World) -> None:
    server, laptop, desktop = await world.pair()
    await desktop.client.sync(False)
    await desktop.client.create("collection", fields={"name": "Unsent treasure"})
    target = next(each.id for each in await laptop.client.devices() if each.name == "desktop")
    await laptop.client.sign_out_device(target)
    await desktop.client.sync(True)
    status = await desktop.client.wait("error", SECONDS)
    assert "1 change: Unsent treasure" in status.message
    assert "kafkaman unsynced" in status.hint
    await desktop.sign_in(server)
    archive = await the_archive(desktop)
    assert archive.reason == "revoked"
    await desktop.client.restore_unsynced(archive.id)
    assert await desktop.names() == ["Unsent treasure"]


async def test_what_is_no_archive_is_listed_and_refused(world: World) -> None:
    laptop = await world.device("laptop")
    for name, text in (
        ("garbage", "{"),
        ("newer", json.dumps({"format": "kafkaman.sealed", "version": 99})),
    ):
        (laptop.home.sealed / f"unsynced-{name}.json").write_text(text)
    archives = (await laptop.client.unsynced()).archives
    assert all("cannot" in each.error or "can read" in each.error for each in archives)
    assert await refusal(laptop.client.restore_unsynced("garbage")) == "archive.invalid"
    assert await refusal(laptop.client.restore_unsynced("absent")) == "archive.not_found"
    (laptop.home.sealed / "unsynced-newest.json").write_text("{")
    assert await refusal(laptop.client.restore_unsynced("new")) == "archive.ambiguous"
    assert await laptop.client.remove_unsynced("garbage") == "garbage"
    assert len((await laptop.client.unsynced()).archives) == 2
