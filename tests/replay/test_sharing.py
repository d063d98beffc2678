"""Two processes prove a log sound by halves; what is wrong is told as one process would."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.msgpack import encode

from kafkaman_sync.model.entities import Kind
from kafkaman_sync.protocol.records import decode_event, encode_event
from kafkaman_sync.replay import sharing, verifying
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.proving import Share, Unproved
from kafkaman_sync.replay.server_log import ServerLog
from kafkaman_sync.replay.verifying import Verification, verify
from tests.replay.logs import LogFile
from tests.replay.test_verify import random_log


def proved(path: Path) -> bool:
    """Tell whether both shares, judged in this process, prove a log sound."""
    with open_source(str(path)) as source:
        assert isinstance(source, ServerLog)
        (log,) = source.logs()
        share, devices = Share(source.pivot(log, 0.5), low=True), sharing.devices_of(source)
        try:
            prover = sharing.judged(source, log, share)
            half = sharing.judge_half(str(path), log, share.pivot, devices)
        except Unproved:
            return False
        return sharing.come_together(source, log, prover, half) is not None


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    made = random_log(tmp_path / "log.db", 3, 200)
    made.save()
    return made


@pytest.mark.parametrize("seed", range(4))
def test_halves_prove_whatever_the_rules_made(tmp_path: Path, seed: int) -> None:
    made = random_log(tmp_path / "log.db", seed, 200)
    made.save()
    assert proved(made.path)
    made.fold(made.head // 2)
    made.save()
    assert proved(made.path)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE events SET digest = zeroblob(16) WHERE seq = 20",
        "DELETE FROM events WHERE seq = 30",
        "UPDATE events SET body = x'80' WHERE seq = 40",
        "UPDATE events SET body = x'80' WHERE seq = 2",
        "UPDATE events SET entity = CAST(entity AS BLOB) WHERE seq = 30",
        "UPDATE events SET digest = x'00' WHERE seq = 20",
        "UPDATE events SET seq = 1000 WHERE seq = 30",
        "UPDATE devices SET last_op = 1",
        "UPDATE workspaces SET digest = zeroblob(16)",
        "UPDATE entities SET fields = x'80' WHERE number = 1",
        "UPDATE entities SET fields = x'80' WHERE number = 2",
        "UPDATE entities SET fields = 'text' WHERE number = 1",
        "UPDATE entities SET fields = 'text' WHERE number = 2",
        "UPDATE entities SET version = version + 1 WHERE number = 1",
        "UPDATE entities SET version = version + 1 WHERE number = 2",
        "UPDATE entities SET position = 'Z' WHERE number = 1",
        "UPDATE entities SET position = 'Z' WHERE number = 2",
        "UPDATE entities SET writer = 'x' WHERE number = 1",
        "UPDATE entities SET writer = 'x' WHERE number = 2",
        "DELETE FROM entities WHERE number = 2",
        "UPDATE entities SET id = 'ffffffffffffffffffffffffffffffff' WHERE number = 1",
        "UPDATE events SET body = CAST(replace(body, x'A26F70', x'A26F71') AS BLOB) WHERE seq = 50",
    ],
)
def test_halves_prove_nothing_that_is_not_so(log: LogFile, sql: str) -> None:
    with closing(sqlite3.connect(log.path)) as database, database:
        assert database.execute(sql).rowcount > 0
    assert not proved(log.path)


def verified(path: Path) -> Verification:
    with open_source(str(path)) as source:
        return verify(source, source.logs()[0])


def test_a_long_log_is_verified_by_two_processes(
    log: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = verified(log.path)
    monkeypatch.setattr(sharing, "EVENTS_MIN", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(verifying, "_begin", None)
    assert verified(log.path) == whole


@pytest.mark.parametrize(("count", "worth"), [(2, True), (1, False), (None, False)])
def test_a_system_that_does_not_say_which_processors_are_usable_counts_them_all(
    log: LogFile, monkeypatch: pytest.MonkeyPatch, count: int | None, *, worth: bool
) -> None:
    monkeypatch.setattr(sharing, "EVENTS_MIN", 0)
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    with open_source(str(log.path)) as source:
        assert isinstance(source, ServerLog)
        assert sharing.worthwhile(source, source.logs()[0]) is worth


def test_what_halves_cannot_prove_is_judged_in_one_piece(
    log: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(log.path)) as database, database:
        database.execute("UPDATE events SET digest = zeroblob(16) WHERE seq = 20")
    whole = verified(log.path)
    assert whole.first is not None
    assert (whole.first.code, whole.first.seq) == ("digest", 20)
    monkeypatch.setattr(sharing, "EVENTS_MIN", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert verified(log.path) == whole


def test_a_log_that_was_folded_meanwhile_is_not_proved(log: LogFile) -> None:
    with open_source(str(log.path)) as source:
        (found,) = source.logs()
    with pytest.raises(Unproved):
        sharing.judge_half(str(log.path), replace(found, horizon=5), "", {})


@pytest.mark.parametrize("action", ["create", "move", "delete", "restore", "purge"])
def test_what_another_share_would_not_have_looked_at_is_not_proved(
    log: LogFile, action: str
) -> None:
    # A basis as long as an update's hides from others what the event does to the tree.
    with closing(sqlite3.connect(log.path)) as database, database:
        (seq,) = database.execute(
            "SELECT max(seq) FROM events WHERE instr(body, ?)", (encode(action),)
        ).fetchone()
        (base,) = database.execute(
            "SELECT ifnull(substr(basis, 1, length(basis) - 1), x'930101') FROM events"
            " WHERE seq = ?", (seq,)
        ).fetchone()  # fmt: skip
        basis = base + b"\x91\x92\x00\xc4\x10" + bytes(16)
        database.execute("UPDATE events SET basis = ? WHERE seq = ?", (basis, seq))
    assert not proved(log.path)


def test_ops_of_a_device_that_two_shares_hold_are_compared(tmp_path: Path) -> None:
    made = LogFile(tmp_path / "log.db")
    top = made.create(Kind.COLLECTION, {"name": "top"}, entity="0" * 32)
    made.create(Kind.REQUEST, {"name": "low"}, parent=top, entity="1" * 32)
    made.create(Kind.REQUEST, {"name": "high"}, parent=top, entity="f" * 32)
    made.save()
    assert proved(made.path)
    with closing(sqlite3.connect(made.path)) as database, database:
        for seq, op in ((2, 3), (3, 2)):
            (body,) = database.execute("SELECT body FROM events WHERE seq = ?", (seq,)).fetchone()
            event = encode_event(replace(decode_event(body), op=op))
            database.execute("UPDATE events SET body = ? WHERE seq = ?", (event, seq))
    assert not proved(made.path)
    found = verified(made.path).first
    assert found is not None
    assert (found.code, found.seq) == ("op", 3)


def test_who_wrote_another_share_s_row_counts_for_a_deletion_above_it(tmp_path: Path) -> None:
    made = LogFile(tmp_path / "log.db")
    top = made.create(Kind.COLLECTION, {"name": "top"}, entity="0" * 32)
    folder = made.create(Kind.FOLDER, {"name": "f"}, parent=top, entity="1" * 32)
    high = made.create(Kind.REQUEST, {"name": "r"}, parent=folder, entity="f" * 32)
    made.update(high, {"name": "s"}, by="desktop")
    made.update(high, {"name": "t"})
    made.delete(folder)
    made.save()
    assert proved(made.path)
    # As if the laptop had not seen what the desktop wrote.
    with closing(sqlite3.connect(made.path)) as database, database:
        database.execute("UPDATE events SET basis = x'93050390' WHERE seq = 6")
    assert not proved(made.path)
    found = verified(made.path).first
    assert found is not None
    assert (found.code, found.seq) == ("rule", 6)


@pytest.mark.parametrize("number", ["10 * number", "10000 - number"])
def test_a_log_is_proved_wherever_its_events_lie(log: LogFile, number: str) -> None:
    with closing(sqlite3.connect(log.path)) as database, database:
        database.execute("CREATE TABLE moved AS SELECT * FROM events")
        database.execute("DELETE FROM events")
        database.execute(
            f"INSERT INTO events SELECT {number}, workspace, seq, entity, body, basis, digest"
            " FROM moved"
        )
        database.execute("DROP TABLE moved")
    assert proved(log.path)


@pytest.mark.parametrize(
    "sql",
    ["UPDATE workspaces SET head = 1000000000000000000", "DELETE FROM events WHERE seq = 7"],
)
def test_nothing_is_made_ready_to_prove_events_that_are_not_there(
    log: LogFile, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    monkeypatch.setattr(sharing, "EVENTS_MIN", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    with closing(sqlite3.connect(log.path)) as database, database:
        database.execute(sql)
    monkeypatch.setattr(verifying, "prove", None)
    assert not verified(log.path).sound
