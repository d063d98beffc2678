"""What one damaged bit of a database makes: text where bytes were, and numbers that are none."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from kafkaman_sync.cli.main import cli
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.values import encode_value
from tests.cli.terminal import Terminal
from tests.replay.logs import LogFile, id_of
from tests.replay.stores import store_of

PING = id_of(2)
COMMANDS = (
    ("log",), ("log", "--format", "raw"), ("log", "--json", "--values"), ("stats",),
    ("at", "5"), ("at", "5", PING), ("at", "5", "--from-log"), ("diff", "1", "5"),
    ("blame", PING), ("bisect", "--where", "deleted"), ("explain", PING), ("verify",),
    ("what-if", "--skip", "4"), ("export",),
)  # fmt: skip
DAMAGE = (
    "UPDATE events SET body = 'text' WHERE seq = 4",
    "UPDATE events SET body = 7 WHERE seq = 4",
    "UPDATE events SET body = x'' WHERE seq = 4",
    "UPDATE events SET basis = 'text' WHERE seq = 4",
    "UPDATE events SET digest = 'text' WHERE seq = 4",
    "UPDATE events SET entity = x'6162' WHERE seq = 4",
    "UPDATE workspaces SET head = 'text'",
    "UPDATE workspaces SET horizon = 'text'",
    "UPDATE workspaces SET digest = 'text'",
    "UPDATE workspaces SET name = x'ff'",
    "UPDATE devices SET name = x'ff'",
    "UPDATE accounts SET username = x'ff'",
    "UPDATE entities SET version = 'text'",
    "UPDATE entities SET fields = 'text'",
    "UPDATE entities SET kind = 7",
    "UPDATE disputes SET body = 'text'",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    log = LogFile(tmp_path / "kafkaman.db")
    api = log.create(Kind.COLLECTION, {"name": "API"})
    ping = log.create(Kind.REQUEST, {"name": "Ping"}, parent=api)
    assert ping == PING
    log.update(ping, {"url": "a"}, by="phone")
    log.update(ping, {"url": "b"})
    log.push(
        Action.UPDATE, ping, by="phone", base=3, fields={"url": encode_value("c")},
        priors={"url": b"\xc0"},
    )  # fmt: skip
    log.update(ping, {"name": "Pong"})
    return log.save()


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_shown_as_far_as_it_can_be_or_told(path: Path, damage: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(damage)
        database.commit()
    for command in COMMANDS:
        result = CliRunner().invoke(cli, ["replay", command[0], str(path), *command[1:]])
        assert result.exit_code in (0, 1, 5), (command, result.output)
        assert "unexpected" not in result.output, (command, result.output)
        assert "Traceback" not in result.output, (command, result.output)


@pytest.mark.parametrize(
    "damage", [each for each in DAMAGE if not re.search("name|horizon|disputes", each)]
)
def test_verify_finds_what_is_no_longer_what_it_was(path: Path, damage: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(damage)
        database.commit()
    assert CliRunner().invoke(cli, ["replay", "verify", str(path)]).exit_code == 1


def test_events_at_or_below_the_horizon_are_no_gap(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE workspaces SET horizon = 3")
        database.commit()
    for way in ((), ("--last", "100")):
        result = CliRunner().invoke(cli, ["replay", "log", str(path), *way])
        assert (len(result.stdout.splitlines()), result.stderr) == (5, "")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE workspaces SET cursor = 'text'",
        "UPDATE workspaces SET mark = 'text'",
        "UPDATE workspaces SET epochs = 'text'",
        "UPDATE workspaces SET digest = 'text'",
        "UPDATE workspaces SET name = x'ff'",
        "UPDATE entities SET version = 'text'",
        "UPDATE entities SET fields = 'text'",
        "UPDATE meta SET value = 'text' WHERE key = 'last_op'",
        "UPDATE meta SET value = 'text' WHERE key = 'identity'",
    ],
)
def test_a_damaged_store_is_told_as_such(tmp_path: Path, damage: str) -> None:
    log = LogFile(tmp_path / "kafkaman.db")
    log.create(Kind.COLLECTION, {"name": "API"})
    store = store_of(log, tmp_path / "store.db")
    with closing(sqlite3.connect(store)) as database:
        database.execute(damage)
        database.commit()
    for command in (("verify", store), ("compare", store, log.save()), ("at", store, "1")):
        result = CliRunner().invoke(cli, ["replay", *map(str, command)])
        assert result.exit_code in (0, 1), (command, result.output)
        assert "unexpected" not in result.output, (command, result.output)


def test_a_store_shows_the_state_that_it_has(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "kafkaman.db")
    api = log.create(Kind.COLLECTION, {"name": "API"})
    store = store_of(log, tmp_path / "store.db")
    shown = CliRunner().invoke(cli, ["replay", "at", str(store), "1"])
    assert (shown.stdout, shown.exit_code) == (f"{api}\tcollection\tAPI\n", 0)
    assert CliRunner().invoke(cli, ["replay", "at", str(store), "1", "API"]).exit_code == 0
    blamed = CliRunner().invoke(cli, ["replay", "blame", str(store), "API"])
    assert '1\t\t\t\tfield\tname\t"API"' in blamed.stdout
    with Terminal(tmp_path, "replay", "blame", str(store), "API") as terminal:
        assert terminal.end() == 0
    assert "seq 1  name: API" in terminal.shown
