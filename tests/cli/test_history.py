"""Trash, history and going back on the command line: JSON, pipes, and a person's terminal."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Terminal
from tests.end_to_end.processes import BIN, DeviceHome, ServerProcess

LISTED = {"id", "kind", "name", "parent", "position", "workspace", "pending"}
BY = {"username", "device", "device_name", "this_device", "at"}


@pytest.fixture
def server(place: Path) -> Iterator[ServerProcess]:
    """A running server."""
    server = ServerProcess(place / "server")
    server.start()
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture
def ping(server: ServerProcess, laptop: DeviceHome) -> str:
    """A request that was edited, moved, and deleted; all of it is on the server."""
    laptop.sign_up(server)
    api = laptop.run("new", "collection", "name=API")["id"]
    laptop.run("new", "folder", "--parent", api, "name=A/B")
    found: str = laptop.run(
        "new", "request", "--parent", api, "name=Ping", "url=one",
        'header:=[{"key": "Accept", "value": "json"}]',
    )["id"]  # fmt: skip
    laptop.settled()
    laptop.run("set", found, "url=two", 'header:=[{"key": "Accept", "value": "xml"}]')
    laptop.run("mv", found, "--to", r"API/A\/B")
    laptop.run("set", found, "--unset", "url")
    laptop.run("rm", found)
    laptop.settled()
    return found


def plain(device: DeviceHome, *words: str) -> tuple[str, str]:
    """Run a command without --json and return its output and what it noted."""
    finished = subprocess.run(
        [BIN / "kafkaman", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "KAFKAMAN_HOME": str(device.home)},
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout, finished.stderr


def shown(device: DeviceHome, *words: str) -> str:
    with Terminal(device.home, *words) as terminal:
        assert terminal.end() == 0, terminal.shown
    return terminal.shown


def error_of(device: DeviceHome, *words: object, status: int = 1) -> dict[str, Any]:
    error: dict[str, Any] = device.run(*words, status=status)["error"]
    return error


def test_history_in_json_has_each_value_before_and_after(laptop: DeviceHome, ping: str) -> None:
    history = laptop.run("history", r"API/A\/B/Ping")
    assert set(history) == {
        "id", "kind", "name", "workspace", "events", "horizon", "next", "waiting",
    }  # fmt: skip
    assert (history["id"], history["kind"], history["next"]) == (ping, "request", None)
    events = history["events"]
    assert all(set(each) == {"seq", "action", "by", "changes", "place"} for each in events)
    assert all(set(each["by"]) == BY for each in events)
    assert [each["action"] for each in events] == ["delete", "update", "move", "update", "create"]
    assert events[1]["changes"] == [{"field": "url", "before": "two"}]
    assert events[2]["place"]["after"]["name"] == "A/B"
    assert {"field": "url", "before": "one", "after": "two"} in events[3]["changes"]
    assert {"field": "url", "after": "one"} in events[4]["changes"]


def test_a_history_is_cut_where_it_is_asked_to_be(laptop: DeviceHome, ping: str) -> None:
    first = laptop.run("history", ping, "--limit", 2)
    assert [each["action"] for each in first["events"]] == ["delete", "update"]
    rest = laptop.run("history", ping, "--before", first["next"], "--limit", 300)
    assert [each["action"] for each in rest["events"]] == ["move", "update", "create"]
    urls = laptop.run("history", ping, "--field", "url")["events"]
    assert [each["changes"] for each in urls] == [
        [{"field": "url", "before": "two"}],
        [{"field": "url", "before": "one", "after": "two"}],
        [{"field": "url", "after": "one"}],
    ]


def test_a_pipe_gets_a_line_for_each_change(laptop: DeviceHome, ping: str) -> None:
    out, _ = plain(laptop, "history", ping)
    rows = [line.split("\t") for line in out.splitlines()]
    assert all(len(row) == 8 for row in rows)
    assert [(row[0], row[2], *row[4:]) for row in rows[:3]] == [
        ("7", "delete", "laptop", "", "", ""),
        ("6", "update", "laptop", "url", '"two"', ""),
        ("5", "move", "laptop", "", rows[2][6], rows[2][7]),
    ]
    out, _ = plain(laptop, "trash")
    (row,) = [line.split("\t") for line in out.splitlines()]
    assert row[:3] == [ping, "request", r"API/A\/B/Ping"]
    assert row[4] == "laptop"
    out, _ = plain(laptop, "show", ping, "--at", "4")
    assert "at: 4" in out.splitlines()
    assert 'fields.url: "two"' in out.splitlines()


def test_a_person_sees_each_change_as_a_difference(laptop: DeviceHome, ping: str) -> None:
    text = shown(laptop, "history", ping, "--limit", "4")
    for part in (
        "Ping  request", "seq 7  delete", "anna on this device", "two  removed", "API  ->  A/B",
        "one  ->  two", "Accept: json  ->  xml", f"kafkaman history {ping[:8]} --before 4",
    ):  # fmt: skip
        assert part in text
    assert "Nothing wrote nothing." in shown(laptop, "history", ping, "--field", "nothing")
    text = shown(laptop, "show", ping, "--at", "7")
    assert "deleted" in text
    assert "seq 7, " in text


def test_blame_shows_each_part_beside_who_wrote_it(laptop: DeviceHome, ping: str) -> None:
    blame = laptop.run("history", ping, "--blame", "--field", "header")
    assert set(blame) == {"id", "kind", "name", "workspace", "field", "parts"}
    (part,) = blame["parts"]
    assert (part["label"], part["seq"], set(part["by"])) == ("Accept", 4, BY)
    out, _ = plain(laptop, "history", ping, "--blame")
    rows = [line.split("\t") for line in out.splitlines()]
    assert [(row[0], *row[3:]) for row in rows] == [
        ("4", "laptop", "header", '[{"key": "Accept", "value": "xml"}]'),
        ("3", "laptop", "name", '"Ping"'),
    ]
    text = shown(laptop, "history", ping, "--blame")
    assert "seq 3" in text
    assert "name: Ping" in text
    assert "There is no nothing." in shown(laptop, "history", ping, "--blame", "--field", "nothing")


def test_a_person_sees_the_trash_and_what_came_of_going_back(
    laptop: DeviceHome, ping: str, server: ServerProcess
) -> None:
    text = shown(laptop, "trash")
    assert r"API/A\/B/Ping" in text
    assert "anna on this device" in text
    text = shown(laptop, "revert", ping, "--to", "3")
    assert "Ping is what it was at seq 3: restored; 2 fields set back (header, url)" in text
    assert "moved back" in text
    assert "already" in shown(laptop, "revert", ping, "--to", "3")
    assert "The trash is empty." in shown(laptop, "trash")
    laptop.settled()
    server.stop()
    laptop.wait("offline")
    laptop.run("rm", "API")
    text = shown(laptop, "trash")
    assert "with 2 below it" in text
    assert "not yet on the server" in text
    assert laptop.run("show", ping, status=5)["error"]["code"] == "entity.not_found"


def test_what_was_deleted_comes_back_with_restore(laptop: DeviceHome, ping: str) -> None:
    trash = laptop.run("trash")
    assert set(trash) == {"entities", "note"}
    (entry,) = trash["entities"]
    assert set(entry) == {*LISTED, "path", "below", "seq", "by"}
    assert set(entry["by"]) == BY
    laptop.run("rm", r"API/A\/B")
    error = error_of(laptop, "restore", ping)
    assert (error["code"], error["deleted"] is not None) == ("parent.deleted", True)
    restored = laptop.run("restore", ping, "--to", "API")
    assert set(restored) == LISTED
    assert restored["id"] == ping
    assert error_of(laptop, "restore", ping)["code"] == "entity.not_deleted"
    laptop.run("restore", r"API/A\/B")
    assert {each["name"] for each in laptop.run("ls")} == {"API", "A/B", "Ping"}


def test_revert_tells_what_it_changed(laptop: DeviceHome, ping: str) -> None:
    done = laptop.run("revert", ping, "--to", 4, "--parent", "API")
    assert set(done) == {
        "id", "kind", "name", "parent", "position", "workspace",
        "seq", "ops", "fields", "restored", "moved", "note",
    }  # fmt: skip
    assert (done["fields"], done["restored"], done["moved"]) == (["url"], True, True)
    laptop.settled()
    before = datetime.now(UTC)
    laptop.run("set", ping, "url=three")
    laptop.settled()
    assert laptop.run("show", ping, "--at", before.isoformat())["fields"]["url"] == "two"
    assert laptop.run("revert", ping, "--to", before.isoformat())["fields"] == ["url"]
    out, _ = plain(laptop, "revert", ping, "--to", before.isoformat())
    assert out.strip() == ping
    assert error_of(laptop, "revert", ping, "--to", "soon", status=2)["code"] == "usage.moment"
    assert error_of(laptop, "show", ping, "--at", "99")["code"] == "history.future"


def test_offline_history_is_an_error_that_says_when_it_tries_again(
    laptop: DeviceHome, ping: str, server: ServerProcess
) -> None:
    server.stop()
    laptop.wait("offline")
    error = error_of(laptop, "history", ping, status=3)
    assert error["code"] == "link.offline"
    assert "tries again at" in error["hint"] or "right now" in error["hint"]
    assert error["retry_at"] is None or datetime.fromisoformat(error["retry_at"]).tzinfo
    _, noted = plain(laptop, "trash")
    assert "only the server knows" in noted


def test_the_shell_completes_what_is_in_the_trash(laptop: DeviceHome) -> None:
    for name in ("Alpha", "Beta"):
        laptop.run("rm", laptop.run("new", "collection", f"name={name}")["id"])
    finished = subprocess.run(
        [BIN / "kafkaman"],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "KAFKAMAN_HOME": str(laptop.home),
            "_KAFKAMAN_COMPLETE": "bash_complete",
            "COMP_WORDS": "kafkaman restore al",
            "COMP_CWORD": "2",
        },
        timeout=60,
        check=False,
    )
    assert finished.stdout.split() == ["plain,Alpha"]
