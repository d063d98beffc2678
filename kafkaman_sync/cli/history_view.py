"""The trash and a history on a person's terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kafkaman_sync.cli.differences import difference
from kafkaman_sync.cli.output import json_text, printable
from kafkaman_sync.cli.wording import ago, clock_time, writer
from kafkaman_sync.client import Blame, BlamedPart, History, HistoryEvent, Trash

_ID_DIGITS_SHOWN: Final = 8
ACTION_COLORS: Final = {
    "create": "green",
    "update": "yellow",
    "move": "cyan",
    "delete": "red",
    "restore": "green",
    "purge": "red",
}


def trash_table(trash: Trash) -> RenderableType:
    """Show what was deleted."""
    if not trash.entities:
        return Text("The trash is empty.", style="green")
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    for heading in ("what", "kind", "deleted", "id"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "id")
    for each in trash.entities:
        what = Text(printable(each.path_text), style="bold")
        if each.below:
            what.append(f"  with {each.below:,} below it", style="dim")
        table.add_row(
            what,
            each.kind.replace("_", " "),
            _deleted(each.by, each.seq),
            each.id[:_ID_DIGITS_SHOWN],
        )
    return table


def _deleted(by: Mapping[str, Any] | None, seq: int) -> str:
    if by is not None:
        return printable(f"{ago(by['at'])}, {writer(by)}")
    return "" if seq else "not yet on the server"


def print_history(console: Console, history: History, field: str | None) -> None:
    """Show each event with what it changed, and how to see more."""
    title = Text(printable(history.name or history.id), style="bold")
    title.append(f"  {history.kind.replace('_', ' ')}", style="dim")
    console.print(title)
    if history.waiting:
        console.print(Text("An edit of this device is not in it yet.", style="yellow"))
    for event in history.events:
        _print_event(console, event)
    named = f"kafkaman history {history.id[:_ID_DIGITS_SHOWN]}"
    named += f" --field {field}" if field else ""
    if history.next is not None:
        console.print(Text(f"\nOlder: {named} --before {history.next}", style="dim"))
    elif history.horizon:
        kept = f"The server keeps the history from seq {history.horizon} on."
        console.print(Text(f"\n{kept}", style="dim"))
    elif not history.events:
        console.print(Text(f"Nothing wrote {printable(field or 'it')}.", style="dim"))


def print_blame(console: Console, blame: Blame) -> None:
    """Show each part of an entity, or of a field, beside who wrote it."""
    if not blame.parts:
        console.print(Text(f"There is no {printable(blame.field or 'field')}.", style="dim"))
        return
    signed = [_signed(part) for part in blame.parts]
    width = max(map(len, signed))
    for part, head in zip(blame.parts, signed, strict=True):
        line = Text(f"{head:<{width}}  ", style="dim")
        line.append(f"{printable(part.label)}: " if part.label else "", style="cyan")
        value = part.value if isinstance(part.value, str) else json_text(part.value)
        line.append(printable(value), style="not dim")
        console.print(line, no_wrap=True, overflow="ellipsis")


def _signed(part: BlamedPart) -> str:
    if part.seq is None:
        return "older than what is kept"
    by = f"  {ago(part.by['at'])}, {writer(part.by)}" if part.by else ""
    return printable(f"seq {part.seq}{by}")


def _print_event(console: Console, event: HistoryEvent) -> None:
    head = Text(f"\nseq {event.seq}  ", style="dim")
    head.append(event.action, style=ACTION_COLORS.get(event.action, ""))
    at = event.by["at"]
    head.append(f"  {clock_time(at)} ({ago(at)})  ", style="dim")
    head.append(printable(writer(event.by)))
    console.print(head)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    if event.place is not None and event.place["before"] is not None:
        grid.add_row("place", _moved(event.place))
    for each in event.changes:
        sides = ([each[side]] if side in each else [] for side in ("before", "after"))
        grid.add_row(Text(printable(str(each["field"]))), difference(*sides))
    if grid.row_count:
        console.print(Padding(grid, (0, 0, 0, 4)))


def _moved(place: Mapping[str, Any]) -> Text:
    before, after = (_parent(place[side]) for side in ("before", "after"))
    if before == after:
        return Text(f"to another place in {after}", style="green")
    return Text.assemble((before, "red"), ("  ->  ", "dim"), (after, "green"))


def _parent(place: Mapping[str, Any]) -> str:
    if not place["parent"]:
        return "the workspace"
    return printable(place["name"]) or f"{place['parent'][:_ID_DIGITS_SHOWN]} (gone)"
