"""Importing files into a workspace, and exporting entities to files."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from kafkaman_sync import formats
from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.completion import ENTITY
from kafkaman_sync.cli.invocation import Invocation, workspace_option
from kafkaman_sync.cli.output import note, print_json, print_row, printable
from kafkaman_sync.cli.reading import STDIN, read_file
from kafkaman_sync.cli.saving import save_file
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.client import Imported
from kafkaman_sync.errors import FormatError, UsageError


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A file that was read but not yet imported."""

    file: str
    imported: formats.Imported


@command(
    "import",
    examples=(
        "kafkaman import stripe.postman_collection.json",
        "kafkaman import *.postman_environment.json globals.json",
        "curl -s https://example.org/api.json | kafkaman import -",
    ),
)
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(allow_dash=True)
)
@workspace_option
def import_command(invocation: Invocation, files: tuple[str, ...], workspace: str | None) -> None:
    """Import files: collections, environments, globals, run reports.

    Collections are those of the versions 2.1 and 2.0.
    All files are imported in one step; if one is not what it should be, none is. `-` reads
    standard input. Importing a file again makes a second copy.
    """
    if files.count(STDIN) > 1:
        raise UsageError("Standard input can be read only once.", code="usage.invalid")
    parsed: list[_Parsed] = []
    for file in files:
        with invocation.working(f"Reading {printable(file)}"):
            parsed.append(_parse(file))
    total = sum(sum(each.imported.counts.values()) for each in parsed)
    roots = [each.imported.root for each in parsed]

    async def create() -> Sequence[Imported]:
        async with invocation.client() as client:
            return await client.import_drafts(roots, workspace=workspace)

    with invocation.working(f"Importing {plural(total, 'entity')}"):
        made = asyncio.run(create())
    _print_imported(invocation, parsed, made)


def _parse(file: str) -> _Parsed:
    try:
        name = "" if file == STDIN else Path(file).name
        return _Parsed(file, formats.parse(read_file(file), filename=name))
    except FormatError as error:
        shown = "standard input" if file == STDIN else file
        raise FormatError(
            f"{shown}: {error.message}",
            code=error.code,
            hint=error.hint,
            **{**error.details, "file": file},
        ) from error
    except MemoryError as error:
        raise FormatError(
            f"{file}: there is not enough memory to read it.",
            code="format.too_large",
            hint="Split it into several files.",
            file=file,
        ) from error


def _print_imported(
    invocation: Invocation, parsed: Sequence[_Parsed], made: Sequence[Imported]
) -> None:
    warnings = [f"{each.file}: {text}" for each in parsed for text in each.imported.warnings]
    if invocation.json:
        rows = [
            {"file": each.file, "root": root.root, "counts": root.counts}
            for each, root in zip(parsed, made, strict=True)
        ]
        print_json({"imported": rows, **({"warnings": warnings} if warnings else {})})
        return
    for each, root in zip(parsed, made, strict=True):
        if invocation.decorated:
            name = click.style(printable(formats.title(each.imported.root)), bold=True)
            counts = ", ".join(_count(kind, count) for kind, count in root.counts.items())
            click.echo(f"{name}  {counts}\n  {root.root}", color=invocation.color)
        else:
            print_row(root.root, each.file)
    for warning in warnings:
        note(f"Note: {warning}")


def _count(kind: str, count: int) -> str:
    return plural(count, kind.replace("_", " "))


@command(
    "export",
    examples=(
        "kafkaman export 'Stripe API' -o stripe.json",
        "kafkaman export 3fa94c -o - | jq .info",
        "kafkaman export 'Stripe API/Charges' -o charges.json",
    ),
)
@click.argument("entity", metavar="ID", type=ENTITY)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default=STDIN,
    type=click.Path(allow_dash=True),
    help="The file to write. [default: the output]",
)
@click.option(
    "--format",
    "wanted",
    type=click.Choice(formats.FORMATS),
    metavar="FORMAT",
    help=f"One of {', '.join(formats.FORMATS)}. [default: as it came in]",
)
@workspace_option
def export_command(
    invocation: Invocation,
    entity: str,
    output: str,
    wanted: str | None,
    workspace: str | None,
) -> None:
    """Export an entity, with everything below it, to a file.

    It is written in the format it came in, unless another is named. A folder, request or response
    comes in a collection of its own. An existing file is replaced, whole or not at all.
    """

    async def fetch() -> formats.Draft:
        async with invocation.client() as client:
            return await client.export_draft(entity, workspace=workspace)

    with invocation.working("Exporting"):
        draft = asyncio.run(fetch())
        data = formats.render(draft, format=wanted)
    if output == STDIN:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    save_file(Path(output), data)
    counts = _counts(draft)
    if invocation.json:
        print_json(
            {
                "file": output,
                "format": wanted or _natural_format(draft),
                "counts": counts,
                "bytes": len(data),
            }
        )
    else:
        total = plural(sum(counts.values()), "entity")
        click.echo(f"Exported {printable(formats.title(draft))} ({total}) to {printable(output)}.")


def _natural_format(draft: formats.Draft) -> str:
    """Tell the format that `formats.render` chooses by itself."""
    source = draft.fields.get("source")
    came_in = source.get("format") if isinstance(source, dict) else None
    if draft.kind == "collection_run":
        return "run"
    if draft.kind == "global_variable" or draft.fields.get("scope") == "globals":
        return "globals"
    if draft.kind in ("environment", "environment_variable"):
        return "environment"
    return "collection.v2.0" if came_in == "collection.v2.0" else "collection.v2.1"


def _counts(draft: formats.Draft) -> dict[str, int]:
    counts: Counter[str] = Counter()
    pending = [draft]
    while pending:
        each = pending.pop()
        counts[each.kind] += 1
        pending.extend(each.children)
    return dict(sorted(counts.items()))
