"""Edits that could not be merged: the list, one of them, and the person's choice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from kafkaman_sync.cli import terminal
from kafkaman_sync.cli.command import CommandGroup, command, runs
from kafkaman_sync.cli.completion import CONFLICT, ENTITY
from kafkaman_sync.cli.conflict_text import (
    compose,
    difference,
    edited_value,
    is_empty,
    is_short,
    signature,
)
from kafkaman_sync.cli.exits import Exit
from kafkaman_sync.cli.fields import parse_json
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import json_text, note, print_error, print_json, print_row, printable
from kafkaman_sync.client import Conflict, Resolution
from kafkaman_sync.errors import LocalError, UsageError


@click.group(
    "conflicts",
    cls=CommandGroup,
    invoke_without_command=True,
    examples=("kafkaman conflicts", "kafkaman conflicts show 3fa9", "kafkaman conflicts --json"),
)
@click.option("--resolved", is_flag=True, help="Those that were resolved here, instead.")
@click.pass_context
def conflicts_command(context: click.Context, resolved: bool) -> None:
    """List the conflicts, or show one with its difference."""
    if context.invoked_subcommand is None:
        runs(_list_conflicts)(resolved)


async def _list_conflicts(invocation: Invocation, resolved: bool) -> None:
    async with invocation.client() as client:
        conflicts = await client.conflicts(resolved=resolved)
    if invocation.json:
        print_json({"conflicts": [conflict.as_dict() for conflict in conflicts]})
    elif invocation.decorated:
        terminal.conflict_view.print_conflicts(invocation.console(), conflicts, resolved=resolved)
    else:
        for conflict in conflicts:
            sides = (conflict.base, conflict.mine, conflict.theirs)
            print_row(
                conflict.id,
                conflict.kind,
                conflict.name or conflict.entity,
                conflict.field or conflict.reason,
                *(json_text(side) for side in sides),
                conflict.explanation,
            )


@command("show", group=conflicts_command, examples=("kafkaman conflicts show 3fa9",))
@click.argument("conflict", metavar="ID", type=CONFLICT)
async def conflicts_show_command(invocation: Invocation, conflict: str) -> None:
    """Show one conflict: what happened, both sides, who and when.

    ID is as `conflicts` lists it, or the beginning of it. Who wrote the other side only the server
    knows: it is asked while this device is online.
    """
    async with invocation.client() as client:
        found = await client.conflict(conflict)
    if invocation.json:
        print_json(found.as_dict())
    elif invocation.decorated:
        invocation.console().print(terminal.conflict_view.conflict_panel(found))
    else:
        _print_plain(found)


def _print_plain(conflict: Conflict) -> None:
    facts = {
        "id": conflict.id,
        "state": conflict.state,
        "kind": conflict.kind,
        "path": "/".join(conflict.path),
        "field": conflict.field,
        "reason": conflict.reason,
        "explanation": conflict.explanation,
        "version": conflict.version,
    }
    for name, value in facts.items():
        click.echo(f"{name}: {printable(str(value))}")
    for side in ("base", "mine", "theirs"):
        written = conflict.by.get(side)
        if written is not None:
            click.echo(f"{side} by: {printable(signature(written))}")
        click.echo(f"{side}: {printable(json_text(getattr(conflict, side)))}")
    if conflict.note:
        click.echo(f"note: {printable(conflict.note)}")
    for member in conflict.group:
        click.echo(f"with it: {printable(' '.join(member.values()))}")
    for choice, does in conflict.choices.items():
        click.echo(f"choice {choice}: {printable(does)}")
    if conflict.field and not is_short(conflict):
        for line in difference(conflict):
            click.echo(printable(line))


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the options of `resolve` ask for."""

    choice: str
    to: str | None
    version: int | None


@command(
    "resolve",
    examples=(
        "kafkaman resolve 3fa9 --mine",
        "kafkaman resolve 3fa9 --value '[1, 2]'",
        "kafkaman resolve 3fa9 --to 'My API/Drafts'",
        "kafkaman resolve --all --newest",
        "kafkaman resolve --undo 3fa9",
    ),
)
@click.argument("conflict", metavar="[ID]", type=CONFLICT, required=False)
@click.option("--mine", is_flag=True, help="Keep what this device did.")
@click.option("--theirs", is_flag=True, help="Keep what the others did.")
@click.option("--both", is_flag=True, help="Keep both: as one value, else with a copy beside it.")
@click.option("--value", metavar="JSON", help="Set the field to another value; @FILE reads one.")
@click.option("--edit", is_flag=True, help="Edit both values in $VISUAL or $EDITOR.")
@click.option("--to", metavar="PARENT", type=ENTITY, help="Keep mine, but in another place.")
@click.option(
    "--all", "every", is_flag=True, help="Every conflict, with --mine, --theirs, --newest."
)
@click.option("--newest", is_flag=True, help="With --all: the later one, by the clocks.")
@click.option("--undo", is_flag=True, help="Take a resolution back that is not synced yet.")
@click.option("--seen", metavar="VERSION", type=int, help="Refuse if theirs is no longer this one.")
def resolve_command(
    invocation: Invocation,
    *,
    conflict: str | None,
    value: str | None,
    to: str | None,
    every: bool,
    undo: bool,
    seen: int | None,
    **flags: bool,
) -> None:
    """Resolve a conflict, or all of them.

    ID is as `conflicts` lists it, or the beginning of it; `conflicts show ID` says what each choice
    does. What is given up stays in `conflicts --resolved`.
    """
    chosen = [name for name, given in flags.items() if given] + ["value"] * (value is not None)
    chosen += ["undo"] * undo
    if to is not None and not chosen:
        chosen = ["mine"]
    _check(conflict, chosen, every=every, to=to)
    if every:
        asyncio.run(_resolve_all(invocation, chosen[0]))
        return
    assert conflict is not None
    if undo:
        asyncio.run(_undo(invocation, conflict))
        return
    wish = _Wish(chosen[0], to, seen)
    if wish.choice == "edit":
        _edit(invocation, conflict, wish)
    else:
        given = None if value is None else parse_json("value", value)
        asyncio.run(_resolve(invocation, conflict, wish, given))


def _check(conflict: str | None, chosen: Sequence[str], *, every: bool, to: str | None) -> None:
    """Refuse options that do not go together, with what does."""
    allowed = ("mine", "theirs", "newest")
    if every and (conflict is not None or to is not None):
        raise UsageError("--all is for every conflict: it takes neither ID nor --to.")
    if not every and conflict is None:
        raise UsageError(
            "Say which conflict.",
            code="usage.missing",
            hint="`kafkaman conflicts` lists them; --all is for every one.",
        )
    if len(chosen) != 1 or (every and chosen[0] not in allowed):
        options = allowed if every else ("mine", "theirs", "both", "value JSON", "edit")
        raise UsageError(
            "Say which value to keep." if not chosen else "These choices do not go together.",
            code="usage.missing" if not chosen else "usage.invalid",
            hint=f"Add one of {', '.join(f'--{each}' for each in options)}.",
        )
    if chosen[0] == "newest" and not every:
        raise UsageError("--newest is for --all.", hint="Choose --mine or --theirs.")
    if to is not None and chosen[0] in ("theirs", "both", "undo"):
        raise UsageError("--to says where to keep mine; it does not go with this choice.")


async def _resolve(invocation: Invocation, conflict: str, wish: _Wish, value: Any) -> None:
    async with invocation.client() as client:
        if wish.choice in ("value", "edit"):
            found = await client.resolve_with(conflict, value, to=wish.to, version=wish.version)
        else:
            found = await client.resolve(
                conflict,
                mine=wish.choice != "theirs",
                both=wish.choice == "both",
                to=wish.to,
                version=wish.version,
            )
        undoable = wish.choice == "theirs" or not (await client.status()).online
    if invocation.json:
        print_json({"resolved": found, "choice": wish.choice})
        return
    words = {"value": "your value", "edit": "your value", "both": "both"}
    click.echo(f"Resolved with {words.get(wish.choice, wish.choice)}.")
    if undoable:
        note(f"Take it back: kafkaman resolve --undo {found[:8]}")


def _edit(invocation: Invocation, conflict: str, wish: _Wish) -> None:
    async def look() -> Conflict:
        async with invocation.client() as client:
            return await client.conflict(conflict)

    found = asyncio.run(look())
    if "value" not in found.choices or found.state != "open":
        raise UsageError(
            "There is no one value to edit in this conflict.",
            code="conflict.no_field",
            hint=f"`kafkaman conflicts show {found.id[:8]}` lists the choices.",
        )
    value = _edited(invocation, found)
    seen = wish.version if wish.version is not None else found.version
    asyncio.run(_resolve(invocation, found.id, _Wish("edit", wish.to, seen), value))


def _edited(invocation: Invocation, conflict: Conflict) -> Any:
    """Let the person edit until there is a value; LocalError when they leave it as it is."""
    first = text = compose(conflict)
    while True:
        data = _in_editor(invocation, text)
        edited = first if data is None else _decoded(data)
        if edited == first or is_empty(edited):
            raise LocalError(
                "Nothing was edited; the conflict stays open.",
                code="conflict.not_edited",
                hint="For an empty text write --value '\"\"'.",
            )
        try:
            return edited_value(edited, conflict)
        except UsageError as error:
            if not invocation.interactive:
                raise
            print_error(error, as_json=False, color=invocation.color)
            click.confirm("Edit it again?", default=True, abort=True, err=True)
            text = edited


def _in_editor(invocation: Invocation, text: str) -> bytes | None:
    hint = "Set EDITOR to an editor that waits until you are done, or use --value."
    if not (invocation.interactive or os.environ.get("VISUAL") or os.environ.get("EDITOR")):
        raise LocalError("No editor is set.", code="editor.failed", hint=hint)
    try:
        # As bytes: of text, click would change the ends of lines.
        return click.edit(text.encode(), extension=".txt", require_save=False)
    except click.ClickException as error:
        message = f"{error.format_message()}. The conflict stays open."
        raise LocalError(message, code="editor.failed", hint=hint) from error


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The edited text is not UTF-8: byte {error.start} does not fit.",
            code="conflict.encoding",
            hint="Let the editor save UTF-8, or give the value with --value @FILE.",
        ) from error


async def _resolve_all(invocation: Invocation, take: str) -> None:
    async with invocation.client() as client:
        resolutions = await client.resolve_all(take)
    if invocation.json:
        print_json({"resolved": [each.as_dict() for each in resolutions]})
    elif invocation.decorated:
        terminal.conflict_view.print_resolutions(invocation.console(), resolutions)
    else:
        for each in resolutions:
            print_row(each.id, each.kind, each.name, each.field, each.choice or "open", _why(each))
    if any(each.error for each in resolutions):
        raise click.exceptions.Exit(Exit.FAILED)


def _why(resolution: Resolution) -> str:
    return str(resolution.error["message"]) if resolution.error else resolution.why


async def _undo(invocation: Invocation, conflict: str) -> None:
    async with invocation.client() as client:
        found = await client.reopen(conflict)
    if invocation.json:
        print_json({"reopened": found})
    else:
        click.echo(f"The conflict {found[:8]} is open again.")
