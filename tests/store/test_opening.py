"""Opening a store, and finding damage before it spreads."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafkaman_sync.errors import StoreError
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.store import Store
from tests.store.authority import Authority
from tests.store.devices import Device, devices, identity_of
from tests.store.wreckage import PAGE


async def filled(folder: Path) -> Path:
    authority = Authority()
    async with devices(folder, authority, 1) as (device,):
        await device.sync()
        for number in range(300):
            await device.create(Kind.COLLECTION, name=f"{number} {'x' * 500}")
        return device.path


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for page in range(8, len(data) // PAGE):
        data[page * PAGE : page * PAGE + 64] = b"\xff" * 64
    path.write_bytes(data)


async def test_a_store_knows_whose_it_is(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "s.db") as store:
        assert await store.identity() is None
        await store.save_identity(identity_of("1" * 32))
        await store.save_lease("a lease")
    async with Store.open(tmp_path / "s.db") as store:
        identity = await store.identity()
        assert identity is not None
        assert (identity.device, identity.lease) == ("1" * 32, "a lease")
        assert "token" not in repr(identity)
        assert await store.workspaces() == []
    assert (tmp_path / "s.db").stat().st_mode & 0o777 == 0o600


async def test_damage_is_found_after_an_unclean_stop(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    with pytest.raises(RuntimeError):
        async with Store.open(path):
            raise RuntimeError("the process dies")
    damage(path)
    with pytest.raises(StoreError) as caught:
        async with Store.open(path):
            pass
    assert caught.value.code == "store.damaged"


async def test_an_unclean_stop_without_damage_goes_on(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    with pytest.raises(RuntimeError):
        async with Store.open(path):
            raise RuntimeError("the process dies")
    async with Store.open(path) as store:
        assert (await store.counts()).pending == 300


async def test_another_program_s_database_is_left_alone(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(StoreError) as caught:
        async with Store.open(tmp_path / "other.db"):
            pass
    assert caught.value.code == "store.foreign"


async def test_devices_are_told_apart(ada: Device, bob: Device) -> None:
    assert (await ada.store.identity()) != (await bob.store.identity())
