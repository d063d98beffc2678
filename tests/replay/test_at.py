"""`kafkaman replay at` shows a workspace, or one entity, as it was."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kafkaman_sync.cli.main import cli
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.values import encode_value
from tests.cli.terminal import Terminal
from tests.replay.logs import BEGAN_AT, LogFile, id_of
from tests.replay.stores import store_of


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    """An API whose request is renamed (4), moved (6), deleted (7) and purged (8)."""
    log = LogFile(tmp_path / "kafkaman.db")
    api = log.create(Kind.COLLECTION, {"name": "API/2"})  # 1
    folder = log.create(Kind.FOLDER, {"name": "Folder"}, parent=api)  # 2
    ping = log.create(Kind.REQUEST, {"name": "Ping", "url": "/ping\x1b[2J"}, parent=api)  # 3
    log.update(ping, {"name": "Pong"}, by="phone")  # 4
    log.remove_field(ping, "url")  # 5
    log.move(ping, folder)  # 6
    log.delete(folder)  # 7
    log.purge(ping)  # 8
    return log


def replay(log: LogFile, *arguments: str) -> Result:
    if not log.path.exists():
        log.save()
    return CliRunner().invoke(cli, ["replay", "at", str(log.path), *arguments])


def told(log: LogFile, *arguments: str) -> Any:
    result = replay(log, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def failed(log: LogFile, *arguments: str) -> tuple[str, int]:
    result = replay(log, *arguments, "--json")
    return json.loads(result.stdout)["error"]["code"], result.exit_code


@pytest.mark.parametrize("way", [(), ("--from-log",)])
def test_each_point_lists_what_was_there(log: LogFile, way: tuple[str, ...]) -> None:
    listed = {
        seq: [row.split("\t")[2] for row in replay(log, str(seq), *way).stdout.splitlines()]
        for seq in range(9)
    }
    top = "API\\/2"
    assert listed == {
        0: [],
        1: [top],
        2: [top, f"{top}/Folder"],
        3: [top, f"{top}/Folder", f"{top}/Ping"],
        4: [top, f"{top}/Folder", f"{top}/Pong"],
        5: [top, f"{top}/Folder", f"{top}/Pong"],
        6: [top, f"{top}/Folder", f"{top}/Folder/Pong"],
        7: [top],
        8: [top],
    }


def test_what_was_deleted_is_listed_on_demand(log: LogFile) -> None:
    rows = [row.split("\t") for row in replay(log, "7", "--deleted").stdout.splitlines()]
    assert [row[2:] for row in rows] == [
        ["API\\/2"],
        ["API\\/2/Folder", "deleted"],
        ["API\\/2/Folder/Pong", "deleted"],
    ]
    found = told(log, "7", "--deleted")["entities"]
    assert [(each["deleted"], each["hidden"]) for each in found] == [
        (False, False),
        (True, True),
        (False, True),
    ]


def test_the_json_of_a_workspace_says_when_it_was_and_after_whose_event(log: LogFile) -> None:
    found = told(log, "4")
    assert (found["workspace"], found["seq"]) == (log.world.workspace, 4)
    by = found["by"]
    assert (by["seq"], by["action"], by["username"], by["device_name"]) == (
        4, "update", "ann", "phone",
    )  # fmt: skip
    assert found["entities"][2] == {
        "id": id_of(3),
        "kind": "request",
        "name": "Pong",
        "path": "API\\/2/Pong",
        "parent": id_of(1),
        "position": "00003V",
        "deleted": False,
        "hidden": False,
    }


def test_an_entity_is_shown_with_the_seq_of_each_part(log: LogFile) -> None:
    found = told(log, "6", "API\\/2/Folder/Pong")
    assert {name: found[name] for name in ("seq", "id", "name", "parent", "version")} == {
        "seq": 6, "id": id_of(3), "name": "Pong", "parent": id_of(2), "version": 6,
    }  # fmt: skip
    assert found["fields"] == {"name": "Pong"}
    assert found["versions"] == {"name": 4, "url": 5}
    assert (found["place_version"], found["deleted_version"]) == (6, 3)
    assert found["by"]["device_name"] == "laptop"


@pytest.mark.parametrize("name", [id_of(3), id_of(3)[:8], "API\\/2/Ping"])
def test_an_entity_is_named_as_it_was_called_then(log: LogFile, name: str) -> None:
    result = replay(log, "3", name)
    assert "name: Ping" in result.stdout
    assert r'fields.url: "/ping\u001b[2J"' in result.stdout
    assert "\x1b" not in result.stdout


def test_what_was_not_there_then_is_not_found(log: LogFile) -> None:
    assert failed(log, "2", id_of(3)) == ("entity.not_found", 5)
    assert failed(log, "8", id_of(3)) == ("entity.not_found", 5)
    assert failed(log, "3", "API\\/2/Pong") == ("entity.not_found", 5)


def test_a_time_is_what_was_written_by_then(log: LogFile) -> None:
    when = datetime.fromtimestamp((BEGAN_AT + 4500) / 1000, UTC).isoformat()
    assert told(log, when)["seq"] == 4
    assert told(log, "now")["seq"] == 8
    assert told(log, "1999-01-01T00:00")["entities"] == []


def test_points_outside_of_the_log_are_refused(log: LogFile) -> None:
    log.fold(3)
    assert failed(log, "9") == ("replay.future", 1)
    assert failed(log, "2") == ("replay.purged", 1)
    assert failed(log, "1999-01-01T00:00") == ("replay.purged", 1)
    assert failed(log, "soon") == ("usage.moment", 2)
    assert len(told(log, "3")["entities"]) == 3


def test_the_tree_shows_what_lies_in_what(log: LogFile) -> None:
    lines = replay(log, "6", "--tree").stdout.splitlines()
    assert "as it was at seq 6 of 8" in lines[0]
    assert [line.strip(" └─") for line in lines[2:5]] == [
        f"API/2  collection  {id_of(1)[:8]}",
        f"Folder  folder  {id_of(2)[:8]}",
        f"Pong  request  {id_of(3)[:8]}",
    ]
    assert "deleted" in replay(log, "7", "--tree", "--deleted").stdout


def test_a_damaged_value_is_shown_as_such(log: LogFile) -> None:
    place = next(index for index, row in enumerate(log.events) if row[0] == 4)
    seq, entity, body, basis, digest = log.events[place]
    forged = body.replace(_bytes(encode_value("Pong")), _bytes(b"\xc1\xff"))
    log.events[place] = (seq, entity, forged, basis, digest)
    found = told(log, "4", id_of(3))
    assert found["fields"]["name"] == {"$bytes": "wf8="}
    assert found["name"] == ""
    assert "fields.name" in replay(log, "4", id_of(3)).stdout


def _bytes(value: bytes) -> bytes:
    """Spell a field's value as it stands in a record."""
    return bytes([0xC4, len(value)]) + value


def test_what_lies_in_nothing_is_shown_last(log: LogFile) -> None:
    log.world.entries.pop(id_of(1))  # as a bug would leave it
    rows = replay(log, "8", "--deleted").stdout.splitlines()
    assert [row.split("\t")[2] for row in rows] == [f"{id_of(1)[:8]}?/Folder"]
    assert "is not there" in replay(log, "8", "--deleted", "--tree").stdout


def test_a_device_s_store_shows_the_state_that_it_has(log: LogFile, tmp_path: Path) -> None:
    store = str(store_of(log, tmp_path / "store.db"))
    listed = CliRunner().invoke(cli, ["replay", "at", store, "8", "--deleted"])
    assert (listed.exit_code, listed.stdout) == (0, replay(log, "8", "--deleted").stdout)
    one = json.loads(
        CliRunner().invoke(cli, ["replay", "at", store, "8", id_of(1), "--json"]).stdout
    )
    assert (one["versions"], one["by"]) == ({"name": 1}, None)
    with Terminal(tmp_path, "replay", "at", store, "8", id_of(1)) as terminal:
        terminal.see("its event is not in this source")
        assert terminal.end() == 0
    early = CliRunner().invoke(cli, ["replay", "at", store, "7", "--json"])
    assert json.loads(early.stdout)["error"]["code"] == "replay.no_events"


def test_looking_back_writes_nothing(log: LogFile) -> None:
    before = hashlib.sha256(log.save().read_bytes()).digest()
    for arguments in (["8"], ["3", id_of(3)], ["5", "--tree"], ["5", "--from-log"]):
        assert replay(log, *arguments).exit_code == 0
    assert hashlib.sha256(log.path.read_bytes()).digest() == before


def test_an_update_is_told_as_one(log: LogFile, tmp_path: Path) -> None:
    with Terminal(tmp_path, "replay", "at", str(log.save()), "4") as terminal:
        assert terminal.end() == 0
    assert "after an update by ann on phone" in terminal.shown
