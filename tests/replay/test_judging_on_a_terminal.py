"""What a person on a terminal reads from verify, compare and explain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kafkaman_sync.model.changes import Action, Change, FieldEdit
from kafkaman_sync.model.entities import Field, Kind
from kafkaman_sync.model.values import encode_value
from tests.cli.terminal import Terminal
from tests.replay.logs import WORKSPACE, LogFile, id_of
from tests.replay.stores import add_pending, rows_of, store_of, write_store
from tests.replay.test_verify import alter


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    made = LogFile(tmp_path / "server.db")
    one = made.create(Kind.COLLECTION, {"name": "one", "url": "a"})
    made.update(one, {"url": "b"})
    made.push(
        Action.UPDATE, one, by="desktop", base=1,
        fields={"url": encode_value("c")}, priors={"url": encode_value("a")},
    )  # fmt: skip
    made.save()
    return made


def shown(home: Path, *words: object, status: int) -> str:
    with Terminal(home, "replay", *map(str, words)) as terminal:
        assert terminal.end() == status
        return " ".join(terminal.shown.split())


def test_verify_says_sound_or_what_is_wrong_first(log: LogFile, tmp_path: Path) -> None:
    assert "Sound up to seq 2." in shown(tmp_path, "verify", log.path, status=0)
    alter(log.path, 2, lambda event: replace(event, fields={"url": encode_value("x")}))
    text = shown(tmp_path, "verify", log.path, status=1)
    assert "Wrong first: seq 2 of 00000001, url: Event 2 was altered" in text


def test_compare_says_equal_or_where_they_part(log: LogFile, tmp_path: Path) -> None:
    store = store_of(log, tmp_path / "store.db")
    fields = {"url": FieldEdit(encode_value("mine"), 2, bytes(16))}
    add_pending(store, Change(9, 8, WORKSPACE, Action.UPDATE, id_of(1), 2, fields=fields))
    text = shown(tmp_path, "compare", log.path, store, status=0)
    assert "Equal up to seq 2: 1 row." in text
    assert "Only B holds op 9 (update 00000001 of url): it waits in the outbox." in text
    (row,) = rows_of(log)
    wrong = replace(row, fields={**row.fields, "url": Field(encode_value("x\x07"), 2)})
    text = shown(
        tmp_path, "compare", log.path, write_store(tmp_path / "2.db", [wrong], 2), status=1
    )
    assert "They part after seq 2:" in text
    assert "event 2: update by ann on laptop, op 2" in text
    assert "\x07" not in text


def test_explain_reads_like_a_story(log: LogFile, tmp_path: Path) -> None:
    store = store_of(log, tmp_path / "store.db", device="2" * 32, name="desktop")
    text = shown(tmp_path, "explain", log.path, "one", "url", "--device", store, status=0)
    for part in (
        "one collection 00000001, its url",
        "ann on laptop created it (op 1)",
        'url: "a" -> "b"',
        "accepted by `base`: nobody had written it since what its author had seen (seq 1)",
        "ann on desktop wanted to change it (op 1)",
        "not accepted, `field`",
        "at seq 2, by ann on laptop (op 2)",
        "desktop keeps no record of it (any more).",
        'Now url is "b", of seq 2.',
    ):
        assert part in text
