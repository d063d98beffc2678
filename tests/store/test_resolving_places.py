"""A person's choice about places, deletions, groups and refusals."""

from __future__ import annotations

from kafkaman_sync.database import Writer
from kafkaman_sync.model.edits import Delete, Move, Restore, Update
from kafkaman_sync.model.entities import ROOT, Kind
from kafkaman_sync.model.limits import ENTITY_BYTES_MAX
from kafkaman_sync.model.values import decode_value, encode_value
from kafkaman_sync.store.conflicts import part_from_lost_heads
from tests.store.devices import Device
from tests.store.disagreeing import (
    apart,
    cycle,
    folders,
    group,
    heads,
    only_conflict,
    refusal,
    settled,
    shared_request,
    url,
)

# Places


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
