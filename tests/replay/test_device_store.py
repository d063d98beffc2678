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
from kafkaman_sync.replay.verifying import verify
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


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ("entities SET fields", "row"), ("outbox SET change", "outbox"),
        ("workspaces SET epochs", "replay.log_damaged"), ("workspaces SET digest", "digest"),
    ],
)  # fmt: skip
async def test_text_that_somebody_wrote_where_bytes_belong_is_damage(
    tmp_path: Path, where: str, code: str
) -> None:
    async with devices(tmp_path, Authority(), count=1) as (one,):
        await one.sync()
        await one.create(Kind.COLLECTION, name="c")
        await one.sync()
        await one.create(Kind.COLLECTION, name="d")
    with closing(sqlite3.connect(one.path)) as database, database:
        assert database.execute(f"UPDATE {where} = 'garbage'").rowcount
    with open_source(str(one.path)) as source:
        try:
            wrong = [each.code for each in verify(source, source.logs()[0]).findings]
        except ReplayError as error:
            wrong = [error.code]
    assert wrong == [code]


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


@pytest.mark.parametrize(
    ("sql", "code", "told"),
    [
        ("UPDATE entities SET deleted = 1", "digest", "stored"),
        ("UPDATE entities SET fields = x'00'", "row", "read"),
        ("UPDATE entities SET version = 9", "row", "version 9"),
        ("UPDATE entities SET version = 0", "row", "only 0"),
        ("UPDATE outbox SET op = 8 WHERE op = 3", "outbox", "says that it is op 3"),
        ("UPDATE meta SET value = 2 WHERE key = 'last_op'", "outbox", "last one that was given"),
        ("DELETE FROM outbox WHERE op = 3", "outbox", "follows op 3"),
        ("UPDATE outbox SET change = x'00' WHERE op = 3", "outbox", "cannot be read"),
        ("UPDATE workspaces SET cursor = 0", "row", "at seq 0"),
        ("UPDATE outbox SET verdict = x'82a26f7002a373657101'", "outbox", "has its verdict"),
    ],
)
async def test_what_is_wrong_in_a_store_is_told(
    tmp_path: Path, sql: str, code: str, told: str
) -> None:
    async with devices(tmp_path, Authority(), count=1) as (one,):
        await one.sync()
        entity = await one.create(Kind.COLLECTION, name="c")
        await one.sync()
        for number in range(3):
            await one.set(entity, name=f"c{number}")
    path = tmp_path / "1.db"
    with open_source(str(path)) as source:
        sound = verify(source, source.logs()[0])
    assert (sound.findings, sound.rows) == ([], 1)
    assert "compare" in sound.unchecked[0]
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute(sql).rowcount > 0
    with open_source(str(path)) as source:
        found = verify(source, source.logs()[0])
    assert code in [each.code for each in found.findings]
    assert told in " ".join(each.message for each in found.findings)
