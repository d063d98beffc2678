"""What the server sends is applied once, whole and in order, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kafkaman_sync.errors import KafkamanError, StoreError
from kafkaman_sync.model.changes import Action, Event, Verdict
from kafkaman_sync.model.digest import EMPTY_DIGEST
from kafkaman_sync.model.edits import Delete, Move, Restore
from kafkaman_sync.model.entities import ROOT, Kind
from kafkaman_sync.protocol.messages import Checkpoint, Entities, Events, Verdicts
from kafkaman_sync.protocol.records import encode_event
from kafkaman_sync.store import ViewChange
from tests.store.authority import WORKSPACE
from tests.store.devices import Device


async def error_of(device: Device, *messages: Events | Entities | Checkpoint | Verdicts) -> str:
    before = await device.store.workspaces()
    with pytest.raises(KafkamanError) as caught:
        await device.store.receive(messages)
    assert await device.store.workspaces() == before
    return caught.value.code


async def test_an_edit_reaches_the_other_device(ada: Device, bob: Device) -> None:
    collection = await ada.create(Kind.COLLECTION, name="Shop")
    await ada.sync()
    received = await bob.deliver()
    assert received is not None
    assert received.changes == [
        ViewChange(
            WORKSPACE, collection, Kind.COLLECTION, Action.CREATE, ("name",), ada.device, 1, 1
        )
    ]
    assert await bob.names() == ["Shop"]
    assert (await ada.store.counts()).pending == 0


async def test_own_changes_come_back_as_verdicts_and_change_no_view(ada: Device) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    await ada.push()
    received = await ada.deliver()
    assert received is not None
    assert (received.changes, received.verdict_op, received.pending) == ([], 1, 0)


async def test_events_that_came_before_are_dropped(ada: Device, bob: Device) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    await ada.sync()
    await bob.deliver()
    again = Events(WORKSPACE, tuple(bob.authority.log), bob.authority.digest())
    received = await bob.store.receive([again])
    assert (received.changes, received.diverged) == ([], [])


async def test_a_gap_is_noticed_and_nothing_of_the_batch_is_kept(ada: Device, bob: Device) -> None:
    for name in ("one", "two", "three"):
        await ada.create(Kind.COLLECTION, name=name)
    await ada.sync()
    log = bob.authority.log
    assert await error_of(bob, Events(WORKSPACE, (log[0], log[2]))) == "log.gap"
    assert await bob.names() == []
    assert await error_of(bob, Checkpoint(WORKSPACE, 3, EMPTY_DIGEST)) == "log.gap"


async def test_a_verdict_of_an_op_that_is_not_waiting_breaks_the_log(ada: Device) -> None:
    stub = Verdict(7, seq=1, event=True)
    assert await error_of(ada, Events(WORKSPACE, (stub,))) == "log.broken"
    assert await error_of(ada, Events(WORKSPACE, (Verdict(7),))) == "log.broken"


async def test_a_verdict_that_does_not_fit_its_change_breaks_the_log(ada: Device) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    for stub in (
        Verdict(1, seq=1, event=False),
        Verdict(1, seq=1, event=True, accepted=("no such field",)),
    ):
        assert await error_of(ada, Events(WORKSPACE, (stub,))) == "log.broken"


async def test_an_event_of_what_is_absent_breaks_the_log(ada: Device) -> None:
    event = Event(WORKSPACE, 1, Action.DELETE, "e" * 32, "a", "d", 1, 0)
    assert await error_of(ada, Events(WORKSPACE, (encode_event(event),))) == "log.broken"
    elsewhere = replace(event, workspace="b" * 32)
    assert await error_of(ada, Events(WORKSPACE, (encode_event(elsewhere),))) == "log.broken"
    assert await error_of(ada, Events("b" * 32, ())) == "log.broken"


async def test_a_difference_is_found_live_and_at_a_checkpoint(ada: Device, bob: Device) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    await ada.sync()
    wrong = bytes(15) + b"\x01"
    live = Events(WORKSPACE, tuple(bob.authority.log), wrong)
    received = await bob.store.receive([live, Checkpoint(WORKSPACE, 1, wrong)])
    assert received.diverged == [(WORKSPACE, 1), (WORKSPACE, 1)]
    assert received.checkpoints == [(WORKSPACE, 1, False)]


async def test_a_pending_edit_hides_what_arrives(ada: Device, bob: Device) -> None:
    request = await ada.create(Kind.COLLECTION, name="Shop", note="old")
    await ada.sync()
    await bob.deliver()
    await bob.set(request, name="Bob's shop")
    await ada.set(request, name="Ada's shop", note="new")
    await ada.sync()
    received = await bob.deliver()
    assert received is not None
    assert [each.fields for each in received.changes] == [("note",)]
    assert await bob.read(request) == {"name": "Bob's shop", "note": "new"}
    await ada.set(request, name="again")
    await ada.sync()
    received = await bob.deliver()
    assert received is not None
    assert received.changes == []


async def test_an_acceptance_ahead_of_the_cursor_waits_for_it(ada: Device, bob: Device) -> None:
    """After a drop the stored verdicts may come before the events that they speak of."""
    collection = await ada.create(Kind.COLLECTION, name="Old shop")
    await ada.sync()
    await ada.set(collection, name="Shop")
    await ada.push()
    ada.disconnect()  # the verdict is lost
    await ada.connect()
    assert ada.connection is not None
    catch_up, verdicts, checkpoint = ada.connection.take()
    received = await ada.store.receive([verdicts])
    assert (received.verdict_op, received.pending) == (2, 1)
    assert await ada.store.outbox_after(0, changes_max=9, bytes_max=9) == []
    await ada.reopen()
    assert await ada.names() == ["Shop"]
    received = await ada.store.receive([catch_up])
    assert received.pending == 0
    received = await ada.store.receive([checkpoint])
    assert received.checkpoints == [(WORKSPACE, 2, True)]
    assert await ada.read(collection) == {"name": "Shop"}


async def test_a_broken_catch_up_by_state_resumes_at_its_mark(ada: Device, bob: Device) -> None:
    first = await ada.create(Kind.COLLECTION, name="first")
    await ada.sync()
    await bob.sync()
    bob.disconnect()
    for number in range(6):
        await ada.create(Kind.COLLECTION, name=f"more {number}")
    await ada.set(first, name="first again")
    await ada.sync()
    bob.authority.replays_at_most, bob.authority.rows_at_once = 0, 2
    await bob.connect()
    received = await bob.deliver(2)
    assert received is not None
    assert [(each.done, each.total) for each in received.progress] == [(2, 7), (4, 7)]
    (position,) = (await bob.store.hello()).positions
    assert (position.cursor, position.mark) == (1, 5)
    await bob.create(Kind.COLLECTION, name="meanwhile")
    (waiting,) = await bob.store.outbox_after(0, changes_max=9, bytes_max=9)
    assert waiting[0] == 1
    assert (await bob.store.hello()).highest_base == {WORKSPACE: 1}
    await bob.connect()
    assert bob.connection is not None
    assert len(bob.connection.waiting[0].rows) == 2  # type: ignore[union-attr] # from the mark on
    await bob.sync()
    assert len(await bob.names()) == 8
    assert (await bob.store.workspaces())[0].mark == 0


async def test_a_full_state_replaces_what_is_held_in_one_step(ada: Device, bob: Device) -> None:
    await ada.create(Kind.COLLECTION, name="one")
    await ada.sync()
    await bob.sync()
    await bob.store.drop_position()
    await bob.create(Kind.COLLECTION, name="pending")
    bob.authority.rows_at_once = 1
    await ada.create(Kind.COLLECTION, name="two")
    await ada.sync()
    await bob.connect()
    await bob.deliver(2)
    assert await bob.names() == ["one", "pending"]
    received = await bob.deliver(1)
    assert received is not None
    assert received.replaced == [WORKSPACE]
    assert set(await bob.names()) == {"one", "two", "pending"}
    await bob.sync()
    copies = await bob.store._database.fetch("SELECT DISTINCT copy FROM entities")
    assert len(copies) == 1


async def test_an_acceptance_that_waited_takes_effect_with_a_full_state(ada: Device) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Old shop")
    await ada.sync()
    await ada.set(shop, name="Shop")
    await ada.push()
    ada.disconnect()
    await ada.connect()
    assert ada.connection is not None
    await ada.store.receive([ada.connection.take()[1]])
    await ada.store.drop_position()
    await ada.connect()
    received = await ada.deliver()
    assert received is not None
    assert (received.pending, received.replaced) == (0, [WORKSPACE])
    assert await ada.read(shop) == {"name": "Shop"}


async def test_a_full_state_that_breaks_off_leaves_nothing(ada: Device, bob: Device) -> None:
    for number in range(3):
        await ada.create(Kind.COLLECTION, name=f"{number}")
    await ada.sync()
    await bob.store.drop_position(WORKSPACE)
    bob.authority.rows_at_once = 1
    await bob.connect()
    await bob.deliver(2)
    await bob.connect()
    assert await bob.names() == []
    await bob.sync()
    assert await bob.names() == ["0", "1", "2"]
    await bob.store.drop_position()
    assert (await bob.store.digest_from_rows(WORKSPACE))[1] == bob.authority.digest()


async def test_a_purge_removes_the_row_by_event_and_by_state(ada: Device, bob: Device) -> None:
    gone = await ada.create(Kind.COLLECTION, name="gone")
    await ada.edit(Delete(gone))
    await ada.sync()
    await bob.deliver()
    purge = Event(WORKSPACE, 3, Action.PURGE, gone, "", "", 0, 0)
    await ada.store.receive([Events(WORKSPACE, (encode_event(purge),), EMPTY_DIGEST)])
    by_state = Entities(WORKSPACE, (), 3, purged=((gone, 3), ("f" * 32, 3)), through=3)
    received = await bob.store.receive([by_state, Checkpoint(WORKSPACE, 3, EMPTY_DIGEST)])
    assert received.checkpoints == [(WORKSPACE, 3, True)]
    for device in (ada, bob):
        assert await device.store.digest_from_rows(WORKSPACE) == (3, EMPTY_DIGEST)


async def test_catching_up_by_state_reports_what_changed(ada: Device, bob: Device) -> None:
    names = ("moved", "deleted", "restored", "renamed", "hidden")
    ids = {name: await ada.create(Kind.COLLECTION, name=name) for name in names}
    await ada.edit(Delete(ids["restored"]))
    await ada.sync()
    await bob.sync()
    bob.disconnect()
    await bob.set(ids["hidden"], name="Bob's")
    await ada.edit(Move(ids["moved"], after=ids["renamed"]), Delete(ids["deleted"]))
    await ada.edit(Restore(ids["restored"]))
    await ada.set(ids["renamed"], name="other")
    await ada.set(ids["hidden"], name="Ada's")
    new = await ada.create(Kind.COLLECTION, name="new")
    await ada.sync()
    bob.authority.replays_at_most = 0
    await bob.connect()
    received = await bob.deliver()
    assert received is not None
    assert {each.entity: each.action for each in received.changes if each.device == ""} == {
        ids["moved"]: Action.MOVE,
        ids["deleted"]: Action.DELETE,
        ids["restored"]: Action.RESTORE,
        ids["renamed"]: Action.UPDATE,
        new: Action.CREATE,
    }


async def test_reading_finds_ids_by_their_beginning(ada: Device) -> None:
    collection = await ada.create(Kind.COLLECTION, name="Shop")
    assert await ada.store.find(None, collection[:6]) == [collection]
    assert await ada.store.find(WORKSPACE, collection) == [collection]
    assert (await ada.store.show(None, collection)).pending
    await ada.edit(Delete(collection))
    assert await ada.store.find(None, collection[:6]) == []
    assert (await ada.store.show(None, collection, deleted=True)).deleted
    for read in (
        ada.store.show(None, collection),
        ada.store.children(WORKSPACE, collection),
        ada.store.subtree(WORKSPACE, collection),
    ):
        with pytest.raises(KafkamanError) as caught:
            await read
        assert caught.value.code == "entity.not_found"


async def test_a_subtree_comes_with_pending_fields(ada: Device) -> None:
    collection = await ada.create(Kind.COLLECTION, name="Shop")
    request = await ada.create(Kind.REQUEST, collection, name="List")
    await ada.sync()
    await ada.set(request, name="Listed")
    found = await ada.store.subtree(WORKSPACE, ROOT, with_fields=True)
    assert [each.id for each in found] == [collection, request]
    assert found == await ada.store.subtree(WORKSPACE, collection, with_fields=True)
    assert [each.pending for each in found] == [False, True]
    assert await ada.names(collection) == ["Listed"]
    bare = await ada.store.children(WORKSPACE, collection)
    assert bare[0].fields == {}


async def test_an_unknown_workspace_is_an_error(ada: Device) -> None:
    with pytest.raises(StoreError) as caught:
        await ada.store.subtree("b" * 32, ROOT)
    assert caught.value.code == "workspace.unknown"
