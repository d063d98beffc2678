"""Servers restored from a backup, and stores that were copied."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from kafkaman_sync.errors import StoreError
from kafkaman_sync.model.changes import hash_change
from kafkaman_sync.model.edits import Delete, Move, Restore
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.protocol.messages import EpochStart, WorkspaceHead
from kafkaman_sync.protocol.records import decode_change
from kafkaman_sync.store.forks import find_fork
from tests.store.authority import WORKSPACE, Authority
from tests.store.devices import Device, devices
from tests.store.test_convergence import Schedule


def head(last: int, *epochs: tuple[str, int]) -> WorkspaceHead:
    return WorkspaceHead(
        WORKSPACE, "Personal", "owner", last, tuple(EpochStart(*e) for e in epochs)
    )


OWN = [EpochStart("a", 1), EpochStart("b", 100)]


@pytest.mark.parametrize(
    ("cursor", "there", "fork"),
    [
        (150, head(150, ("a", 1), ("b", 100), ("c", 151)), 150),
        (150, head(400, ("a", 1), ("b", 100), ("c", 300)), 150),
        (50, head(80, ("a", 1), ("c", 81)), 50),
        (150, head(119, ("a", 1), ("b", 100), ("c", 120)), 119),
        (150, head(90, ("a", 1), ("c", 91)), 90),
        (150, head(200, ("a", 1), ("c", 91)), 90),
        (150, head(0, ("c", 1)), 0),
        (150, head(900, ("y", 700), ("z", 901)), None),
        (0, head(900, ("y", 1)), 0),
        (5, head(0), 0),
    ],
    ids=[
        "known",
        "known, behind",
        "known, in an older epoch",
        "restored within the epoch",
        "restored before the epoch",
        "restored, and written since",
        "made anew",
        "older than the list",
        "nothing held",
        "nothing there",
    ],
)
def test_a_fork_is_the_end_of_the_last_common_epoch(
    cursor: int, there: WorkspaceHead, fork: int | None
) -> None:
    assert find_fork(OWN, cursor, there) == fork


def switch(found: list[Device], authority: Authority) -> None:
    """Put another server, restored from a backup, in place of the one that the devices knew."""
    authority.restart()
    for device in found:
        device.disconnect()
        device.authority = authority


async def settled(*found: Device) -> None:
    for _ in range(3):
        for device in found:
            await device.sync()


async def test_what_a_restored_server_forgot_is_pushed_again(ada: Device, bob: Device) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop", note="old")
    box = await ada.create(Kind.FOLDER, shop, name="Box")
    gone = await ada.create(Kind.FOLDER, shop, name="Gone")
    back = await ada.create(Kind.FOLDER, shop, name="Back")
    await ada.edit(Delete(back))
    await settled(ada, bob)
    backup = ada.authority.backup()
    await ada.set(shop, name="Shop 2", extra="new")
    inner = await ada.create(Kind.FOLDER, box, name="Inner")
    request = await ada.create(Kind.REQUEST, inner, name="List")
    trashed = await ada.create(Kind.FOLDER, box, name="Trashed")
    await ada.edit(Move(inner, shop), Delete(gone), Restore(back), Delete(trashed))
    await ada.edit(Move(box, after=back))
    await settled(ada, bob)
    before = await ada.store.subtree(WORKSPACE, shop, with_fields=True)
    await ada.set(request, name="Waiting")
    switch([ada, bob], backup)
    await settled(ada, bob)
    after = await ada.store.subtree(WORKSPACE, shop, with_fields=True)
    assert {each.id: each.parent for each in after} == {each.id: each.parent for each in before}
    assert [each.id for each in after] == [each.id for each in before]
    assert await ada.read(shop) == {"name": "Shop 2", "note": "old", "extra": "new"}
    assert await bob.read(request) == {"name": "Waiting"}
    assert (await bob.store.show(None, trashed, deleted=True)).deleted
    for device in (ada, bob):
        assert (await device.store.counts()).pending == 0
        assert (await device.store.workspaces())[0].digest == backup.digest()


async def test_a_copy_from_before_a_deletion_does_not_undo_it(ada: Device, bob: Device) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    await settled(ada, bob)
    backup = ada.authority.backup()
    forgotten = await ada.create(Kind.COLLECTION, name="Forgotten")
    await settled(ada, bob)
    await bob.edit(Delete(forgotten))
    switch([ada, bob], backup)
    await settled(bob, ada)
    assert await ada.names() == await bob.names() == ["Shop"]


async def test_what_was_brought_back_is_brought_back_again(ada: Device, bob: Device) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    await ada.edit(Delete(shop))
    await settled(ada, bob)
    backup = ada.authority.backup()
    await ada.edit(Restore(shop))
    await settled(ada, bob)
    switch([ada, bob], backup)
    await settled(bob, ada)
    assert await ada.names() == await bob.names() == ["Shop"]


async def test_a_fork_is_remembered_until_the_full_state_has_come(ada: Device, bob: Device) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    await settled(ada, bob)
    backup = ada.authority.backup()
    await ada.create(Kind.COLLECTION, name="Forgotten")
    await settled(ada, bob)
    switch([ada, bob], backup)
    effect = await ada.store.welcome(backup.welcome(ada.device))
    assert effect.forked == ((WORKSPACE, 1),)
    assert await ada.names() == ["Shop", "Forgotten"]
    await ada.reopen()
    effect = await ada.store.welcome(backup.welcome(ada.device))
    assert effect.forked == ((WORKSPACE, 1),)
    await settled(ada)
    assert await ada.names() == ["Shop", "Forgotten"]
    assert backup.head == 2


async def test_a_catch_up_that_broke_off_may_hold_what_was_forgotten(
    ada: Device, bob: Device
) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    await settled(ada, bob)
    backup = ada.authority.backup()
    bob.disconnect()
    for number in range(3):
        await ada.create(Kind.COLLECTION, name=f"Forgotten {number}")
    await ada.sync()
    bob.authority.replays_at_most, bob.authority.rows_at_once = 0, 1
    await bob.connect()
    await bob.deliver(2)
    assert (await bob.store.workspaces())[0].mark == 3
    switch([bob], backup)
    await settled(bob)
    assert await bob.names() == ["Shop", "Forgotten 0", "Forgotten 1"]
    assert backup.head == 3


async def test_the_epoch_of_a_broken_catch_up_is_that_of_its_mark(ada: Device, bob: Device) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    await settled(ada, bob)
    bob.disconnect()
    switch([ada], ada.authority)
    for number in range(3):
        await ada.create(Kind.COLLECTION, name=f"{number}")
    await ada.sync()
    before = (await bob.store.hello()).positions[0]
    bob.authority.replays_at_most, bob.authority.rows_at_once = 0, 1
    await bob.connect()
    await bob.deliver(2)
    broken = (await bob.store.hello()).positions[0]
    assert (broken.cursor, broken.mark) == (1, 3)
    assert broken.epoch == ada.authority.epochs[-1].epoch != before.epoch


async def test_a_copy_to_be_fetched_anew_still_tells_what_a_restored_server_forgot(
    ada: Device, bob: Device
) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    await settled(ada, bob)
    backup = ada.authority.backup()
    await ada.create(Kind.COLLECTION, name="Forgotten")
    await settled(ada, bob)
    await ada.store.drop_position()
    switch([ada, bob], backup)
    effect = await ada.store.welcome(backup.welcome(ada.device))
    assert effect.forked == ((WORKSPACE, 1),)
    await settled(ada)
    assert await ada.names() == ["Shop", "Forgotten"]
    assert backup.head == 2


async def test_a_server_restored_twice_is_compared_with_the_older_backup(
    ada: Device, bob: Device
) -> None:
    await settled(ada, bob)
    oldest = ada.authority.backup()
    await ada.create(Kind.COLLECTION, name="Shop")
    await settled(ada, bob)
    older = ada.authority.backup()
    await ada.create(Kind.COLLECTION, name="Forgotten")
    await settled(ada, bob)
    switch([ada, bob], older)
    effect = await ada.store.welcome(older.welcome(ada.device))
    assert effect.forked == ((WORKSPACE, 1),)
    switch([ada, bob], oldest)
    effect = await ada.store.welcome(oldest.welcome(ada.device))
    assert effect.forked == ((WORKSPACE, 0),)
    await settled(ada)
    assert await ada.names() == ["Shop", "Forgotten"]
    assert oldest.head == 2


async def test_an_acceptance_that_the_server_forgot_is_asked_for_again(
    ada: Device, bob: Device
) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    await settled(ada, bob)
    backup = ada.authority.backup()
    await ada.create(Kind.COLLECTION, name="Accepted")
    await ada.push()
    ada.disconnect()
    await ada.connect()
    assert ada.connection is not None
    verdicts = ada.connection.take()[1]
    assert (await ada.store.receive([verdicts])).pending == 1
    switch([ada, bob], backup)
    # Its own position is still known: only the kept verdict speaks of what was forgotten.
    await ada.create(Kind.COLLECTION, name="Another")
    await bob.create(Kind.COLLECTION, name="Bob's")
    await settled(bob, ada, bob)
    assert set(await bob.names()) == {"Shop", "Accepted", "Another", "Bob's"}


async def test_a_verdict_without_an_event_that_the_server_forgot_holds_nothing_up(
    ada: Device, bob: Device
) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    await settled(ada, bob)
    ada.disconnect()
    await bob.edit(Delete(shop))
    await bob.sync()
    await ada.edit(Delete(shop))
    await ada.create(Kind.COLLECTION, name="Another")
    backup = ada.authority.backup()
    await ada.connect()
    await ada.deliver()
    assert await ada.push(1) == 1
    await ada.deliver()
    assert (await ada.store.counts()).pending == 1
    switch([ada, bob], backup)
    await settled(ada, bob)
    assert (await ada.store.counts()).pending == 0
    assert await bob.names() == ["Another"]


@pytest.mark.parametrize("seed", range(12))
async def test_random_schedules_with_a_restored_server_end_equal(seed: int, tmp_path: Path) -> None:
    authority = Authority()
    random = Random(seed)
    async with devices(tmp_path, authority, 2, seed) as found:
        schedule = Schedule(found, authority, seed)
        await schedule.run(30 + random.randrange(40))
        backup = authority.backup()
        await schedule.run(20 + random.randrange(40))
        switch(found, backup)
        schedule.replace(backup)
        await schedule.run(40)
        await schedule.settle()
        await schedule.check()


async def test_a_copied_store_goes_on_as_another_device(ada: Device, bob: Device) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    await settled(ada, bob)
    for number in range(3):
        await ada.set(shop, name=f"Shop {number}")
    ada.disconnect()
    await ada.store.register("9" * 32, "another token")
    identity = await ada.store.identity()
    assert identity is not None
    assert (identity.device, identity.token, identity.lease) == ("9" * 32, "another token", "")
    rows = await ada.store.outbox_after(0, changes_max=10, bytes_max=1000)
    changes = [decode_change(data) for _, data in rows]
    assert [(each.op, each.previous) for each in changes] == [(1, 0), (2, 1), (3, 2)]
    assert (await ada.store.hello()).confirmed_op == 0
    ada.device = "9" * 32
    await settled(ada, bob)
    assert await bob.read(shop) == {"name": "Shop 2"}
    await ada.set(shop, name="Shop 3")
    ((op, _),) = await ada.store.outbox_after(0, changes_max=10, bytes_max=1000)
    assert op == 4


async def test_a_copied_store_does_not_repeat_what_was_accepted(ada: Device, bob: Device) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    await settled(ada, bob)
    await ada.set(shop, name="Accepted")
    await ada.push()
    ada.disconnect()
    await ada.connect()
    assert ada.connection is not None
    await ada.store.receive([ada.connection.take()[1]])
    ada.disconnect()
    await ada.set(shop, note="Waiting")
    await ada.store.register("9" * 32, "another token")
    ((op, data),) = await ada.store.outbox_after(0, changes_max=10, bytes_max=1000)
    assert (op, decode_change(data).previous) == (2, 0)
    ada.device = "9" * 32
    await settled(ada, bob)
    assert await bob.read(shop) == {"name": "Accepted", "note": "Waiting"}
    assert (await ada.store.counts()).pending == 0
    assert len(ada.authority.log) == 3


async def test_a_store_set_back_to_a_backup_knows_that_its_numbers_are_taken(
    ada: Device, bob: Device
) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    await settled(ada, bob)
    await ada.set(shop, name="Second")
    ((op, data),) = await ada.store.outbox_after(0, changes_max=10, bytes_max=1000)
    before = await ada.store.identity()
    honest = ada.authority.welcome(ada.device)
    for last_op, last_change in ((op + 1, b""), (op, hash_change(b"another change"))):
        with pytest.raises(StoreError) as caught:
            await ada.store.welcome(replace(honest, last_op=last_op, last_change=last_change))
        assert caught.value.code == "device.reused"
    assert await ada.store.identity() == before
    await ada.store.welcome(replace(honest, last_op=op, last_change=hash_change(data)))


async def test_another_server_or_device_is_refused_and_everything_is_kept(ada: Device) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    welcome = ada.authority.welcome(ada.device)
    for wrong in (replace(welcome, server="another"), replace(welcome, device="8" * 32)):
        with pytest.raises(StoreError) as caught:
            await ada.store.welcome(wrong)
        assert caught.value.code == "server.other"
    assert await ada.names() == ["Shop"]


async def test_a_workspace_that_is_no_longer_listed_is_kept_and_not_asked_for(
    ada: Device,
) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    welcome = replace(ada.authority.welcome(ada.device), workspaces=())
    effect = await ada.store.welcome(welcome)
    assert effect.vanished == (WORKSPACE,)
    assert (await ada.store.hello()).positions == ()
    assert await ada.names() == ["Shop"]
    assert (await ada.store.welcome(welcome)).vanished == ()
    again = await ada.store.welcome(ada.authority.welcome(ada.device))
    assert (again.added, again.vanished, again.forked) == ((), (), ())
