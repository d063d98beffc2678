"""Tables, trees and panels hold on every terminal, and show nothing that a name could fake."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from kafkaman_sync.cli import conflict_view, tree_view, views
from kafkaman_sync.cli.entity_view import entity_panel
from kafkaman_sync.cli.wording import ago, plural
from kafkaman_sync.client import (
    Conflict,
    Device,
    Listed,
    Proof,
    Reloaded,
    Resolution,
    Shown,
    Status,
)
from kafkaman_sync.engine.states import State

ID = "3fa94c0d" + "0" * 24
EVIL = "\x1b[2J[red]größe[/red]\u202e"


def status(state: State = State.OFFLINE, name: str = "anna") -> Status:
    return Status(
        state=state,
        online=state.online,
        signed_in=True,
        account={"id": ID, "username": name, "email": "anna@example.org"},
        device={"id": ID, "name": name},
        server="ws://127.0.0.1:8765",
        since="2024-05-01T10:00:00+00:00",
        cause="network.unreachable",
        message="The server cannot be reached.",
        hint="Run `kafkaman retry`.",
        pending=1,
        conflicts=2,
        retry_at="2034-05-01T10:00:00+00:00",
        progress={"done": 1200, "total": 3400},
        workspaces=[{"id": ID, "name": name, "role": "owner", "seq": 7, "digest": ""}],
        version="0.1.0",
        pid=1,
        home="h",
    )


def listed(id: str, name: str, parent: str = "", kind: str = "folder") -> Listed:
    return Listed(id=id, kind=kind, name=name, parent=parent, position="a", pending=True)


def shown(name: str) -> Shown:
    fields: dict[str, object] = {"url": name, "body": {"raw": "{}"}, "script": "line\n" * 99}
    return Shown.read(
        {
            "id": ID, "kind": "request", "name": name, "parent": "", "position": "a",
            "version": 3, "workspace": ID, "pending": True, "fields": fields,
        }
    )  # fmt: skip


def conflict_named(name: str) -> Conflict:
    at = "2024-05-01T10:00:00+00:00"
    written = {"username": name, "device": ID, "device_name": name, "at": at}
    return Conflict(
        ID, ID, ID, "request", name, "field", "url", None, f"{name}\n{name}", {"raw": name},
        reason="edited_by_both",
        explanation=name,
        choices={"mine": name, "value": name},
        path=[name, name],
        more=1,
        group=[{"action": "create", "kind": "request", "name": name}] * 99,
        by={"mine": written, "theirs": written},
        note=name,
    )  # fmt: skip


def resolution(name: str) -> Resolution:
    return Resolution(ID, ID, "request", name, "url", why=name, error={"message": name})


def everything(console: Console, name: str) -> None:
    """Print each view once."""
    device = Device(ID, name, "Linux", 1_700_000_000_000, connected=False, current=True)
    conflict = conflict_named(name)
    proof = Proof(ID, 12, "a" * 32, "b" * 32, equal=False)
    tree = [listed("1", name), listed("2", name, "1"), listed("3", "x", "2", "request")]
    for state in State:
        console.print(views.status_panel(status(state, name)))
    console.print(views.devices_table([device], numbered=True))
    for resolved in (False, True):
        conflict_view.print_conflicts(console, [conflict], resolved=resolved)
        conflict_view.print_conflicts(console, [], resolved=resolved)
    console.print(conflict_view.conflict_panel(conflict))
    conflict_view.print_resolutions(console, [])
    conflict_view.print_resolutions(console, [resolution(name)])
    console.print(views.proof_table([proof], {ID: name}, columns=console.width))
    console.print(views.reload_table([Reloaded(ID, 12, equal=True)], {}))
    tree_view.print_tree(console, name, tree, {"1": 1, "2": 2, "3": 3}, depth=2)
    console.print(entity_panel(shown(name), name))


def printed(print_it: Callable[[Console], None], width: int = 80, encoding: str = "utf-8") -> str:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding, errors="backslashreplace")
    print_it(Console(file=stream, width=width, highlight=False, markup=False, emoji=False))
    stream.flush()
    return written.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [1, 20, 80, 120, 300])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_every_view_fits_every_terminal(width: int, encoding: str) -> None:
    text = printed(lambda console: everything(console, "Orders"), width, encoding)
    if encoding == "utf-8" and width >= 80:
        assert max(len(line) for line in text.splitlines()) <= width
    assert "\x1b" not in text


def test_a_name_can_neither_move_the_cursor_nor_colour_the_text() -> None:
    text = printed(lambda console: everything(console, EVIL), 300)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[2J[red]größe[/red]\\u202e" in text


def test_a_status_tells_what_a_person_needs() -> None:
    text = printed(lambda console: console.print(views.status_panel(status())))
    for part in ("OFFLINE", "cannot be reached", "kafkaman retry", "1 edit", "1,200 of 3,400"):
        assert part in text
    assert "in sync" not in text.lower()


def test_a_large_tree_is_shown_to_the_level_that_fits() -> None:
    top = [listed(str(number), f"top {number}") for number in range(3)]
    low = [listed(f"{number}-{child}", "leaf", str(number)) for number in range(3)
           for child in range(100)]  # fmt: skip
    levels = {each.id: 1 if each in top else 2 for each in [*top, *low]}

    def show(depth: int | None) -> str:
        return printed(
            lambda console: tree_view.print_tree(console, "", [*top, *low], levels, depth)
        )

    assert "leaf" not in show(None)
    assert "+100" in show(None)
    assert "300 entities more below; --depth 2" in show(None)
    assert show(2).count("leaf") == 300


def test_an_empty_workspace_is_not_an_empty_screen() -> None:
    text = printed(lambda console: tree_view.print_tree(console, "", [], {}, None))
    assert text == "Nothing in this workspace yet.\n"


def test_long_fields_say_how_much_is_hidden() -> None:
    text = printed(lambda console: console.print(entity_panel(shown("Ping"), "Orders/Ping")))
    assert "60 lines more" in text
    assert "pending" in text


def test_times_and_counts_read_well() -> None:
    assert plural(1, "entity") == "1 entity"
    assert plural(2000, "entity") == "2,000 entities"
    assert plural(2, "edit") == "2 edits"
    assert ago("2020-01-01T00:00:00Z").endswith("days ago")
    assert ago(None) == ago("nonsense") == ago(10**30) == ""
