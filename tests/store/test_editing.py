"""Edits: durable, whole, visible at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kafkaman_sync.database import Query
from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.changes import Refusal, Verdict
from kafkaman_sync.model.edits import Create, Delete, Move, Update
from kafkaman_sync.model.entities import ROOT, Kind
from kafkaman_sync.model.limits import POSITION_BYTES_SOFT
from kafkaman_sync.model.values import encode_value
from kafkaman_sync.protocol.messages import Verdicts
from kafkaman_sync.protocol.records import decode_change
from kafkaman_sync.store import SCRATCH_PAD, Store, editing, reads
from tests.store.authority import WORKSPACE
from tests.store.devices import Device, values


async def test_an_edit_is_shown_at_once_and_outlives_a_stop(ada: Device) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    assert await ada.names() == ["Shop"]
    await ada.reopen()
    assert await ada.names() == ["Shop"]
    assert (await ada.store.show(None, shop)).pending
    await ada.sync()
    assert not (await ada.store.show(None, shop)).pending


async def test_edits_take_effect_together_or_not_at_all(ada: Device) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    with pytest.raises(ModelError):
        await ada.edit(Update(shop, values(name="other")), Delete("f" * 32))
    assert await ada.names() == ["Shop"]
    assert (await ada.store.counts()).pending == 1


async def test_what_changes_nothing_makes_no_op(ada: Device) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    result = await ada.edit(Update(shop, values(name="Shop")))
    assert (result.ids, result.ops, result.changes) == ([shop], 0, [])
    assert (await ada.edit()).ops == 0


async def test_ops_are_numbered_over_all_edits(ada: Device) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    await ada.sync()
    await asyncio.gather(*(ada.set(shop, **{f"f{number}": number}) for number in range(5)))
    rows = await ada.store.outbox_after(0, changes_max=9, bytes_max=10_000)
    assert [(op, decode_change(data).previous) for op, data in rows] == [
        (2, 0),
        (3, 2),
        (4, 3),
        (5, 4),
        (6, 5),
    ]
    facts = await ada.store.hello()
    assert (facts.confirmed_op, facts.highest_base) == (1, {WORKSPACE: 1})


async def test_the_outbox_is_given_in_portions(ada: Device) -> None:
    for number in range(4):
        await ada.create(Kind.COLLECTION, name="x" * 1000 * number)
    assert await ada.store.outbox_after(4, changes_max=9, bytes_max=9) == []
    assert [op for op, _ in await ada.store.outbox_after(1, changes_max=2, bytes_max=10**6)] == [
        2,
        3,
    ]
    assert [op for op, _ in await ada.store.outbox_after(0, changes_max=9, bytes_max=2000)] == [
        1,
        2,
    ]
    assert [op for op, _ in await ada.store.outbox_after(2, changes_max=9, bytes_max=1)] == [3]


async def test_what_is_let_go_of_stays_in_the_outbox(ada: Device, bob: Device) -> None:
    names = ["a", "b", "c", "d"]
    for name in names:
        await ada.create(Kind.COLLECTION, name=name)
    ada.store.let_go(2)
    await ada.check_books()
    for after in range(5):
        rows = await ada.store.outbox_after(after, changes_max=9, bytes_max=10**6)
        assert [op for op, _ in rows] == list(range(after + 1, 5))
    ada.store.let_go(4)
    await ada.create(Kind.COLLECTION, name="e")
    await ada.sync()
    await bob.sync()
    assert await bob.names() == [*names, "e"]
    assert (await ada.store.counts()).pending == 0


async def test_an_entity_goes_beside_its_sibling(ada: Device, bob: Device) -> None:
    ids = [await ada.create(Kind.COLLECTION, name=name) for name in "abc"]
    await ada.sync()
    await ada.edit(Move(ids[2], before=ids[0]))
    await ada.edit(
        Create("9" * 32, Kind.COLLECTION, ROOT, values(name="d"), after=ids[0]),
    )
    assert await ada.names() == ["c", "a", "d", "b"]
    await ada.sync()
    await bob.sync()
    assert await bob.names() == ["c", "a", "d", "b"]


async def test_one_spot_never_runs_out_of_room(ada: Device) -> None:
    first = await ada.create(Kind.COLLECTION, name="first")
    await ada.create(Kind.COLLECTION, name="last")
    for number in range(150):
        entity = f"{number:032x}"
        await ada.edit(Create(entity, Kind.COLLECTION, ROOT, values(name=str(number)), after=first))
    names = await ada.names()
    assert names == ["first", *map(str, reversed(range(150))), "last"]
    children = await ada.store.children(WORKSPACE, ROOT)
    assert max(len(each.position) for each in children) <= POSITION_BYTES_SOFT


async def test_a_local_store_confirms_at_once_and_queues_nothing(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "pad.db", local=True) as store:
        (pad,) = await store.workspaces()
        assert (pad.id, pad.name, pad.role) == (SCRATCH_PAD, "Scratch Pad", "owner")
        shop, request = "1" * 32, "2" * 32
        await store.edit(
            SCRATCH_PAD,
            [
                Create(shop, Kind.COLLECTION, ROOT, values(name="Shop")),
                Create(request, Kind.REQUEST, shop, values(name="List")),
                Update(request, values(url="/")),
            ],
        )
        await store.edit(SCRATCH_PAD, [Update(request, values(url="/list"))])
        shown = await store.show(None, request)
        assert (shown.fields["url"], shown.pending, shown.version) == (
            encode_value("/list"),
            False,
            4,
        )
        stage = await store.stage_begin(SCRATCH_PAD)
        await store.stage(stage, [Create("3" * 32, Kind.REQUEST, shop, values(name="Staged"))])
        assert await store.stage_commit(stage) == 1
        await store.edit(SCRATCH_PAD, [Delete(request)])
        counts = await store.counts()
        assert (counts.pending, counts.conflicts) == (0, 0)
        (pad,) = await store.workspaces()
        assert (pad.cursor, pad.digest) == (6, (await store.digest_from_rows(SCRATCH_PAD))[1])
    async with Store.open(tmp_path / "pad.db", local=True) as store:
        found = await store.subtree(SCRATCH_PAD, ROOT)
        assert [each.id for each in found] == [shop, "3" * 32]


async def test_a_thousand_edits_of_one_field_are_read_as_one(ada: Device) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop", note="old")
    await ada.sync()
    for number in range(50):
        await ada.set(shop, name=f"Shop {number}")
    await ada.set(shop, name="a", note="b")
    await ada.set(shop, note="c")
    rows = await ada.store._database.fetch("SELECT count(*) FROM outbox WHERE covered_by IS NULL")
    assert rows == [(2,)]
    assert await ada.read(shop) == {"name": "a", "note": "c"}
    assert (await ada.store.counts()).pending == 52
    await ada.sync()
    assert await ada.read(shop) == {"name": "a", "note": "c"}


async def test_what_covered_an_edit_uncovers_it_when_it_goes_first(
    ada: Device, bob: Device
) -> None:
    """An acceptance that waits for its seq outlives the refusal of a later op."""
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    await ada.sync()
    await bob.sync()
    await bob.set(shop, name="first")
    await bob.set(shop, name="second")
    accepted = Verdict(1, seq=9, event=True, accepted=("name",))
    refused = Verdict(2, refusal=Refusal("over.limit", "Too many."))
    await bob.store.receive([Verdicts((accepted, refused))])
    assert await bob.read(shop) == {"name": "first"}


@pytest.mark.parametrize("count", [2, 40])
async def test_however_many_are_edited_at_once_what_hides_them_is_seen(
    ada: Device, count: int
) -> None:
    top = await ada.create(Kind.COLLECTION, name="Shop")
    other = await ada.create(Kind.COLLECTION, name="Other")
    folders = [await ada.create(Kind.FOLDER, top, name=f"{each}") for each in range(count)]
    ids = [await ada.create(Kind.REQUEST, folder, name="old") for folder in folders]
    await ada.sync()
    await ada.edit(*(Update(each, values(name="new")) for each in ids))
    assert [(await ada.read(each))["name"] for each in ids] == ["new"] * count
    await ada.edit(Move(folders[0], other), Delete(top))
    with pytest.raises(ModelError) as caught:
        await ada.edit(*(Update(each, values(name="newer")) for each in ids))
    assert caught.value.code == "entity.deleted"
    assert (await ada.edit(*(Update(ids[0], values(note=each)) for each in "abc"))).ops == 3
    assert await ada.read(ids[0]) == {"name": "new", "note": "c"}


@pytest.mark.parametrize("query", [editing.CHAIN, editing.NAMED])
async def test_an_edit_never_scans_a_whole_table(ada: Device, query: str) -> None:
    parameters = ("[]", 1, WORKSPACE, "[]")
    plan = await ada.store._database.fetch("EXPLAIN QUERY PLAN " + query, parameters)
    steps = [row[3] for row in plan]
    assert [step for step in steps if step.startswith("SCAN") and "chain" not in step] == [
        step for step in steps if "VIRTUAL TABLE" in step
    ]
    shown = "(entity=? AND covered_by=?)"
    assert [step for step in steps if "SEARCH outbox" in step and shown not in step] == []


@pytest.mark.parametrize("query", reads.showing(WORKSPACE, "0" * 32)[1:])
async def test_showing_an_entity_never_scans_a_whole_table(ada: Device, query: Query) -> None:
    plan = await ada.store._database.fetch("EXPLAIN QUERY PLAN " + query[0], query[1])
    steps = [row[3] for row in plan]
    assert [step for step in steps if step.startswith("SCAN") and "chain" not in step] == [
        step for step in steps if "json_each" in step
    ]
