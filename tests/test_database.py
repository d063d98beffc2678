"""The database shell, on real files."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from kafkaman_sync.database import Database, Reader, Row, Writer
from kafkaman_sync.errors import StoreError

APPLICATION = 0x6B616601
SCHEMA = ("CREATE TABLE note(text TEXT NOT NULL)",)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.db"


async def add(writer: Writer, *texts: str) -> None:
    await writer.run_many("INSERT INTO note VALUES (?)", [(text,) for text in texts])


async def texts(database: Database) -> list[str]:
    return [text for (text,) in await database.fetch("SELECT text FROM note")]


def opened(
    path: Path, migrations: Sequence[str] = SCHEMA, application_id: int = APPLICATION
) -> AbstractAsyncContextManager[Database]:
    return Database.open(path, application_id=application_id, migrations=migrations)


async def test_what_a_transaction_wrote_is_there_after_reopening(path: Path) -> None:
    async with opened(path) as database:
        await database.transact(lambda writer: add(writer, "one", "two"))
    async with opened(path) as database:
        assert await texts(database) == ["one", "two"]


async def test_a_failed_transaction_leaves_nothing(path: Path) -> None:
    async def fail(writer: Writer) -> None:
        await add(writer, "half")
        raise KeyError

    async with opened(path) as database:
        with pytest.raises(KeyError):
            await database.transact(fail)
        await database.transact(lambda writer: add(writer, "whole"))
        assert await texts(database) == ["whole"]


async def test_a_statement_that_fails_leaves_nothing_of_those_before_it(path: Path) -> None:
    async def fail_at_the_end(writer: Writer) -> None:
        await add(writer, "half")
        await writer.run("INSERT INTO note VALUES (NULL)")

    async def fail_between(writer: Writer) -> None:
        await fail_at_the_end(writer)
        await writer.fetch("SELECT text FROM note")

    async with opened(path) as database:
        for fail in (fail_at_the_end, fail_between):
            with pytest.raises(StoreError):
                await database.transact(fail)
        await database.transact(lambda writer: add(writer, "whole"))
        assert await texts(database) == ["whole"]


async def test_a_transaction_reads_what_it_has_written(path: Path) -> None:
    async def work(writer: Writer) -> list[list[Row]]:
        await add(writer, "one", "two")
        await writer.run("DELETE FROM note WHERE text = ?", ("one",))
        query = "SELECT text FROM note WHERE text = ?"
        return await writer.fetch_all((query, ("one",)), (query, ("two",)))

    async with opened(path) as database:
        assert await database.transact(work) == [[], [("two",)]]


async def test_a_transaction_that_does_nothing_is_none(path: Path) -> None:
    async def nothing(_: Reader) -> None:
        return

    async def fail(_: Reader) -> None:
        raise KeyError

    async with opened(path) as database:
        await database.transact(nothing)
        await database.read(nothing)
        with pytest.raises(KeyError):
            await database.transact(fail)
        assert await texts(database) == []


async def test_a_cancelled_caller_never_leaves_half_a_transaction(path: Path) -> None:
    between = asyncio.Event()
    go_on = asyncio.Event()

    async def slow(writer: Writer) -> None:
        await add(writer, "first")
        between.set()
        await go_on.wait()
        await add(writer, "second")

    async with opened(path) as database:
        caller = asyncio.create_task(database.transact(slow))
        await between.wait()
        caller.cancel()
        await asyncio.sleep(0)
        caller.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert await texts(database) in (["first", "second"], [])


async def test_a_reader_sees_no_transaction_that_is_under_way(path: Path) -> None:
    async with opened(path) as database:

        async def look(writer: Writer) -> list[str]:
            await add(writer, "unfinished")
            return await texts(database)

        assert await database.transact(look) == []
        assert await texts(database) == ["unfinished"]


async def test_a_read_is_one_snapshot(path: Path) -> None:
    async with opened(path) as database:

        async def twice(reader: Reader) -> tuple[int, int]:
            before = await reader.fetch("SELECT count(*) FROM note")
            await database.transact(lambda writer: add(writer, "new"))
            after = await reader.fetch("SELECT count(*) FROM note")
            return before[0][0], after[0][0]

        assert await database.read(twice) == (0, 0)
        assert await texts(database) == ["new"]


async def test_transactions_run_one_at_a_time(path: Path) -> None:
    async def increment(writer: Writer) -> None:
        ((count,),) = await writer.fetch("SELECT count(*) FROM note")
        await add(writer, str(count))

    async with opened(path) as database:
        await asyncio.gather(*(database.transact(increment) for _ in range(20)))
        assert sorted(map(int, await texts(database))) == list(range(20))


async def test_commits_are_synced_to_disk_before_they_return(path: Path) -> None:
    async with opened(path) as database:

        async def mode(writer: Writer) -> list[tuple[int]]:
            return await writer.fetch("PRAGMA synchronous")

        assert await database.transact(mode) == [(2,)]
        assert await database.fetch("PRAGMA journal_mode") == [("wal",)]


async def test_only_the_owner_may_read_the_file(path: Path) -> None:
    async with opened(path) as database:
        await database.transact(lambda writer: add(writer, "x"))
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {0o600}


async def test_migrations_apply_once_and_in_order(path: Path) -> None:
    async with opened(path):
        pass
    second = (*SCHEMA, "ALTER TABLE note ADD COLUMN at INTEGER NOT NULL DEFAULT 7")
    for _ in range(2):
        async with opened(path, second) as database:
            await database.transact(
                lambda writer: writer.run("INSERT INTO note(text) VALUES ('x')")
            )
    async with opened(path, second) as database:
        assert await database.fetch("SELECT DISTINCT at FROM note") == [(7,)]


async def test_a_failed_migration_changes_nothing(path: Path) -> None:
    async with opened(path):
        pass
    with pytest.raises(StoreError):
        async with opened(path, (*SCHEMA, "CREATE TABLE other(x); SELECT nothing FROM nowhere")):
            pass
    async with opened(path) as database:
        assert await database.fetch("SELECT name FROM sqlite_schema") == [("note",)]


async def test_a_file_that_is_no_database_is_left_as_it_is(path: Path) -> None:
    path.write_bytes(b"shopping list: milk, bread, cheese and more" * 40)
    with pytest.raises(StoreError) as raised:
        async with opened(path):
            pass
    assert raised.value.code == "store.damaged"
    assert path.read_bytes().startswith(b"shopping list")


async def test_another_programs_database_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs(x)")
    connection.close()
    with pytest.raises(StoreError) as raised:
        async with opened(path):
            pass
    assert raised.value.code == "store.foreign"


async def test_a_newer_releases_database_is_refused(path: Path) -> None:
    async with opened(path, (*SCHEMA, "CREATE TABLE later(x)")):
        pass
    with pytest.raises(StoreError) as raised:
        async with opened(path):
            pass
    assert raised.value.code == "store.newer"


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as raised:
        async with opened(tmp_path / "absent" / "notes.db"):
            pass
    assert raised.value.code == "store.unreachable"
    assert raised.value.details["path"].endswith("notes.db")


async def test_a_full_disk_is_named_and_work_goes_on_when_there_is_room(path: Path) -> None:
    async with opened(path) as database:
        ((pages,),) = await database.fetch("PRAGMA page_count")
        await database.transact(lambda writer: writer.fetch(f"PRAGMA max_page_count={pages + 2}"))
        with pytest.raises(StoreError) as raised:
            await database.transact(lambda writer: add(writer, "x" * 100_000))
        assert raised.value.code == "store.full"
        await database.transact(lambda writer: writer.fetch("PRAGMA max_page_count=1000000"))
        await database.transact(lambda writer: add(writer, "fits"))
        assert await texts(database) == ["fits"]


async def test_a_second_writer_is_told_who_is_in_the_way(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kafkaman_sync.database_connection.BUSY_SECONDS", 0.05)
    async with opened(path) as first, opened(path) as second:

        async def meanwhile(writer: Writer) -> None:
            await add(writer, "x")
            await writer.fetch("SELECT 1")  # what is written waits for a read or the commit
            await second.transact(lambda other: add(other, "y"))

        with pytest.raises(StoreError) as raised:
            await first.transact(meanwhile)
    assert raised.value.code == "store.locked"


async def test_a_rollback_that_fails_does_not_leave_the_next_one_in_its_transaction(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(writer: Writer) -> None:
        await add(writer, "half")
        await writer.fetch("SELECT 1")
        raise KeyError

    def disk_error(_: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async with opened(path) as database:
        with monkeypatch.context() as faulty:
            faulty.setattr(
                "kafkaman_sync.database_connection.Connection.rollback", disk_error, raising=False
            )
            with pytest.raises(KeyError):
                await database.transact(fail)
        await database.transact(lambda writer: add(writer, "whole"))
        assert await texts(database) == ["whole"]


async def test_a_read_that_cannot_be_ended_does_not_hold_back_the_next_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_error(_: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async with opened(path) as database:
        with monkeypatch.context() as faulty:
            faulty.setattr(
                "kafkaman_sync.database_connection.Connection.rollback", disk_error, raising=False
            )
            assert await database.read(lambda reader: reader.fetch("SELECT text FROM note")) == []
        await database.transact(lambda writer: add(writer, "new"))
        assert await texts(database) == ["new"]
        assert await database.read(lambda reader: reader.fetch("SELECT text FROM note"))


async def test_a_closed_database_is_one_file(path: Path) -> None:
    async with opened(path) as database:
        await database.transact(lambda writer: add(writer, "kept"))
        assert await texts(database) == ["kept"]
    assert list(path.parent.iterdir()) == [path]


async def test_a_database_that_was_closed_says_so(path: Path) -> None:
    async with opened(path) as database:
        pass
    for _ in range(2):
        with pytest.raises(StoreError) as raised:
            await database.transact(lambda writer: add(writer, "late"))
        assert raised.value.code == "store.closed"


async def test_closing_ends_what_is_under_way_and_refuses_what_waits(path: Path) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(writer: Writer) -> None:
        await add(writer, "under way")
        begun.set()
        await go_on.wait()

    async def slow_read(reader: Reader) -> list[Row]:
        await reader.fetch("SELECT text FROM note")
        await go_on.wait()
        return await reader.fetch("SELECT text FROM note")

    async with opened(path) as database:
        under_way = asyncio.create_task(database.transact(slow))
        reading = asyncio.create_task(database.read(slow_read))
        await begun.wait()
        waiting = [
            asyncio.create_task(database.transact(lambda writer: add(writer, "too late"))),
            asyncio.create_task(database.read(slow_read)),
            asyncio.create_task(texts(database)),
        ]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.01, go_on.set)
    await under_way
    assert await reading == []
    for refused in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(refused, StoreError)
        assert refused.code == "store.closed"
    assert list(path.parent.iterdir()) == [path], "no connection is left"
    async with opened(path) as database:
        assert await texts(database) == ["under way"]


async def test_a_folder_in_the_place_of_a_database_is_left_alone(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError) as raised:
        async with opened(path):
            pass
    assert raised.value.code == "store.damaged"
    assert path.is_dir()


@pytest.mark.parametrize("size", [0, 1, 99])
async def test_a_file_that_was_cut_off_is_not_taken_for_a_new_one(path: Path, size: int) -> None:
    wal = path.with_name(f"{path.name}-wal")
    async with opened(path) as database:
        await database.transact(lambda writer: add(writer, "kept"))
        log = wal.read_bytes()
    wal.write_bytes(log)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(StoreError) as raised:
        async with opened(path):
            pass
    assert raised.value.code == "store.damaged"
    assert wal.read_bytes() == log


async def test_queries_of_one_snapshot_leave_no_transaction_behind(path: Path) -> None:
    count, all_texts = ("SELECT count(*) FROM note", ()), ("SELECT text FROM note", ())
    async with opened(path) as database:
        await database.transact(lambda writer: add(writer, "one"))
        assert await database.fetch_all(count, all_texts) == [[(1,)], [("one",)]]
        with pytest.raises(StoreError):
            await database.fetch_all(count, ("SELECT text FROM missing", ()))
        await database.transact(lambda writer: add(writer, "two"))
        assert await database.fetch_all(count) == [[(2,)]]
