"""Comparing names the first event after which two sides part, and what only one of them holds."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from kafkaman_sync.cli.main import cli
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import Action, Change, FieldEdit
from kafkaman_sync.model.entities import Entity, Field, Kind, Place
from kafkaman_sync.model.values import encode_value
from kafkaman_sync.protocol.records import decode_event, encode_event
from kafkaman_sync.replay.comparing import Comparison, choose_sides, compare
from kafkaman_sync.replay.opening import open_source
from tests.replay.captures import capture_of
from tests.replay.logs import WORKSPACE, LogFile, id_of
from tests.replay.stores import add_pending, rows_of, store_of, write_store


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    """A log of six events."""
    made = LogFile(tmp_path / "server.db")
    api = made.create(Kind.COLLECTION, {"name": "api"})  # 1
    one = made.create(Kind.REQUEST, {"name": "one", "url": "a"}, parent=api)  # 2
    made.create(Kind.REQUEST, {"name": "two", "url": "b"}, parent=api, by="desktop")  # 3
    made.update(one, {"url": "c"})  # 4
    made.update(one, {"url": "d"}, by="desktop")  # 5
    made.move(one, api, "W")  # 6
    made.save()
    return made


def compared(one: Path, two: Path) -> Comparison:
    with open_source(str(one)) as left, open_source(str(two)) as right:
        return compare(*choose_sides(left, right, None))


def first(found: Comparison) -> tuple[int, str, str]:
    assert found.first is not None
    return found.first.seq, found.first.entity, found.first.part


def changed(rows: list[Entity], entity: str, **fields: Field) -> list[Entity]:
    return [
        replace(row, fields={**row.fields, **fields}) if row.id == entity else row for row in rows
    ]


def test_a_device_that_has_all_is_equal_from_either_side(log: LogFile, tmp_path: Path) -> None:
    store = store_of(log, tmp_path / "store.db")
    before = (log.path.read_bytes(), store.read_bytes())
    for sides in ((log.path, store), (store, log.path)):
        found = compared(*sides)
        assert (found.equal, found.at, found.rows, found.notes) == (True, 6, 3, [])
        assert found.digests == (log.world.digest, log.world.digest)
    assert (log.path.read_bytes(), store.read_bytes()) == before


def test_a_device_behind_is_equal_to_the_log_as_it_was_then(log: LogFile, tmp_path: Path) -> None:
    store = store_of(log, tmp_path / "store.db")
    log.update(id_of(2), {"url": "later"})
    log.delete(id_of(3))
    log.create(Kind.COLLECTION, {"name": "new"})
    log.save()
    found = compared(log.path, store)
    assert (found.equal, found.at) == (True, 6)
    assert "ahead by 3" in found.notes[0]


def test_a_value_that_is_not_the_events_is_told_with_that_event(
    log: LogFile, tmp_path: Path
) -> None:
    rows = changed(rows_of(log), id_of(2), url=Field(encode_value("wrong"), 5))
    found = compared(log.path, write_store(tmp_path / "store.db", rows, 6))
    assert first(found) == (5, id_of(2), "url")
    assert found.first is not None
    assert found.first.event is not None
    assert (found.first.event.device, found.first.event.op) == ("2" * 32, 2)
    assert found.first.values == (encode_value("d"), encode_value("wrong"))


def test_a_device_that_missed_events_parts_at_the_first_of_them(
    log: LogFile, tmp_path: Path
) -> None:
    rows = changed(rows_of(log), id_of(2), url=Field(encode_value("a"), 2))
    found = compared(write_store(tmp_path / "store.db", rows, 6), log.path)
    assert first(found) == (4, id_of(2), "url")
    assert found.first is not None
    assert found.first.told == "The device lacks what event 4 wrote to url."
    assert found.first.versions == (2, 5)


def test_a_version_that_the_log_does_not_have_is_told(log: LogFile, tmp_path: Path) -> None:
    rows = changed(rows_of(log), id_of(2), url=Field(encode_value("d"), 6))
    found = compared(log.path, write_store(tmp_path / "store.db", rows, 6))
    assert first(found) == (6, id_of(2), "url")
    assert found.first is not None
    assert "did not write it" in found.first.told


def test_a_missing_row_and_one_too_many_are_told(log: LogFile, tmp_path: Path) -> None:
    rows = [row for row in rows_of(log) if row.id != id_of(3)]
    found = compared(log.path, write_store(tmp_path / "lacks.db", rows, 6))
    assert first(found) == (3, id_of(3), "")
    more = [*rows_of(log), replace(rows_of(log)[2], id="f" * 32, version=4)]
    found = compared(log.path, write_store(tmp_path / "more.db", more, 6))
    assert first(found) == (4, "f" * 32, "")


def test_a_purge_that_the_device_missed_is_told(log: LogFile, tmp_path: Path) -> None:
    rows = rows_of(log)
    log.delete(id_of(3))
    log.purge(id_of(3))
    log.save()
    found = compared(log.path, write_store(tmp_path / "store.db", rows, 8))
    assert first(found) == (8, id_of(3), "")


def test_a_device_ahead_of_a_server_that_was_set_back_is_told(log: LogFile, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    backup.write_bytes(log.path.read_bytes())
    log.update(id_of(2), {"url": "later"})
    log.create(Kind.COLLECTION, {"name": "new"})
    found = compared(store_of(log, tmp_path / "store.db"), backup)
    assert (found.equal, found.at) == (True, 6)
    assert "set back" in " ".join(found.notes)


def test_what_waits_in_the_outbox_is_no_difference(log: LogFile, tmp_path: Path) -> None:
    store = store_of(log, tmp_path / "store.db")
    for op in (4, 5):
        fields = {"url": FieldEdit(encode_value("mine"), 6, bytes(16))}
        add_pending(store, Change(op, op - 1, WORKSPACE, Action.UPDATE, id_of(2), 6, fields=fields))
    found = compared(log.path, store)
    assert found.equal
    assert [(each.waiting.op, each.side, each.decided) for each in found.pending] == [
        (4, 2, True),  # the log has that op already
        (5, 2, False),
    ]


def test_two_devices_are_compared_as_far_as_both_have_come(log: LogFile, tmp_path: Path) -> None:
    behind = store_of(log, tmp_path / "one.db")
    log.update(id_of(2), {"name": "later"})
    log.create(Kind.COLLECTION, {"name": "new"})
    ahead = store_of(log, tmp_path / "two.db", device="2" * 32, name="desktop")
    assert compared(behind, ahead).equal
    wrong = changed(rows_of(log), id_of(2), url=Field(encode_value("x"), 4))
    found = compared(behind, write_store(tmp_path / "three.db", wrong, log.head))
    assert first(found) == (5, id_of(2), "url")
    gone = [row for row in rows_of(log) if row.id != id_of(3)]
    found = compared(behind, write_store(tmp_path / "four.db", gone, log.head))
    assert found.equal
    assert "removed for good since, or lost" in " ".join(found.notes)


def test_two_logs_part_at_the_first_event_that_differs(log: LogFile, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.write_bytes(log.path.read_bytes())
    assert compared(log.path, other).equal
    with closing(sqlite3.connect(other)) as database, database:
        (body,) = database.execute("SELECT body FROM events WHERE seq = 4").fetchone()
        event = replace(decode_event(body), fields={"url": encode_value("forged")})
        database.execute("UPDATE events SET body = ? WHERE seq = 4", (encode_event(event),))
    found = compared(log.path, other)
    assert first(found) == (4, id_of(2), "url")
    with closing(sqlite3.connect(other)) as database, database:
        database.execute("DELETE FROM events WHERE seq = 3")
    found = compared(log.path, other)
    assert first(found)[0] == 3
    assert found.first is not None
    assert found.first.told == "The second log lacks this event."


def test_a_capture_is_compared_by_what_its_events_make(log: LogFile, tmp_path: Path) -> None:
    capture = capture_of(log, tmp_path / "c")
    for sides in ((log.path, capture), (capture, log.path), (capture, capture)):
        assert compared(*sides).equal
    rows = changed(rows_of(log), id_of(2), url=Field(encode_value("other"), 5))
    store = write_store(tmp_path / "store.db", rows, 6)
    assert first(compared(capture, store)) == (5, id_of(2), "url")


def test_a_backup_is_equal_up_to_its_head(log: LogFile, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    backup.write_bytes(log.path.read_bytes())
    log.update(id_of(2), {"url": "later"})
    log.fold(2)
    log.save()
    found = compared(backup, log.path)
    assert (found.equal, found.at) == (True, 6)
    log.fold(7)
    log.save()
    with pytest.raises(ReplayError) as caught:
        compared(backup, log.path)
    assert caught.value.code == "replay.no_common"


def test_a_device_from_before_the_horizon_is_compared_with_its_bases(
    log: LogFile, tmp_path: Path
) -> None:
    store = store_of(log, tmp_path / "store.db")
    log.move(id_of(2), id_of(1), "X")
    log.fold(7)
    log.save()
    assert compared(log.path, store).equal
    rows = changed(rows_of(log), id_of(3), url=Field(encode_value("x"), 3))
    rows = [replace(row, place=Place(row.place.parent, "W")) for row in rows]
    found = compared(log.path, write_store(tmp_path / "other.db", rows, 6))
    assert first(found)[:2] == (1, id_of(1))


def test_what_was_removed_before_the_horizon_is_no_parting(log: LogFile, tmp_path: Path) -> None:
    store = store_of(log, tmp_path / "store.db")
    log.delete(id_of(3))
    log.purge(id_of(3))
    log.fold(8)
    found = compared(log.save(), store)
    assert found.equal
    assert any("1 entities are only on the side that is behind" in each for each in found.notes)
    log.create(Kind.FOLDER, {"title": "two"}, parent=id_of(1), entity=id_of(3))
    log.fold(9)
    assert compared(log.save(), store).equal


def test_what_was_made_anew_on_the_further_side_is_no_parting(log: LogFile, tmp_path: Path) -> None:
    laptop = store_of(log, tmp_path / "laptop.db")
    log.delete(id_of(3))
    log.purge(id_of(3))
    log.create(Kind.FOLDER, {"title": "two"}, parent=id_of(1), entity=id_of(3))
    phone = store_of(log, tmp_path / "phone.db")
    for sides in ((laptop, phone), (phone, laptop)):
        found = compared(*sides)
        assert (found.equal, found.at) == (True, 6)


def test_sources_of_other_accounts_are_refused(log: LogFile, tmp_path: Path) -> None:
    other = LogFile(tmp_path / "other.db", workspace="9" * 32)
    other.create(Kind.COLLECTION, {"name": "c"})
    other.save()
    with pytest.raises(ReplayError) as caught:
        compared(log.path, other.path)
    assert caught.value.code == "workspace.unknown"


def test_the_command_ends_with_0_only_when_they_are_equal(log: LogFile, tmp_path: Path) -> None:
    rows = changed(rows_of(log), id_of(2), url=Field(encode_value("wrong"), 5))
    wrong = write_store(tmp_path / "wrong.db", rows, 6)
    store = store_of(log, tmp_path / "store.db")
    run = CliRunner().invoke
    assert run(cli, ["replay", "compare", str(log.path), str(store)]).exit_code == 0
    rows_told = run(cli, ["replay", "compare", str(log.path), str(wrong)])
    assert rows_told.exit_code == 1
    assert rows_told.stdout.split("\t")[:5] == ["5", id_of(2), "url", '"d"', '"wrong"']
    result = run(cli, ["replay", "compare", str(log.path), str(wrong), "--json"])
    document = json.loads(result.stdout)
    assert (document["equal"], document["first"]["values"]) == (False, ["d", "wrong"])
    assert document["first"]["event"]["device"] == "2" * 32


def test_damage_is_told_of_the_file_that_has_it(log: LogFile, tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(log.path.read_bytes())
    with closing(sqlite3.connect(broken)) as database:
        database.execute("DROP TABLE events")
        database.commit()
    for sides in ((broken, log.path), (log.path, broken)):
        result = CliRunner().invoke(cli, ["replay", "compare", *map(str, sides), "--json"])
        assert result.exit_code == 1
        assert json.loads(result.stdout)["error"]["path"] == str(broken)
