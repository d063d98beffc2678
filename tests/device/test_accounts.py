"""Signing in and out, being signed out, and what is left on the disk."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from kafkaman_sync import KafkamanError, RefusedError, State
from kafkaman_sync.device.account import Account, finish_leaving, mark_leaving
from kafkaman_sync.device.life import Life
from kafkaman_sync.store import Store
from tests.device.world import PASSWORD, SECONDS, Device, Server, World

SECRET = "quite-unmistakable-value"


async def refused(device: Device, server: Server, **more: str) -> KafkamanError:
    with pytest.raises(RefusedError) as caught:
        await device.sign_in(server, **more)
    return caught.value


async def test_signing_out_leaves_nothing_of_the_account(world: World) -> None:
    server = await world.server()
    laptop = await world.device("laptop")
    await laptop.sign_up(server)
    await laptop.client.create("collection", fields={"name": SECRET})
    await laptop.client.wait("in-sync", SECONDS)
    account = (await laptop.client.status()).account
    assert account is not None
    assert SECRET.encode() in laptop.content()
    result = await laptop.client.sign_out()
    assert (result.sealed, result.discarded, result.told_server) == (None, 0, True)
    assert list(laptop.home.accounts.iterdir()) == []
    assert SECRET.encode() not in laptop.content()
    assert account["id"].encode() not in laptop.content()
    status = await laptop.client.status()
    assert (status.state, status.cause, status.signed_in) == (State.OFFLINE, "signed_out", False)
    await laptop.sign_in(server)
    assert await laptop.names() == [SECRET]


async def test_signing_out_flushes_the_outbox_first(world: World) -> None:
    server = await world.server()
    laptop = await world.device("laptop")
    await laptop.sign_up(server)
    for number in range(50):
        await laptop.client.create("collection", fields={"name": f"C{number}"})
    result = await laptop.client.sign_out()
    assert result.sealed is None
    await laptop.sign_in(server)
    assert len(await laptop.names()) == 50


async def test_unsynced_work_is_sealed_at_an_offline_sign_out(world: World) -> None:
    server, laptop, _ = await world.pair()
    await server.stop()
    await laptop.client.create("collection", fields={"name": SECRET})
    result = await laptop.client.sign_out()
    assert (result.sealed_changes, result.told_server) == (1, False)
    assert result.sealed is not None
    sealed = Path(result.sealed)
    assert sealed.parent == laptop.home.sealed
    assert SECRET in json.dumps(json.loads(sealed.read_text()))
    assert list(laptop.home.accounts.iterdir()) == []


async def test_unsynced_work_is_discarded_only_when_asked_for(world: World) -> None:
    server, laptop, _ = await world.pair()
    await server.stop()
    await laptop.client.create("collection", fields={"name": SECRET})
    result = await laptop.client.sign_out(discard_unsynced=True)
    assert (result.sealed, result.discarded) == (None, 1)
    assert SECRET.encode() not in laptop.content()


async def test_the_fourth_device_gets_the_list_and_may_replace_one(world: World) -> None:
    server, laptop, _ = await world.pair()
    third, fourth = await world.device("third"), await world.device("fourth")
    await third.sign_in(server)
    error = await refused(fourth, server)
    assert error.code == "auth.device_limit"
    devices = {each["name"]: each for each in error.details["devices"]}
    assert devices.keys() == {"laptop", "desktop", "third"}
    assert not (await fourth.client.status()).signed_in
    await fourth.sign_in(server, replace=devices["third"]["id"])
    await third.client.wait("error", SECONDS)
    assert (await third.client.status()).cause == "device.revoked"
    names = {device.name for device in await laptop.client.devices()}
    assert names == {"laptop", "desktop", "fourth"}


async def test_a_device_signed_out_from_elsewhere_seals_and_deletes(world: World) -> None:
    server, laptop, desktop = await world.pair()
    await desktop.client.create("collection", fields={"name": SECRET})
    await desktop.client.wait("in-sync", SECONDS)
    await desktop.client.sync(False)
    await desktop.client.create("collection", fields={"name": "Unsent"})
    target = next(each.id for each in await laptop.client.devices() if each.name == "desktop")
    await laptop.client.sign_out_device(target)
    await desktop.client.sync(True)
    await desktop.client.wait("error", SECONDS)
    status = await desktop.client.status()
    assert (status.cause, status.signed_in) == ("device.revoked", False)
    assert "kafkaman sign-in" in status.hint
    assert list(desktop.home.accounts.iterdir()) == []
    (archive,) = desktop.home.sealed.iterdir()
    assert "Unsent" in archive.read_text()
    assert str(archive) in status.message
    await desktop.sign_in(server)
    assert await desktop.names() == [SECRET]


@pytest.mark.parametrize("asked", [True, False])
async def test_a_revoked_device_keeps_everything_until_it_can_seal(
    world: World, asked: bool
) -> None:
    _, laptop, desktop = await world.pair()
    await desktop.client.sync(False)
    await desktop.client.create("collection", fields={"name": "Unsent"})
    target = next(each.id for each in await laptop.client.devices() if each.name == "desktop")
    await laptop.client.sign_out_device(target)
    desktop.home.sealed.rmdir()
    desktop.home.sealed.write_text("not a folder")
    await desktop.client.sync(True)
    status = await desktop.client.wait("error", SECONDS)
    assert (status.cause, status.signed_in) == ("seal.failed", True)
    assert await desktop.names() == ["Unsent"]
    desktop.home.sealed.unlink()
    desktop.home.sealed.mkdir()
    if asked:
        await desktop.client.retry()
    async with asyncio.timeout(SECONDS):
        while (await desktop.client.status()).cause != "device.revoked":  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # from ERROR to ERROR: there is no state to wait for
    assert len(list(desktop.home.sealed.iterdir())) == 1
    assert list(desktop.home.accounts.iterdir()) == []


async def test_a_wrong_password_changes_nothing(world: World) -> None:
    server, _, _ = await world.pair()
    other = await world.device("other")
    with pytest.raises(RefusedError) as caught:
        await other.client.sign_in(server=server.url, user="anna", password="wrong" + PASSWORD)
    assert caught.value.code == "auth.failed"
    status = await other.client.status()
    assert (status.state, status.cause) == (State.OFFLINE, "signed_out")
    assert list(other.home.accounts.iterdir()) == []


async def test_one_account_at_a_time(world: World) -> None:
    server, laptop, _ = await world.pair()
    error = await refused(laptop, server)
    assert error.code == "account.signed_in"
    assert "sign-out" in error.hint


async def test_a_server_that_forgot_the_device_deletes_nothing(world: World) -> None:
    server, laptop, _ = await world.pair()
    await laptop.client.create("collection", fields={"name": "Mine"})
    await laptop.client.wait("in-sync", SECONDS)
    await server.stop()
    other = Server(world.folder / "other")
    other.port = server.port
    other._config = type(other._config)(port=server.port, data=world.folder / "other")
    await other.start()
    try:
        await laptop.client.retry()
        status = await laptop.client.wait("error", SECONDS)
        assert status.cause == "device.unknown"
        assert status.signed_in
        assert await laptop.names() == ["Mine"]
    finally:
        await other.stop()


async def test_a_device_is_not_deleted_that_has_what_the_server_forgot(world: World) -> None:
    server, laptop, desktop = await world.pair()
    backup = await back_up(server)
    await laptop.stop()
    await desktop.client.create("collection", fields={"name": "Shop"})
    await desktop.client.wait("in-sync", SECONDS)
    device = (await desktop.client.status()).device
    await desktop.stop()
    await set_back(server, backup)
    await laptop.start()
    await laptop.client.wait("in-sync", SECONDS)
    assert device is not None
    await laptop.client.sign_out_device(device["id"])
    await desktop.start()
    status = await desktop.client.wait("error", SECONDS)
    assert status.cause == "device.unknown"
    assert await desktop.names() == ["Shop"]
    # What the server said counts until it says otherwise.
    await server.stop()
    await desktop.client.retry()
    await desktop.client.wait("offline", SECONDS)
    account = desktop.daemon._signing.account
    assert account is not None
    assert (await account.seal(desktop.home, "signed_out")).changes == 1
    await server.start()
    await desktop.client.retry()
    await desktop.client.wait("error", SECONDS)
    await desktop.sign_in(server)
    await laptop.reconnected()
    assert await laptop.names() == await desktop.names() == ["Shop"]
    assert (await desktop.client.sign_out()).sealed is None


async def back_up(server: Server) -> Path:
    backup = server.data.with_name("backup")
    await server.stop()
    shutil.copytree(server.data, backup)
    await server.start()
    return backup


async def set_back(server: Server, backup: Path) -> None:
    await server.stop()
    shutil.rmtree(server.data)
    backup.rename(server.data)
    await server.start()


async def test_signing_out_seals_all_that_the_server_has_forgotten(world: World) -> None:
    server = await world.server()
    laptop = await world.device("laptop")
    await laptop.sign_up(server)
    backup = await back_up(server)
    desktop = await world.device("desktop")
    await desktop.sign_in(server)
    shop = await desktop.client.create("collection", fields={"name": "Shop"})
    order = await desktop.client.create("request", shop, {"name": "Order", "url": "/orders"})
    await desktop.client.wait("in-sync", SECONDS)
    await laptop.stop()
    await set_back(server, backup)
    signed_out = await desktop.client.sign_out()
    assert signed_out.sealed_changes == 2
    await desktop.sign_in(server)
    assert await desktop.names() == []
    (archive,) = (await desktop.client.unsynced()).archives
    await desktop.client.restore_unsynced(archive.id)
    await desktop.client.wait("in-sync", SECONDS)
    assert await desktop.names() == ["Shop", "Order"]
    assert (await desktop.client.show(order)).fields["url"] == "/orders"
    await desktop.client.update(order, {"url": "/changed"})
    again = await desktop.client.restore_unsynced(archive.id)
    assert not again.created
    assert (await desktop.client.show(order)).fields["url"] == "/changed"
    (conflict,) = await desktop.client.conflicts()
    assert (conflict.mine, conflict.theirs) == ("/orders", "/changed")


async def test_without_an_account_work_goes_to_the_scratch_pad(world: World) -> None:
    server = await world.server()
    laptop = await world.device("laptop")
    await laptop.client.create("collection", fields={"name": "Sketch"})
    await laptop.sign_up(server)
    assert await laptop.names() == []
    listed = await laptop.client.ls(workspace="scratch")
    assert [entity.name for entity in listed] == ["Sketch"]
    workspaces = await laptop.client.workspaces()
    assert [each.name for each in workspaces] == ["Personal", "Scratch Pad"]
    await laptop.client.sign_out()
    assert await laptop.names() == ["Sketch"]


async def test_leaving_is_finished_at_the_next_start(world: World) -> None:
    server, laptop, _ = await world.pair()
    await server.stop()
    await laptop.client.create("collection", fields={"name": "Unsent"})
    status = await laptop.client.status()
    assert status.account is not None
    await laptop.stop()
    mark_leaving(laptop.home, status.account["id"], "signed_out", discard=False)
    await laptop.start()
    assert not (await laptop.client.status()).signed_in
    assert list(laptop.home.accounts.iterdir()) == []
    (archive,) = laptop.home.sealed.iterdir()
    assert "Unsent" in archive.read_text()


async def test_leaving_keeps_everything_while_it_cannot_seal(world: World) -> None:
    server, laptop, _ = await world.pair()
    await server.stop()
    await laptop.client.create("collection", fields={"name": "Unsent"})
    status = await laptop.client.status()
    assert status.account is not None
    await laptop.stop()
    account = laptop.home.account(status.account["id"])
    mark_leaving(laptop.home, status.account["id"], "signed_out", discard=False)
    laptop.home.sealed.rmdir()
    laptop.home.sealed.write_text("not a folder")
    await finish_leaving(laptop.home)
    assert account.exists()
    laptop.home.sealed.unlink()
    laptop.home.sealed.mkdir()
    await finish_leaving(laptop.home)
    assert not account.exists()
    assert len(list(laptop.home.sealed.iterdir())) == 1


async def test_a_sign_in_that_never_finished_is_no_account(world: World) -> None:
    laptop = await world.device("laptop")
    await laptop.stop()
    half = laptop.home.account("a" * 32)
    async with Store.open(half):
        pass
    opening = Account.open(laptop.home, "a" * 32, Life(), lambda _: None, lambda _: None)
    async with opening as account:
        assert account is None
    await laptop.start()
    assert not (await laptop.client.status()).signed_in
    assert not half.exists()


async def test_a_copied_home_registers_as_a_device_of_its_own(world: World) -> None:
    import shutil

    _, laptop, desktop = await world.pair()
    await laptop.client.create("collection", fields={"name": "Before"})
    await laptop.client.wait("in-sync", SECONDS)
    await desktop.client.sign_out()
    await laptop.stop()
    shutil.copytree(laptop.home.root, world.folder / "clone")
    await laptop.start()
    await laptop.client.wait("in-sync", SECONDS)
    clone = await world.device("clone")
    await clone.client.create("collection", fields={"name": "Clone's"})
    await clone.client.wait("in-sync", SECONDS)
    await laptop.reconnected()
    await laptop.client.reload()
    await clone.reconnected()
    assert sorted(await laptop.names()) == sorted(await clone.names()) == ["Before", "Clone's"]
    ids = {(await each.client.status()).device["id"] for each in (laptop, clone)}  # type: ignore[index]  # both are signed in
    assert len(ids) == 2
    for each in (laptop, clone):
        assert all(proof.equal for proof in await each.client.prove())
