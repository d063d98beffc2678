"""Making, changing, moving and deleting entities."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.completion import ENTITY
from kafkaman_sync.cli.fields import parse_fields
from kafkaman_sync.cli.invocation import Invocation, workspace_option
from kafkaman_sync.cli.output import note, print_json, printable
from kafkaman_sync.client import Listed
from kafkaman_sync.errors import UsageError
from kafkaman_sync.model.entities import ROOT, Kind

_FIELDS = click.argument("items", metavar="[FIELD=TEXT | FIELD:=JSON]...", nargs=-1)


class KindName(click.Choice[str]):
    """A kind of entity; a hyphen does for the underscore."""

    def __init__(self) -> None:
        super().__init__([kind.value for kind in Kind], case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read a kind's name."""
        return super().convert(str(value).replace("-", "_"), param, ctx)


@command(
    "new",
    examples=(
        "kafkaman new collection name='My API'",
        "kafkaman new request --parent 'My API' name=Ping method=GET url=https://example.org/ping",
        "kafkaman new request --parent 3fa94c name=Save body:=@body.json",
        "kafkaman new environment-variable --parent Local key=host value=localhost enabled:=true",
    ),
)
@click.argument("kind", metavar="KIND", type=KindName())
@_FIELDS
@click.option(
    "--parent", metavar="ID", type=ENTITY, help="Where it shall lie. [default: the workspace]"
)
@workspace_option
def new_command(
    invocation: Invocation,
    kind: str,
    items: tuple[str, ...],
    parent: str | None,
    workspace: str | None,
) -> None:
    """Create an entity, and print its id.

    KIND is collection, folder, request, response, header_preset, environment,
    environment_variable, global_variable or collection_run. `=` gives a string, `:=` JSON;
    `=@FILE` and `:=@FILE` read it from a file.
    """
    fields = parse_fields(items)

    async def create() -> str:
        async with invocation.client() as client:
            place = ROOT if parent in (None, "/") else parent
            return await client.create(kind, place, fields, workspace=workspace)

    _print_id(invocation, asyncio.run(create()))


@command(
    "set",
    examples=(
        'kafkaman set \'My API/Ping\' method=POST body:=\'{"mode": "raw", "raw": "{}"}\'',
        "kafkaman set 3fa94c description=@notes.md",
        "kafkaman set 3fa94c --unset description",
    ),
)
@click.argument("entity", metavar="ID", type=ENTITY)
@_FIELDS
@click.option("--unset", "removed", metavar="FIELD", multiple=True, help="Remove this field.")
@workspace_option
def set_command(
    invocation: Invocation,
    entity: str,
    items: tuple[str, ...],
    removed: tuple[str, ...],
    workspace: str | None,
) -> None:
    """Change fields of an entity; the others stay as they are."""
    fields = parse_fields(items)
    if not fields and not removed:
        raise UsageError(
            "Say what to change.", code="usage.missing", hint="Add name=text, or --unset name."
        )
    both = sorted(fields.keys() & set(removed))
    if both:
        raise UsageError(f"The field {both[0]!r} is both set and unset.", code="usage.field")

    async def update() -> str:
        async with invocation.client() as client:
            return await client.update(entity, fields, removed, workspace=workspace)

    _print_id(invocation, asyncio.run(update()))


@command(
    "mv",
    examples=(
        "kafkaman mv 'My API/Ping' --to 'My API/Health'",
        "kafkaman mv 3fa94c --before 81b2e0",
    ),
)
@click.argument("entity", metavar="ID", type=ENTITY)
@click.option("--to", metavar="PARENT", type=ENTITY, help="Its new parent. / is the workspace.")
@click.option("--before", metavar="ID", type=ENTITY, help="The sibling to lie before.")
@click.option("--after", metavar="ID", type=ENTITY, help="The sibling to lie after.")
@workspace_option
async def mv_command(
    invocation: Invocation,
    *,
    entity: str,
    to: str | None,
    before: str | None,
    after: str | None,
    workspace: str | None,
) -> None:
    """Move an entity, with everything below it.

    To another parent, or to another place among its siblings.
    """
    if before and after:
        raise UsageError("Give --before or --after, not both.", code="usage.invalid")
    if not (to or before or after):
        raise UsageError(
            "Say where to.",
            code="usage.missing",
            hint="Add --to PARENT, --before ID or --after ID.",
        )
    async with invocation.client() as client:
        if to is None:
            parent = (await client.find(before or after or "", workspace=workspace)).parent
        else:
            parent = ROOT if to == "/" else to
        moved = await client.move(entity, parent, before=before, after=after, workspace=workspace)
    _print_id(invocation, moved)


@command("rm", examples=("kafkaman rm 'My API/Ping'", "kafkaman rm 3fa94c --yes"))
@click.argument("entity", metavar="ID", type=ENTITY)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@workspace_option
def rm_command(invocation: Invocation, entity: str, yes: bool, workspace: str | None) -> None:
    """Delete an entity, with everything below it.

    On a terminal it asks first.
    """

    async def look() -> tuple[Listed, int]:
        async with invocation.client() as client:
            found = await client.find(entity, workspace=workspace)
            return found, len(await client.ls(found.id, workspace=found.workspace))

    async def delete(entity: str) -> str:
        async with invocation.client() as client:
            return await client.delete(entity, workspace=workspace)

    if not yes and invocation.interactive:
        found, below = asyncio.run(look())
        _ask(found, below)
        entity = found.id
    _print_id(invocation, asyncio.run(delete(entity)))


def _ask(found: Listed, below: int) -> None:
    what = f"{found.kind.replace('_', ' ')} {printable(found.name)}"
    more = f" with {below:,} below it" if below else ""
    if not click.confirm(f"Delete the {what}{more}?", err=True):
        note("Nothing was deleted.")
        raise click.exceptions.Exit(0)


def _print_id(invocation: Invocation, entity: str) -> None:
    if invocation.json:
        print_json({"id": entity})
    else:
        click.echo(entity)
