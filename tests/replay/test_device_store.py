"""A device's store is read as it lies there; what only a log can tell is refused by name."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.replay.device_store import DeviceStore, store_of_home
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.source import SourceKind
from tests.store.authority import WORKSPACE, Authority
from tests.store.devices import devices


async def test_a_store_gives_its_rows_its_outbox_and_its_conflicts(tmp_path: Path) -> None:
    async with devices(tmp_path, Authority()) as (one, two):
        await one.sync()
        entity = await one.create(Kind.COLLECTION, name="c")
        await one.sync()
        await two.sync()
        await two.set(entity, name="mine")
        await one.set(entity, name="theirs")
        await one.sync()
        await two.sync()
        await two.set(entity, url="later")
        before = two.path.read_bytes()
        with open_source(str(two.path)) as source:
            assert source.kind is SourceKind.STORE
            assert isinstance(source, DeviceStore)
            (log,) = source.logs()
            assert (log.workspace, log.head) == (WORKSPACE, 2)
            assert [(row.id, row.version) for row in source.rows(log)] == [(entity, 2)]
            assert [row.id for row in source.rows(log, entity)] == [entity]
            assert [waiting.op for waiting in source.outbox(WORKSPACE)] == [2]
            (conflict,) = source.conflicts(WORKSPACE, entity)
            assert (conflict.state, conflict.field, conflict.op) == ("open", "name", 1)
            assert source.position(log).cursor == 2
            assert source.last_op() == 2
            assert source.names().device(two.device) == "device 2"
        assert two.path.read_bytes() == before


async def test_what_a_store_has_not_is_refused_with_where_it_is(tmp_path: Path) -> None:
    async with devices(tmp_path, Authority(), count=1) as (one,):
        await one.sync()
        with open_source(str(one.path)) as source:
            (log,) = source.logs()
            for ask in (source.events, source.bases, source.disputes):
                with pytest.raises(ReplayError) as caught:
                    ask(log)
                assert caught.value.code == "replay.no_events"
                assert "server" in caught.value.hint


def test_a_home_stands_for_the_store_of_its_account(tmp_path: Path) -> None:
    assert store_of_home(tmp_path) is None
    accounts = tmp_path / "accounts"
    accounts.mkdir()
    with pytest.raises(ReplayError) as caught:
        store_of_home(tmp_path)
    assert caught.value.code == "replay.signed_out"
    for name in ("a.db", "b.db", "b.leaving"):
        (accounts / name).touch()
    assert store_of_home(tmp_path) == accounts / "a.db"
    (accounts / "b.leaving").unlink()
    with pytest.raises(ReplayError) as caught:
        store_of_home(tmp_path)
    assert caught.value.code == "replay.ambiguous"


async def test_a_store_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    async with devices(tmp_path, Authority(), count=1):
        pass
    path = tmp_path / "1.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(ReplayError) as caught, open_source(str(path)):
        pass
    assert caught.value.code == "store.newer"
