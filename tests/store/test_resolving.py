"""A person's choice about a conflict of values, each way."""

from __future__ import annotations

import pytest

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.edits import Edit, Update
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.values import encode_value
from kafkaman_sync.store.facts import TheirWriter
from tests.store.devices import Device
from tests.store.disagreeing import (
    apart,
    clash,
    only_conflict,
    refusal,
    settled,
    shared_request,
    states,
    url,
)

# Values


async def test_another_value_takes_the_place_of_both(ada: Device, bob: Device) -> None:
    request = await clash(ada, bob)
    record = await only_conflict(bob)
    await bob.store.resolve(record.id, mine=True, value=encode_value("/both"))
    await settled(bob, ada)
    assert (await ada.read(request))["url"] == "/both"
    assert await states(bob) == ["value"]


async def test_a_record_is_found_by_the_beginning_of_its_id(ada: Device, bob: Device) -> None:
    await clash(ada, bob)
    record = await only_conflict(bob)
    await bob.store.resolve(record.id[:6], mine=False)
    assert (await bob.store.standing(record.id[:6])).record.state == "theirs"
    for wrong in ("", "%", record.id[:-1] + "g", record.id + "0"):
        with pytest.raises(ModelError) as caught:
            await bob.store.standing(wrong)
        assert caught.value.code == "conflict.not_found"


async def test_a_prefix_of_two_records_is_ambiguous(ada: Device, bob: Device) -> None:
    _, request = await shared_request(ada, bob)
    names = [f"field{number}" for number in range(17)]  # one of 16 digits comes first twice

    def edit(value: str) -> Edit:
        return Update(request, {name: encode_value(f"{name} {value}") for name in names})

    await ada.edit(edit("old"))
    await settled(ada, bob)
    await apart(ada, bob, [edit("ada")], [edit("bob")])
    ids = [each.id for each in await bob.store.conflicts()]
    (first, *_) = [each[0] for each in ids if sum(each[0] == other[0] for other in ids) > 1]
    with pytest.raises(ModelError) as caught:
        await bob.store.resolve(first, mine=True)
    assert caught.value.code == "conflict.ambiguous"
    assert set(caught.value.details["candidates"]) <= set(ids)


async def test_both_puts_a_copy_with_mine_beside_the_entity(ada: Device, bob: Device) -> None:
    request = await clash(ada, bob)
    collection = (await bob.store.show(None, request)).parent
    await bob.create(Kind.REQUEST, collection, name="Last")
    await bob.store.resolve((await only_conflict(bob)).id, mine=True, both=True)
    await settled(bob, ada)
    assert await ada.names(collection) == ["List", "List (mine)", "Last"]
    copy = (await ada.store.children(ada.authority.workspace, collection))[1]
    assert await ada.read(copy.id) == {"name": "List (mine)", "url": "/bob"}
    assert (await ada.read(request))["url"] == "/ada"


async def test_both_names_are_the_names_of_two_entities(ada: Device, bob: Device) -> None:
    collection, _ = await shared_request(ada, bob)
    theirs, mine = (Update(collection, {"name": encode_value(name)}) for name in ("Ada's", "Bob's"))
    await apart(ada, bob, [theirs], [mine])
    await bob.store.resolve((await only_conflict(bob)).id, mine=True, both=True)
    assert await bob.names() == ["Ada's", "Bob's"]


async def test_both_of_a_variable_is_refused(ada: Device, bob: Device) -> None:
    variable = await ada.create(Kind.GLOBAL_VARIABLE, key="host", value="old")
    await settled(ada, bob)
    theirs, mine = (Update(variable, {"value": encode_value(name)}) for name in ("ada", "bob"))
    await apart(ada, bob, [theirs], [mine])
    record = await only_conflict(bob)
    assert await refusal(bob, record, mine=True, both=True) == "conflict.not_both"


async def test_both_is_one_value_where_the_field_has_room(ada: Device, bob: Device) -> None:
    collection, request = await shared_request(ada, bob)

    def header(value: str) -> Edit:
        return Update(request, {"header": encode_value([{"key": "Accept", "value": value}])})

    await ada.edit(header("old"))
    await settled(ada, bob)
    await apart(ada, bob, [header("ada")], [header("bob")])
    await bob.store.resolve((await only_conflict(bob)).id, mine=True, both=True)
    await settled(bob, ada)
    found = (await ada.read(request))["header"]
    assert [each["value"] for each in found] == ["ada", "bob"]
    assert await ada.names(collection) == ["List"]


# What the person saw


async def test_a_choice_is_refused_when_theirs_is_newer_than_what_was_seen(
    ada: Device, bob: Device
) -> None:
    request = await clash(ada, bob)
    record = await only_conflict(bob)
    seen = (await bob.store.standing(record.id)).version
    await ada.set(request, url="/newer")
    await settled(ada, bob)
    value = encode_value("/mine after all")
    for choice in ({}, {"value": value}, {"both": True}):
        assert await refusal(bob, record, mine=True, version=seen, **choice) == "conflict.changed"
    now = (await bob.store.standing(record.id)).version
    assert now > seen
    await bob.store.resolve(record.id, mine=True, version=now)


async def test_theirs_may_be_chosen_whatever_was_seen(ada: Device, bob: Device) -> None:
    await clash(ada, bob)
    await bob.store.resolve((await only_conflict(bob)).id, mine=False, version=0)


async def test_writing_the_same_value_again_is_no_change_of_theirs(
    ada: Device, bob: Device
) -> None:
    request = await clash(ada, bob)
    before = await bob.store.standing((await only_conflict(bob)).id)
    await ada.edit(url(request, "/x"), url(request, "/ada"))
    await settled(ada, bob)
    after = await bob.store.standing(before.record.id)
    assert (after.version, after.record.theirs) == (before.version, before.record.theirs)


async def test_who_wrote_theirs_is_kept(ada: Device, bob: Device) -> None:
    await clash(ada, bob)
    record = await only_conflict(bob)
    written = TheirWriter(
        record.theirs_version, "ada", ada.device, "Ada's \ud800", 1_700_000_000_000
    )
    await bob.store.note_writer(record.id, written)
    assert (await only_conflict(bob)).writer == written


async def test_a_record_knows_when_the_own_edit_was_made(ada: Device, bob: Device) -> None:
    await bob.close()
    bob.clock = lambda: 1_700_000_000.25
    await bob.open()
    await clash(ada, bob)
    assert (await only_conflict(bob)).at == 1_700_000_000_250
