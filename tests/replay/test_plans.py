"""What is asked of a server's database touches only what it shows: the indexes are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from kafkaman_sync.model.entities import Kind
from kafkaman_sync.replay.records import Log
from kafkaman_sync.replay.server_log import ServerLog
from kafkaman_sync.replay.source import choose_log
from kafkaman_sync.replay.state import State, seq_at
from tests.replay.logs import BEGAN_AT, LogFile, id_of

_BY_SEQ = "sqlite_autoindex_events_1 (workspace=? AND seq>? AND seq<?)"
_BY_BLOCK = "events_by_block (workspace=? AND <expr>=? AND entity=? AND seq>? AND seq<?)"


@pytest.fixture
def source(tmp_path: Path) -> Iterator[ServerLog]:
    file = LogFile(tmp_path / "kafkaman.db")
    top = file.create(Kind.COLLECTION, {"name": "API"})
    for number in range(20):
        file.update(top, {"url": f"/{number}"})
    with ServerLog.open(file.save()) as opened:
        yield opened


def plan(source: ServerLog, ask: Callable[[Log], object]) -> list[str]:
    """Return how SQLite goes about what `ask` asks of events and entities."""
    log = choose_log(source, None)
    asked: list[str] = []
    connection = source.file._connection
    connection.set_trace_callback(asked.append)
    ask(log)
    connection.set_trace_callback(None)
    return [
        str(row[3])
        for sql in asked
        for row in source.file.rows(f"EXPLAIN QUERY PLAN {sql}")
        if "events" in str(row[3]) or "entities" in str(row[3]) or "TEMP" in str(row[3])
    ]


def test_the_last_events_are_read_from_the_end_by_their_seqs(source: ServerLog) -> None:
    assert plan(source, lambda log: list(islice(source.events(log, backward=True), 5))) == [
        "SEARCH events USING INDEX sqlite_autoindex_events_1 (workspace=? AND seq>? AND seq<?)"
    ]


def test_a_row_that_was_written_since_is_walked_back_by_its_own_events(source: ServerLog) -> None:
    found = plan(source, lambda log: State(source, log, 9).get(id_of(1)))
    assert found == [
        "SEARCH entities USING INDEX sqlite_autoindex_entities_1 (workspace=? AND id=?)",
        "SEARCH events USING INDEX sqlite_autoindex_events_1 (workspace=? AND seq=?)",
        *[f"SEARCH events USING COVERING INDEX {_BY_SEQ}"] * 2,
        f"SEARCH e USING COVERING INDEX {_BY_BLOCK}",
    ]


def test_how_many_rows_changed_is_counted_in_an_index(source: ServerLog) -> None:
    found = plan(source, lambda log: source.row_counts(log, 9))
    assert all("USING COVERING INDEX" in each for each in found)


def test_a_time_is_found_by_looking_at_few_events(source: ServerLog) -> None:
    found = plan(source, lambda log: seq_at(source, log, BEGAN_AT + 9000))
    assert len(found) <= 6, "as often as 21 can be halved, and once more"
    assert all(each.startswith("SEARCH events USING INDEX") for each in found)


def test_all_entities_are_listed_by_an_index(source: ServerLog) -> None:
    found = plan(source, lambda log: list(source.entities(log, 9)))
    assert found == [
        "SEARCH events USING COVERING INDEX events_by_block (workspace=?)",
        "USE TEMP B-TREE FOR DISTINCT",
    ]
