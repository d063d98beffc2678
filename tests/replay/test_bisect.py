"""`kafkaman replay bisect` finds the event that first made an expression true."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from kafkaman_sync.cli.main import cli
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.replay import bisecting
from kafkaman_sync.replay.bisecting import Bisection
from kafkaman_sync.replay.expression import parse_expression
from kafkaman_sync.replay.server_log import ServerLog
from kafkaman_sync.replay.source import choose_log
from tests.replay.logs import LogFile, id_of
from tests.replay.test_state import Step, Unindexed, played, steps

PING = id_of(2)


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    log = LogFile(tmp_path / "kafkaman.db")
    api = log.create(Kind.COLLECTION, {"name": "API"})  # 1
    log.create(Kind.REQUEST, {"name": "Ping", "url": "/a"}, parent=api)  # 2
    log.update(PING, {"url": "/b"}, by="phone")  # 3
    log.update(PING, {"url": "/a"})  # 4
    log.update(PING, {"url": "/b"}, by="phone")  # 5
    log.create(Kind.REQUEST, {"name": "Pong", "url": "/c"}, parent=api)  # 6
    log.delete(PING, by="phone")  # 7
    log.purge(PING)  # 8
    return log


def replay(log: LogFile, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["replay", "bisect", str(log.save()), *arguments])


def told(log: LogFile, *arguments: str, code: int = 0) -> Any:
    result = replay(log, *arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("where", "seq", "turns"),
    [
        ('after.url == "/b"', 3, [(3, True), (4, False), (5, True), (8, False)]),
        ('after.url == "/c"', 6, [(6, True)]),
        ("deleted", 7, [(7, True), (8, False)]),
        ('name == "Ping"', 2, [(2, True), (8, False)]),
    ],
)
def test_a_state_is_told_with_each_of_its_turns(
    log: LogFile, where: str, seq: int, turns: list[tuple[int, bool]]
) -> None:
    found = told(log, "--where", where)
    assert (found["of"], found["before"], found["first"]["seq"]) == ("state", False, seq)
    assert [(turn["seq"], turn["holds"]) for turn in found["turns"]] == turns
    assert (found["turned"], found["holds"]) == (len(turns), turns[-1][1])


def test_who_made_it_true_is_told(log: LogFile) -> None:
    first = told(log, "--where", "deleted")["first"]
    assert (first["entity"], first["name"], first["by"]["device_name"]) == (PING, "Ping", "phone")
    assert replay(log, "--where", "action == purge").stdout.split("\t")[4] == "Ping"


def test_events_are_true_each_by_itself(log: LogFile) -> None:
    found = told(log, "--where", "device == phone and action == update")
    assert (found["of"], found["first"]["seq"], found["turned"]) == ("events", 3, 2)
    assert "1 later event" in replay(log, "--where", "device == phone and action == update").stderr
    assert told(log, "--where", "before.url != after.url and seq > 3")["first"]["seq"] == 4


def test_it_warns_when_it_turned_more_than_once(log: LogFile) -> None:
    result = replay(log, "--where", 'after.url == "/b"')
    assert "turned 4 times (true at 3, false at 4, true at 5, false at 8)" in result.stderr
    assert "turned" not in replay(log, "--where", 'after.url == "/c"').stderr


def test_what_was_true_before_is_told(log: LogFile) -> None:
    found = told(log, "--where", 'after.url == "/b"', "--seq", "4..8")
    assert (found["before"], found["first"]["seq"]) == (True, 5)
    none = told(log, "--where", 'after.url == "/b"', "--seq", "6..7", code=1)
    assert (none["before"], none["holds"], none["first"]) == (True, True, None)
    result = replay(log, "--where", 'after.url == "/b"', "--seq", "6..7")
    assert result.stderr.splitlines()[0] == "It was true already before seq 6."


def test_what_the_log_no_longer_tells_was_true_before_it(log: LogFile) -> None:
    log.fold(5)
    found = told(log, "--where", 'after.url == "/b"', code=1)
    assert (found["before"], found["first"], found["from"]) == (True, None, 6)
    result = replay(log, "--where", 'after.url == "/b"')
    assert "before the log begins" in result.stderr


@pytest.mark.parametrize("where", ['after.url == "/z"', "action == move"])
def test_what_was_never_true_ends_with_1(log: LogFile, where: str) -> None:
    for way in ([], ["--assume-monotone"]):
        assert told(log, "--where", where, *way, code=1)["first"] is None
    assert "not true" in replay(log, "--where", where).stderr or where.startswith("action")


def test_one_entity_can_be_asked_about(log: LogFile) -> None:
    assert told(log, "API/Pong", "--where", 'after.url == "/b"', code=1)["first"] is None
    assert told(log, PING, "--where", 'after.url == "/b"')["first"]["seq"] == 3
    assert told(log, id_of(77), "--where", "deleted", code=5)["error"]["code"] == "entity.not_found"


def test_a_wrong_expression_and_a_wrong_range_are_refused(log: LogFile) -> None:
    assert told(log, "--where", "url ==", code=2)["error"]["code"] == "usage.expression"
    assert (
        told(log, "--where", "deleted", "--seq", "7..3", code=2)["error"]["code"] == "usage.range"
    )
    wrong = told(log, "--where", "deleted", "--seq", "9..", code=1)
    assert wrong["error"]["code"] == "replay.future"
    assert replay(log).exit_code == 2


def test_halving_finds_the_same_when_it_became_true_once(
    log: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bisecting, "_READ_EVENTS", 1)
    for where, seq, read in (('after.url == "/c"', 6, 1), ('field.url == "/c"', 6, 6)):
        found = told(log, "--where", where, "--assume-monotone")
        assert (found["first"]["seq"], found["read"], found["assumed"]) == (seq, read, True)


WHERES = (
    "deleted",
    "kind == folder",
    "after.name == 0",
    'parent == ""',
    "after.url exists and not deleted",
    "action == move",
    "before.name != after.name",
)


@settings(deadline=None, max_examples=25)
@given(
    steps,
    st.sampled_from(WHERES),
    st.tuples(st.integers(0, 9), st.integers(0, 64)),
    st.sampled_from([ServerLog, Unindexed]),
)
def test_it_agrees_with_asking_at_every_seq(
    tmp_path_factory: pytest.TempPathFactory,
    taken: list[Step],
    where: str,
    bounds: tuple[int, int],
    kind: type[ServerLog],
) -> None:
    file, states = played(tmp_path_factory.getbasetemp() / "bisect.db", taken)
    file.fold(min(bounds[0], file.head))
    after = max(bounds[1] % len(states), file.horizon)
    with kind.open(file.save()) as source:
        log, names = choose_log(source, None), source.names()
        bisection = Bisection(source, log, names, parse_expression(where))
        truth = {seq: bisection._holds_at(seq) for seq in range(after, log.head + 1)}
        found = bisection.scan(after, log.head)
        if not found.of_state:
            return
        turns = [seq for seq in truth if seq > after and truth[seq] is not truth[seq - 1]]
        assert [turn.logged.event.seq for turn in found.turns] == turns[: len(found.turns)]
        assert (found.before, found.holds, found.turned) == (
            truth[after], truth[log.head], len(turns),
        )  # fmt: skip
        if len(turns) <= 1:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(bisecting, "_READ_EVENTS", 2)
                again = Bisection(source, log, names, parse_expression(where))
                assert again.bisect(after, log.head).first == found.first


def test_without_the_package_that_reads_expressions_it_says_which(
    log: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.startswith(("lark", "kafkaman_sync.replay.expression")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lark", None)
    error = told(log, "--where", "deleted", code=1)["error"]
    assert error["code"] == "replay.package_missing"
