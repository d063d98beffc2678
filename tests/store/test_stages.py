"""Imports take effect as a whole or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kafkaman_sync.errors import KafkamanError, ModelError
from kafkaman_sync.model.edits import Create, Delete
from kafkaman_sync.model.entities import ROOT, Kind
from kafkaman_sync.model.values import REMOVED
from tests.store.authority import WORKSPACE
from tests.store.devices import Device, values


def id_of(number: int) -> str:
    return f"{number:032x}"


def collection(size: int) -> list[Create]:
    root = Create(id_of(1), Kind.COLLECTION, ROOT, {**values(name="Shop"), "none": REMOVED})
    rest = [
        Create(id_of(number), Kind.REQUEST, id_of(1), values(name=f"{number}"))
        for number in range(2, size + 1)
    ]
    return [root, *rest]


async def test_nothing_is_seen_of_an_import_before_it_is_whole(ada: Device, bob: Device) -> None:
    stage = await ada.store.stage_begin(WORKSPACE)
    creates = collection(1200)
    await ada.store.stage(stage, creates[:700])
    await ada.store.stage(stage, creates[700:])
    assert await ada.names() == []
    assert (await ada.store.counts()).pending == 0
    assert await ada.store.stage_commit(stage) == 1200
    assert (await ada.store.counts()).pending == 1200
    assert await ada.names(id_of(1)) == [str(number) for number in range(2, 1201)]
    await ada.sync()
    await bob.sync()
    assert await bob.names(id_of(1)) == await ada.names(id_of(1))
    assert await ada.store.conflicts() == []


async def test_a_dropped_import_leaves_nothing(ada: Device) -> None:
    stage = await ada.store.stage_begin(WORKSPACE)
    await ada.store.stage(stage, collection(3))
    await ada.store.stage_drop(stage)
    await ada.store.stage_drop(stage)
    assert await ada.names() == []
    for call in (ada.store.stage(stage, []), ada.store.stage_commit(stage)):
        with pytest.raises(ModelError) as caught:
            await call
        assert caught.value.code == "import.unknown"
    assert await ada.store._database.fetch("SELECT * FROM staged") == []


async def test_an_import_that_was_under_way_at_a_stop_leaves_nothing(ada: Device) -> None:
    stage = await ada.store.stage_begin(WORKSPACE)
    await ada.store.stage(stage, collection(3))
    await ada.reopen()
    assert await ada.store._database.fetch("SELECT * FROM staged") == []
    assert await ada.names() == []


async def test_an_import_goes_behind_what_is_there(ada: Device) -> None:
    shop = await ada.create(Kind.COLLECTION, name="first")
    folder = await ada.create(Kind.FOLDER, shop, name="folder")
    stage = await ada.store.stage_begin(WORKSPACE)
    await ada.store.stage(stage, collection(2))
    await ada.store.stage(
        stage,
        [
            Create(id_of(7), Kind.FOLDER, folder, values(name="inner")),
            Create(id_of(8), Kind.REQUEST, id_of(7), values(name="request")),
            Create(id_of(9), Kind.FOLDER, folder, values(name="last")),
        ],
    )
    await ada.store.stage_commit(stage)
    assert await ada.names() == ["first", "Shop"]
    assert await ada.names(folder) == ["inner", "last"]


@pytest.mark.parametrize(
    ("create", "code"),
    [
        (Create("x", Kind.REQUEST, id_of(1)), "entity.exists"),
        (Create(id_of(2), Kind.REQUEST, id_of(1)), "entity.exists"),
        (Create(id_of(9), Kind.REQUEST, id_of(50)), "entity.not_found"),
        (Create(id_of(9), Kind.REQUEST, id_of(9)), "entity.not_found"),
        (Create(id_of(9), Kind.COLLECTION, id_of(1)), "parent.kind"),
        (Create(id_of(9), Kind.REQUEST, id_of(1), {"": b"\x01"}), "limit.field_name"),
    ],
)
async def test_a_create_that_breaks_a_rule_is_refused(
    ada: Device, create: Create, code: str
) -> None:
    stage = await ada.store.stage_begin(WORKSPACE)
    await ada.store.stage(stage, collection(2))
    with pytest.raises(ModelError) as caught:
        await ada.store.stage(stage, [create])
    assert caught.value.code == code


async def test_an_import_is_judged_again_when_it_takes_effect(ada: Device) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    stage = await ada.store.stage_begin(WORKSPACE)
    await ada.store.stage(stage, [Create(id_of(5), Kind.FOLDER, shop, values(name="in"))])
    await ada.edit(Delete(shop))
    with pytest.raises(KafkamanError) as caught:
        await ada.store.stage_commit(stage)
    assert caught.value.code == "entity.not_found"
    again = await ada.store.stage_begin(WORKSPACE)
    await ada.store.stage(again, collection(2))
    await ada.edit(replace(collection(1)[0]))
    with pytest.raises(KafkamanError) as caught:
        await ada.store.stage_commit(again)
    assert caught.value.code == "entity.exists"
    assert (await ada.store.counts()).pending == 3
