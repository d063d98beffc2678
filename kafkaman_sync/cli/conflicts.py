"""Edits that could not be merged: the list, and the person's choice."""

from __future__ import annotations

import click

from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import json_text, print_json, print_row
from kafkaman_sync.errors import UsageError


@command("conflicts", examples=("kafkaman conflicts", "kafkaman conflicts --json"))
async def conflicts_command(invocation: Invocation) -> None:
    """List the conflicts, each with both values and their base."""
    async with invocation.client() as client:
        conflicts = await client.conflicts()
    if invocation.json:
        print_json({"conflicts": [conflict.as_dict() for conflict in conflicts]})
    elif invocation.decorated:
        from kafkaman_sync.cli import views  # noqa: PLC0415 - only a person's terminal needs it

        views.print_conflicts(invocation.console(), conflicts)
    else:
        for conflict in conflicts:
            sides = (conflict.base, conflict.mine, conflict.theirs)
            print_row(
                conflict.id,
                conflict.kind,
                conflict.name or conflict.entity,
                conflict.field or conflict.code,
                *(json_text(side) for side in sides),
            )


@command("resolve", examples=("kafkaman resolve 12 --mine", "kafkaman resolve 12 --theirs"))
@click.argument("conflict", metavar="ID")
@click.option("--mine", is_flag=True, help="Keep this device's value.")
@click.option("--theirs", is_flag=True, help="Keep the other device's value.")
async def resolve_command(invocation: Invocation, conflict: str, mine: bool, theirs: bool) -> None:
    """Resolve a conflict with one of its two values.

    ID is as `conflicts` lists it.
    """
    if mine == theirs:
        raise UsageError(
            "Say which value to keep.", code="usage.missing", hint="Add --mine or --theirs."
        )
    async with invocation.client() as client:
        await client.resolve(conflict, mine=mine)
    if invocation.json:
        print_json({"resolved": conflict})
    else:
        click.echo(f"Resolved with {'mine' if mine else 'theirs'}.")
