"""Two real devices and a real server: what one has, the other gets."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import pairwise

import pytest

from kafkaman_sync import Client, RefusedError, State, ViewChange
from kafkaman_sync.formats import Draft
from tests.device.world import SECONDS, Device, World


async def next_update(client: Client, entity: str) -> ViewChange:
    async with aclosing(client.changes()) as changes:
        async for change in changes:
            if change.entity == entity and change.action == "update":
                return change
    raise AssertionError("the stream ended")


async def settled(*devices: Device) -> None:
    for device in devices:
        await device.client.wait("in-sync", SECONDS)


async def test_an_edit_arrives_live_and_tells_whose_it_was(world: World) -> None:
    _, laptop, desktop = await world.pair()
    made = await laptop.client.create("collection", fields={"name": "API"})
    await settled(laptop, desktop)
    seen = asyncio.create_task(next_update(desktop.client, made))
    own = (await laptop.client.status()).device
    assert own is not None
    # The subscription may come before the creation has arrived, for a device is in sync until it
    # hears of something new, or after the first update; every further one is another chance.
    for number in range(1000):
        await laptop.client.update(made, {"name": f"API {number}"})
        done, _ = await asyncio.wait({seen}, timeout=0.05)
        if done:
            break
    change = await seen
    assert (change.action, change.kind, change.fields) == ("update", "collection", ["name"])
    assert (change.device, change.local) == (own["id"], False)
    assert change.seq > 0


async def test_edits_made_apart_meet_when_both_are_back(world: World) -> None:
    server, laptop, desktop = await world.pair()
    shared = await laptop.client.create("collection", fields={"name": "API"})
    await settled(laptop, desktop)
    await desktop.client.wait("in-sync", SECONDS)
    await server.stop()
    for device in (laptop, desktop):
        await device.client.wait("offline", SECONDS)
    await laptop.client.update(shared, {"name": "Renamed"})
    await desktop.client.update(shared, {"description": "Described"})
    await desktop.client.create("request", shared, {"name": "Offline"})
    status = await desktop.client.status()
    assert status.pending == 2
    assert status.cause in ("server.stopping", "network.unreachable")
    assert status.retry_at is not None or status.state is State.CONNECTING
    await server.start()
    for device in (laptop, desktop):
        await device.reconnected()
    # It may have been in sync before the server heard of what the other one had to push.
    await laptop.client.reload()
    for device in (laptop, desktop):
        shown = await device.client.show(shared)
        assert shown.fields == {"name": "Renamed", "description": "Described"}
        assert all(proof.equal for proof in await device.client.prove())
    assert await laptop.names() == await desktop.names() == ["Renamed", "Offline"]


async def test_a_commit_of_several_messages_ends_in_sync_on_the_other_device(world: World) -> None:
    _, laptop, desktop = await world.pair()
    children = tuple(Draft("request", {"name": str(n), "body": "x" * 9000}) for n in range(400))
    await laptop.client.import_drafts([Draft("collection", {"name": "Large"}, children)])
    await settled(laptop)
    async with asyncio.timeout(SECONDS):
        while len(await desktop.names()) < 401:  # noqa: ASYNC110  rows have no event of their own
            await asyncio.sleep(0.01)
    await settled(desktop)


async def test_a_restarted_server_is_found_again_without_help(world: World) -> None:
    server, laptop, desktop = await world.pair()
    await server.stop()
    await server.start()
    await laptop.client.create("collection", fields={"name": "After"})
    await settled(laptop, desktop)
    await desktop.client.reload()
    assert await desktop.names() == ["After"]


async def test_a_restarted_daemon_goes_on_where_it_was(world: World) -> None:
    server, laptop, desktop = await world.pair()
    await server.stop()
    await laptop.client.create("collection", fields={"name": "Kept"})
    await laptop.stop()
    await laptop.start()
    assert (await laptop.client.status()).pending == 1
    await server.start()
    for device in (laptop, desktop):
        await device.reconnected()
    await desktop.client.reload()
    assert await desktop.names() == ["Kept"]


async def test_signing_in_restores_everything(world: World) -> None:
    server, laptop, _ = await world.pair()
    root = await laptop.client.create("collection", fields={"name": "API"})
    for number in range(30):
        await laptop.client.create("request", root, {"name": f"r{number}"})
    await settled(laptop)
    fresh = await world.device("fresh")
    await fresh.sign_in(server)
    assert await fresh.names() == await laptop.names()
    assert [proof.equal for proof in await fresh.client.prove()] == [True]


async def test_a_conflict_is_listed_and_can_be_resolved(world: World) -> None:
    _, laptop, desktop = await world.pair()
    shared = await laptop.client.create("collection", fields={"name": "before"})
    await settled(laptop)
    await desktop.client.reload()
    await desktop.client.sync(False)
    await desktop.client.update(shared, {"name": "desktop"})
    await laptop.client.update(shared, {"name": "laptop"})
    await settled(laptop)
    await desktop.client.sync(True)
    await settled(desktop)
    (conflict,) = await desktop.client.conflicts()
    assert (conflict.code, conflict.field) == ("field", "name")
    assert (conflict.base, conflict.mine, conflict.theirs) == ("before", "desktop", "laptop")
    assert (await desktop.client.status()).conflicts == 1
    await desktop.client.resolve(conflict.id, mine=True)
    await settled(desktop)
    assert (await desktop.client.status()).conflicts == 0
    await laptop.client.reload()
    assert await laptop.names() == ["desktop"]


async def test_transitions_come_in_order_and_the_current_state_first(world: World) -> None:
    server = await world.server()
    laptop = await world.device("laptop")
    seen = []
    started = asyncio.Event()

    async def watch() -> None:
        async with aclosing(laptop.client.transitions()) as transitions:
            async for transition in transitions:
                seen.append(transition)
                started.set()
                if len(seen) > 1 and transition.cause.code == "signed_out":
                    return

    watching = asyncio.create_task(watch())
    await started.wait()
    await laptop.sign_up(server)
    await laptop.client.create("collection", fields={"name": "API"})
    await settled(laptop)
    await laptop.client.sync(False)
    await laptop.client.sync(True)
    await settled(laptop)
    await laptop.client.sign_out()
    await watching
    states = [transition.after.value for transition in seen]
    assert states == [
        "OFFLINE",
        *("CONNECTING", "SYNCING", "IN_SYNC"),
        *("SYNCING", "IN_SYNC"),
        "OFFLINE",
        *("CONNECTING", "SYNCING", "IN_SYNC"),
        "OFFLINE",
    ]
    assert all(one.after is two.before for one, two in pairwise(seen))
    assert [t.cause.code for t in seen if t.after == "OFFLINE"] == [
        "signed_out",
        "sync.off",
        "signed_out",
    ]


async def test_a_late_watcher_first_gets_the_current_state(world: World) -> None:
    _, laptop, _ = await world.pair()
    async with aclosing(laptop.client.transitions()) as transitions:
        first = await anext(transitions)
    assert first.after is State.IN_SYNC


async def test_waiting_ends_with_the_state_or_with_its_timeout(world: World) -> None:
    laptop = await world.device("laptop")
    assert (await laptop.client.wait("offline", 1)).state is State.OFFLINE
    with pytest.raises(Exception) as caught:
        await laptop.client.wait("in-sync", 0.05)
    assert getattr(caught.value, "code", "") == "wait.timeout"


async def test_sync_switched_off_stays_off_over_a_restart(world: World) -> None:
    _, laptop, desktop = await world.pair()
    await laptop.client.sync(False)
    await laptop.stop()
    await laptop.start()
    status = await laptop.client.status()
    assert (status.state, status.cause, status.signed_in) == (State.OFFLINE, "sync.off", True)
    await laptop.client.create("collection", fields={"name": "Quiet"})
    await desktop.client.reload()
    assert await desktop.names() == []
    await laptop.client.sync(True)
    await settled(laptop)
    await desktop.client.reload()
    assert await desktop.names() == ["Quiet"]


async def test_a_reload_without_a_server_says_why(world: World) -> None:
    server, laptop, _ = await world.pair()
    await server.stop()
    with pytest.raises(RefusedError) as caught:
        await laptop.client.reload()
    assert caught.value.code == "link.offline"
    assert caught.value.message


async def test_a_full_reload_keeps_the_outbox(world: World) -> None:
    server, laptop, _ = await world.pair()
    await laptop.client.create("collection", fields={"name": "Synced"})
    await settled(laptop)
    await server.stop()
    await laptop.client.create("collection", fields={"name": "Pending"})
    await server.start()
    (reloaded,) = await laptop.client.reload(full=True)
    assert reloaded.equal
    await settled(laptop)
    assert await laptop.names() == ["Synced", "Pending"]
    (proof,) = await laptop.client.prove()
    assert (proof.equal, proof.seq) == (True, 2)


async def test_many_edits_at_once_arrive_in_order(world: World) -> None:
    _, laptop, desktop = await world.pair()
    root = await laptop.client.create("collection", fields={"name": "API"})
    edits = [
        laptop.client.create("request", root, {"name": f"r{number:03}"}) for number in range(200)
    ]
    made = await asyncio.gather(*edits)
    await settled(laptop)
    await desktop.client.reload()
    assert len(set(made)) == 200
    assert sorted(await desktop.names()) == sorted(await laptop.names())
    assert all(proof.equal for proof in await desktop.client.prove())
