"""`kafkaman replay blame` shows who last wrote each part of an entity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kafkaman_sync.cli.main import cli
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.replay.blaming import Written, blame_field
from kafkaman_sync.replay.server_log import ServerLog
from kafkaman_sync.replay.source import choose_log
from kafkaman_sync.replay.state import State
from tests.cli.terminal import Terminal
from tests.replay.logs import LogFile, id_of
from tests.replay.test_state import Unindexed

PING = id_of(2)


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    log = LogFile(tmp_path / "kafkaman.db")
    api = log.create(Kind.COLLECTION, {"name": "API"})  # 1
    log.create(Kind.REQUEST, {"name": "Ping", "body": "a\nb"}, parent=api)  # 2
    log.update(PING, {"body": "a\nx\nb"}, by="phone")  # 3
    log.update(PING, {"body": "a\nx\nb\nc\x1b[2J"})  # 4
    log.update(PING, {"headers": [{"key": "A", "value": "1"}]}, by="phone")  # 5
    log.update(PING, {"headers": [{"key": "A", "value": "1"}, {"key": "B", "value": "2"}]})  # 6
    log.update(PING, {"name": "Pong"}, by="phone")  # 7
    log.remove_field(PING, "headers")  # 8
    log.move(PING, api, "zz", by="phone")  # 9
    return log


def replay(log: LogFile, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["replay", "blame", str(log.save()), *arguments])


def told(log: LogFile, *arguments: str) -> Any:
    result = replay(log, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def seqs(found: Any) -> list[tuple[str, str, int | None]]:
    return [(part["part"], part["label"], part["seq"]) for part in found["parts"]]


def test_each_part_is_blamed_on_who_wrote_it_last(log: LogFile) -> None:
    found = told(log, "API/Pong")
    assert seqs(found) == [
        ("place", "", 9),
        ("deleted", "", 2),
        ("field", "body", 4),
        ("field", "headers", 8),
        ("field", "name", 7),
    ]
    devices = [part["by"]["device_name"] for part in found["parts"]]
    assert devices == ["phone", "laptop", "laptop", "laptop", "phone"]
    assert "value" not in found["parts"][3], "it was removed"
    assert found["parts"][0]["value"] == {"parent": id_of(1), "position": "zz"}


def test_each_line_and_each_item_of_a_value_is_blamed_by_itself(log: LogFile) -> None:
    lines = told(log, PING, "--field", "body")
    assert [(part["value"], part["seq"]) for part in lines["parts"]] == [
        ("a", 2), ("x", 3), ("b", 2), ("c\x1b[2J", 4),
    ]  # fmt: skip
    items = told(log, PING, "--field", "headers", "--at", "7")
    assert seqs(items) == [("item", "A", 5), ("item", "B", 6)]


def test_what_is_older_than_the_log_is_blamed_on_nobody(log: LogFile) -> None:
    log.fold(3)
    found = told(log, PING, "--field", "body")
    assert [part["seq"] for part in found["parts"]] == [None, None, None, 4]
    assert told(log, PING, "--field", "body", "--at", "3")["parts"][0]["by"] is None
    assert ("deleted", "", None) in seqs(told(log, PING))


def test_a_pipe_gets_a_row_for_each_part(log: LogFile) -> None:
    rows = [row.split("\t") for row in replay(log, PING, "--field", "body").stdout.splitlines()]
    assert [(row[0], row[3], row[6]) for row in rows] == [
        ("2", "laptop", '"a"'),
        ("3", "phone", '"x"'),
        ("2", "laptop", '"b"'),
        ("4", "laptop", r'"c\u001b[2J"'),
    ]


def test_a_field_that_is_not_there_is_refused_with_those_that_are(log: LogFile) -> None:
    result = replay(log, PING, "--field", "headers", "--json")
    error = json.loads(result.stdout)["error"]
    assert (error["code"], result.exit_code) == ("field.not_found", 5)
    assert "body, name" in error["hint"]


def test_a_source_without_an_index_blames_the_same(log: LogFile) -> None:
    log.save()
    found: list[list[Written]] = []
    for kind in (ServerLog, Unindexed):
        with kind.open(log.path) as source:
            state = State(source, choose_log(source, None), 9)
            entity = state.get(PING)
            assert entity is not None
            found.append(blame_field(state, entity, "body"))
    assert found[0] == found[1]


def test_a_long_value_does_not_flood_a_terminal(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "kafkaman.db")
    log.create(Kind.COLLECTION, {"name": "API", "description": "long " * 1000})
    with Terminal(tmp_path, "replay", "blame", str(log.save()), "API") as terminal:
        assert terminal.end() == 0
    assert "... 4,600 more: --json shows all" in terminal.shown
