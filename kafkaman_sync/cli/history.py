"""Looking back and going back: the trash, an entity's history, and what it was at a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import click

from kafkaman_sync.cli import terminal
from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.completion import ENTITY, TRASHED
from kafkaman_sync.cli.invocation import Invocation, workspace_option
from kafkaman_sync.cli.moments import MOMENT
from kafkaman_sync.cli.output import json_text, note, print_json, print_row, printable
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.client import Client, History, HistoryEvent, Reverted
from kafkaman_sync.model.entities import ROOT

EVENTS_SHOWN: Final = 20
_PAGE_EVENTS_MAX: Final = 200
_SIDES: Final = ("before", "after")


@command("trash", examples=("kafkaman trash", "kafkaman trash --json | jq -r '.entities[].id'"))
@workspace_option
async def trash_command(invocation: Invocation, workspace: str | None) -> None:
    """List what was deleted, the latest first.

    What lies in something deleted comes back with it, and is not listed by itself.
    """
    async with invocation.client() as client:
        trash = await client.trash(workspace=workspace)
    if invocation.json:
        print_json(trash.as_dict())
        return
    if invocation.decorated:
        invocation.console().print(terminal.history_view.trash_table(trash))
    else:
        for each in trash.entities:
            by = each.by or {}
            print_row(
                each.id, each.kind, each.path_text, by.get("at", ""), by.get("device_name", "")
            )
    if trash.note:
        note(trash.note)


@command(
    "restore",
    examples=(
        "kafkaman restore 'My API/Ping'",
        "kafkaman restore 3fa94c --to 'My API/Health'",
    ),
)
@click.argument("entity", metavar="ID", type=TRASHED)
@click.option("--to", metavar="PARENT", type=ENTITY, help="Its new parent. / is the workspace.")
@workspace_option
async def restore_command(
    invocation: Invocation, entity: str, to: str | None, workspace: str | None
) -> None:
    """Bring back something that was deleted, with everything below it.

    ID is an id, the beginning of one, or the path that it had.
    """
    async with invocation.client() as client:
        restored = await client.restore(entity, to=_parent(to), workspace=workspace)
    if invocation.json:
        print_json(restored.as_dict())
    else:
        click.echo(restored.id)


@command(
    "history",
    examples=(
        "kafkaman history 'My API/Ping'",
        "kafkaman history 'My API/Ping' --field url",
        "kafkaman history 'My API/Ping' --field header --blame",
        "kafkaman history 3fa94c --limit 200 --json",
    ),
)
@click.argument("entity", metavar="ID", type=ENTITY)
@click.option("--field", metavar="FIELD", help="Only what wrote this field.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=EVENTS_SHOWN,
    show_default=True,
    metavar="N",
    help="Events to show.",
)
@click.option("--before", type=click.IntRange(min=0), metavar="SEQ", help="Only what was before.")
@click.option(
    "--blame",
    "blamed",
    is_flag=True,
    help="Who last wrote each field or, with --field, each item or line of it.",
)
@workspace_option
async def history_command(
    invocation: Invocation,
    *,
    entity: str,
    field: str | None,
    limit: int,
    before: int | None,
    blamed: bool,
    workspace: str | None,
) -> None:
    """Show what happened to an entity: who changed what, where and when.

    The newest comes first. Works for what was deleted, too.
    """
    if blamed:
        await _blame(invocation, entity, field, workspace)
        return
    async with invocation.client() as client:
        history = await _history(
            client, entity, field=field, limit=limit, before=before, workspace=workspace
        )
    if invocation.json:
        print_json(history.as_dict())
    elif invocation.decorated:
        terminal.history_view.print_history(invocation.console(), history, field)
    else:
        for event in history.events:
            _print_event(event)


async def _history(
    client: Client,
    entity: str,
    *,
    field: str | None,
    limit: int,
    before: int | None,
    workspace: str | None,
) -> History:
    """Fetch as many events as are wanted, page by page."""
    found: History | None = None
    while True:
        missing = limit - (len(found.events) if found else 0)
        page = await client.history(
            found.id if found else entity,
            field=field,
            before=found.next if found else before,
            limit=min(missing, _PAGE_EVENTS_MAX),
            workspace=found.workspace if found else workspace,
        )
        found = replace(page, events=[*found.events, *page.events]) if found else page
        if found.next is None or len(found.events) >= limit:
            return found


async def _blame(
    invocation: Invocation, entity: str, field: str | None, workspace: str | None
) -> None:
    async with invocation.client() as client:
        blame = await client.blame(entity, field=field, workspace=workspace)
    if invocation.json:
        print_json(blame.as_dict())
    elif invocation.decorated:
        terminal.history_view.print_blame(invocation.console(), blame)
    else:
        for part in blame.parts:
            by = part.by or {}
            signed = (by.get(name, "") for name in ("at", "username", "device_name"))
            print_row(part.seq or "", *signed, part.label, json_text(part.value))


def _print_event(event: HistoryEvent) -> None:
    by = event.by
    head = (event.seq, by["at"], event.action, by["username"], by["device_name"])
    rows = [(each["field"], *map(_side, (each, each), _SIDES)) for each in event.changes]
    if event.place is not None:
        rows.append(("", *(_place(event.place[side]) for side in _SIDES)))
    for row in rows or [("", "", "")]:
        print_row(*head, *row)


def _side(change: Mapping[str, Any], side: str) -> str:
    return json_text(change[side]) if side in change else ""


def _place(place: Mapping[str, Any] | None) -> str:
    return "" if place is None else str(place["parent"]) or "/"


@command(
    "revert",
    examples=(
        "kafkaman revert 'My API/Ping' --to 12",
        "kafkaman revert 3fa94c --to '2 hours ago'",
    ),
)
@click.argument("entity", metavar="ID", type=ENTITY)
@click.option(
    "--to",
    "moment",
    required=True,
    metavar="SEQ|TIME",
    type=MOMENT,
    help="A place in the log, as `history` shows it, or a time.",
)
@click.option("--parent", metavar="ID", type=ENTITY, help="Where it shall lie instead.")
@workspace_option
async def revert_command(
    invocation: Invocation,
    *,
    entity: str,
    moment: int | datetime,
    parent: str | None,
    workspace: str | None,
) -> None:
    """Make an entity what it was at a place in the log, or at a time.

    Its fields and, if it can be had, its place; what is deleted is restored. These are new edits:
    `history` shows them, and `revert` undoes them like any other.
    """
    async with invocation.client() as client:
        done = await client.revert(entity, moment, to=_parent(parent), workspace=workspace)
    if invocation.json:
        print_json(done.as_dict())
    elif invocation.decorated:
        click.echo(_told(done))
    else:
        click.echo(done.id)
    if done.note and not invocation.json:
        note(done.note)


def _told(done: Reverted) -> str:
    if not done.ops:
        return f"It is as it was at seq {done.seq} already."
    parts = []
    if done.restored:
        parts.append("restored")
    if done.fields:
        parts.append(f"{plural(len(done.fields), 'field')} set back ({', '.join(done.fields)})")
    if done.moved:
        parts.append("moved back")
    name = printable(done.name or done.id)
    return f"{name} is what it was at seq {done.seq}: {printable('; '.join(parts))}."


def _parent(text: str | None) -> str | None:
    return ROOT if text == "/" else text
