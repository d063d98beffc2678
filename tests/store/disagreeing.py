"""What two devices disagree about, and how a test looks at it."""

from __future__ import annotations

from typing import Any

import pytest

from kafkaman_sync.errors import ModelError, UsageError
from kafkaman_sync.model.edits import Delete, Edit, Move, Update
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.values import encode_value
from kafkaman_sync.store import ConflictRecord
from tests.store.devices import Device


async def shared_request(ada: Device, bob: Device) -> tuple[str, str]:
    """Return a collection and a request in it that both devices hold."""
    collection = await ada.create(Kind.COLLECTION, name="Shop")
    request = await ada.create(Kind.REQUEST, collection, name="List", url="/old")
    await settled(ada, bob)
    return collection, request


async def settled(*devices: Device) -> None:
    for _ in range(2):
        for device in devices:
            await device.sync()


async def only_conflict(device: Device) -> ConflictRecord:
    (record,) = await device.store.conflicts()
    return record


async def clash(ada: Device, bob: Device) -> str:
    """Let both write one field while apart; Ada's arrives first. Return the request."""
    _, request = await shared_request(ada, bob)
    bob.disconnect()
    await ada.set(request, url="/ada")
    await ada.sync()
    await bob.set(request, url="/bob")
    await settled(bob, ada)
    return request


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
