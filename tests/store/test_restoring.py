"""What restoring an archive plans: never over something newer, never twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.edits import Delete, Move, Update
from kafkaman_sync.model.entities import ROOT, Kind
from kafkaman_sync.model.values import REMOVED
from kafkaman_sync.store import Store
from kafkaman_sync.store.archive import Archive, read_archive
from kafkaman_sync.store.facts import SCRATCH_PAD
from kafkaman_sync.store.sealing import Restored
from tests.store.authority import WORKSPACE
from tests.store.devices import Device

TODAY = date(2026, 5, 1)


async def sealed(device: Device, folder: Path) -> Archive:
    """Return the device's unsent work as an archive, and let it be without that work again."""
    summary = await device.store.seal(folder / "sealed", "signed_out")
    assert summary is not None
    return read_archive(summary.path)


async def restore(device: Device, archive: Archive, *, deletes: bool = False) -> Restored:
    return await device.store.restore(archive, WORKSPACE, deletes=deletes, today=TODAY)


async def shared_shop(ada: Device, bob: Device) -> tuple[str, str]:
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    order = await ada.create(Kind.REQUEST, shop, name="Order", url="/old")
    await ada.sync()
    await bob.sync()
    bob.disconnect()
    ada.disconnect()
    return shop, order


async def test_a_move_is_made_again_where_its_goal_is(
    ada: Device, bob: Device, tmp_path: Path
) -> None:
    shop, order = await shared_shop(ada, bob)
    box = await ada.create(Kind.FOLDER, shop, name="Box")
    await ada.edit(Move(order, box))
    archive = await sealed(ada, tmp_path)
    done = await restore(bob, archive)
    assert (done.plan.created, done.plan.moved) == (["Shop/Box"], ["Shop/Box/Order"])
    assert await bob.names(box) == ["Order"]
    assert (await restore(bob, archive)).ops == 0


async def test_a_move_whose_goal_is_gone_is_told(ada: Device, bob: Device, tmp_path: Path) -> None:
    shop, order = await shared_shop(ada, bob)
    box = await ada.create(Kind.FOLDER, shop, name="Box")
    await ada.sync()
    ada.disconnect()
    await ada.edit(Move(order, box))
    archive = await sealed(ada, tmp_path)
    await bob.sync()
    await bob.edit(Delete(box))
    done = await restore(bob, archive)
    assert (done.plan.skipped, done.ops) == ([("Shop/Box/Order", "place")], 0)


async def test_a_removed_field_is_removed_again(ada: Device, bob: Device, tmp_path: Path) -> None:
    _, order = await shared_shop(ada, bob)
    await ada.edit(Update(order, {"url": REMOVED}))
    await restore(bob, await sealed(ada, tmp_path))
    assert await bob.read(order) == {"name": "Order"}


async def test_several_edits_of_a_field_are_one_wish(
    ada: Device, bob: Device, tmp_path: Path
) -> None:
    _, order = await shared_shop(ada, bob)
    for url in ("/first", "/second"):
        await ada.set(order, url=url)
    done = await restore(bob, await sealed(ada, tmp_path))
    assert done.ops == 1
    assert (await bob.read(order))["url"] == "/second"


async def test_an_open_conflict_is_a_wish_too(ada: Device, bob: Device, tmp_path: Path) -> None:
    _, order = await shared_shop(ada, bob)
    await ada.set(order, url=7)
    await ada.sync()
    await bob.set(order, url=8)
    await bob.sync()
    (record,) = await bob.store.conflicts()
    archive = await sealed(bob, tmp_path)
    bob.disconnect()
    ada.disconnect()
    done = await restore(ada, archive)
    assert (done.conflicts, done.ops) == (1, 0)
    (again,) = await ada.store.conflicts()
    assert (again.base, again.mine, again.theirs) == (record.base, record.mine, record.theirs)
    assert (await restore(ada, archive)).conflicts == 0
    assert (await ada.store.counts()).conflicts == 1


async def test_without_more_than_a_field_nothing_can_be_made_anew(
    ada: Device, bob: Device, tmp_path: Path
) -> None:
    _, order = await shared_shop(ada, bob)
    await ada.set(order, url="/new")
    archive = await sealed(ada, tmp_path)
    bare = tuple(replace(each, values={}, kind=None) for each in archive.changes)
    async with Store.open(tmp_path / "pad.db", local=True) as pad:
        done = await pad.restore(
            replace(archive, changes=bare), SCRATCH_PAD, deletes=False, today=TODAY
        )
    assert done.plan.skipped == [("Shop/Order", "gone")]


async def test_what_lost_its_parent_lies_in_one_that_fits(
    ada: Device, bob: Device, tmp_path: Path
) -> None:
    shop, order = await shared_shop(ada, bob)
    live = await ada.create(Kind.ENVIRONMENT, name="Live")
    await ada.sync()
    ada.disconnect()
    await ada.create(Kind.RESPONSE, order, name="Answer")
    await ada.create(Kind.ENVIRONMENT_VARIABLE, live, key="token")
    await ada.create(Kind.COLLECTION_RUN, shop, name="Run")
    await ada.create(Kind.HEADER_PRESET, name="Preset")
    archive = await sealed(ada, tmp_path)
    async with Store.open(tmp_path / "pad.db", local=True) as pad:
        for _ in range(2):
            await pad.restore(archive, SCRATCH_PAD, deletes=False, today=TODAY)
        shown = await pad.subtree(SCRATCH_PAD, ROOT, with_fields=True)
    names = [next(iter(each.fields.values()))[1:].decode() for each in shown]
    assert names == [
        *("Restored 2026-05-01", "Order", "Answer"),
        *("Live", "token"),
        *("Run", "Preset"),
    ]


async def test_in_the_scratch_pad_a_dispute_becomes_a_copy(
    ada: Device, bob: Device, tmp_path: Path
) -> None:
    await shared_shop(ada, bob)
    async with Store.open(tmp_path / "pad.db", local=True) as pad:
        archive = await sealed_edit(ada, tmp_path)
        await pad.restore(archive, SCRATCH_PAD, deletes=False, today=TODAY)
        (made,) = (each for each in await pad.subtree(SCRATCH_PAD, ROOT) if each.kind == "request")
        await pad.edit(SCRATCH_PAD, [Update(made.id, {"url": b"\x01"})])
        for copies in (1, 0):
            done = await pad.restore(archive, SCRATCH_PAD, deletes=False, today=TODAY)
            assert len(done.plan.created) == copies
        requests = await pad.subtree(SCRATCH_PAD, ROOT, with_fields=True)
    assert [each.fields["url"] for each in requests if each.kind == "request"] == [
        b"\x01",
        b"\xa4/new",
    ]


async def sealed_edit(device: Device, folder: Path) -> Archive:
    (shop,) = await device.store.children(WORKSPACE, ROOT)
    (order,) = await device.store.children(WORKSPACE, shop.id)
    await device.set(order.id, url="/new")
    return await sealed(device, folder)


async def test_a_viewer_may_not_restore(ada: Device, bob: Device, tmp_path: Path) -> None:
    await shared_shop(ada, bob)
    archive = await sealed_edit(ada, tmp_path)
    await bob.connect(role="viewer")
    with pytest.raises(ModelError) as caught:
        await restore(bob, archive)
    assert caught.value.code == "permission.denied"


async def test_a_copy_that_was_restored_and_deleted_comes_back_when_asked_for_again(
    ada: Device, bob: Device, tmp_path: Path
) -> None:
    shop, _ = await shared_shop(ada, bob)
    archive = await sealed_edit(ada, tmp_path)
    await bob.edit(Delete(shop))
    await restore(bob, archive)
    (holder,) = await bob.store.children(WORKSPACE, ROOT)
    await bob.edit(Delete(holder.id))
    await restore(bob, archive)
    (again,) = await bob.store.children(WORKSPACE, ROOT)
    assert await bob.names(again.id) == ["Order"]
