"""`kafkaman replay compare`: where two sources of one workspace part."""

from __future__ import annotations

import click

from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.exits import Exit
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import note, print_json, print_row, printable
from kafkaman_sync.cli.replay.sources import INPUT, WORKSPACE, reading
from kafkaman_sync.cli.replay.story import shown
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.replay.comparing import Comparison, Pending, as_dict, choose_sides, compare
from kafkaman_sync.replay.partings import Parting
from kafkaman_sync.replay.records import DeviceName, Names


@command(
    "compare",
    examples=(
        "kafkaman replay compare ./srv ~/laptop",
        "kafkaman replay compare backup.db ./srv --json | jq .first",
    ),
)
@click.argument("one", metavar="A", type=INPUT)
@click.argument("two", metavar="B", type=INPUT)
@WORKSPACE
def compare_command(invocation: Invocation, *, one: str, two: str, workspace: str | None) -> None:
    """Compare a device with its server, two devices, or two logs.

    Ends with 0 when they are equal as far as both have come, and with 1 when they part: then the
    first event after which they do comes first.
    """
    with reading(one) as left, reading(two) as right:
        sides = choose_sides(left, right, workspace)
        with invocation.working(f"Comparing {sides[0].log.name}"):
            found = compare(*sides)
        names = _both(left.names(), right.names())
    if invocation.json:
        print_json(as_dict(found))
    elif invocation.decorated:
        _show(found, names)
    else:
        for each in found.partings:
            values = ("" if value is None else shown(value) for value in each.values)
            print_row(each.seq or "", each.entity, each.part, *values, each.told)
        for text in found.notes:
            note(text)
    if not found.equal:
        raise click.exceptions.Exit(Exit.FAILED)


def _both(one: Names, two: Names) -> Names:
    devices: dict[str, DeviceName] = {**two.devices, **one.devices}
    return Names({**two.accounts, **one.accounts}, devices)


def _show(found: Comparison, names: Names) -> None:
    log = found.one.log
    click.echo(click.style(printable(f"{log.name} ({log.workspace[:8]})"), bold=True))
    for label, side, digest in zip("AB", (found.one, found.two), found.digests, strict=True):
        text = f"  {label}  {side.source.label}  {side.source.kind}, at seq {side.log.head:,}"
        click.echo(printable(f"{text}{f', digest {digest.hex()[:12]}' if digest else ''}"))
    first = found.first
    if first is None and found.digests_differ:
        click.echo(click.style(f"Their digests differ at seq {found.at:,}.", fg="red"))
    elif first is None:
        told = f"Equal up to seq {found.at:,}: {plural(found.rows, 'row')}."
        click.echo(click.style(told, fg="green"))
    else:
        where = f"after seq {first.seq:,}" if first.seq else "somewhere"
        click.echo(click.style(f"They part {where}:", fg="red"))
        for each in found.partings:
            _show_parting(each, names)
        more = found.parted - len(found.partings)
        if more > 0:
            click.echo(f"  and {plural(more, 'more difference')}")
    for pending in found.pending:
        click.echo(printable(_pending(pending)))
    if found.pending_count > len(found.pending):
        more = found.pending_count - len(found.pending)
        click.echo(f"and {plural(more, 'more pending op')}")
    for text in found.notes:
        click.echo(click.style(printable(text), fg="yellow"))


def _show_parting(parting: Parting, names: Names) -> None:
    part = f", {parting.part}" if parting.part else ""
    seq = f"seq {parting.seq:,}  " if parting.seq else ""
    click.echo(printable(f"  {seq}{parting.entity[:8]}{part}: {parting.told}"))
    if parting.values != (None, None):
        sides = ("nothing" if value is None else shown(value) for value in parting.values)
        for label, value in zip("AB", sides, strict=True):
            click.echo(f"      {label}  {value}")
    event = parting.event
    if event is not None:
        by = "the server"
        if event.device:
            by = f"{names.account(event.account)} on {names.device(event.device)}, op {event.op}"
        click.echo(printable(f"      event {event.seq}: {event.action} by {by}"))


def _pending(pending: Pending) -> str:
    change = pending.waiting.change
    fields = f" of {', '.join(sorted(change.fields))}" if change.fields else ""
    what = f"{change.action} {change.entity[:8]}{fields}"
    side = "AB"[pending.side - 1]
    if pending.decided:
        return (
            f"Only {side} holds op {pending.waiting.op} ({what}): decided, its verdict is to come."
        )
    return f"Only {side} holds op {pending.waiting.op} ({what}): it waits in the outbox."
