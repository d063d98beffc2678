"""`conflicts` and `resolve`: options that go together, editors, and what a person reads."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from subprocess import run
from typing import Any

import pytest

from kafkaman_sync import Client
from kafkaman_sync.model.values import Value
from tests.cli.terminal import Terminal
from tests.end_to_end.processes import BIN, PASSWORD, DeviceHome, ServerProcess

SECONDS = 60

# It replaces the file that it is given by what the variable WRITTEN names, if it is set.
EDITOR = """#!/bin/sh
if [ -n "$WRITTEN" ]; then cat "$WRITTEN" > "$1"; fi
cat "$1" > "$SEEN"
"""


@pytest.fixture
def server(place: Path) -> Iterator[ServerProcess]:
    """A running server."""
    server = ServerProcess(place / "server")
    server.start()
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture
def editor(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An editor that writes what is in the file it returns, once there is one."""
    program = place / "editor"
    program.write_text(EDITOR)
    program.chmod(0o700)
    written = place / "written"
    monkeypatch.setenv("VISUAL", str(program))
    monkeypatch.setenv("SEEN", str(place / "seen"))
    monkeypatch.setenv("WRITTEN", "")
    return written


async def quarrel(server: ServerProcess, laptop: Client, desktop: Client) -> None:
    """Let both devices of an account change description and body of the request API/Get."""
    await laptop.sign_up(
        server=server.url,
        email="anna@example.com",
        username="anna",
        password=PASSWORD,
        device_name="laptop",
    )
    api = await laptop.create("collection", fields={"name": "API"})
    fields: dict[str, Value] = {"name": "Get", "description": "a\nb\nc", "body": 1}
    await laptop.create("request", api, fields)
    await laptop.wait("in-sync", SECONDS)
    await desktop.sign_in(server=server.url, user="anna", password=PASSWORD, device_name="desktop")
    await desktop.wait("in-sync", SECONDS)
    await desktop.sync(False)
    await desktop.wait("offline", SECONDS)
    await desktop.update("API/Get", {"description": "a\ndesktop\nc", "body": [1]})
    await laptop.update("API/Get", {"description": "a\nlaptop\nc", "body": [2]})
    await laptop.wait("in-sync", SECONDS)
    await desktop.sync(True)
    await desktop.wait("in-sync", SECONDS)


@pytest.fixture
def desktop(place: Path, server: ServerProcess, laptop: DeviceHome) -> Iterator[DeviceHome]:
    """A device with two conflicts about the request API/Get: its description and its body."""
    desktop = DeviceHome(place / "desktop")

    async def prepare() -> None:
        async with Client.open(laptop.home) as one, Client.open(desktop.home) as two:
            await quarrel(server, one, two)

    asyncio.run(prepare())
    yield desktop
    desktop.down()


def conflict(device: DeviceHome, field: str) -> dict[str, Any]:
    (found,) = (each for each in device.run("conflicts")["conflicts"] if each["field"] == field)
    return dict(found)


def test_a_conflict_is_shown_with_its_difference_and_its_choices(desktop: DeviceHome) -> None:
    about = conflict(desktop, "description")["id"]
    with Terminal(desktop.home, "conflicts") as terminal:
        assert terminal.end() == 0
    for part in (about[:8], 'request "Get", description', "both changed", "conflicts show"):
        assert part in terminal.shown
    with Terminal(desktop.home, "conflicts", "show", about[:6]) as terminal:
        assert terminal.end() == 0
    parts = ("-b", "+desktop", "+laptop", "API/Get", "by desktop", "by anna, laptop", "--both")
    for part in parts:
        assert part in terminal.shown


def test_an_editor_gets_both_sides_and_its_text_resolves(
    desktop: DeviceHome, editor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = conflict(desktop, "description")["id"]
    error = desktop.run("resolve", about, "--edit", status=1)["error"]
    assert error["code"] == "conflict.not_edited"
    seen = (editor.parent / "seen").read_text()
    marked = "<<<<<<< mine\ndesktop\n||||||| base\nb\n=======\nlaptop\n>>>>>>> theirs"
    assert seen.startswith(f"a\n{marked}\nc\n")
    monkeypatch.setenv("WRITTEN", str(editor))
    editor.write_text("")
    assert desktop.run("resolve", about, "--edit", status=1)["error"]["code"] == error["code"]
    editor.write_text("a\n=======\n>>>>>>> theirs\n")
    error = desktop.run("resolve", about, "--edit", status=2)["error"]
    assert (error["code"], error["line"]) == ("conflict.markers", 3)
    editor.write_bytes(b"\xff")
    error = desktop.run("resolve", about, "--edit", status=2)["error"]
    assert error["code"] == "conflict.encoding"
    editor.write_text("a\nboth\nc\n")
    assert desktop.run("resolve", about, "--edit") == {"resolved": about, "choice": "edit"}
    assert desktop.run("show", "API/Get")["fields"]["description"] == "a\nboth\nc"


def test_without_an_editor_that_works_the_conflict_stays_open(
    desktop: DeviceHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = conflict(desktop, "description")["id"]
    monkeypatch.delenv("VISUAL", raising=False)
    for editor in ("", "/bin/false", "/nowhere/editor"):
        monkeypatch.setenv("EDITOR", editor)
        error = desktop.run("resolve", about, "--edit", status=1)["error"]
        assert error["code"] == "editor.failed", editor
        assert "EDITOR" in error["hint"]
    assert conflict(desktop, "description")["id"] == about


def test_json_that_is_wrong_can_be_edited_again(
    desktop: DeviceHome, editor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = conflict(desktop, "body")["id"]
    monkeypatch.setenv("WRITTEN", str(editor))
    editor.write_text("[1, 2\n")
    with Terminal(desktop.home, "resolve", about, "--edit") as terminal:
        terminal.see("is not JSON")
        terminal.see("Edit it again? [Y/n]")
        editor.write_text("[1, 2]\n")
        terminal.type("y")
        assert terminal.end() == 0
    assert "Resolved with your value." in terminal.shown
    assert desktop.run("show", "API/Get")["fields"]["body"] == [1, 2]


def test_who_does_not_want_to_edit_again_changes_nothing(
    desktop: DeviceHome, editor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = conflict(desktop, "body")["id"]
    monkeypatch.setenv("WRITTEN", str(editor))
    editor.write_text("{")
    with Terminal(desktop.home, "resolve", about, "--edit") as terminal:
        terminal.see("Edit it again?")
        terminal.type("n")
        assert terminal.end() != 0
    assert conflict(desktop, "body")["id"] == about


def test_a_value_and_all_the_rest_at_once(desktop: DeviceHome) -> None:
    about = conflict(desktop, "body")
    words = ("resolve", about["id"][:8], "--value", '{"raw": 1.50}')
    error = desktop.run(*words, "--seen", about["version"] - 1, status=1)["error"]
    assert error["code"] == "conflict.changed"
    answer = desktop.run(*words, "--seen", about["version"])
    assert answer == {"resolved": about["id"], "choice": "value"}
    (done,) = desktop.run("resolve", "--all", "--newest")["resolved"]
    assert (done["field"], done["choice"]) == ("description", "theirs")
    assert desktop.run("conflicts") == {"conflicts": []}
    assert desktop.settled()["conflicts"] == 0
    fields = desktop.run("show", "API/Get")["fields"]
    assert (fields["body"], fields["description"]) == ({"raw": 1.5}, "a\nlaptop\nc")
    resolved = desktop.run("conflicts", "--resolved")["conflicts"]
    assert {each["field"]: each["state"] for each in resolved} == {
        "body": "value", "description": "theirs",
    }  # fmt: skip
    with Terminal(desktop.home, "conflicts", "--resolved") as terminal:
        assert terminal.end() == 0
    assert "resolved: theirs" in terminal.shown
    assert desktop.run("resolve", "--undo", done["id"]) == {"reopened": done["id"]}
    assert conflict(desktop, "description")["state"] == "open"


def test_what_was_done_to_each_is_said(desktop: DeviceHome) -> None:
    with Terminal(desktop.home, "resolve", "--all", "--mine") as terminal:
        assert terminal.end() == 0
    assert terminal.shown.count("  mine  ") == 2
    with Terminal(desktop.home, "resolve", "--all", "--mine") as terminal:
        assert terminal.end() == 0
    assert "No conflicts." in terminal.shown


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("1",),
        ("1", "--mine", "--theirs"),
        ("1", "--newest"),
        ("1", "--theirs", "--to", "x"),
        ("1", "--undo", "--mine"),
        ("1", "--value", "{"),
        ("--mine",),
        ("--undo",),
        ("--all",),
        ("--all", "--both"),
        ("--all", "1", "--mine"),
        ("--all", "--mine", "--to", "x"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    laptop: DeviceHome, words: tuple[str, ...]
) -> None:
    error = laptop.run("resolve", *words, status=2)["error"]
    assert error["message"]
    assert error["hint"]


def test_a_tab_offers_the_open_conflicts(desktop: DeviceHome) -> None:
    about = conflict(desktop, "body")["id"]
    for words in ("conflicts show", "resolve"):
        finished = run(
            [BIN / "kafkaman"],
            env={
                **os.environ,
                "KAFKAMAN_HOME": str(desktop.home),
                "_KAFKAMAN_COMPLETE": "bash_complete",
                "COMP_WORDS": f"kafkaman {words} {about[:2]}",
                "COMP_CWORD": str(len(words.split()) + 1),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert about[:8] in finished.stdout


def test_waiting_tells_of_conflicts(desktop: DeviceHome) -> None:
    with Terminal(desktop.home, "wait", "--until", "in-sync") as terminal:
        assert terminal.end() == 0
    assert "2 conflicts to decide: kafkaman conflicts" in terminal.shown
