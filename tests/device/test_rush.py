"""A device in a rush of edits: the others have them first, and its own outbox is settled after."""

from __future__ import annotations

import asyncio

import pytest

from kafkaman_sync import State
from kafkaman_sync.engine import rush
from kafkaman_sync.errors import StoreError
from tests.device.test_conversation import account_of, talk_of, until_names
from tests.device.world import SECONDS, Device, World

NAMES = ("One", "Two", "Three")


@pytest.fixture(autouse=True)
def _few_edits_are_a_rush(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any two edits be a rush that would not end by itself while a test runs."""
    monkeypatch.setattr(rush, "RUSH_CHANGES_MIN", 1)
    monkeypatch.setattr(rush, "PAUSE_SECONDS", 10 * SECONDS)
    monkeypatch.setattr(rush, "HELD_SECONDS_MAX", 10 * SECONDS)


async def write(device: Device) -> None:
    for name in NAMES:
        await device.client.create("collection", fields={"name": name})


async def until_all_is_held(device: Device) -> None:
    """Wait until all that is in the outbox has been accepted and nothing of it settled."""
    session, store = talk_of(device).session, account_of(device).store

    async def held() -> bool:
        return (await store.counts()).pending == len(session._rush)

    async with asyncio.timeout(SECONDS):
        while not await held():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.001)


async def rushing(world: World) -> tuple[Device, Device]:
    """Two devices: the first holds back that its edits were accepted, the second has them."""
    _, laptop, desktop = await world.pair()
    await write(laptop)
    await until_names(desktop, *NAMES)
    await until_all_is_held(laptop)
    status = await laptop.client.status()
    assert status.state is State.SYNCING
    assert status.pending > 0
    assert set(await laptop.names()) == set(NAMES)
    return laptop, desktop


async def test_what_another_device_writes_ends_the_wait(world: World) -> None:
    laptop, desktop = await rushing(world)
    await desktop.client.create("collection", fields={"name": "Theirs"})
    await until_names(laptop, *NAMES, "Theirs")
    await laptop.client.wait("in-sync", SECONDS)
    (proof,) = await laptop.client.prove()
    assert proof.equal


async def test_an_answer_of_the_server_ends_the_wait(world: World) -> None:
    laptop, _ = await rushing(world)
    await laptop.client.devices()
    await laptop.client.wait("in-sync", SECONDS)


async def test_a_pause_ends_the_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, laptop, _ = await world.pair()
    monkeypatch.setattr(rush, "PAUSE_SECONDS", 0.3)
    await write(laptop)
    await laptop.client.wait("in-sync", SECONDS)
    assert (await laptop.client.status()).pending == 0


async def test_when_the_connection_breaks_what_was_accepted_is_settled(world: World) -> None:
    laptop, _ = await rushing(world)
    talk = talk_of(laptop)
    talk.link._socket.transport.abort()
    async with asyncio.timeout(SECONDS):
        while talk.session.pending:  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.001)
    await laptop.reconnected()


async def test_switching_sync_off_settles_what_was_accepted(world: World) -> None:
    laptop, _ = await rushing(world)
    await laptop.client.sync(False)
    assert (await laptop.client.status()).pending == 0
    left = await laptop.client.sign_out()
    assert left.sealed_changes == 0, "the server has all of it"


async def test_a_store_that_cannot_take_what_was_held_gets_it_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, _ = await rushing(world)
    store = account_of(laptop).store

    async def fail(_: object) -> None:
        raise StoreError("The disk is full.", code="store.full")

    monkeypatch.setattr(store, "receive", fail)
    await laptop.client.sync(False)
    assert (await laptop.client.status()).pending > 0
    monkeypatch.undo()
    await laptop.client.sync(True)
    await laptop.client.wait("in-sync", SECONDS)
    (proof,) = await laptop.client.prove()
    assert proof.equal


async def test_a_daemon_that_ends_settles_what_was_accepted(world: World) -> None:
    laptop, desktop = await rushing(world)
    await laptop.stop()
    await laptop.start()
    await laptop.client.wait("in-sync", SECONDS)
    assert sorted(await laptop.names()) == sorted(await desktop.names()) == sorted(NAMES)
    (proof,) = await laptop.client.prove()
    assert proof.equal
    assert await laptop.client.conflicts() == []


async def test_edits_go_on_upon_what_is_not_settled(world: World) -> None:
    laptop, desktop = await rushing(world)
    (one,) = [each for each in await laptop.client.ls() if each.name == "One"]
    for name in ("Uno", "Un"):
        await laptop.client.update(one.id, {"name": name})
    await until_names(desktop, "Un", *NAMES[1:])
    await until_all_is_held(laptop)
    await laptop.client.devices()
    await laptop.client.wait("in-sync", SECONDS)
    assert await laptop.client.conflicts() == []
    (proof,) = await laptop.client.prove()
    assert proof.equal
