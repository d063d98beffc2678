"""What a workspace was at any place in its log, whichever way it is found out."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.apply import apply_event
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import ROOT, Entity, Kind, Place
from kafkaman_sync.model.values import REMOVED, encode_value
from kafkaman_sync.protocol.records import decode_event, encode_event
from kafkaman_sync.replay import state
from kafkaman_sync.replay.folding import Scan
from kafkaman_sync.replay.records import Log
from kafkaman_sync.replay.server_log import ServerLog
from kafkaman_sync.replay.source import choose_log
from kafkaman_sync.replay.state import State, entity_at, rows_at, seq_at
from tests.replay.logs import BEGAN_AT, LogFile, id_of

FIELDS = ("name", "url", "body")
FOLDERS = 3
IDS = tuple(id_of(number) for number in range(8))

# What is done, to which entity, and with what.
Step = tuple[str, int, int, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["create", "update", "update", "remove", "move", "delete", "restore",
                         "restore to", "purge"]),
        st.integers(0, len(IDS) - 1),
        st.integers(0, FOLDERS - 1),
        st.integers(0, 2),
    ),
    max_size=60,
)  # fmt: skip


def take(log: LogFile, step: Step) -> None:
    """Ask for a step; the rules refuse what cannot be."""
    what, number, folder, value = step
    entity, place = IDS[number], Place(id_of(100 + folder), f"{value + 1}V")
    name = FIELDS[(folder + value) % len(FIELDS)]
    by = ("laptop", "phone")[value % 2]
    match what:
        case "create":
            kind = Kind.FOLDER if value else Kind.REQUEST
            fields = {each: encode_value(value) for each in FIELDS[: value + 1]}
            log.push(Action.CREATE, entity, by=by, kind=kind, place=place, fields=fields)
        case "update":
            log.push(Action.UPDATE, entity, by=by, fields={name: encode_value(folder * 10 + value)})
        case "remove":
            log.push(Action.UPDATE, entity, by=by, fields={name: REMOVED})
        case "move":
            log.push(Action.MOVE, entity, by=by, place=place)
        case "delete":
            log.push(Action.DELETE, entity, by=by)
        case "restore":
            log.push(Action.RESTORE, entity, by=by)
        case "restore to":
            log.push(Action.RESTORE, entity, by=by, place=place)
        case _:
            log.purge(entity)


def played(path: Path, taken: Iterable[Step]) -> tuple[LogFile, list[dict[str, Entity]]]:
    """Return a log, and what it makes of the workspace at each seq, by the model's own rules."""
    log = LogFile(path)
    top = log.create(Kind.COLLECTION, {"name": "API"}, entity=id_of(99))
    for folder in range(FOLDERS):
        log.create(Kind.FOLDER, {"name": f"F{folder}"}, parent=top, entity=id_of(100 + folder))
    for step in taken:
        take(log, step)
    states: list[dict[str, Entity]] = [{}]
    for _, entity, body, *_ in log.events:
        now = dict(states[-1])
        after = apply_event(now.pop(entity, None), decode_event(body))
        if after is not None:
            now[entity] = after
        states.append(now)
    return log, states


def in_order(rows: dict[str, Entity]) -> list[Entity]:
    return [rows[entity] for entity in sorted(rows)]


def outline(row: Entity) -> tuple[object, ...]:
    return row.id, row.kind, row.place, row.deleted, row.fields.get("name")


def scanned(
    source: ServerLog, log: Log, seq: int, rows: Iterable[Entity] | None, *, outlines: bool = False
) -> list[Entity]:
    """Read the whole log back, with the rows or without."""
    scan = Scan(seq, 2**20, outlines=outlines)
    if rows is not None:
        for entity in source.purged_after(log, seq):
            scan.expect(entity)
        for row in rows:
            scan.keep(row)
    assert scan.read(source.bodies_back(log, seq))
    return list(scan.entities(source.bases(log)))


def check(source: ServerLog, log: Log, seq: int, expected: dict[str, Entity]) -> None:
    """Hold each way against what is expected."""
    wanted = in_order(expected)
    assert list(rows_at(source, log, seq)) == wanted
    assert list(rows_at(source, log, seq, from_log=True)) == wanted
    assert list(state._walked(source, log, seq, source.rows(log))) == wanted
    assert scanned(source, log, seq, source.rows(log)) == wanted
    assert list(state._by_entity(source, log, seq)) == wanted
    for rows in (
        State(source, log, seq).outlines(),
        state._walked(source, log, seq, source.outlines(log)),
        scanned(source, log, seq, source.outlines(log), outlines=True),
        scanned(source, log, seq, None, outlines=True),
    ):
        assert list(map(outline, rows)) == list(map(outline, wanted))
    then = State(source, log, seq, from_log=True)
    for entity in (*IDS, id_of(99)):
        assert entity_at(source, log, entity, seq) == expected.get(entity)
        assert then.get(entity) == expected.get(entity)


@settings(deadline=None, max_examples=40)
@given(steps, st.integers(0, 64), st.lists(st.integers(0, 64), min_size=1, max_size=4))
def test_every_way_comes_to_what_folding_the_log_comes_to(
    tmp_path_factory: pytest.TempPathFactory, taken: list[Step], horizon: int, seqs: list[int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "state.db"
    file, states = played(path, taken)
    file.fold(min(horizon % (2 * len(states)), file.head) if horizon % 2 else 0)
    with ServerLog.open(file.save()) as source:
        log = choose_log(source, None)
        for seq in {*(seq % len(states) for seq in seqs), file.head, file.horizon}:
            if seq >= file.horizon:
                check(source, log, seq, states[seq])


class Unindexed(ServerLog):
    """A server's database, read as one would read JSON lines."""

    def has_index(self) -> bool:
        return False


@settings(deadline=None, max_examples=15)
@given(steps, st.integers(0, 64), st.integers(0, 64))
def test_a_source_without_an_index_comes_to_the_same(
    tmp_path_factory: pytest.TempPathFactory, taken: list[Step], one: int, other: int
) -> None:
    file, states = played(tmp_path_factory.getbasetemp() / "lines.db", taken)
    first, second = sorted(number % len(states) for number in (one, other))
    with Unindexed.open(file.save()) as source:
        log = choose_log(source, None)
        then = State(source, log, first)
        assert list(then.rows()) == in_order(states[first])
        assert list(then.moved_to(second).rows()) == in_order(states[second])
        assert list(then.rows()) == in_order(states[first]), "the first one stays"
        assert entity_at(source, log, IDS[0], second) == states[second].get(IDS[0])


@pytest.fixture
def file(tmp_path: Path) -> LogFile:
    """A collection with one request, and five more writes of that."""
    log = LogFile(tmp_path / "kafkaman.db")
    top = log.create(Kind.COLLECTION, {"name": "API"})
    ping = log.create(Kind.REQUEST, {"name": "Ping"}, parent=top)
    for number in range(5):
        log.update(ping, {"url": f"/{number}"})
    return log


def test_what_would_not_fit_into_memory_is_told_entity_by_entity(
    file: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ServerLog.open(file.save()) as source:
        log = choose_log(source, None)
        expected = list(rows_at(source, log, 5))
        for room in (0, 100, 400):
            monkeypatch.setattr(state, "_HELD_BYTES_MAX", room)
            assert list(rows_at(source, log, 5, from_log=True)) == expected
            assert list(rows_at(source, log, 5)) == expected


def test_rows_that_are_wrong_are_not_believed_when_only_the_log_is_asked(file: LogFile) -> None:
    path = file.save()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE entities SET parent = ?", (ROOT,))
    with ServerLog.open(path) as source:
        log = choose_log(source, None)
        told, stored = (list(rows_at(source, log, 7, from_log=each)) for each in (True, False))
        assert [row.place.parent for row in told] == [ROOT, id_of(1)]
        assert [row.place.parent for row in stored] == [ROOT, ROOT]


@pytest.mark.parametrize("seq", [8, 2**40])
def test_a_seq_that_has_not_been_written_is_refused(file: LogFile, seq: int) -> None:
    with ServerLog.open(file.save()) as source, pytest.raises(ReplayError) as caught:
        rows_at(source, choose_log(source, None), seq)
    assert caught.value.code == "replay.future"
    assert "ends at 7" in caught.value.message


def test_what_is_older_than_the_log_is_refused(file: LogFile) -> None:
    file.fold(3)
    with ServerLog.open(file.save()) as source:
        log = choose_log(source, None)
        for ask in (
            lambda: rows_at(source, log, 2),
            lambda: entity_at(source, log, id_of(1), 2),
            lambda: seq_at(source, log, BEGAN_AT),
        ):
            with pytest.raises(ReplayError) as caught:
                ask()
            assert caught.value.code == "replay.purged"
        assert len(list(rows_at(source, log, 3))) == 2


def test_what_was_made_once_more_after_its_purge_is_looked_for_once(file: LogFile) -> None:
    ping = id_of(2)
    file.delete(ping)
    file.purge(ping)
    file.create(Kind.REQUEST, {"name": "Ping"}, parent=id_of(1), entity=ping)
    with ServerLog.open(file.save()) as source:
        log = choose_log(source, None)
        scan = Scan(3, 2**20)
        scan.expect(ping)
        for row in source.rows(log):
            scan.keep(row)
        assert scan.missing == 1
        taken = source.bodies_back(log, 3)
        assert scan.read(taken)
        assert [seq for _, seq, _ in taken] == [1]  # which was not needed
        assert [row.version for row in scan.entities(source.bases(log))] == [1, 3]


def test_of_what_is_asked_for_one_by_one_a_few_are_held(
    file: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "_FOUND_MAX", 2)
    made = [file.create(Kind.COLLECTION, {"name": f"C{number}"}) for number in range(5)]
    with ServerLog.open(file.save()) as source:
        then = State(source, choose_log(source, None), file.head)
        for entity in made * 2:
            found = then.get(entity)
            assert found is not None
            assert found.id == entity
            assert len(then._found) <= 2


def test_a_gap_is_named(file: LogFile) -> None:
    path = file.save()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM events WHERE seq = 4")
    for kind in (ServerLog, Unindexed):
        with kind.open(path) as source, pytest.raises(ReplayError) as caught:
            list(rows_at(source, choose_log(source, None), 6, from_log=True))
        assert caught.value.code == "replay.gap"
        assert "no event 4" in caught.value.message


def test_a_change_of_what_is_not_there_is_named(file: LogFile) -> None:
    seq, _, body, basis, digest = file.events[4]
    forged = body.replace(id_of(2).encode(), id_of(50).encode())
    file.events[4] = (seq, id_of(50), forged, basis, digest)
    path = file.save()
    for kind in (ServerLog, Unindexed):
        with kind.open(path) as source, pytest.raises(ReplayError) as caught:
            list(rows_at(source, choose_log(source, None), 6, from_log=True))
        assert caught.value.code == "replay.log_broken"
        assert "event 5" in caught.value.message


@pytest.mark.parametrize("without", ["kind", "place"])
@pytest.mark.parametrize("kind", [ServerLog, Unindexed])
def test_a_creation_of_nothing_or_nowhere_is_named(
    file: LogFile, kind: type[ServerLog], without: str
) -> None:
    seq, entity, body, basis, digest = file.events[1]
    event = decode_event(body)
    forged = replace(event, kind=None) if without == "kind" else replace(event, place=None)
    file.events[1] = (seq, entity, encode_event(forged), basis, digest)
    with kind.open(file.save()) as source:
        log = choose_log(source, None)
        asked = State(source, log, 3, from_log=True)
        for ask in (lambda: list(asked.rows()), lambda: asked.get(entity)):
            with pytest.raises(ReplayError) as caught:
                ask()
            assert caught.value.code == "replay.log_broken"
            assert "event 2" in caught.value.message


def test_what_is_left_of_a_query_is_no_matter_once_its_database_is_closed(file: LogFile) -> None:
    seq, entity, body, basis, digest = file.events[1]
    forged = replace(decode_event(body), place=None)
    file.events[1] = (seq, entity, encode_event(forged), basis, digest)
    with (
        pytest.raises(ReplayError) as caught,
        ServerLog.open(file.save()) as source,
    ):
        entity_at(source, choose_log(source, None), entity, 2)
    del caught
    gc.collect()  # an exception in a generator's end is an error in these tests


def test_bytes_that_are_no_event_are_named(file: LogFile) -> None:
    path = file.save()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE events SET body = x'c1' WHERE seq = 3")
    with ServerLog.open(path) as source, pytest.raises(ReplayError) as caught:
        list(rows_at(source, choose_log(source, None), 6, from_log=True))
    assert caught.value.code == "replay.log_damaged"
    assert "event 3" in caught.value.message


@pytest.mark.parametrize("kind", [ServerLog, Unindexed])
def test_a_time_is_the_last_seq_written_at_or_before_it(
    file: LogFile, kind: type[ServerLog]
) -> None:
    with kind.open(file.save()) as source:
        log = choose_log(source, None)
        assert [seq_at(source, log, BEGAN_AT + at) for at in (0, 999, 1000, 4500, 7000, 10**9)] == [
            0,
            0,
            1,
            4,
            7,
            7,
        ]


_FIRST_RELEASE = """
DROP TABLE bases; DROP TABLE purges; DROP TABLE disputes; DROP INDEX events_by_block;
ALTER TABLE workspaces DROP COLUMN horizon; ALTER TABLE workspaces DROP COLUMN horizon_at;
ALTER TABLE events DROP COLUMN basis; ALTER TABLE events DROP COLUMN digest;
PRAGMA user_version = 1;
"""
_RELEASE_BEFORE = """
DROP INDEX events_by_block;
CREATE INDEX events_by_entity ON events(workspace, entity, seq);
PRAGMA user_version = 3;
"""


@pytest.mark.parametrize("taking_back", [_FIRST_RELEASE, _RELEASE_BEFORE])
def test_a_log_of_an_earlier_release_is_read_by_what_it_has(
    file: LogFile, taking_back: str
) -> None:
    path = file.save()
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(taking_back)
    with ServerLog.open(path) as source:
        log = choose_log(source, None)
        assert [row.version for row in rows_at(source, log, 4)] == [1, 4]
        assert seq_at(source, log, BEGAN_AT + 3000) == 3
        seqs: dict[str, list[int]] = {}
        for logged in source.events(log):
            seqs.setdefault(logged.event.entity, []).append(logged.event.seq)
        for entity, wanted in seqs.items():
            found = source.events(log, entity=entity)
            assert [logged.event.seq for logged in found] == wanted
        if source.has_index():
            assert list(source.entities(log, log.head)) == sorted(seqs)
