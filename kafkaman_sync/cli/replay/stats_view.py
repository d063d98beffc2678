"""The figures of a log, as rows for programs and as a plot and tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rich import box
from rich.columns import Columns
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kafkaman_sync.cli.output import print_row, printable
from kafkaman_sync.cli.replay.event_format import clock, iso_time
from kafkaman_sync.cli.replay.stats import NO_LATENCY
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.replay.extra import extra
from kafkaman_sync.replay.records import Log, Names
from kafkaman_sync.replay.statistics import SLOTS, Amount, Spread, Statistics, named

_PLOT_ROWS: Final = 10
_PLOT_COLUMNS_MAX: Final = 100
_FIELDS_SHOWN: Final = 10
_TICKS: Final = 4


def print_rows(counted: Statistics, names: Names, latency: Spread | None) -> None:
    """Print rows of what is counted, by what, and how many; bytes behind where there are some."""
    for row in _rows(counted, names, latency):
        print_row(*row)


def _rows(
    counted: Statistics, names: Names, latency: Spread | None
) -> Iterator[tuple[object, ...]]:
    yield "total", "", counted.total.events, counted.total.bytes
    if counted.first_at:
        yield "first", iso_time(counted.first_at), counted.first_seq
        yield "last", iso_time(counted.last_at), counted.last_seq
    for what, amounts, called in (
        ("action", counted.actions, str),
        ("kind", counted.kinds, str),
        ("device", counted.devices, names.device),
        ("account", counted.accounts, names.account),
    ):
        for name, amount in named(amounts):
            yield what, called(name), amount.events, amount.bytes
    yield from (("field", *each) for each in counted.fields.most_common())
    yield from _spread_rows(counted, latency)
    yield "disputes", "", counted.disputes
    yield from (("dispute", *each) for each in counted.disputes_by_code.most_common())
    for hot in counted.hot:
        yield "hot", hot.entity, hot.events, hot.described.name
    for what, number in (("unreadable", counted.unreadable), ("missing", counted.missing)):
        if number:
            yield what, "", number


def _spread_rows(counted: Statistics, latency: Spread | None) -> Iterator[tuple[object, ...]]:
    for what, spread in (
        ("size", counted.sizes),
        ("behind", counted.behind),
        ("latency_us", latency),
    ):
        if spread is not None:
            for part in ("smallest", "median", "p95", "largest"):
                yield what, part, getattr(spread, part)


def print_figures(
    console: Console, counted: Statistics, log: Log, names: Names, latency: Spread | None
) -> None:
    """Show a plot of events over time, and tables."""
    title = Text(printable(log.name or log.workspace), style="bold")
    title.append(f"  {plural(counted.total.events, 'event')}, {_bytes(counted.total.bytes)}", "dim")
    if counted.first_at:
        title.append(f", seq {counted.first_seq} to {counted.last_seq}", "dim")
    console.print(title)
    if counted.total.events > 1:
        _print_plot(console, counted)
    kinds = [(name.replace("_", " ") or "?", each) for name, each in named(counted.kinds)]
    devices = [(names.device(name) or "the server", each) for name, each in named(counted.devices)]
    fields = [(name, Amount(number)) for name, number in counted.fields.most_common(_FIELDS_SHOWN)]
    tables = [
        _table("action", named(counted.actions)),
        _table("kind", kinds),
        _table("device", devices),
        _table("field", fields),
    ]
    console.print(Columns([table for table in tables if table.row_count], padding=(0, 4)))
    _print_hot(console, counted)
    _print_spreads(console, counted, latency)
    _print_disputes(console, counted, names)
    for number, what in ((counted.unreadable, "unreadable"), (counted.missing, "missing")):
        if number:
            told = f"{plural(number, 'event')} {what}: see kafkaman replay verify"
            console.print(Text(told, style="bold red"))


def _table(heading: str, rows: Iterable[tuple[str, Amount]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    table.add_column(heading)
    table.add_column("events", justify="right")
    table.add_column("", justify="right", style="dim")
    for name, amount in rows:
        size = _bytes(amount.bytes) if amount.bytes else ""
        table.add_row(Text(printable(name)), f"{amount.events:,}", size)
    return table


def _print_hot(console: Console, counted: Statistics) -> None:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    for heading in ("written most", "kind", "id"):
        table.add_column(heading)
    table.add_column("events", justify="right")
    for hot in counted.hot:
        kind = hot.described.kind.value.replace("_", " ") if hot.described.kind else "?"
        name = Text(printable(hot.described.name), style="bold")
        table.add_row(name, kind, hot.entity[:8], f"{hot.events:,}")
    if table.row_count:
        console.print(table)


def _print_spreads(console: Console, counted: Statistics, latency: Spread | None) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    if counted.sizes is not None:
        each = counted.sizes
        grid.add_row(
            "size of an event",
            f"half up to {_bytes(each.median)}, 95 % up to {_bytes(each.p95)}, the largest "
            f"{_bytes(each.largest)}",
        )
    if counted.behind is not None:
        each = counted.behind
        grid.add_row(
            "written behind",
            f"half at most {plural(each.median, 'event')}, 95 % at most {each.p95:,}, the most "
            f"{each.largest:,}",
        )
    if latency is not None:
        grid.add_row(
            "sent to answered",
            f"half within {_ms(latency.median)}, 95 % within {_ms(latency.p95)}, the slowest "
            f"{_ms(latency.largest)}, of {plural(latency.count, 'change')}",
        )
    else:
        grid.add_row("edit to answer", Text(NO_LATENCY, style="dim"))
    console.print(grid)


def _print_disputes(console: Console, counted: Statistics, names: Names) -> None:
    if not counted.disputes:
        console.print(Text("Everything that was asked for was accepted.", style="green"))
        return
    codes = ", ".join(
        f"{code} {number:,}" for code, number in counted.disputes_by_code.most_common()
    )
    by = ", ".join(
        f"{names.device(device)} {number:,}"
        for device, number in counted.disputes_by_device.most_common()
    )
    told = f"Not accepted, in whole or in part: {plural(counted.disputes, 'change')}"
    console.print(Text(printable(f"{told} ({codes}), by {by}"), style="yellow"))


def _print_plot(console: Console, counted: Statistics) -> None:
    try:
        with extra("The plot"):
            console.print(Text(plot(counted, min(console.width, _PLOT_COLUMNS_MAX))))
    except ReplayError as error:
        console.print(Text(f"{error.message} {error.hint}", style="yellow"))


def plot(counted: Statistics, columns: int) -> str:
    """Return a plot of events over time, as lines of text."""
    import plotext  # noqa: PLC0415 - plotext is optional

    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(columns, _PLOT_ROWS)
    figure.draw(figure.bar(list(range(SLOTS)), counted.slots, width=1.0, lines=False))
    ticks = [SLOTS * number // _TICKS for number in range(_TICKS)]
    figure.ruler("x").ticks(ticks, [_tick(counted, slot) for slot in ticks])
    text: str = figure.build().string(colorless=True)
    return "\n".join(line.rstrip() for line in text.splitlines())


def _tick(counted: Statistics, slot: int) -> str:
    span = counted.last_at - counted.first_at
    at = clock(counted.first_at + span * slot // SLOTS)
    return f"{at:%m-%d}" if span > 4 * 86_400_000 else f"{at:%H:%M:%S}"


def _bytes(size: int) -> str:
    amount = float(size)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} GiB"


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:,.1f} ms"
