"""Devices that were apart merge what is inside a field, and nobody is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.values import Value
from tests.store.authority import WORKSPACE, Authority
from tests.store.devices import Device, devices


def headers(*names: str) -> Value:
    return [{"key": name, "value": name.lower()} for name in names]


def names(request: dict[str, Any]) -> list[str]:
    return [header["key"] for header in request["header"]]


async def settled(*group: Device) -> None:
    for _ in range(len(group)):
        for device in group:
            await device.sync()


async def shared_request(*group: Device, **fields: Value) -> str:
    """Return a request that all devices hold; then they are apart."""
    await settled(*group)
    collection = await group[0].create(Kind.COLLECTION, name="Shop")
    request = await group[0].create(Kind.REQUEST, collection, name="List", **fields)
    await settled(*group)
    for device in group:
        device.disconnect()
    return request


async def stored(device: Device, request: str) -> bytes:
    shown = await device.store.show(WORKSPACE, request)
    return shown.fields["header"]


async def apart(folder: Path, *, first: int) -> bytes:
    """Let two devices add headers to one request while apart; return what both end with."""
    folder.mkdir()
    async with devices(folder, Authority()) as pair:
        request = await shared_request(*pair, header=headers("Accept"))
        await pair[0].set(request, header=headers("Accept", "X-Ada"))
        await pair[1].set(request, header=headers("X-Bob", "Accept"))
        await settled(pair[first], pair[1 - first])
        for device in pair:
            assert await device.store.conflicts() == []
            assert (await device.store.counts()).pending == 0
        one, other = [await stored(device, request) for device in pair]
        assert one == other
        assert names(await pair[0].read(request)) == ["X-Bob", "Accept", "X-Ada"]
        return one


async def test_different_headers_added_offline_are_both_there_whoever_returns_first(
    tmp_path: Path,
) -> None:
    results = [await apart(tmp_path / str(first), first=first) for first in (0, 1)]
    assert results[0] == results[1]


async def test_the_first_headers_of_a_request_merge_too(ada: Device, bob: Device) -> None:
    request = await shared_request(ada, bob, url="/list")
    await ada.set(request, header=headers("X-Ada"))
    await bob.set(request, header=headers("X-Bob"))
    await settled(ada, bob)
    assert names(await ada.read(request)) == names(await bob.read(request)) == ["X-Ada", "X-Bob"]


async def test_a_chain_of_edits_merges_from_where_it_began(ada: Device, bob: Device) -> None:
    request = await shared_request(ada, bob, header=headers("Accept", "Old"))
    await ada.set(request, header=headers("Accept", "Old", "X-Ada"))
    await ada.sync()
    await bob.set(request, header=headers("Accept", "Old", "X-Bob"))
    await bob.set(request, header=headers("Accept", "X-Bob"))
    await bob.set(request, header=headers("Accept", "X-Bob", "Y-Bob"))
    await settled(bob, ada)
    for device in (ada, bob):
        assert names(await device.read(request)) == ["Accept", "X-Ada", "X-Bob", "Y-Bob"]
        assert await device.store.conflicts() == []


async def test_an_accepted_link_is_the_merge_base_of_the_next(ada: Device, bob: Device) -> None:
    request = await shared_request(ada, bob, header=headers("Accept"))
    await bob.set(request, header=headers("Accept", "Draft"))
    await bob.set(request, header=headers("Accept", "Final"))
    await bob.connect()
    await bob.deliver()
    # The first link is accepted, and Ada builds on it before the second is sent.
    assert await bob.push(1) == 1
    await ada.sync()
    await ada.set(request, header=headers("Accept", "Draft", "X-Ada"))
    await ada.sync()
    await settled(bob, ada)
    # From the very beginning it would look as if both had added "Draft", and it would stay.
    for device in (ada, bob):
        assert names(await device.read(request)) == ["Accept", "Final", "X-Ada"]
        assert await device.store.conflicts() == []


@pytest.mark.parametrize("reopened", [False, True])
async def test_a_chain_that_is_interrupted_merges_as_well(
    ada: Device, bob: Device, reopened: bool
) -> None:
    request = await shared_request(ada, bob, header=headers("Accept"))
    await ada.set(request, header=headers("X-Ada", "Accept"))
    await ada.sync()
    await bob.set(request, header=headers("Accept", "Draft"))
    await bob.set(request, header=headers("Accept", "Final"))
    await bob.connect()
    await bob.deliver()
    # The verdict on the first link arrives, then the connection or the whole device is gone.
    assert await bob.push(1) == 1
    await bob.deliver()
    if reopened:
        await bob.reopen()
    bob.disconnect()
    await settled(bob, ada)
    for device in (ada, bob):
        assert names(await device.read(request)) == ["X-Ada", "Accept", "Final"]
        assert await device.store.conflicts() == []


async def test_three_devices_merge_in_any_order(tmp_path: Path) -> None:
    found = set()
    for number, order in enumerate([(0, 1, 2), (2, 1, 0), (1, 2, 0)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with devices(folder, Authority(), 3) as group:
            request = await shared_request(*group, header=headers("Accept"))
            for name, device in zip(("A", "B", "C"), group, strict=True):
                await device.set(request, header=headers("Accept", name))
            await settled(*(group[index] for index in order))
            values = {await stored(device, request) for device in group}
            assert len(values) == 1
            assert sorted(names(await group[0].read(request))) == ["A", "Accept", "B", "C"]
            found |= values
    assert len(found) == 1


async def test_what_clashes_inside_a_field_is_still_a_conflict(ada: Device, bob: Device) -> None:
    request = await shared_request(ada, bob, header=[{"key": "Accept", "value": "*/*"}])
    await ada.set(request, header=[{"key": "Accept", "value": "text/html"}])
    await bob.set(request, header=[{"key": "Accept", "value": "text/plain"}])
    await settled(ada, bob)
    assert [record.field for record in await bob.store.conflicts()] == ["header"]
    assert await ada.store.conflicts() == []


async def test_a_merge_does_not_overwrite_what_came_in_the_same_batch(
    ada: Device, bob: Device
) -> None:
    """The bytes that arrive at once may hold a conflict and, behind it, a newer value of theirs."""
    request = await shared_request(ada, bob, header=headers("Accept"))
    await ada.set(request, header=headers("Accept", "X-Ada"))
    await ada.sync()
    await bob.set(request, header=headers("Accept", "X-Bob"))
    await bob.connect()
    await bob.deliver()
    await bob.push()
    await ada.set(request, header=headers("Accept", "X-Ada", "Y-Ada"))
    await ada.sync()
    # The verdict of Bob's change names the value without "Y-Ada", which follows it.
    await bob.deliver()
    await settled(bob, ada)
    for device in (ada, bob):
        assert sorted(names(await device.read(request))) == ["Accept", "X-Ada", "X-Bob", "Y-Ada"]
        assert await device.store.conflicts() == []
