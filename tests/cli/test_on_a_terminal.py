"""What a person meets: questions, hidden passwords, trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.end_to_end.documents import collection, write
from tests.end_to_end.processes import DeviceHome, free_port

SECRET = "correct horse battery"


def test_a_new_password_is_asked_for_twice_and_never_shown(laptop: DeviceHome) -> None:
    words = ("--server", f"ws://127.0.0.1:{free_port()}", "--email", "a@b.example")
    with Terminal(laptop.home, "sign-up", *words, "--username", "anna") as terminal:
        terminal.see("Password:")
        terminal.type(SECRET)
        terminal.see("Again:")
        terminal.type("something else")
        terminal.see("do not match")
        terminal.see("Password:")
        terminal.type(SECRET)
        terminal.see("Again:")
        terminal.type(SECRET)
        assert terminal.end() == 3
        assert SECRET not in terminal.shown
        assert "Hint:" in terminal.shown


def test_a_deletion_is_asked_about_first(laptop: DeviceHome, place: Path) -> None:
    laptop.run("import", write(place, collection(1, 1)))
    with Terminal(laptop.home, "rm", "Shop") as terminal:
        terminal.see("Delete the collection Shop with 3 below it? [y/N]")
        terminal.type("n")
        assert terminal.end() == 0
    assert len(laptop.run("ls")) == 4
    with Terminal(laptop.home, "rm", "Shop") as terminal:
        terminal.type("y")
        assert terminal.end() == 0
    assert laptop.run("ls") == []
    laptop.run("new", "collection", "name=B")
    with Terminal(laptop.home, "rm", "B", "--yes") as terminal:
        assert terminal.end() == 0


def test_a_list_is_a_tree_and_an_entity_a_panel(laptop: DeviceHome, place: Path) -> None:
    laptop.run("import", write(place, collection(2, 2)))
    with Terminal(laptop.home, "ls") as terminal:
        assert terminal.end() == 0
    assert "── Folder 1  folder" in terminal.shown
    with Terminal(laptop.home, "ls", "--flat") as terminal:
        assert terminal.end() == 0
    assert "Shop/Folder 1/r1-1" in terminal.shown
    with Terminal(laptop.home, "show", "Shop/Folder 1/r1-1") as terminal:
        assert terminal.end() == 0
    for part in ("╭─", "r1-1 request", "Shop/Folder 1/r1-1", '"raw"', "POST"):
        assert part in terminal.shown


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        (["status"], "OFFLINE"),
        (["workspaces"], "Scratch Pad"),
        (["conflicts"], "No conflicts."),
        (["up"], "The daemon is running"),
        (["ls"], "Nothing in this workspace yet."),
        (["sync", "off"], "Sync is off."),
    ],
)
def test_every_view_has_something_to_say(laptop: DeviceHome, words: list[str], seen: str) -> None:
    with Terminal(laptop.home, *words) as terminal:
        assert terminal.end() == 0
    assert seen in terminal.shown


def test_json_on_a_terminal_is_indented(laptop: DeviceHome) -> None:
    with Terminal(laptop.home, "status", "--json") as terminal:
        assert terminal.end() == 0
    assert '{\r\n  "state": "OFFLINE",' in terminal.shown
