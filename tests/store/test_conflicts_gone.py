"""An edit of what is deleted or purged meanwhile keeps all that was known of it."""

from __future__ import annotations

import aiosqlite
import pytest

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.changes import Action, ConflictCode, Disagreement, Event, Verdict
from kafkaman_sync.model.edits import Delete
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.values import encode_value
from kafkaman_sync.protocol.messages import Entities, Events, Verdicts
from kafkaman_sync.protocol.records import decode_entity, encode_event
from kafkaman_sync.store import ConflictRecord
from tests.store.authority import WORKSPACE
from tests.store.devices import Device
from tests.store.disagreeing import (
    clash,
    only_conflict,
    settled,
    shared_request,
)


async def deleted_under_bob(ada: Device, bob: Device, *, whole: bool) -> tuple[str, str]:
    """Let Ada delete the request (or all of its collection) that Bob edits meanwhile."""
    collection, request = await shared_request(ada, bob)
    bob.disconnect()
    await ada.edit(Delete(collection if whole else request))
    await ada.sync()
    await bob.set(request, url="/bob")
    await settled(bob, ada)
    return collection, request


@pytest.mark.parametrize("whole", [False, True], ids=["itself", "what it lies in"])
async def test_an_edit_of_what_is_deleted_can_bring_it_back(
    ada: Device, bob: Device, whole: bool
) -> None:
    _, request = await deleted_under_bob(ada, bob, whole=whole)
    record = await only_conflict(bob)
    assert (record.code, record.field) == ("deleted", "")
    assert record.snapshot is not None
    assert record.change.fields["url"].value == encode_value("/bob")
    await bob.store.resolve(record.id, mine=True)
    await settled(bob, ada)
    assert await ada.read(request) == {"name": "List", "url": "/bob"}


async def test_what_was_purged_can_be_made_again_from_what_was_kept(
    ada: Device, bob: Device
) -> None:
    _, request = await deleted_under_bob(ada, bob, whole=False)
    purge = Event(WORKSPACE, ada.authority.head + 1, Action.PURGE, request, "", "", 0, 0)
    await bob.store.receive([Events(WORKSPACE, (encode_event(purge),))])
    record = await only_conflict(bob)
    await bob.store.resolve(record.id, mine=True)
    assert await bob.read(request) == {"name": "List", "url": "/bob"}


async def purged_under_bob(
    ada: Device, bob: Device, *, together: bool = False
) -> tuple[ConflictRecord, ConflictRecord]:
    """Let the server purge the collection of the request that Bob edits, and then answer him."""
    collection, request = await shared_request(ada, bob)
    await bob.set(request, url="/bob")
    await bob.edit(Delete(collection))
    gone = Disagreement(ConflictCode.DELETED)
    purges = [
        Events(
            WORKSPACE,
            (encode_event(Event(WORKSPACE, 3 + number, Action.PURGE, entity, "", "", 0, 0)),),
        )
        for number, entity in enumerate((request, collection))
    ]
    verdicts = Verdicts((Verdict(1, disagreements=(gone,)), Verdict(2, disagreements=(gone,))))
    messages: list[Events | Verdicts] = [*purges, verdicts]
    for batch in [messages] if together else [[message] for message in messages]:
        await bob.store.receive(batch)
        await bob.check_books()
    assert await bob.store._database.fetch("SELECT * FROM graves") == []
    update, delete = await bob.store.conflicts()
    return update, delete


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
async def test_an_edit_of_what_is_purged_before_its_verdict_keeps_all_that_was_known(
    ada: Device, bob: Device, together: bool
) -> None:
    update, delete = await purged_under_bob(ada, bob, together=together)
    assert (update.kind, update.path) == ("request", ("Shop", "List"))
    with pytest.raises(ModelError) as caught:
        await bob.store.resolve(update.id, mine=True)
    assert caught.value.code == "conflict.parent_gone"
    place = await bob.create(Kind.COLLECTION, name="Elsewhere")
    await bob.store.resolve(update.id, mine=True, parent=place)
    assert await bob.read(update.entity) == {"name": "List", "url": "/bob"}
    assert (await bob.store.resolve(delete.id, mine=True)).ops == 0


async def test_a_full_state_without_the_entity_keeps_what_an_edit_is_about(
    ada: Device, bob: Device
) -> None:
    collection, request = await shared_request(ada, bob)
    await bob.set(request, url="/bob")
    await bob.store.drop_position()
    await bob.store.receive([Entities(WORKSPACE, (), 0, full=True, through=9)])
    gone = Verdict(1, disagreements=(Disagreement(ConflictCode.DELETED),))
    await bob.store.receive([Verdicts((gone,))])
    record = await only_conflict(bob)
    assert (record.kind, record.path) == ("request", ("Shop", "List"))
    assert record.snapshot is not None
    assert decode_entity(record.snapshot).place.parent == collection


async def test_an_open_conflict_about_a_field_keeps_the_entity_that_is_purged(
    ada: Device, bob: Device
) -> None:
    request = await clash(ada, bob)
    collection = (await bob.store.show(WORKSPACE, request)).parent
    record = await only_conflict(bob)
    assert (record.field, record.snapshot) == ("url", None)
    purge = Event(WORKSPACE, ada.authority.head + 1, Action.PURGE, request, "", "", 0, 0)
    await bob.store.receive([Events(WORKSPACE, (encode_event(purge),))])
    await bob.store.resolve(record.id, mine=True)
    assert await bob.read(request) == {"name": "List", "url": "/bob"}
    assert (await bob.store.show(WORKSPACE, request)).parent == collection


async def test_what_is_gone_without_a_trace_cannot_be_made_again(ada: Device, bob: Device) -> None:
    update, _ = await purged_under_bob(ada, bob)
    async with aiosqlite.connect(bob.path) as database:  # as an earlier release left it
        await database.execute("UPDATE conflicts SET snapshot = NULL")
        await database.commit()
    with pytest.raises(ModelError) as caught:
        await bob.store.resolve(update.id, mine=True)
    assert caught.value.code == "conflict.entity_gone"
