"""A workspace, or an entity, as it was, on a person's terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from kafkaman_sync.cli.output import json_text, printable
from kafkaman_sync.cli.replay.points import writer_of
from kafkaman_sync.cli.wording import ago, clock_time, plural
from kafkaman_sync.model.changes import Action, Event
from kafkaman_sync.model.entities import ROOT, Entity, Kind
from kafkaman_sync.model.tagged import json_of
from kafkaman_sync.model.values import read_value
from kafkaman_sync.replay.naming import name_of
from kafkaman_sync.replay.outlines import Line, Outlines
from kafkaman_sync.replay.records import Names
from kafkaman_sync.replay.source import SourceKind
from kafkaman_sync.replay.state import State

ID_DIGITS_SHOWN: Final = 8
TOPS_SHOWN: Final = 20
VALUE_LINES_MAX: Final = 40


def headline(state: State, last: Event | None) -> Text:
    """Say which workspace this is, and when."""
    text = Text(printable(state.log.name), style="bold")
    text.append(f"  as it was at seq {state.seq:,} of {state.log.head:,}", style="dim")
    if last is not None:
        when = f"{clock_time(last.at)} ({ago(last.at)})"
        text.append(f"\n{printable(when)}, after {_did(state.source.names(), last)}", style="dim")
    return text


def _did(names: Names, event: Event) -> str:
    article = "an" if event.action is Action.UPDATE else "a"
    return printable(f"{article} {event.action} by {writer_of(names, event)}")


def summary(outlines: Outlines) -> RenderableType:
    """Show what lies in the workspace itself, with how much is below it, and the kinds."""
    shown, hidden = outlines.counts()
    lines = [line for line in outlines.lines() if not line.hidden]
    if not lines and not hidden:
        return Text("Nothing was there yet.", style="dim")
    grid = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    for heading in ("what", "kind", "below", "id"):
        grid.add_column(heading, overflow="fold", justify="right" if heading == "below" else "left")
    tops = [number for number, line in enumerate(lines) if line.level == 1]
    for place, number in enumerate(tops[:TOPS_SHOWN]):
        end = tops[place + 1] if place + 1 < len(tops) else len(lines)
        outline = lines[number].outline
        grid.add_row(
            Text(printable(outline.name or outline.id[:ID_DIGITS_SHOWN]), style="bold"),
            _kind(outline.kind),
            f"{end - number - 1:,}" if end - number > 1 else "",
            outline.id[:ID_DIGITS_SHOWN],
        )
    told = ", ".join(plural(count, _kind(kind)) for kind, count in sorted(shown.items()))
    if len(tops) > TOPS_SHOWN:
        told = f"{len(tops) - TOPS_SHOWN:,} more beside these; {told}"
    if hidden:
        told += f"; {hidden:,} hidden: --deleted"
    return Group(grid, Text(f"{told}. --tree shows all.", style="dim"))


def print_tree(console: Console, lines: Sequence[Line]) -> None:
    """Print a tree, parents first."""
    if not lines:
        console.print(Text("Nothing was there.", style="dim"))
        return
    tree = Tree("", guide_style="dim", hide_root=True)
    branches: list[Tree] = [tree]
    for line in lines:
        del branches[line.level :]
        branches.append(branches[-1].add(_label(line)))
    console.print(tree)
    kinds = Counter(line.outline.kind for line in lines)
    told = ", ".join(plural(count, _kind(kind)) for kind, count in sorted(kinds.items()))
    console.print(Text(told, style="dim"))


def _label(line: Line) -> Text:
    outline = line.outline
    label = Text(
        printable(outline.name or outline.id[:ID_DIGITS_SHOWN]),
        style="strike dim" if line.hidden else "bold" if line.level == 1 else "",
    )
    label.append(f"  {_kind(outline.kind)}  {outline.id[:ID_DIGITS_SHOWN]}", style="not bold dim")
    if outline.deleted:
        label.append("  deleted", style="not strike not dim red")
    if line.adrift and line.level == 1:
        told = f"  what it lies in is not there: {outline.parent[:ID_DIGITS_SHOWN]}"
        label.append(told, style="not bold yellow")
    return label


def _kind(kind: Kind) -> str:
    return kind.value.replace("_", " ")


def entity_panel(
    state: State, entity: Entity, names: Names, written: Mapping[int, Event]
) -> RenderableType:
    """Show where an entity lay, and each field with the seq that had written it."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(style="dim", no_wrap=True, justify="right")
    grid.add_column(overflow="fold")
    last = written.get(entity.version)
    of_store = state.source.kind is SourceKind.STORE
    told = "a device's store does not say by whom" if of_store else writer_of(names, last)
    if last is not None:
        told += f", {clock_time(last.at)} ({ago(last.at)})"
    elif entity.version > state.log.horizon:
        told = "its event is not in this source"
    parent = state.get(entity.place.parent) if entity.place.parent != ROOT else None
    where = "the workspace" if entity.place.parent == ROOT else entity.place.parent
    if parent is not None:
        where = name_of(parent) or parent.id
    grid.add_row("id", "", entity.id)
    grid.add_row("at", "", f"seq {state.seq:,}")
    grid.add_row("written", str(entity.version), Text(printable(told)))
    grid.add_row("lies in", str(entity.place_version), Text(printable(where)))
    if entity.deleted:
        grid.add_row("deleted", str(entity.deleted_version), Text("yes", style="red"))
    grid.add_row()
    for name in sorted(entity.values):
        held = entity.fields[name]
        label = Text(printable(name), style="not dim cyan")
        grid.add_row(label, str(held.version), _value(held.value))
    title = Text(f" {printable(name_of(entity) or entity.id[:ID_DIGITS_SHOWN])} ", style="bold")
    title.append(f"{_kind(entity.kind)} ", style="dim")
    return Panel(grid, title=title, title_align="left", border_style="dim")


def _value(data: bytes) -> Text:
    value = read_value(data)
    text = value if isinstance(value, str) else json_text(json_of(data), indent=2)
    lines = printable(text, lines=True).split("\n")
    shown = Text("\n".join(lines[:VALUE_LINES_MAX]))
    if len(lines) > VALUE_LINES_MAX:
        more = plural(len(lines) - VALUE_LINES_MAX, "line")
        shown.append(f"\n... {more} more: --json shows all", style="dim")
    return shown
