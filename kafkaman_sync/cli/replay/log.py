"""`kafkaman replay log`: events in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import click

from kafkaman_sync.cli import terminal
from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.moments import MOMENT
from kafkaman_sync.cli.replay import log_view
from kafkaman_sync.cli.replay.event_format import EventFormat
from kafkaman_sync.cli.replay.following import while_somebody_reads
from kafkaman_sync.cli.replay.log_view import Printer
from kafkaman_sync.cli.replay.ranges import SEQS, SeqRange
from kafkaman_sync.cli.replay.selection import bounds, where_option
from kafkaman_sync.cli.replay.sources import SOURCE, WORKSPACE, opened, signs_in
from kafkaman_sync.errors import ReplayError, UsageError
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import KINDS, Kind
from kafkaman_sync.replay.reading import Entry, Gap
from kafkaman_sync.replay.records import Log
from kafkaman_sync.replay.selecting import Selection, Selector, check_known, find_entity
from kafkaman_sync.replay.source import Live, Source, SourceKind, choose_log

# Up to so many of the last events are held to be turned round; of more, the first is looked for.
_TURNED_MAX: Final = 1000
# How long it may take until a reader that went away is noticed.
_WAIT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the options ask for."""

    selection: Selection
    seqs: SeqRange | None
    since: int | datetime | None
    until: int | datetime | None
    last: int | None
    follow: bool


@command(
    "log",
    examples=(
        "kafkaman replay log ./srv --last 20",
        "kafkaman replay log ./srv --entity 'My API/Ping' --values",
        "kafkaman replay log ./srv --device laptop --action delete --since 2h",
        "kafkaman replay log ./srv --where 'size > 10000 and not kind == response'",
        "kafkaman replay log ./srv --follow --format '{at:%H:%M:%S} {device} {action} {name}'",
    ),
)
@SOURCE
@WORKSPACE
@signs_in
@click.option("--entity", metavar="ID", help="Only what happened to one entity.")
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(sorted(KINDS)), help="Only of this kind."
)
@click.option("--device", "devices", multiple=True, metavar="D", help="Only by this device.")
@click.option("--account", "accounts", multiple=True, metavar="A", help="Only by this account.")
@click.option("--field", "fields", multiple=True, metavar="FIELD", help="Only what wrote it.")
@click.option(
    "--action",
    "actions",
    multiple=True,
    type=click.Choice([each.value for each in Action]),
    help="Only this action.",
)
@click.option("--seq", "seqs", metavar="A..B", type=SEQS, help="Only these; A.. and ..B will do.")
@click.option("--since", metavar="TIME", type=MOMENT, help="Only what came after a time.")
@click.option("--until", metavar="TIME", type=MOMENT, help="Only what came up to a time.")
@click.option("--where", metavar="EXPR", help="Only where an expression holds.")
@click.option("--last", "-n", type=click.IntRange(min=1), metavar="N", help="Only the last N.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what is written from now on.")
@click.option("--values", is_flag=True, help="Show the values that were written.")
@click.option(
    "--format", "layout", metavar="F", help="raw (bytes as hex), or as in '{seq} {action}'."
)
def log_command(
    invocation: Invocation,
    *,
    source: str,
    workspace: str | None,
    user: str | None,
    password_stdin: bool,
    entity: str | None,
    kinds: Sequence[str],
    devices: tuple[str, ...],
    accounts: tuple[str, ...],
    fields: Sequence[str],
    actions: Sequence[str],
    seqs: SeqRange | None,
    since: int | datetime | None,
    until: int | datetime | None,
    where: str | None,
    last: int | None,
    follow: bool,
    values: bool,
    layout: str | None,
) -> None:
    """Show the events of a log, in order.

    Options of one sort may be repeated: then one of them has to fit. What cannot be read is shown
    as such, and an error at the end says how many places there are.
    """
    if follow and ((seqs is not None and seqs.last is not None) or until is not None):
        raise UsageError(
            "What ends cannot be followed.",
            code="usage.follow",
            hint="Leave out --follow, or --until and the end of --seq.",
        )
    wanted = _Wanted(
        Selection(
            entity=entity,
            actions=frozenset(map(Action, actions)),
            kinds=frozenset(Kind(each) for each in kinds),
            devices=devices,
            accounts=accounts,
            fields=frozenset(fields),
            where=where_option(where),
        ),
        seqs,
        since,
        until,
        last,
        follow,
    )
    printer = _printer(invocation, layout, values=values)
    with opened(invocation, source, user, password_stdin=password_stdin) as found:
        log = choose_log(found, workspace)
        live = _live(found) if follow else None
        _show(found, log, wanted, printer)
        printer.finish(source)
        if live is not None:
            invocation.streaming = True
            _follow(found, live, log, wanted, printer)


def _printer(invocation: Invocation, layout: str | None, *, values: bool) -> Printer:
    if layout is not None and invocation.json:
        raise UsageError("--json has a form of its own: leave out --format.", code="usage.format")
    if layout == "raw":
        return log_view.RawPrinter()
    if layout is not None:
        return log_view.FormatPrinter(EventFormat.read(layout))
    if invocation.json:
        return log_view.JsonPrinter(values=values)
    if invocation.decorated:
        return terminal.log_table.TablePrinter(invocation.console(), values=values)
    return log_view.RowPrinter(values=values)


def _show(source: Source, log: Log, wanted: _Wanted, printer: Printer) -> None:
    selection, names = wanted.selection, source.names()
    check_known(names, selection)
    if selection.entity is not None:
        selection = replace(selection, entity=find_entity(source, log, selection.entity))
    after, upto = bounds(
        source, log, wanted.seqs, wanted.since, wanted.until, growing=wanted.follow
    )
    selection = replace(selection, after=after, upto=upto)
    selector = Selector(source, log, names, selection)
    printer.begin(selector, names)
    for each in _in_order(selector, selection, wanted.last, source, log):
        printer.show(each)


def _in_order(
    selector: Selector, selection: Selection, last: int | None, source: Source, log: Log
) -> Iterator[Entry | Gap]:
    """Yield what was selected, or the last of it, in seq order; holds a bounded number."""
    if last is None:
        yield from selector.select()
        return
    found: list[Entry | Gap] = []
    first = None
    for number, each in enumerate(selector.select(backward=True), 1):
        if number <= _TURNED_MAX:
            found.append(each)
        first = each.first if isinstance(each, Gap) else each.seq
        if number == last:
            break
    if last <= _TURNED_MAX or len(found) < _TURNED_MAX:
        yield from reversed(found)
    elif first is not None:
        again = replace(selection, after=first - 1)
        yield from Selector(source, log, source.names(), again).select()


def _live(source: Source) -> Live:
    """Return a source that can be followed. Raises ReplayError `replay.not_live`."""
    if isinstance(source, Live) and source.kind is not SourceKind.LINES:
        return source
    raise ReplayError(
        f"{source.label} cannot be followed: nothing more is written to it.",
        code="replay.not_live",
        hint="Follow a server's data folder, a running daemon or a server.",
    )


def _follow(source: Source, live: Live, log: Log, wanted: _Wanted, printer: Printer) -> None:
    """Show what is written from now on, until Ctrl-C or until nobody reads any more."""
    after = log.head
    for _ in while_somebody_reads():
        if not live.wait(_WAIT_SECONDS):
            continue
        log = choose_log(source, log.workspace)
        if log.head > after:
            first = max(after + 1, wanted.seqs.first if wanted.seqs is not None else 1)
            _show(source, log, replace(wanted, seqs=SeqRange(first, None), last=None), printer)
            after = log.head
