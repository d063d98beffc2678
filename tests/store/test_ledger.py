"""What the store knows by heart is what its file says, whatever happened last."""

from __future__ import annotations

import asyncio

import pytest

from kafkaman_sync.database import Writer
from kafkaman_sync.errors import ModelError, StoreError
from kafkaman_sync.model.edits import Create, Delete
from kafkaman_sync.model.entities import ROOT, Kind
from kafkaman_sync.protocol.messages import Events
from kafkaman_sync.store import ledger
from tests.store.authority import WORKSPACE
from tests.store.devices import Device, values


async def ops(device: Device) -> list[int]:
    waiting = await device.store.outbox_after(0, changes_max=100, bytes_max=1 << 20)
    return [op for op, _ in waiting]


async def test_an_edit_that_is_refused_leaves_no_trace_in_the_numbers(ada: Device) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    with pytest.raises(ModelError):
        await ada.edit(Create("1" * 32, Kind.COLLECTION, ROOT), Delete("2" * 32))
    await ada.create(Kind.COLLECTION, name="Bank")
    await ada.check_books()
    assert await ops(ada) == [1, 2]
    await ada.sync()
    assert (await ada.store.counts()).pending == 0


async def test_a_commit_that_fails_leaves_what_was_known_before(ada: Device) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    await set_pages_max(ada, 1)
    with pytest.raises(StoreError):
        await ada.create(Kind.COLLECTION, name="Bank", text="x" * 200_000)
    await ada.check_books()
    assert (await ada.store.counts()).pending == 1
    await set_pages_max(ada, 1_000_000)
    await ada.create(Kind.COLLECTION, name="Bank")
    await ada.sync()
    await ada.check_books()
    assert await ada.names() == ["Shop", "Bank"]


async def set_pages_max(device: Device, count: int) -> None:
    async def work(writer: Writer) -> None:
        await writer.fetch(f"PRAGMA max_page_count={count}")

    await device.store._database.transact(work)


async def test_an_edit_whose_caller_has_gone_is_known(ada: Device) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    task = asyncio.create_task(ada.create(Kind.COLLECTION, name="Bank"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ada.check_books()
    assert await ops(ada) == [1, 2][: (await ada.store.counts()).pending]


async def test_a_batch_that_is_refused_leaves_what_waits_as_it_was(
    ada: Device, bob: Device
) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    await ada.push()
    assert ada.connection is not None
    (verdict,) = ada.connection.take()
    gap = Events(WORKSPACE, tuple(bob.authority.log), bob.authority.digest())
    with pytest.raises(StoreError):
        await ada.store.receive([verdict, Events("9" * 32, gap.items, None)])
    await ada.check_books()
    assert await ops(ada) == [1]
    await ada.store.receive([verdict])
    await ada.check_books()
    assert await ops(ada) == []


async def test_more_than_it_keeps_by_heart_is_pushed_from_the_file(
    ada: Device, bob: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_RECENT_CHANGES_MAX", 3)
    for number in range(5):
        await ada.create(Kind.COLLECTION, name=str(number))
        await ada.check_books()
    assert await ops(ada) == [1, 2, 3]
    assert [op for op, _ in await ada.store.outbox_after(3, changes_max=9, bytes_max=9)] == [4]
    await ada.push(2)
    await ada.deliver()
    await ada.create(Kind.COLLECTION, name="5")
    await ada.check_books()
    await ada.sync()
    await ada.create(Kind.COLLECTION, name="6")
    await ada.check_books()
    await ada.sync()
    await bob.sync()
    assert await bob.names() == [str(number) for number in range(7)]


async def test_what_is_known_by_heart_is_pushed_within_both_limits(ada: Device) -> None:
    for name in ("a", "b", "c"):
        await ada.edit(
            Create(ada.random.randbytes(16).hex(), Kind.COLLECTION, ROOT, values(n=name))
        )
    two = await ada.store.outbox_after(0, changes_max=2, bytes_max=1 << 20)
    assert [op for op, _ in two] == [1, 2]
    size = sum(len(data) for _, data in two)
    assert await ada.store.outbox_after(0, changes_max=9, bytes_max=size) == two
    assert await ada.store.outbox_after(0, changes_max=9, bytes_max=1) == two[:1]
