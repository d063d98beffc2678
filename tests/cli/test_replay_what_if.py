"""`kafkaman replay what-if`: for a person, for scripts, and what is wrong with it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from kafkaman_sync.cli.main import cli
from kafkaman_sync.cli.replay.what_if_view import outcome_lines
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.values import encode_value
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.order import Skip
from kafkaman_sync.replay.source import choose_log
from kafkaman_sync.replay.what_if import what_if
from tests.replay.logs import LogFile


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    """Two write an address at once (2 wins), then the collection gets a folder (3, 4)."""
    log = LogFile(tmp_path / "kafkaman.db")
    collection = log.create(Kind.COLLECTION, {"name": "API"})
    log.update(collection, {"url": "winner\x1b[31m"}, by="phone")
    log.push(Action.UPDATE, collection, base=1, fields={"url": encode_value("loser")}, priors={
        "url": b"\xc0",
    })  # fmt: skip
    folder = log.create(Kind.FOLDER, {"name": "Users"}, parent=collection)
    log.push(Action.UPDATE, folder, fields={"data": b"\xc1", "bytes": encode_value([b"\x00"])})
    log.save()
    return log


def run(log: LogFile, *words: str) -> Result:
    return CliRunner().invoke(cli, ["replay", "what-if", str(log.path), *words])


def told(log: LogFile, *words: str) -> dict[str, Any]:
    result = run(log, *words, "--json")
    assert result.exit_code == 0, result.stdout
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_script_gets_it_as_json(log: LogFile) -> None:
    before = log.path.read_bytes()
    found = told(log, "--skip", "2")
    assert {name: found[name] for name in ("edits", "from", "head", "head_then", "decided")} == {
        "edits": [{"skip": 2}], "from": 2, "head": 4, "head_then": 4, "decided": 3,
    }  # fmt: skip
    (change,) = found["changes"]
    assert (change["seq"], change["device_name"], change["op"]) == (2, "laptop", 2)
    assert change["was"]["conflicts"] == [{"code": "field", "field": "url", "by": 2}]
    assert change["then"] == {
        "verdict": "accepted", "accepted": ["url"], "conflicts": [], "refusal": None,
    }  # fmt: skip
    (entity,) = found["entities"]
    (field,) = entity["fields"]
    assert (field["field"], field["was"]) == ("url", "winner\x1b[31m")
    assert len(field["then_hash"]) == 32
    assert log.path.read_bytes() == before


def test_edits_are_told_as_they_were_asked_for(log: LogFile) -> None:
    found = told(log, "--skip", "4", "--swap", "1", "2", "--move", "3", "--before", "5")
    assert found["edits"] == [{"move": 3, "before": 5}, {"swap": [1, 2]}, {"skip": 4}]
    assert told(log, "--skip", "3,4")["edits"] == [{"skip": 3}, {"skip": 4}]


def test_as_it_was_it_comes_out_as_it_did(log: LogFile) -> None:
    assert told(log, "--from", "1")["changes_count"] == 0
    assert "All comes out as it did." in run(log, "--from", "1").stderr


def test_values_that_are_none_are_told_as_bytes(log: LogFile) -> None:
    found = told(log, "--skip", "4")
    fields = {each["field"]: each["was"] for each in found["entities"][0]["fields"]}
    assert fields == {"bytes": [{"$bytes": "AA=="}], "data": {"$bytes": "wQ=="}}


def test_a_pipe_gets_rows(log: LogFile) -> None:
    result = run(log, "--skip", "1")
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[:2] for row in rows if row[0] == "change"] == [
        ["change", "2"], ["change", "3"], ["change", "4"],
    ]  # fmt: skip
    assert rows[1][-2:] == ["accepted", "refused (parent_refused)"]
    assert "\x1b" not in result.stdout
    assert "3 changes come out otherwise" in result.stderr


def test_a_person_gets_it_in_words(log: LogFile) -> None:
    with open_source(str(log.path)) as source:
        outcome = what_if(source, choose_log(source, None), [Skip(2), Skip(3)])
        console = Console(width=100, record=True, file=io.StringIO())
        for each in outcome_lines(outcome, source.names()):
            console.print(each)
    shown = console.export_text()
    for part in (
        "What if: 2 skipped; 3 skipped", "2 changes come out otherwise", "seq 2  update  API",
        "conflict: url (by 2)", "conflict: it is not there", "not in the log", "not there",
        "winner\\x1b[31m",
    ):  # fmt: skip
        assert part in shown, shown


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        ((), "usage.missing", 2),
        (("--move", "1"), "usage.missing", 2),
        (("--skip", "x"), "usage.invalid", 2),
        (("--skip", "0"), "usage.invalid", 2),
        (("--skip", "1,1"), "replay.order", 1),
        (("--skip", "9"), "replay.order", 1),
        (("--from", "9"), "replay.order", 1),
        (("--swap", "1", "9"), "replay.order", 1),
    ],
)
def test_what_cannot_be_is_said(
    log: LogFile, words: tuple[str, ...], code: str, status: int
) -> None:
    result = run(log, *words, "--json")
    error = json.loads(result.stdout)["error"]
    assert (error["code"], result.exit_code) == (code, status)
    assert error["hint"]


@pytest.mark.parametrize("seq", ["9" * 5000, "9" * 20, "0", "x", "1,,2"])
def test_what_is_no_seq_is_refused(tmp_path: Path, seq: str) -> None:
    log = LogFile(tmp_path / "kafkaman.db")
    log.create(Kind.COLLECTION, {"name": "API"})
    asked = ["replay", "what-if", str(log.save()), "--skip", seq]
    result = CliRunner().invoke(cli, asked)
    assert result.exit_code == 2
    assert "is no seq" in result.stderr


def test_what_is_called_by_a_value_that_is_not_in_the_log_keeps_its_name(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "kafkaman.db")
    entity = log.create(Kind.COLLECTION, {"name": "one"})
    log.update(entity, {"name": "two"})
    log.push(
        Action.UPDATE, entity, by="phone", base=1, fields={"name": encode_value("three")},
        priors={"name": encode_value("one")},
    )  # fmt: skip
    result = CliRunner().invoke(cli, ["replay", "what-if", str(log.save()), "--skip", "2"])
    rows = [row.split("\t") for row in result.stdout.splitlines()]
    assert [(row[0], row[5] if row[0] == "change" else row[3]) for row in rows] == [
        ("change", "one"), ("entity", "two"),
    ]  # fmt: skip
