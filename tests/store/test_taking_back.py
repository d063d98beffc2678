"""A resolution can be taken back until the server has answered it."""

from __future__ import annotations

import pytest

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.edits import Delete
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.values import encode_value
from kafkaman_sync.protocol.records import decode_change
from tests.store.authority import Authority
from tests.store.devices import Device
from tests.store.disagreeing import (
    apart,
    clash,
    cycle,
    group,
    only_conflict,
    settled,
    shared_request,
    url,
)


async def test_a_resolution_that_waits_can_be_taken_back(ada: Device, bob: Device) -> None:
    request = await clash(ada, bob)
    record = await only_conflict(bob)
    bob.disconnect()
    await bob.store.resolve(record.id, mine=True)
    assert (await bob.read(request))["url"] == "/bob"
    waiting = await bob.store.outbox_after(0, changes_max=9, bytes_max=1 << 20)
    await bob.store.reopen(record.id)
    assert (await bob.read(request))["url"] == "/ada"
    assert await only_conflict(bob) == record
    # What has a number stays as it is, and where it is.
    assert (await bob.store.outbox_after(0, changes_max=1, bytes_max=1 << 20)) == waiting
    await settled(bob, ada)
    assert (await ada.read(request))["url"] == (await bob.read(request))["url"] == "/ada"
    assert (await only_conflict(bob)).id == record.id
    await bob.store.resolve(record.id, mine=True)
    await settled(bob, ada)
    assert (await ada.read(request))["url"] == "/bob"


async def test_taking_back_inherits_the_base_and_yields_to_newer_values(
    ada: Device, bob: Device
) -> None:
    request = await clash(ada, bob)
    record = await only_conflict(bob)
    bob.disconnect()
    await bob.store.resolve(record.id, mine=True)
    await bob.store.reopen(record.id)
    changes = [
        decode_change(data)
        for _, data in await bob.store.outbox_after(0, changes_max=9, bytes_max=1 << 20)
    ]
    one, two = (change.fields["url"] for change in changes)
    assert one.base == two.base
    await ada.set(request, url="/newest")
    await settled(ada, bob)
    assert (await ada.read(request))["url"] == (await bob.read(request))["url"] == "/newest"
    assert (await only_conflict(bob)).theirs == encode_value("/newest")


async def test_what_was_edited_before_a_resolution_comes_back(ada: Device, bob: Device) -> None:
    request = await clash(ada, bob)
    record = await only_conflict(bob)
    bob.disconnect()
    await bob.set(request, url="/later")
    await bob.store.resolve(record.id, mine=True)
    assert (await bob.read(request))["url"] == "/bob"
    await bob.store.reopen(record.id)
    assert (await bob.read(request))["url"] == "/later"
    await settled(bob, ada)
    assert (await ada.read(request))["url"] == "/later"


async def test_theirs_can_be_taken_back_at_any_time(ada: Device, bob: Device) -> None:
    request = await clash(ada, bob)
    record = await only_conflict(bob)
    await bob.store.resolve(record.id, mine=False)
    await ada.set(request, url="/newer")
    await settled(ada, bob)
    await bob.store.reopen(record.id)
    assert (await only_conflict(bob)).theirs == encode_value("/newer")


async def test_what_the_server_has_decided_cannot_be_taken_back(ada: Device, bob: Device) -> None:
    await clash(ada, bob)
    record = await only_conflict(bob)
    await bob.store.resolve(record.id, mine=True)
    await settled(bob, ada)
    with pytest.raises(ModelError) as caught:
        await bob.store.reopen(record.id)
    assert caught.value.code == "conflict.synced"
    assert "revert" in caught.value.hint


async def test_only_a_resolution_of_a_person_can_be_taken_back(ada: Device, bob: Device) -> None:
    request = await clash(ada, bob)
    record = await only_conflict(bob)
    with pytest.raises(ModelError) as caught:
        await bob.store.reopen(record.id)
    assert caught.value.code == "conflict.open"
    await ada.set(request, url="/bob")
    await settled(ada, bob)
    with pytest.raises(ModelError) as caught:
        await bob.store.reopen(record.id)
    assert caught.value.code == "conflict.equal"


async def test_later_edits_are_not_taken_back(ada: Device, bob: Device) -> None:
    request = await clash(ada, bob)
    record = await only_conflict(bob)
    bob.disconnect()
    await bob.store.resolve(record.id, mine=True)
    await bob.set(request, body="other")
    await bob.store.reopen(record.id)
    await bob.store.resolve(record.id, mine=True)
    await bob.set(request, url="/later")
    with pytest.raises(ModelError) as caught:
        await bob.store.reopen(record.id)
    assert caught.value.code == "conflict.edited_since"
    assert await bob.read(request) == {"name": "List", "url": "/later", "body": "other"}


async def test_a_resolution_can_be_taken_back_after_new_op_numbers(
    ada: Device, bob: Device
) -> None:
    request = await clash(ada, bob)
    record = await only_conflict(bob)
    bob.disconnect()
    await bob.store.resolve(record.id, mine=True)
    await bob.store.register("3" * 32, "another token")
    await bob.store.reopen(record.id)
    assert (await bob.read(request))["url"] == "/ada"


async def test_a_deletion_made_again_can_be_taken_back(ada: Device, bob: Device) -> None:
    collection, request = await shared_request(ada, bob)
    await apart(ada, bob, [url(request, "/ada")], [Delete(collection)])
    record = await only_conflict(bob)
    bob.disconnect()
    await bob.store.resolve(record.id, mine=True)
    assert await bob.names() == []
    await bob.store.reopen(record.id)
    await settled(bob, ada)
    assert await ada.names() == await bob.names() == ["Shop"]
    assert (await only_conflict(bob)).id == record.id


async def test_moves_made_again_can_be_taken_back(ada: Device, bob: Device) -> None:
    collection, _, two = await cycle(ada, bob)
    record = await only_conflict(bob)
    bob.disconnect()
    await bob.store.resolve(record.id, mine=True)
    await bob.store.reopen(record.id)
    await settled(bob, ada)
    assert await ada.names(collection) == ["Two"]
    assert await ada.names(two) == ["One"]


async def test_a_group_made_again_can_be_taken_back_and_made_once_more(
    ada: Device, bob: Device
) -> None:
    collection, folder, inner = await group(ada, bob)
    (standing,) = await bob.store.standings()
    bob.disconnect()
    await bob.store.resolve(standing.record.id, mine=True)
    assert await bob.names(folder) == ["Inner"]
    await bob.store.reopen(standing.record.id)
    await settled(bob, ada)
    assert await ada.names() == await bob.names() == []
    await bob.store.resolve(standing.record.id, mine=True)
    await settled(bob, ada)
    assert await ada.names(collection) == ["List", "Box"]
    assert await ada.read(inner) == {"name": "Inner", "url": "/2"}


async def test_a_change_built_on_what_a_resolution_made_keeps_it(
    ada: Device, bob: Device, authority: Authority
) -> None:
    _, folder, _ = await group(ada, bob)
    (standing,) = await bob.store.standings()
    bob.disconnect()
    await bob.store.resolve(standing.record.id, mine=True)
    await bob.create(Kind.REQUEST, folder, name="New")
    with pytest.raises(ModelError) as caught:
        await bob.store.reopen(standing.record.id)
    assert caught.value.code == "conflict.edited_since"
