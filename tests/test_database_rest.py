"""A database's log goes back into its file in a rest, and nobody hears of it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from kafkaman_sync import database_rest
from kafkaman_sync.database import Database
from kafkaman_sync.database_rest import CHANGED_ROWS_MIN, Rest
from tests.test_database import add, opened, texts

REST = 0.05
SECONDS = 10.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.db"


@pytest.fixture(autouse=True)
def _short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_rest, "REST_SECONDS", REST)


async def write(database: Database, count: int) -> None:
    await database.transact(lambda writer: add(writer, *map(str, range(count))))


def in_the_file(path: Path) -> int:
    """Return how many rows the file has without its log."""
    alone = path.with_name("alone.db")
    shutil.copy(path, alone)
    with closing(sqlite3.connect(alone)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM note").fetchone()[0])
        except sqlite3.Error:
            return 0  # not even the schema


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.005)


async def test_after_much_was_written_the_log_goes_back_into_the_file(path: Path) -> None:
    async with opened(path) as database:
        await write(database, CHANGED_ROWS_MIN)
        assert in_the_file(path) == 0
        await until(lambda: in_the_file(path) == CHANGED_ROWS_MIN)
        await write(database, CHANGED_ROWS_MIN)
        await until(lambda: in_the_file(path) == 2 * CHANGED_ROWS_MIN)
        assert len(await texts(database)) == 2 * CHANGED_ROWS_MIN


async def test_little_waits_for_more(path: Path) -> None:
    async with opened(path) as database:
        await write(database, CHANGED_ROWS_MIN - 1)
        await asyncio.sleep(4 * REST)
        assert in_the_file(path) == 0
        await write(database, 1)
        await until(lambda: in_the_file(path) == CHANGED_ROWS_MIN)


async def test_what_stands_in_the_way_of_it_is_nobodys_fault(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as database:
        run, tried = database._writer.execute_fetchall, asyncio.Event()

        async def fail(sql: str, *arguments: object) -> object:
            if "checkpoint" not in sql:
                return await run(sql, *arguments)
            tried.set()
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(database._writer, "execute_fetchall", fail)
        await write(database, CHANGED_ROWS_MIN)
        async with asyncio.timeout(SECONDS):
            await tried.wait()
        await write(database, 1)
        assert len(await texts(database)) == CHANGED_ROWS_MIN + 1
        running = database._rest._running
        assert running is not None
        await running


async def test_a_database_that_is_closed_waits_for_it_and_begins_no_more(path: Path) -> None:
    for pause in (0.0, REST / 2, REST, 1.2 * REST):
        async with opened(path) as database:
            await write(database, CHANGED_ROWS_MIN)
            await asyncio.sleep(pause)
        await asyncio.sleep(2 * REST)
    assert in_the_file(path) == 4 * CHANGED_ROWS_MIN


async def test_the_end_waits_for_what_has_begun_and_nothing_begins_behind_it() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def checkpoint() -> None:
        begun.set()
        await asyncio.sleep(2 * REST)
        ended.set()

    rest = Rest(checkpoint)
    rest.committed(CHANGED_ROWS_MIN)
    await begun.wait()
    rest.committed(2 * CHANGED_ROWS_MIN)
    begun.clear()
    await rest.end()
    assert ended.is_set()
    await asyncio.sleep(2 * REST)
    assert not begun.is_set()


async def test_a_rest_begins_when_the_last_commit_is_long_enough_ago() -> None:
    now = asyncio.get_running_loop().time
    commits: list[float] = []
    times: list[float] = []

    async def checkpoint() -> None:
        times.append(now())
        assert times[-1] - commits[-1] >= REST - 0.001

    rest = Rest(checkpoint)
    for number in range(1, 6):
        commits.append(now())
        rest.committed(number * CHANGED_ROWS_MIN)
        await asyncio.sleep(0.3 * REST)
    await until(lambda: bool(times))
    assert rest._running is not None
    await rest._running
    # Another connection counts anew.
    commits.append(now())
    rest.committed(CHANGED_ROWS_MIN)
    before = len(times)
    await until(lambda: len(times) > before)
    await rest.end()
