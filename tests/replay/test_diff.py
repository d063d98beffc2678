"""`kafkaman replay diff` shows what is different between two points."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from kafkaman_sync.cli.main import cli
from kafkaman_sync.cli.replay.diff_view import print_changes
from kafkaman_sync.model.entities import ROOT, Kind
from kafkaman_sync.replay import changing
from kafkaman_sync.replay.changing import What, compare, span_of
from kafkaman_sync.replay.server_log import ServerLog
from kafkaman_sync.replay.source import choose_log
from tests.replay.logs import LogFile, id_of
from tests.replay.test_state import Step, Unindexed, played, steps


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    log = LogFile(tmp_path / "kafkaman.db")
    api = log.create(Kind.COLLECTION, {"name": "API"})  # 1
    folder = log.create(Kind.FOLDER, {"name": "Folder"}, parent=api)  # 2
    ping = log.create(Kind.REQUEST, {"name": "Ping", "url": "/ping"}, parent=api)  # 3
    log.update(ping, {"name": "Pong", "url": "/pong\x1b[2J"}, by="phone")  # 4
    log.remove_field(ping, "url")  # 5
    log.move(ping, folder)  # 6
    log.delete(ping)  # 7
    log.restore(ping)  # 8
    log.create(Kind.ENVIRONMENT, {"name": "Dev"})  # 9
    log.delete(ping, by="phone")  # 10
    log.purge(ping)  # 11
    return log


def replay(log: LogFile, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["replay", "diff", str(log.save()), *arguments])


def told(log: LogFile, *arguments: str) -> Any:
    result = replay(log, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def failed(log: LogFile, *arguments: str) -> tuple[str, int]:
    result = replay(log, *arguments, "--json")
    return json.loads(result.stdout)["error"]["code"], result.exit_code


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (2, 3, {3: ["created"]}),
        (3, 4, {3: ["renamed", "changed"]}),
        (4, 5, {3: ["changed"]}),
        (5, 6, {3: ["moved"]}),
        (6, 7, {3: ["deleted"]}),
        (7, 8, {3: ["restored"]}),
        (6, 8, {}),
        (8, 10, {3: ["deleted"], 4: ["created"]}),
        (10, 11, {3: ["purged"]}),
        (2, 11, {4: ["created"]}),
        (0, 0, {}),
    ],
)
def test_each_entity_is_told_by_what_became_of_it(
    log: LogFile, first: int, last: int, expected: dict[int, list[str]]
) -> None:
    found = told(log, str(first), str(last))
    assert {each["id"]: each["what"] for each in found["changes"]} == {
        id_of(number): what for number, what in expected.items()
    }
    assert sum(found["counts"].values()) == sum(map(len, expected.values()))


def test_a_field_is_told_with_both_values_and_who_wrote_it(log: LogFile) -> None:
    (change,) = told(log, "3", "5")["changes"]
    assert (change["path"], change["by"]["seq"]) == ("API/Pong", 5)
    name, url = change["fields"]
    assert (name["field"], name["before"], name["after"], name["seq"]) == (
        "name",
        "Ping",
        "Pong",
        4,
    )
    assert name["by"]["device_name"] == "phone"
    assert (url["before"], url["seq"], "after" in url) == ("/ping", 5, False)
    assert change["before"]["parent"] == change["after"]["parent"] == id_of(1)


def test_one_entity_is_named_as_it_was_called_at_either_point(log: LogFile) -> None:
    for name in ("API/Pong", "API/Ping", id_of(3)[:8], id_of(3)):
        (change,) = told(log, "3", "4", name)["changes"]
        assert change["id"] == id_of(3)
    assert told(log, "3", "4", "API/Folder")["changes"] == []
    assert failed(log, "3", "4", "API/Gone") == ("entity.not_found", 5)
    assert failed(log, "1", "2", id_of(3)) == ("entity.not_found", 5)


def test_a_pipe_gets_a_row_for_each_thing_that_is_different(log: LogFile) -> None:
    rows = [row.split("\t")[3:] for row in replay(log, "3", "6").stdout.splitlines()]
    what = "moved,renamed,changed"
    assert rows == [
        [what, "place", f"{id_of(1)} 00003V", f"{id_of(2)} V"],
        [what, "name", '"Ping"', '"Pong"'],
        [what, "url", '"/ping"', ""],
    ]
    assert replay(log, "10", "11").stdout.split("\t")[2:] == [
        "API/Folder/Pong",
        "purged",
        "",
        "",
        "\n",
    ]


def test_ranges_that_are_none_are_refused(log: LogFile) -> None:
    log.fold(3)
    assert failed(log, "5", "4") == ("usage.range", 2)
    assert failed(log, "5", "99") == ("replay.future", 1)
    assert failed(log, "2", "5") == ("replay.purged", 1)


def test_a_place_among_siblings_is_told_by_its_own_word(log: LogFile) -> None:
    log.move(id_of(2), id_of(1), "zz")
    (change,) = told(log, "11", "12")["changes"]
    assert change["what"] == [What.PLACED]


@settings(deadline=None, max_examples=25)
@given(steps, st.integers(0, 64), st.integers(0, 64), st.booleans())
def test_every_way_finds_the_same_differences(
    tmp_path_factory: pytest.TempPathFactory, taken: list[Step], one: int, other: int, few: bool
) -> None:
    file, states = played(tmp_path_factory.getbasetemp() / "diff.db", taken)
    first, last = sorted(number % len(states) for number in (one, other))
    ids = sorted(states[first].keys() | states[last].keys())
    expected = [
        found
        for entity in ids
        if (found := compare(states[first].get(entity), states[last].get(entity))) is not None
    ]
    file.save()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changing, "_LOOK_UP", 0 if few else 10**9)
        for kind in (ServerLog, Unindexed):
            with kind.open(file.path) as source:
                log = choose_log(source, None)
                assert list(span_of(source, log, first, last).changes()) == expected
                from_log = span_of(source, log, first, last, from_log=True)
                assert list(from_log.changes()) == expected
                assert ROOT not in ids


def test_a_narrow_terminal_shows_what_was_written(log: LogFile) -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=40)
    with ServerLog.open(log.save()) as source:
        found = choose_log(source, None)
        span = span_of(source, found, 3, 4)
        print_changes(console, span, list(span.changes()), source.names(), {})
    lines = [line.strip(" │├└─") for line in shown.getvalue().splitlines()]
    assert "name    Ping  ->  Pong" in lines
