"""Looking at what is there: the tree, and one entity with its fields."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from kafkaman_sync.cli import terminal
from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.completion import ENTITY
from kafkaman_sync.cli.invocation import Invocation, workspace_option
from kafkaman_sync.cli.moments import MOMENT
from kafkaman_sync.cli.output import json_text, print_json, print_row, printable
from kafkaman_sync.client import Client, Listed, Shown, ShownAt


@command(
    "ls",
    examples=(
        "kafkaman ls",
        "kafkaman ls 'Stripe API/Charges'",
        "kafkaman ls --json | jq -r '.[] | select(.kind == \"request\") | .name'",
    ),
)
@click.argument("path", metavar="[PATH]", type=ENTITY, required=False)
@click.option("--flat", "-1", is_flag=True, help="One line for each: id, kind, path.")
@click.option("--depth", type=click.IntRange(min=1), metavar="N", help="Levels to show.")
@workspace_option
async def ls_command(
    invocation: Invocation, path: str | None, flat: bool, depth: int | None, workspace: str | None
) -> None:
    """List what lies in a workspace, or below PATH.

    PATH is an id, the beginning of one, or names: `Stripe API/Charges`.
    """
    async with invocation.client() as client:
        top = None if path in (None, "/") else path
        listed = await client.ls(top, workspace=workspace, recursive=depth != 1)
        above = await _path_of(client, top, workspace) if top and not invocation.json else ""
    levels = _levels(listed)
    shown = [each for each in listed if depth is None or levels[each.id] <= depth]
    if invocation.json:
        print_json([each.as_dict() for each in shown])
    elif invocation.decorated and not flat:
        terminal.tree_view.print_tree(invocation.console(), above, listed, levels, depth)
    else:
        paths: dict[str, str] = {}
        for each in listed:
            parent = paths.get(each.parent, above)
            paths[each.id] = f"{parent}/{_step(each)}" if parent else _step(each)
        for each in shown:
            print_row(each.id, each.kind, paths[each.id])


def _levels(listed: Sequence[Listed]) -> dict[str, int]:
    """Give each entity's level: 1 for the topmost; a parent comes before what is below it."""
    levels: dict[str, int] = {}
    for each in listed:
        levels[each.id] = levels.get(each.parent, 0) + 1
    return levels


def _step(entity: Listed) -> str:
    """Write an entity's name as a step of a path."""
    return entity.name.replace("/", "\\/")


async def _path_of(client: Client, text: str, workspace: str | None) -> str:
    found = await client.find(text, workspace=workspace)
    steps = [_step(found)]
    while found.parent:
        found = await client.find(found.parent, workspace=workspace)
        steps.append(_step(found))
    return "/".join(reversed(steps))


@command(
    "show",
    examples=(
        "kafkaman show 'Stripe API/Charges/Create'",
        "kafkaman show 3fa94c",
        "kafkaman show 3fa94c --at 12",
        "kafkaman show 3fa94c --at '2 hours ago'",
    ),
)
@click.argument("entity", metavar="ID", type=ENTITY)
@click.option(
    "--at",
    "moment",
    metavar="SEQ|TIME",
    type=MOMENT,
    help="As it was at a place in the log, or at a time. Needs the server.",
)
@workspace_option
async def show_command(
    invocation: Invocation, entity: str, moment: int | datetime | None, workspace: str | None
) -> None:
    """Show an entity with its fields."""
    if moment is not None:
        await _show_at(invocation, entity, moment, workspace)
        return
    async with invocation.client() as client:
        shown = await client.show(entity, workspace=workspace)
        path = await _path_of(client, shown.id, workspace) if invocation.decorated else ""
    if invocation.json:
        print_json(shown.as_dict())
    elif invocation.decorated:
        invocation.console().print(terminal.entity_view.entity_panel(shown, path))
    else:
        _print_plain(shown)


async def _show_at(
    invocation: Invocation, entity: str, moment: int | datetime, workspace: str | None
) -> None:
    async with invocation.client() as client:
        then = await client.show_at(entity, moment, workspace=workspace)
    if invocation.json:
        print_json(then.as_dict())
    elif invocation.decorated:
        invocation.console().print(terminal.entity_view.past_panel(then))
    else:
        click.echo(f"at: {then.seq}")
        click.echo(f"deleted: {'yes' if then.deleted else 'no'}")
        _print_plain(then)


def _print_plain(shown: Shown | ShownAt) -> None:
    for name in ("id", "kind", "name", "parent", "position", "version", "workspace"):
        click.echo(f"{name}: {printable(str(getattr(shown, name)))}")
    if isinstance(shown, Shown):
        click.echo(f"pending: {'yes' if shown.pending else 'no'}")
    for name, value in shown.fields.items():
        click.echo(f"fields.{printable(name)}: {printable(json_text(value))}")
