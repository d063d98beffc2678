"""Disagreements are kept, shown and resolved; what can be settled without a person is."""

from __future__ import annotations

import pytest

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.edits import Delete, Move, Update
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.values import REMOVED, decode_value, encode_value
from tests.store.authority import Authority
from tests.store.devices import Device
from tests.store.disagreeing import (
    clash,
    only_conflict,
    settled,
    shared_request,
)


async def test_a_clash_keeps_base_mine_and_theirs_and_shows_theirs(
    ada: Device, bob: Device
) -> None:
    request = await clash(ada, bob)
    record = await only_conflict(bob)
    assert (record.code, record.entity, record.field, record.kind) == (
        "field",
        request,
        "url",
        "request",
    )
    assert [decode_value(each or b"") for each in (record.base, record.mine, record.theirs)] == [
        "/old",
        "/bob",
        "/ada",
    ]
    assert (record.path, record.name) == (("Shop", "List"), "List")
    assert (await bob.read(request))["url"] == "/ada"
    assert await ada.store.conflicts() == []


async def test_a_clash_is_reported_as_a_change_of_the_view(ada: Device, bob: Device) -> None:
    request = await clash(ada, bob)
    changes = [each for received in bob.received for each in received.changes]
    taken_back = [each for each in changes if each.entity == request and each.device == bob.device]
    assert [(each.fields, each.seq) for each in taken_back] == [(("url",), 0)]


async def test_theirs_follows_the_confirmed_value(ada: Device, bob: Device) -> None:
    request = await clash(ada, bob)
    await ada.set(request, url="/newer")
    await settled(ada, bob)
    assert (await only_conflict(bob)).theirs == encode_value("/newer")


async def test_resolving_with_mine_makes_the_change_again(ada: Device, bob: Device) -> None:
    request = await clash(ada, bob)
    result = await bob.store.resolve((await only_conflict(bob)).id, mine=True)
    assert result.ops == 1
    assert await bob.store.conflicts() == []
    await settled(bob, ada)
    assert (await ada.read(request))["url"] == (await bob.read(request))["url"] == "/bob"


async def test_resolving_with_theirs_makes_no_op_and_keeps_mine(ada: Device, bob: Device) -> None:
    await clash(ada, bob)
    record = await only_conflict(bob)
    assert (await bob.store.resolve(record.id, mine=False)).ops == 0
    assert (await bob.store.counts()).conflicts == 0
    rows = await bob.store._database.fetch("SELECT mine, state FROM conflicts")
    assert rows == [(encode_value("/bob"), "theirs")]


async def test_a_record_is_resolved_once(ada: Device, bob: Device) -> None:
    await clash(ada, bob)
    record = await only_conflict(bob)
    await bob.store.resolve(record.id, mine=False)
    with pytest.raises(ModelError) as caught:
        await bob.store.resolve(record.id, mine=True)
    assert caught.value.code == "conflict.not_found"


async def test_a_record_closes_when_the_confirmed_value_becomes_mine(
    ada: Device, bob: Device
) -> None:
    request = await clash(ada, bob)
    await ada.set(request, url="/bob")
    await settled(ada, bob)
    assert await bob.store.conflicts() == []
    assert bob.received[-1].conflicts == 0


async def test_equal_values_never_clash(ada: Device, bob: Device) -> None:
    _, request = await shared_request(ada, bob)
    bob.disconnect()
    await ada.set(request, url="/same")
    await ada.sync()
    await bob.set(request, url="/same")
    await settled(bob, ada)
    assert await bob.store.conflicts() == []


async def test_other_fields_of_the_change_are_accepted(ada: Device, bob: Device) -> None:
    _, request = await shared_request(ada, bob)
    bob.disconnect()
    await ada.set(request, url="/ada")
    await ada.sync()
    await bob.set(request, url="/bob", body="bob's")
    await settled(bob, ada)
    assert await ada.read(request) == {"name": "List", "url": "/ada", "body": "bob's"}


async def test_a_chain_of_own_edits_ends_in_one_record_with_the_first_base(
    ada: Device, bob: Device
) -> None:
    _, request = await shared_request(ada, bob)
    bob.disconnect()
    await ada.set(request, url="/ada")
    await ada.sync()
    for number in range(3):
        await bob.set(request, url=f"/bob {number}")
    await settled(bob, ada)
    record = await only_conflict(bob)
    assert record.base == encode_value("/old")
    assert record.mine == encode_value("/bob 2")


async def test_a_chain_that_returns_to_what_it_began_with_settles_by_itself(
    ada: Device, bob: Device
) -> None:
    _, request = await shared_request(ada, bob)
    bob.disconnect()
    await ada.set(request, url="/ada")
    await ada.sync()
    await bob.set(request, url="/bob")
    await bob.set(request, url="/old")
    await settled(bob, ada)
    assert await bob.store.conflicts() == []
    assert (await bob.read(request))["url"] == "/ada"


async def test_a_value_that_others_took_back_leaves_room_for_mine(ada: Device, bob: Device) -> None:
    _, request = await shared_request(ada, bob)
    bob.disconnect()
    await ada.set(request, url="/ada")
    await ada.sync()
    await bob.set(request, url="/bob")
    await bob.set(request, url="/bob 2")
    await bob.connect()
    await bob.deliver()
    await bob.push(1)
    await bob.deliver()
    await ada.set(request, url="/old")
    await ada.sync()
    await settled(bob, ada)
    assert await bob.store.conflicts() == []
    assert (await ada.read(request))["url"] == "/bob 2"


async def test_removing_against_an_edit_is_a_clash(ada: Device, bob: Device) -> None:
    _, request = await shared_request(ada, bob)
    bob.disconnect()
    await ada.set(request, url="/ada")
    await ada.sync()
    await bob.edit(Update(request, {"url": REMOVED}))
    await settled(bob, ada)
    record = await only_conflict(bob)
    assert record.mine == REMOVED
    await bob.store.resolve(record.id, mine=True)
    await settled(bob, ada)
    assert await ada.read(request) == {"name": "List"}


async def test_a_delete_of_what_was_changed_can_be_repeated(ada: Device, bob: Device) -> None:
    collection, request = await shared_request(ada, bob)
    bob.disconnect()
    await ada.set(request, url="/ada")
    await ada.sync()
    await bob.edit(Delete(collection))
    await settled(bob, ada)
    record = await only_conflict(bob)
    assert (record.code, record.entity) == ("changed", collection)
    assert (await bob.read(request))["url"] == "/ada"
    await bob.store.resolve(record.id, mine=True)
    await settled(bob, ada)
    assert await ada.names() == []


async def test_a_delete_that_others_made_too_needs_nobody(ada: Device, bob: Device) -> None:
    collection, request = await shared_request(ada, bob)
    bob.disconnect()
    await ada.set(request, url="/ada")
    await ada.sync()
    await bob.edit(Delete(collection))
    await settled(bob, ada)
    await ada.edit(Delete(collection))
    await settled(ada, bob)
    assert await bob.store.conflicts() == []


async def test_a_delete_does_not_overlook_what_an_own_edit_hid(ada: Device, bob: Device) -> None:
    collection, request = await shared_request(ada, bob)
    await bob.set(request, url="/bob")
    await ada.set(request, url="/ada")
    await ada.sync()
    await bob.deliver()  # Ada's value is confirmed here now, hidden by Bob's own
    assert (await bob.read(request))["url"] == "/bob"
    await bob.edit(Delete(collection))
    await settled(bob, ada)
    assert {record.code for record in await bob.store.conflicts()} == {"field", "changed"}
    assert (await ada.read(request))["url"] == "/ada"


async def test_a_move_into_what_is_deleted_can_bring_that_back(ada: Device, bob: Device) -> None:
    collection, request = await shared_request(ada, bob)
    folder = await ada.create(Kind.FOLDER, collection, name="Box")
    await settled(ada, bob)
    bob.disconnect()
    await ada.edit(Delete(folder))
    await ada.sync()
    await bob.edit(Move(request, folder))
    await settled(bob, ada)
    record = await only_conflict(bob)
    assert record.code == "place"
    await bob.store.resolve(record.id, mine=True)
    await settled(bob, ada)
    assert await ada.names(folder) == ["List"]


async def test_what_is_created_in_something_deleted_is_kept_and_can_be_made_again(
    ada: Device, bob: Device
) -> None:
    collection, _ = await shared_request(ada, bob)
    bob.disconnect()
    await ada.edit(Delete(collection))
    await ada.sync()
    folder = await bob.create(Kind.FOLDER, collection, name="Box")
    await bob.create(Kind.REQUEST, folder, name="Inner")
    await settled(bob, ada)
    records = await bob.store.conflicts()
    assert [(each.code, each.path[-1]) for each in records] == [
        ("refused", "Box"),
        ("refused", "Inner"),
    ]
    assert [each.head for each in records] == ["", records[0].id]
    assert (await bob.store.counts()).conflicts == 1
    await bob.store.resolve(records[0].id, mine=True)
    assert await bob.store.conflicts() == []
    await settled(bob, ada)
    assert await ada.names() == ["Shop"]
    assert await ada.names(collection) == ["List", "Box"]
    assert await ada.names(folder) == ["Inner"]


async def test_a_refused_change_can_be_made_again_when_it_is_allowed(
    ada: Device, bob: Device, authority: Authority
) -> None:
    _, request = await shared_request(ada, bob)
    await bob.set(request, url="/bob")
    await bob.connect(role="owner")
    await bob.deliver()
    assert bob.connection is not None
    bob.connection.role = "viewer"  # lost before the push arrived
    await bob.sync()
    record = await only_conflict(bob)
    assert (record.code, record.refusal) == ("refused", "permission.denied")
    bob.connection.role = "owner"
    await bob.store.resolve(record.id, mine=True)
    await settled(bob, ada)
    assert (await ada.read(request))["url"] == "/bob"


async def test_a_viewer_s_edit_is_refused_at_once(ada: Device, bob: Device) -> None:
    _, request = await shared_request(ada, bob)
    await bob.connect(role="viewer")
    await bob.deliver()
    with pytest.raises(ModelError) as caught:
        await bob.set(request, url="/bob")
    assert caught.value.code == "permission.denied"
    assert (await bob.store.counts()).pending == 0
