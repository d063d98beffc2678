"""When the device's copy is not the server's: noticed, told, rebuilt, reported."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import aclosing, closing

import pytest

from kafkaman_sync import Transition
from kafkaman_sync.device.divergence import Divergence
from kafkaman_sync.model.edits import Create
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.store import SCRATCH_PAD, Store
from tests.device.world import SECONDS, Device, World


async def tamper(device: Device, sql: str) -> None:
    """Change the account's database behind the stopped daemon's back."""
    status = await device.client.status()
    assert status.account is not None
    path = device.home.account(status.account["id"])
    await device.stop()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute(sql).rowcount > 0
        database.commit()


async def until_in_sync_after_error(device: Device, seen: list[Transition]) -> None:
    failed = False
    async with asyncio.timeout(SECONDS), aclosing(device.client.transitions()) as transitions:
        async for transition in transitions:
            seen.append(transition)
            failed = failed or transition.cause.code == "diverged"
            if failed and transition.after == "IN_SYNC":
                return


async def test_rows_that_changed_by_themselves_fail_the_proof_and_are_rebuilt(
    world: World,
) -> None:
    _, laptop, _ = await world.pair()
    made = await laptop.client.create("collection", fields={"name": "Right"})
    await laptop.client.wait("in-sync", SECONDS)
    await tamper(laptop, "UPDATE entities SET position = position || 'Z'")
    await laptop.start()
    await laptop.client.wait("in-sync", SECONDS)
    seen: list[Transition] = []
    watching = asyncio.create_task(until_in_sync_after_error(laptop, seen))
    (proof,) = await laptop.client.prove()
    assert not proof.equal
    await watching
    (error,) = (each for each in seen if each.cause.code == "diverged")
    assert error.after == "ERROR"
    (again,) = await laptop.client.prove()
    assert again.equal
    (report,) = laptop.home.root.glob("diverged-*.json")
    (differing,) = json.loads(report.read_text())["workspaces"].values()
    assert [row["id"] for row in differing["differing"]] == [made]
    assert "Right" not in report.read_text(), "a report holds no values"


async def test_a_wrong_digest_is_noticed_at_the_checkpoint_and_the_outbox_is_kept(
    world: World,
) -> None:
    server, laptop, desktop = await world.pair()
    await laptop.client.create("collection", fields={"name": "Synced"})
    await laptop.client.wait("in-sync", SECONDS)
    await server.stop()
    await laptop.client.create("collection", fields={"name": "Pending"})
    await tamper(laptop, "UPDATE workspaces SET digest = zeroblob(16)")
    await server.start()
    await laptop.start()
    await laptop.client.wait("in-sync", SECONDS)
    assert await laptop.names() == ["Synced", "Pending"]
    assert list(laptop.home.root.glob("diverged-*.json"))
    await desktop.reconnected()
    await desktop.client.reload()
    assert await desktop.names() == ["Synced", "Pending"]


async def test_a_rebuild_that_did_not_help_is_not_repeated(world: World) -> None:
    async with Store.open(world.folder / "some.db", local=True) as store:
        divergence = Divergence(store, world.folder)
        first = await divergence.error([("0" * 32, 7)])
        assert "rebuilt" in first.hint
        assert await divergence.rebuild()
        second = await divergence.error([("0" * 32, 7)])
        assert "kafkaman reload --full" in second.hint
        assert not await divergence.rebuild()
        divergence.forgive()
        await divergence.error([("0" * 32, 7)])
        assert await divergence.rebuild()


@pytest.mark.parametrize("count", [1, 3])
async def test_settling_without_a_rebuild_reports_nothing(world: World, count: int) -> None:
    async with Store.open(world.folder / "some.db", local=True) as store:
        divergence = Divergence(store, world.folder)
        for _ in range(count):
            await divergence.settle()
    assert not list(world.folder.glob("diverged-*"))


async def test_a_copy_that_cannot_even_be_read_is_rebuilt_without_a_report(world: World) -> None:
    path = world.folder / "some.db"
    async with Store.open(path, local=True) as store:
        await store.edit(SCRATCH_PAD, [Create("1" * 32, Kind.COLLECTION, "", {})])
        with closing(sqlite3.connect(path)) as database:
            database.execute("UPDATE entities SET fields = x'c1'")
            database.commit()
        divergence = Divergence(store, world.folder)
        await divergence.error([(SCRATCH_PAD, 1)])
        assert await divergence.rebuild()
        (held,) = await store.workspaces()
        assert held.epochs == ()
