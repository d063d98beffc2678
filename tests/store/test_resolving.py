"""A person's choice about a conflict: every kind, each way, and taking it back."""

from __future__ import annotations

from typing import Any

import pytest

from kafkaman_sync.database import Writer
from kafkaman_sync.errors import ModelError, UsageError
from kafkaman_sync.model.edits import Delete, Edit, Move, Restore, Update
from kafkaman_sync.model.entities import ROOT, Kind
from kafkaman_sync.model.limits import ENTITY_BYTES_MAX
from kafkaman_sync.model.values import decode_value, encode_value
from kafkaman_sync.protocol.records import decode_change
from kafkaman_sync.store import ConflictRecord
from kafkaman_sync.store.conflicts import part_from_lost_heads
from kafkaman_sync.store.facts import TheirWriter
from tests.store.authority import Authority
from tests.store.devices import Device
from tests.store.test_conflicts import clash, only_conflict, settled, shared_request


async def apart(ada: Device, bob: Device, theirs: list[Edit], mine: list[Edit]) -> None:
    """Let Ada's edits reach the server before those that Bob made offline."""
    bob.disconnect()
    for edit in theirs:
        await ada.edit(edit)
    await ada.sync()
    for edit in mine:
        await bob.edit(edit)
    await settled(bob, ada)


def url(entity: str, value: str) -> Update:
    return Update(entity, {"url": encode_value(value)})


async def refusal(device: Device, record: ConflictRecord, **choice: Any) -> str:
    """Return the code of the error with which a choice is refused; the record stays open."""
    with pytest.raises((ModelError, UsageError)) as caught:
        await device.store.resolve(record.id, **choice)
    assert caught.value.hint
    assert record.id in {each.id for each in await device.store.conflicts()}
    return caught.value.code


async def states(device: Device) -> list[str]:
    rows = await device.store._database.fetch("SELECT state FROM conflicts ORDER BY op")
    return [row[0] for row in rows]


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


# Places


async def folders(ada: Device, bob: Device) -> tuple[str, str, str]:
    """Return a collection, and two folders in it that both devices hold."""
    collection = await ada.create(Kind.COLLECTION, name="Shop")
    one = await ada.create(Kind.FOLDER, collection, name="One")
    two = await ada.create(Kind.FOLDER, collection, name="Two")
    await settled(ada, bob)
    return collection, one, two


async def cycle(ada: Device, bob: Device) -> tuple[str, str, str]:
    """Let each device move a folder into the other one; Ada's One lies in Two."""
    collection, one, two = await folders(ada, bob)
    await apart(ada, bob, [Move(one, two)], [Move(two, one)])
    return collection, one, two


async def test_a_move_against_a_move_can_be_made_the_other_way_round(
    ada: Device, bob: Device
) -> None:
    collection, one, two = await cycle(ada, bob)
    record = await only_conflict(bob)
    assert (record.refusal, record.entity) == ("move.cycle", two)
    standing = await bob.store.standing(record.id)
    assert standing.obstacle is not None
    assert (standing.obstacle.id, standing.obstacle.name) == (one, "One")
    assert standing.target == standing.obstacle
    await bob.store.resolve(record.id, mine=True)
    await settled(bob, ada)
    assert await ada.names(collection) == ["One"]
    assert await ada.names(one) == ["Two"]


async def test_a_move_against_a_move_can_stay_as_theirs_or_go_elsewhere(
    ada: Device, bob: Device
) -> None:
    _, _, two = await cycle(ada, bob)
    other = await bob.create(Kind.COLLECTION, name="Other")
    await bob.store.resolve((await only_conflict(bob)).id, mine=True, parent=other)
    await settled(bob, ada)
    assert await ada.names(other) == ["Two"]
    assert await ada.names(two) == ["One"]


async def test_a_move_out_of_something_deleted_can_bring_it_back(ada: Device, bob: Device) -> None:
    collection, one, two = await folders(ada, bob)
    inner = await ada.create(Kind.REQUEST, one, name="Inner")
    await settled(ada, bob)
    await apart(ada, bob, [Delete(one)], [Move(inner, two)])
    record = await only_conflict(bob)
    assert record.code == "place"
    standing = await bob.store.standing(record.id)
    assert standing.obstacle is not None
    assert standing.obstacle.id == one
    await bob.store.resolve(record.id, mine=True, parent=two)
    await settled(bob, ada)
    assert await ada.names(two) == ["Inner"]
    assert await ada.names(collection) == ["Two"]


async def test_a_restore_into_something_deleted_can_go_elsewhere(ada: Device, bob: Device) -> None:
    collection, one, two = await folders(ada, bob)
    inner = await ada.create(Kind.REQUEST, one, name="Inner")
    await ada.edit(Delete(inner))
    await settled(ada, bob)
    await apart(ada, bob, [Delete(one)], [Restore(inner)])
    record = await only_conflict(bob)
    standing = await bob.store.standing(record.id)
    assert standing.obstacle is not None
    assert (record.code, standing.obstacle.id) == ("place", one)
    await bob.store.resolve(record.id, mine=True, parent=two)
    await settled(bob, ada)
    assert await ada.names(two) == ["Inner"]
    assert await ada.names(collection) == ["Two"]


async def test_an_edit_of_what_is_deleted_can_go_elsewhere(ada: Device, bob: Device) -> None:
    collection, one, two = await folders(ada, bob)
    inner = await ada.create(Kind.REQUEST, one, name="Inner", url="/old")
    await settled(ada, bob)
    await apart(ada, bob, [Delete(one)], [url(inner, "/bob")])
    record = await only_conflict(bob)
    assert await refusal(bob, record, mine=True, parent="f" * 32) == "conflict.parent_gone"
    await bob.store.resolve(record.id, mine=True, parent=two, value=encode_value("/new"))
    await settled(bob, ada)
    assert await ada.read(inner) == {"name": "Inner", "url": "/new"}
    assert await ada.names(two) == ["Inner"]
    assert await ada.names(collection) == ["Two"]


async def test_a_place_says_nothing_about_values_and_deletions(ada: Device, bob: Device) -> None:
    collection, one, two = await folders(ada, bob)
    await apart(
        ada,
        bob,
        [Update(one, {"name": encode_value("1")}), Update(two, {"name": encode_value("2")})],
        [Update(one, {"name": encode_value("I")}), Delete(two)],
    )
    for record in await bob.store.conflicts():
        assert await refusal(bob, record, mine=True, parent=collection) == "conflict.no_place"


async def test_no_value_can_be_given_where_there_is_no_field(ada: Device, bob: Device) -> None:
    await cycle(ada, bob)
    record = await only_conflict(bob)
    value = encode_value("x")
    assert await refusal(bob, record, mine=True, value=value) == "conflict.no_field"
    assert await refusal(bob, record, mine=True, both=True) == "conflict.not_both"


# Deletions


async def test_what_others_wrote_below_a_deletion_is_told(ada: Device, bob: Device) -> None:
    collection, request = await shared_request(ada, bob)
    await apart(ada, bob, [url(request, "/ada")], [Delete(collection)])
    record = await only_conflict(bob)
    standing = await bob.store.standing(record.id)
    (foreign,) = standing.foreign
    assert foreign.path == ("Shop", "List")
    assert {name: decode_value(data) for name, data in foreign.fields.items()} == {"url": "/ada"}
    assert standing.version == standing.seq == foreign.seq
    await ada.set(request, url="/again")
    await settled(ada, bob)
    code = await refusal(bob, record, mine=True, version=standing.version)
    assert code == "conflict.changed"
    await bob.store.resolve(record.id, mine=False)
    assert await bob.names() == ["Shop"]


async def test_leaving_it_deleted_drops_the_own_edit_of_it(ada: Device, bob: Device) -> None:
    collection, request = await shared_request(ada, bob)
    await apart(ada, bob, [Delete(request)], [url(request, "/bob")])
    record = await only_conflict(bob)
    assert record.code == "deleted"
    await bob.store.resolve(record.id, mine=False)
    await settled(bob, ada)
    assert await ada.names(collection) == []


# Groups


async def group(ada: Device, bob: Device) -> tuple[str, str, str]:
    """Let Bob build a folder with a request in a collection that Ada deletes meanwhile."""
    collection, _ = await shared_request(ada, bob)
    bob.disconnect()
    await ada.edit(Delete(collection))
    await ada.sync()
    folder = await bob.create(Kind.FOLDER, collection, name="Box")
    inner = await bob.create(Kind.REQUEST, folder, name="Inner", url="/1")
    await bob.set(inner, url="/2")
    await settled(bob, ada)
    return collection, folder, inner


async def heads(device: Device) -> list[str]:
    return [each.record.name for each in await device.store.standings()]


async def test_what_depends_on_a_refused_create_is_one_group(ada: Device, bob: Device) -> None:
    collection, folder, inner = await group(ada, bob)
    assert await heads(bob) == ["Box"]
    (standing,) = await bob.store.standings()
    assert [each.entity for each in standing.group] == [inner, inner]
    assert standing.obstacle is not None
    assert standing.obstacle.id == collection
    assert (await bob.store.counts()).conflicts == 1
    assert bob.received[-1].conflicts == 1
    member = standing.group[0]
    assert await refusal(bob, member, mine=True) == "conflict.in_group"
    assert (await bob.store.standing(member.id)).record.id == standing.record.id
    await bob.store.resolve(standing.record.id, mine=True)
    await settled(bob, ada)
    assert await ada.names(collection) == ["List", "Box"]
    assert await ada.read(inner) == {"name": "Inner", "url": "/2"}
    assert (await ada.store.show(None, inner)).parent == folder


async def test_a_group_can_be_put_elsewhere(ada: Device, bob: Device) -> None:
    _, folder, _ = await group(ada, bob)
    other = await bob.create(Kind.COLLECTION, name="Other")
    (standing,) = await bob.store.standings()
    await bob.store.resolve(standing.record.id, mine=True, parent=other)
    await settled(bob, ada)
    assert await ada.names() == ["Other"]
    assert await ada.names(other) == ["Box"]
    assert await ada.names(folder) == ["Inner"]


async def test_a_group_can_be_dropped_and_taken_up_again(ada: Device, bob: Device) -> None:
    await group(ada, bob)
    (standing,) = await bob.store.standings()
    await bob.store.resolve(standing.record.id, mine=False)
    assert await bob.store.conflicts() == []
    assert [each.record.id for each in await bob.store.standings(resolved=True)] == [
        standing.record.id
    ]
    await bob.store.reopen(standing.group[0].id)
    assert len(await bob.store.conflicts()) == 3
    assert await heads(bob) == ["Box"]


async def test_a_group_that_grows_over_several_batches_stays_one(ada: Device, bob: Device) -> None:
    collection, _ = await shared_request(ada, bob)
    bob.disconnect()
    await ada.edit(Delete(collection))
    await ada.sync()
    folder = await bob.create(Kind.FOLDER, collection, name="Box")
    for number in range(3):
        await bob.create(Kind.REQUEST, folder, name=f"{number}")
    stray = await bob.create(Kind.COLLECTION, name="Stray")
    strayed = await bob.create(Kind.FOLDER, stray, name="Strayed")
    await bob.edit(Move(strayed, folder))
    await bob.connect()
    await bob.deliver()
    while await bob.push(1):
        await bob.deliver()
    assert await heads(bob) == ["Box"]
    assert len(await bob.store.conflicts()) == 5
    (standing,) = await bob.store.standings()
    await bob.store.resolve(standing.record.id, mine=True)
    await settled(bob, ada)
    assert await ada.names(folder) == ["0", "1", "2", "Strayed"]


async def test_a_group_without_its_parent_needs_another_one(ada: Device, bob: Device) -> None:
    collection, _, _ = await group(ada, bob)
    (standing,) = await bob.store.standings()
    await bob.store._database.transact(
        lambda writer: writer.run("DELETE FROM entities WHERE id = ?", (collection,))
    )
    bob.store._books._forget()
    assert await refusal(bob, standing.record, mine=True) == "conflict.parent_gone"
    assert await refusal(bob, standing.record, mine=True, parent=ROOT) == "parent.kind"


async def test_all_that_was_done_to_something_refused_is_done_again(
    ada: Device, bob: Device
) -> None:
    collection, _ = await shared_request(ada, bob)
    gone = await ada.create(Kind.COLLECTION, name="Gone")
    await settled(ada, bob)
    bob.disconnect()
    one = await bob.create(Kind.FOLDER, collection, name="One")
    two = await bob.create(Kind.FOLDER, collection, name="Two")
    inner = await bob.create(Kind.REQUEST, one, name="Inner")
    for edit in (Delete(inner), Restore(inner), Move(inner, two), Move(one, two), Move(one, gone)):
        await bob.edit(edit)
    brief = await bob.create(Kind.REQUEST, one, name="Brief")
    await bob.edit(Delete(brief))
    await bob.connect()
    await bob.deliver()
    assert bob.connection is not None
    bob.connection.role = "viewer"
    await bob.sync()
    await bob.connect()
    await bob.deliver()
    assert await heads(bob) == ["One", "Two"]
    await ada.edit(Delete(gone))
    await settled(ada, bob)
    for standing in reversed(await bob.store.standings()):
        await bob.store.resolve(standing.record.id, mine=True)
    await settled(bob, ada)
    assert await ada.names() == await bob.names() == ["Shop", "Gone"]
    assert await ada.names(gone) == ["One"]
    assert await ada.names(one) == []
    assert await ada.names(two) == ["Inner"]


async def test_what_lost_its_head_to_damage_stands_for_itself(ada: Device, bob: Device) -> None:
    await group(ada, bob)
    (standing,) = await bob.store.standings()

    async def damage(writer: Writer) -> None:
        await writer.run("DELETE FROM conflicts WHERE id = ?", (standing.record.id,))
        await part_from_lost_heads(writer)

    await bob.store._books.transact(damage)
    assert await heads(bob) == ["Inner", "Inner"]
    assert (await bob.store.counts()).conflicts == 2
    other = await bob.create(Kind.COLLECTION, name="Other")
    for each in await bob.store.standings():
        parent = other if each.record.change.place else None
        await bob.store.resolve(each.record.id, mine=True, parent=parent)
    await settled(bob, ada)
    assert await ada.names(other) == ["Inner"]


# Refusals


async def test_a_chain_of_refused_edits_is_one_record(ada: Device, bob: Device) -> None:
    _, request = await shared_request(ada, bob)
    bob.disconnect()
    await bob.set(request, url="/1", body="x")
    await bob.set(request, url="/2")
    await bob.connect()
    await bob.deliver()
    assert bob.connection is not None
    bob.connection.role = "viewer"
    await bob.sync()
    one, two = await bob.store.conflicts()
    assert (set(one.change.fields), set(two.change.fields)) == ({"body"}, {"url"})
    assert two.seen["url"] == encode_value("/old")
    assert (await bob.read(request)) == {"name": "List", "url": "/old"}
    await bob.connect(role="viewer")
    await bob.deliver()
    assert await refusal(bob, one, mine=True) == "permission.denied"


async def test_what_is_over_a_limit_can_be_made_smaller(ada: Device, bob: Device) -> None:
    _, request = await shared_request(ada, bob)
    half = encode_value("x" * (ENTITY_BYTES_MAX // 2 - 1000))
    await apart(
        ada, bob, [Update(request, {"a": half})], [Update(request, {"b": half, "c": half[:2000]})]
    )
    (record,) = await bob.store.conflicts()
    assert record.refusal == "limit.entity"
    assert await refusal(bob, record, mine=True) == "limit.entity"
    await bob.store.resolve(record.id, mine=False)


# Taking it back


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
