"""`replay stats`: figures that add up, a plot, a picture, and what a source cannot tell."""

from __future__ import annotations

import json
import sqlite3
import sys
import warnings
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.cli.main import cli
from kafkaman_sync.model.changes import Action, Change, FieldEdit, Verdict
from kafkaman_sync.model.entities import Kind, Place
from kafkaman_sync.model.values import encode_value
from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import Events, Hello, Push, Verdicts
from kafkaman_sync.protocol.recording import Recorded, Sort
from kafkaman_sync.protocol.records import encode_change
from kafkaman_sync.replay import statistics
from kafkaman_sync.replay.capture import CaptureWriter, Header
from kafkaman_sync.replay.statistics import Spread, _Counted, latency_of
from tests.cli.terminal import Terminal
from tests.replay.logs import LogFile


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    log = LogFile(tmp_path / "log.db")
    entity = log.create(Kind.COLLECTION, {"name": "My API\x1b[1m"})
    for number in range(30):
        log.update(entity, {"description": f"{number}"}, by="phone" if number % 3 else "laptop")
    log.create(Kind.ENVIRONMENT, {"name": "Dev"})
    # Not seen by its writer, and so not accepted; and one that was made ten events ago.
    log.push(Action.UPDATE, entity, by="phone", fields={"name": b"\xa1x"}, priors={"name": b"y"},
             base=0)  # fmt: skip
    log.push(Action.UPDATE, entity, by="laptop", fields={"x": b"\xa1x"}, base=22)
    log.save()
    return log


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["replay", "stats", *map(str, arguments)])


def facts(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_figures_are_those_of_the_log(log: LogFile) -> None:
    found = facts(log.path)
    assert found["total"]["events"] == 33
    assert {name: each["events"] for name, each in found["actions"].items()} == {
        "update": 31, "create": 2,
    }  # fmt: skip
    assert found["kinds"]["environment"]["events"] == 1
    assert {each["name"]: each["events"] for each in found["devices"]} == {
        "laptop": 13, "phone": 20,
    }  # fmt: skip
    assert found["fields"] == {"description": 30, "name": 2, "x": 1}
    assert (sum(found["time"]["slots"]), found["seqs"]) == (33, {"first": 1, "last": 33})
    assert found["time"]["first"] == "2023-11-14T22:13:21.000+00:00"
    assert found["behind"]["largest"] == 10
    assert found["disputes"] == {
        "total": 1, "codes": {"field": 1},
        "devices": [{"id": "2" * 32, "name": "phone", "disputes": 1}],
    }  # fmt: skip
    assert [each["events"] for each in found["hot"]] == [32, 1]
    assert found["hot"][1] | {"entity": ""} == {
        "entity": "", "kind": "environment", "name": "Dev", "events": 1,
    }  # fmt: skip
    for part in ("actions", "kinds"):
        assert sum(each["bytes"] for each in found[part].values()) == found["total"]["bytes"]
    assert found["latency_us"] is None
    assert "capture" in found["latency_note"]


def test_a_part_of_a_log_is_counted(log: LogFile) -> None:
    assert facts(log.path, "--seq", "2..4")["total"]["events"] == 3
    assert facts(log.path, "--where", "kind == environment")["total"]["events"] == 1
    assert facts(log.path, "--since", "2023-11-14T22:13:52Z")["total"]["events"] == 2
    empty = facts(log.path, "--where", "seq > 99")
    assert (empty["total"]["events"], empty["hot"], empty["sizes"]) == (0, [], None)
    assert len(facts(log.path, "--top", 1)["hot"]) == 1


def test_rows_are_for_programs(log: LogFile) -> None:
    rows = [line.split("\t") for line in run(log.path).stdout.splitlines()]
    assert ["field", "description", "30"] in rows
    assert ["disputes", "", "1"] in rows
    assert "\x1b" not in run(log.path).stdout


def test_damage_is_counted_beside_the_rest(log: LogFile) -> None:
    with closing(sqlite3.connect(log.path)) as database:
        database.execute("DELETE FROM events WHERE seq IN (3, 4)")
        database.execute("UPDATE events SET body = x'c1' WHERE seq = 5")
        database.commit()
    found = facts(log.path)
    assert (found["total"]["events"], found["missing"], found["unreadable"]) == (30, 2, 1)


def test_a_terminal_shows_a_plot_and_tables(log: LogFile, tmp_path: Path) -> None:
    with Terminal(tmp_path, "replay", "stats", str(log.path)) as terminal:
        assert terminal.end() == 0
    for text in ("Personal", "33 events", "█", "22:13:21", "written most", "My API\\x1b[1m",
                 "Not accepted", "phone 1"):  # fmt: skip
        assert text in terminal.shown


def test_a_picture_is_drawn_and_nothing_written_over(log: LogFile, tmp_path: Path) -> None:
    picture = tmp_path / "stats.png"
    assert run(log.path, "--png", picture).exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    for path, code in (
        (picture, "replay.output_exists"),
        (log.path, "replay.output_is_input"),
        (tmp_path / "no" / "where.png", "file.not_found"),
    ):
        result = run(log.path, "--png", path, "--json")
        assert json.loads(result.stdout)["error"]["code"] == code
    assert run(log.path, "--png", picture, "--force").exit_code == 0


def test_a_missing_package_is_named(
    log: LogFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.startswith(("matplotlib", "kafkaman_sync.cli.replay.stats_picture")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(log.path, "--png", tmp_path / "a.png", "--json")
    assert json.loads(result.stdout)["error"]["code"] == "replay.package_missing"
    assert list(tmp_path.glob("*.png")) == []


@given(st.lists(st.sampled_from("abcdefgh")))
def test_those_written_most_are_found_with_few_counted_at_a_time(names: list[str]) -> None:
    counted = _Counted()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "_COUNTED_MAX", 3)
        for name in names:
            counted.add(name)
    exact = Counter(names)
    for name, number in exact.items():
        if number * 4 > len(names):
            assert name in dict(counted.most(8))
    if not counted.let_go:
        assert dict(counted.most(8)) == exact


def test_where_too_many_entities_were_written_the_first_are_counted_again(
    log: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_COUNTED_MAX", 1)
    assert facts(log.path)["hot"][0]["events"] == 32


def change(op: int) -> Change:
    fields = {"name": FieldEdit(encode_value("A"), 0, bytes(16))}
    return Change(
        op,
        op - 1,
        "7" * 32,
        Action.CREATE,
        f"{op:032x}",
        0,
        Kind.COLLECTION,
        Place("", "V"),
        fields,
    )


def test_a_capture_tells_how_long_answers_took(tmp_path: Path) -> None:
    pushed = encode(Push(tuple(encode_change(change(op)) for op in (1, 2, 3)), 0))
    events = encode(Events("7" * 32, (Verdict(1, 1, True), Verdict(2, 2, True)), None))
    refused = encode(Verdicts((Verdict(3),)))
    several = [
        Recorded(Sort.UP, 1_000, 0, 1, pushed),
        Recorded(Sort.DOWN, 1_500, 0, 2, events),  # another connection's
        Recorded(Sort.DOWN, 3_000, 0, 1, events),
        Recorded(Sort.DOWN, 4_000, 0, 1, b"\xc1"),
        Recorded(Sort.DOWN, 9_000, 0, 1, refused),
        Recorded(Sort.UP, 9_100, 0, 1, pushed),
        Recorded(Sort.CLOSED, 9_200, 0, 1, b"\x80"),
        Recorded(Sort.DOWN, 9_300, 0, 1, events),
    ]
    assert latency_of(several) == Spread(3, 2000, 2000, 2000, 8000)
    assert latency_of([]) is None
    hello = encode(Hello("t", "d" * 32, "", ()))
    broken = [
        Recorded(Sort.UP, 0, 0, 1, hello),
        Recorded(Sort.UP, 1_000, 0, 1, pushed),
        Recorded(Sort.DOWN, 1_200, 0, 1, encode(Verdicts((Verdict(1),)))),  # lost on the way
        Recorded(Sort.CLOSED, 2_000, 0, 1, b"\x80"),
        Recorded(Sort.UP, 3_000, 0, 2, hello),
        Recorded(Sort.UP, 4_000, 0, 2, pushed),
        Recorded(Sort.DOWN, 6_000, 0, 2, events),
    ]
    assert latency_of(broken) == Spread(2, 200, 200, 200, 5000)
    path = tmp_path / "capture"
    with CaptureWriter.create(path, Header(what="daemon", began_ms=0, device="d" * 32)) as writer:
        for record in several[:1] + several[2:3]:
            writer.add(record)
    assert facts(path)["latency_us"]["median"] == 2000
    assert ["latency_us", "median", "2000"] in [
        line.split("\t") for line in run(path).stdout.splitlines()
    ]


def test_names_without_a_picture_are_no_reason_to_warn(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log.db")
    log.create(Kind.COLLECTION, {"name": "A"}, by="desk\U0001f5a5")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert run(log.save(), "--png", tmp_path / "a.png").exit_code == 0
    assert not [each for each in warned if "Glyph" in str(each.message)]
