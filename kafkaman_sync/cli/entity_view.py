"""One entity on a person's terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.highlighter import JSONHighlighter
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from kafkaman_sync.cli.output import json_text, printable
from kafkaman_sync.cli.wording import ago, clock_time, plural, writer
from kafkaman_sync.client import Shown, ShownAt
from kafkaman_sync.model.values import Value

_FIRST: Final = ("name", "key", "method", "url", "value", "status", "code", "description")
"""Fields that a person looks for first; the others follow by name."""

LINES_MAX: Final = 40
"""Lines shown of one field; the whole of it is under --json."""


def entity_panel(shown: Shown, path: str) -> RenderableType:
    """Show where an entity lies and what its fields hold."""
    version = Text.assemble(f"{shown.version:,}", _pending(shown))
    return _panel(shown, [("path", Text(printable(path))), ("version", version)])


def past_panel(then: ShownAt) -> RenderableType:
    """Show what an entity was, and who had last written it then."""
    rows = [("at", Text(f"seq {then.seq:,}"))]
    if then.by is not None:
        at = then.by["at"]
        written = f"seq {then.version:,}, {clock_time(at)} ({ago(at)}), {writer(then.by)}"
        rows.append(("written", Text(printable(written))))
    if then.deleted:
        rows.append(("state", Text("deleted", style="red")))
    return _panel(then, rows)


def _panel(shown: Shown | ShownAt, rows: Sequence[tuple[str, Text]]) -> RenderableType:
    head = Table.grid(padding=(0, 2))
    head.add_column(style="dim", no_wrap=True)
    head.add_column(overflow="fold")
    head.add_row("id", shown.id)
    for name, text in rows:
        head.add_row(name, text)
    fields = Table.grid(padding=(0, 2))
    fields.add_column(style="cyan", no_wrap=True)
    fields.add_column(overflow="fold")
    for name, value in sorted(shown.fields.items(), key=_rank):
        fields.add_row(Text(printable(name)), _value(value))
    parts: list[RenderableType] = [head]
    if shown.fields:
        parts += [Text(), fields]
    title = Text(f" {printable(shown.name)} ", style="bold")
    title.append(f"{shown.kind.replace('_', ' ')} ", style="dim")
    return Panel(Group(*parts), title=title, title_align="left", border_style="dim")


def _rank(item: tuple[str, Value]) -> tuple[int, str]:
    name = item[0]
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)


def _pending(shown: Shown) -> Text:
    return Text("  pending: not yet on the server", style="yellow") if shown.pending else Text()


def _value(value: Value) -> Text:
    is_text = isinstance(value, str)
    text = printable(value if isinstance(value, str) else json_text(value, indent=2), lines=True)
    lines = text.split("\n")
    hidden = len(lines) - LINES_MAX
    shown = Text("\n".join(lines[:LINES_MAX]))
    if not is_text or text.lstrip()[:1] in ("{", "["):
        JSONHighlighter().highlight(shown)
    if hidden > 0:
        shown.append(f"\n... {plural(hidden, 'line')} more: --json shows all", style="dim")
    return shown
