"""A captured session, run again as its server: the real engine of a device does the same again."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kafkaman_sync.device.paths import Home
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model import apply
from kafkaman_sync.model.changes import Event
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.replay.recorder import Wanted, record_last
from kafkaman_sync.replay.rerun import rerun_device
from kafkaman_sync.store import batch
from tests.device.conftest import folder, world
from tests.device.world import World
from tests.replay.test_rerun import has, settled, shared_work

__all__ = ["folder", "world"]


def content(home: Path) -> dict[str, str]:
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.suffix != ".log"
    }


@pytest.mark.parametrize("values", [True, False])
async def test_a_new_device_goes_through_the_session_as_the_real_one_did(
    world: World, tmp_path: Path, values: bool
) -> None:
    devices = await shared_work(world)
    for name, device in zip("ld", devices, strict=True):
        path, home = tmp_path / name, tmp_path / f"{name}-home"
        await record_last(device.home, Wanted(path, values=values))
        home.mkdir()
        report = await rerun_device(path, home)
        assert report.same, report.difference
        assert content(home) == {}
        (home / "kafkaman.db").write_bytes(b"what a server has, and no device")
        with pytest.raises(ReplayError) as caught:
            await rerun_device(path, home)
        assert caught.value.code == "replay.no_store"


@pytest.mark.parametrize("seed", range(4))
async def test_with_faults_it_does_as_well(world: World, tmp_path: Path, seed: int) -> None:
    _, desktop = await shared_work(world)
    await record_last(desktop.home, Wanted(tmp_path / "d", values=seed % 2 == 0))
    (tmp_path / "home").mkdir()
    report = await rerun_device(tmp_path / "d", tmp_path / "home", faults=seed)
    assert report.same, report.difference


async def work_from_a_copy(world: World) -> Path:
    """A device that is stopped, copied, and started again: its session begins at some seq."""
    _, laptop, desktop = await world.pair()
    entity = await laptop.client.create("collection", fields={"name": "before"})
    await settled(laptop)
    await has(desktop, "before")
    await laptop.stop()
    shutil.copytree(laptop.home.root, world.folder / "copy")
    await desktop.client.update(entity, {"name": "meanwhile"})
    await settled(desktop)
    await laptop.start()
    await settled(laptop)
    await laptop.client.update(entity, {"description": "after"})
    await settled(laptop)
    return world.folder / "copy"


async def test_a_copy_of_the_home_goes_on_from_where_it_was_and_is_only_read(
    world: World, tmp_path: Path
) -> None:
    copy = await work_from_a_copy(world)
    path = tmp_path / "l"
    await record_last(Home.find(world.folder / "laptop"), Wanted(path, values=True))
    before = content(copy)
    report = await rerun_device(path, copy)
    assert report.same, report.difference
    assert content(copy) == before


async def test_a_copy_that_does_not_fit_is_refused_by_name(world: World, tmp_path: Path) -> None:
    copy = await work_from_a_copy(world)
    path, home = tmp_path / "l", Home.find(world.folder / "laptop")
    await record_last(home, Wanted(path))
    (tmp_path / "empty").mkdir()
    for where, code in (
        (copy, "replay.redacted"),
        (home.root, "replay.elsewhere"),
        (tmp_path / "empty", "replay.no_store"),
        (tmp_path / "gone", "file.not_found"),
    ):
        with pytest.raises(ReplayError) as caught:
            await rerun_device(path, where)
        assert caught.value.code == code
        assert caught.value.hint


async def test_an_engine_that_does_otherwise_is_found_out(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, _ = await shared_work(world)
    await record_last(laptop.home, Wanted(tmp_path / "l", values=True))
    real = apply.apply_event

    def wrong(entity: Entity | None, event: Event) -> Entity | None:
        after = real(entity, event)
        return after if after is None or event.seq != 4 else replace(after, deleted=True)

    monkeypatch.setattr(batch, "apply_event", wrong)
    (tmp_path / "home").mkdir()
    found = (await rerun_device(tmp_path / "l", tmp_path / "home")).difference
    assert found is not None
    assert found.key == ("state",)
    assert found.now["cause"] == "diverged"
