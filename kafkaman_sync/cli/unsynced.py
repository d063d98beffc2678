"""Work that was sealed because no server had it: the list, what is in it, and the way back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import click

from kafkaman_sync.cli.command import CommandGroup, command, runs
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import json_text, note, print_json, print_row, printable
from kafkaman_sync.cli.wording import clock_time, plural
from kafkaman_sync.client.unsynced import Archive, ArchiveContent, Damaged, RestoredArchive

REASONS: Final = {
    "signed_out": "signed out",
    "revoked": "signed out from elsewhere",
    "access_lost": "access to the workspace lost",
    "damaged": "rescued from a damaged database",
}
_WHY: Final = {
    "delete": "was deleted; add --deletes to delete it again",
    "gone": "is gone, and too little of it was kept",
    "place": "stays where it is: where it was moved to is gone",
}
_VALUE_CHARACTERS_MAX: Final = 70


@click.group(
    "unsynced",
    cls=CommandGroup,
    invoke_without_command=True,
    examples=(
        "kafkaman unsynced",
        "kafkaman unsynced show 20260501",
        "kafkaman unsynced restore 20260501 --into scratch",
    ),
)
@click.pass_context
def unsynced_command(context: click.Context) -> None:
    """List work that was sealed because no server had it."""
    if context.invoked_subcommand is None:
        runs(_list)()


async def _list(invocation: Invocation) -> None:
    async with invocation.client() as client:
        found = await client.unsynced()
    if invocation.json:
        print_json(found.as_dict())
        return
    if not invocation.decorated:
        for archive in found.archives:
            count = archive.changes + archive.conflicts
            state = "restored" if archive.restored else "kept"
            print_row(archive.id, archive.reason, archive.username, count, state, archive.path)
        for damaged in found.damaged:
            print_row(damaged.id, "set aside", "", damaged.changes, "damaged", damaged.folder)
        return
    if not found.archives and not found.damaged:
        click.echo("Nothing was sealed: no work is kept apart on this device.")
    for archive in found.archives:
        _print_archive(archive)
    for damaged in found.damaged:
        _print_damaged(damaged)
    if any(not archive.restored and not archive.error for archive in found.archives):
        click.secho("Bring it back: kafkaman unsynced restore ID", dim=True)


def _print_archive(archive: Archive) -> None:
    click.secho(archive.id, bold=True, nl=False)
    if archive.error:
        click.echo(f"  {click.style(printable(archive.error), fg='red')}")
        return
    click.echo(f"  {REASONS.get(archive.reason, printable(archive.reason))}{_whose(archive)}")
    click.echo(f"  {_contents(archive)}")
    restored = archive.restored
    if restored:
        names = ", ".join(map(printable, restored["workspaces"]))
        where = f" into {names}" if names else ": it went on by itself"
        click.secho(f"  restored {clock_time(restored['at'])}{where}", fg="green")


def _whose(archive: Archive) -> str:
    parts = [printable(part) for part in (archive.username, archive.server) if part]
    return f" ({', '.join([*parts, clock_time(archive.at)])})"


def _contents(archive: Archive) -> str:
    kinds = (plural(count, kind.replace("_", " ")) for kind, count in archive.kinds.items() if kind)
    total = sum(archive.kinds.values())
    more = f" and {total - len(archive.names):,} more" if total > len(archive.names) else ""
    names = ", ".join(map(printable, archive.names))
    changes = plural(archive.changes, "change")
    if archive.conflicts:
        changes += f", {plural(archive.conflicts, 'conflict')}"
    return f"{changes} of {', '.join(kinds) or plural(total, 'thing')}: {names}{more}"


def _print_damaged(damaged: Damaged) -> None:
    click.secho(damaged.id, bold=True, nl=False)
    click.echo(f"  {printable(damaged.message)}")


@command("show", group=unsynced_command, examples=("kafkaman unsynced show 20260501",))
@click.argument("archive", metavar="ID")
async def unsynced_show_command(invocation: Invocation, archive: str) -> None:
    """Show what is in an archive: each entity, and its fields.

    ID is as `unsynced` lists it, or its beginning.
    """
    async with invocation.client() as client:
        content = await client.unsynced_content(archive)
    if invocation.json:
        print_json(content.as_dict())
        return
    if invocation.decorated:
        _print_archive(content)
    for line in _entity_lines(content):
        click.echo(line)


def _entity_lines(content: ArchiveContent) -> Iterator[str]:
    for entity in content.entities:
        actions = ", ".join([*entity["actions"], *(f"conflict {c}" for c in entity["conflicts"])])
        kind = entity["kind"].replace("_", " ")
        yield f"{kind} {printable(entity['name'])} ({entity['entity'][:8]}): {actions}"
        for changed in entity["fields"]:
            seen = "" if changed["seen"] is None else f"{_short(changed['seen'])} -> "
            yield f"  {printable(changed['name'])}: {seen}{_short(changed['mine'])}"


def _short(value: object) -> str:
    text = printable(json_text(value))
    return text if len(text) <= _VALUE_CHARACTERS_MAX else f"{text[:_VALUE_CHARACTERS_MAX]}..."


@command(
    "restore",
    group=unsynced_command,
    examples=(
        "kafkaman unsynced restore 20260501",
        "kafkaman unsynced restore 20260501 --into scratch",
    ),
)
@click.argument("archive", metavar="ID")
@click.option("--into", metavar="WORKSPACE", help="The workspace to restore into.")
@click.option("--deletes", is_flag=True, help="Also delete again what was deleted.")
async def unsynced_restore_command(
    invocation: Invocation, archive: str, into: str | None, deletes: bool
) -> None:
    """Make the edits of an archive again.

    They go where they were made, or into another workspace. Nothing newer is overwritten: where
    others changed the same field, a conflict keeps both. To restore twice makes nothing twice.
    """
    async with invocation.client() as client:
        result = await client.restore_unsynced(archive, into=into, deletes=deletes)
    if invocation.json:
        print_json(result.as_dict())
        return
    for line in _result_lines(result):
        click.echo(line)


def _result_lines(result: RestoredArchive) -> Iterator[str]:
    where = ", ".join(printable(each["name"]) for each in result.workspaces)
    done = ("created", "updated", "moved", "deleted")
    if not any(getattr(result, each) for each in done) and not result.conflicts:
        yield f"Nothing to do in {where}: all of it is there already."
    for name in done:
        yield from _named(f"{name} in {where}", getattr(result, name))
    if result.conflicts:
        yield f"{plural(result.conflicts, 'conflict')} with newer values: kafkaman conflicts"
    if result.already and result.changes:
        yield f"{len(result.already):,} there already"
    for each in result.skipped:
        yield f"{printable(each['name'])} {_WHY.get(each['why'], each['why'])}"


def _named(what: str, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield f"{what}: {printable(name)}"


@command("rm", group=unsynced_command, examples=("kafkaman unsynced rm 20260501 --yes",))
@click.argument("archive", metavar="ID")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def unsynced_rm_command(invocation: Invocation, archive: str, yes: bool) -> None:
    """Delete an archive, or a damaged database that was set aside.

    For good: nothing else has what was not restored.
    """
    question = f"Delete {printable(archive)} for good?"
    if not yes and invocation.interactive and not click.confirm(question, err=True):
        note("Nothing was deleted.")
        return
    runs(_remove)(archive)


async def _remove(invocation: Invocation, archive: str) -> None:
    async with invocation.client() as client:
        removed = await client.remove_unsynced(archive)
    if invocation.json:
        print_json({"removed": removed})
    else:
        click.echo(f"Deleted {printable(removed)}.")
