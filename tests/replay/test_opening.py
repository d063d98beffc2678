"""A source is recognised by its content; what is none gets a clear sentence."""

from __future__ import annotations

import gzip
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kafkaman_server.server import RunningServer
from kafkaman_sync.errors import ReplayError, StoreError
from kafkaman_sync.replay.lines import write_lines
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.source import SourceKind, choose_log
from tests.replay.ping_log import make_log
from tests.server.device import sign_up


async def test_a_data_folder_is_read_beside_its_running_server(
    server: RunningServer, tmp_path: Path
) -> None:
    one = await sign_up(server.url)
    async with one.live() as connection:
        entity = one.create("a")
        await one.flush(connection)
        with open_source(str(tmp_path / "data")) as source:
            assert source.kind is SourceKind.SERVER
            log = choose_log(source, None)
            assert (log.workspace, log.head) == (one.workspace, 1)
            (logged,) = source.events(log)
            assert (logged.event.seq, logged.event.entity) == (1, entity)
            assert logged.digest == log.digest
            assert source.names().device(one.id) == "ann-1"
            (row,) = source.rows(log)
            assert (row.id, row.version) == (entity, 1)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "replay.empty"),
        (b"GIF89a, and what follows", "replay.foreign"),
        (gzip.compress(b"{}"), "replay.packed"),
        (b"\x28\xb5\x2f\xfd rest", "replay.packed"),
    ],
    ids=["empty", "foreign", "gzip", "zstd"],
)
def test_a_foreign_file_is_refused_by_name(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "source"
    path.write_bytes(content)
    with pytest.raises(ReplayError) as caught, open_source(str(path)):
        pass
    assert caught.value.code == code
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_a_folder_a_pipe_and_nothing_at_all_are_refused_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, code in (
        ("", "replay.directory"),
        ("pipe", "replay.not_a_file"),
        ("gone", "file.not_found"),
    ):
        with pytest.raises(ReplayError) as caught, open_source(str(tmp_path / name)):
            pass
        assert caught.value.code == code


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE notes (text TEXT)")
    with pytest.raises(ReplayError) as caught, open_source(str(path)):
        pass
    assert caught.value.code == "replay.foreign"


def test_a_database_that_was_cut_off_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "cut.db"
    path.write_bytes(b"SQLite format 3\x00".ljust(68, b"\x01") + b"kmsv" + bytes(40))
    with pytest.raises(StoreError) as caught, open_source(str(path)):
        pass
    assert caught.value.code == "store.damaged"


@pytest.mark.parametrize(
    "where", ["workspaces SET name", "devices SET name", "entities SET parent"]
)
def test_text_that_is_none_is_damage_and_is_not_quoted(tmp_path: Path, where: str) -> None:
    path = make_log(tmp_path / "log.db").save()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE {where} = CAST(x'ff736563726574' AS TEXT)")
    with pytest.raises(StoreError) as caught, open_source(str(path)) as source:
        list(write_lines(source, source.logs()))
    assert caught.value.code == "store.damaged"
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"
