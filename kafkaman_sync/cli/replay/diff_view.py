"""What changed between two points, as a tree on a person's terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from kafkaman_sync.cli.differences import difference
from kafkaman_sync.cli.output import printable
from kafkaman_sync.cli.replay.points import writer_of
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.model.changes import Event
from kafkaman_sync.model.entities import ROOT, Entity
from kafkaman_sync.model.tagged import json_of
from kafkaman_sync.model.values import REMOVED, Value
from kafkaman_sync.replay.changing import Changed, Span, What
from kafkaman_sync.replay.naming import name_of
from kafkaman_sync.replay.records import Names

ENTITIES_SHOWN_MAX: Final = 200
"""Entities shown; all of them are under --json."""

_ID_DIGITS_SHOWN: Final = 8
# On a narrower terminal, who wrote a part gives way to what was written.
_WRITERS_COLUMNS_MIN: Final = 60
_STYLES: Final = {
    What.CREATED: "green",
    What.PURGED: "bold red",
    What.DELETED: "red",
    What.RESTORED: "green",
    What.MOVED: "cyan",
    What.PLACED: "cyan",
    What.RENAMED: "yellow",
    What.CHANGED: "yellow",
}


def print_changes(
    console: Console,
    span: Span,
    found: Sequence[Changed],
    names: Names,
    written: Mapping[int, Event],
) -> None:
    """Print a tree of what changed, below what it lies in."""
    title = Text(printable(span.after.log.name), style="bold")
    title.append(f"  from seq {span.before.seq:,} to {span.after.seq:,}", style="dim")
    console.print(title)
    if not found:
        console.print(Text("Nothing is different.", style="green"))
        return
    view = _View(span, names, written, signed=console.width >= _WRITERS_COLUMNS_MIN)
    shown = sorted(found[:ENTITIES_SHOWN_MAX], key=_order)
    view.changes = {changed.entity.id: changed for changed in shown}
    for changed in shown:
        view.branch(changed.entity)
    console.print(view.tree)
    counts = Counter(what for changed in found for what in changed.what)
    told = ", ".join(f"{counts[what]:,} {what}" for what in What if counts[what])
    if len(found) > len(shown):
        told = f"{plural(len(found) - len(shown), 'entity')} more: --json shows all. {told}"
    console.print(Text(told, style="dim"))


def _order(changed: Changed) -> tuple[str, str]:
    return changed.entity.place.position, changed.entity.id


class _View:
    """The tree under way."""

    def __init__(
        self, span: Span, names: Names, written: Mapping[int, Event], *, signed: bool
    ) -> None:
        self._span = span
        self._names = names
        self._written = written
        self._signed = signed
        self._branches: dict[str, Tree] = {}
        self.changes: dict[str, Changed] = {}
        self.tree = Tree("", guide_style="dim", hide_root=True)

    def branch(self, entity: Entity) -> Tree:
        """Return the branch of an entity, made with those above it when it is first asked for."""
        path = [entity]
        while path[-1].id not in self._branches and path[-1].place.parent != ROOT:
            parent = self._span.there(path[-1].place.parent)
            if parent is None or any(each.id == parent.id for each in path):
                break
            path.append(parent)
        above = self.tree
        for each in reversed(path):
            if each.id not in self._branches:
                changed = self.changes.get(each.id)
                label = _label(each) if changed is None else self._told(changed)
                self._branches[each.id] = above.add(label)
            above = self._branches[each.id]
        return above

    def _told(self, changed: Changed) -> RenderableType:
        head = _label(changed.entity, known=True)
        for what in changed.what:
            head.append(f"  {what}", style=f"not bold {_STYLES[what]}")
        after = changed.after
        if after is not None:
            head.append(f"  {self._by(after.version)}", style="not bold dim")
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="cyan", no_wrap=True)
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        before = changed.before
        if before is not None and after is not None and before.place != after.place:
            by = self._by(after.place_version) if self._signed else ""
            grid.add_row("place", by, self._moved(before, after))
        if What.CREATED not in changed.what and after is not None:
            for name in changed.fields:
                sides = [_side(before, name), _side(after, name)]
                by = self._by(after.fields[name].version) if self._signed else ""
                grid.add_row(Text(printable(name)), by, difference(*sides))
        return Group(head, grid) if grid.row_count else head

    def _by(self, seq: int) -> str:
        event = self._written.get(seq)
        return printable(f"seq {seq} {writer_of(self._names, event)}" if event else f"seq {seq}")

    def _moved(self, before: Entity, after: Entity) -> Text:
        was, now = (self._where(each.place.parent) for each in (before, after))
        if before.place.parent == after.place.parent:
            return Text(f"to another place in {now}", style="green")
        return Text.assemble((was, "red"), ("  ->  ", "dim"), (now, "green"))

    def _where(self, parent: str) -> str:
        if parent == ROOT:
            return "the workspace"
        there = self._span.there(parent)
        return printable(name_of(there) if there else "") or parent[:_ID_DIGITS_SHOWN]


def _side(entity: Entity | None, name: str) -> list[Value]:
    held = entity.fields.get(name) if entity is not None else None
    if held is None or held.value == REMOVED:
        return []
    value: Value = json_of(held.value)
    return [value]


def _label(entity: Entity, *, known: bool = False) -> Text:
    name = printable(name_of(entity) or entity.id[:_ID_DIGITS_SHOWN])
    label = Text(name, style="bold" if known else "dim")
    kind = entity.kind.value.replace("_", " ")
    label.append(f"  {kind}  {entity.id[:_ID_DIGITS_SHOWN]}", style="not bold dim")
    return label
