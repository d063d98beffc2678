"""Conflicts on a person's terminal: the list, one with its difference, and what was done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from kafkaman_sync.cli.conflict_text import difference, is_short, signature
from kafkaman_sync.cli.output import json_text, printable
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.client import Conflict, Resolution
from kafkaman_sync.model.values import Value

ID_DIGITS_SHOWN: Final = 8
LINES_MAX: Final = 60
"""Lines shown of one difference; all of it is under --json."""

_LINE_CHARACTERS_MAX: Final = 100
_SIDES: Final = (("base", "dim"), ("mine", "green"), ("theirs", "cyan"))
_FLAGS: Final = {
    "mine": "--mine",
    "theirs": "--theirs",
    "both": "--both",
    "value": "--value JSON, or --edit",
    "to": "--to PARENT",
}
"""How each choice is spelt on the command line."""


def subject(conflict: Conflict | Resolution) -> str:
    """Name what a conflict is about: kind, name, field."""
    kind = conflict.kind.replace("_", " ") or "entity"
    name = conflict.name or conflict.entity[:ID_DIGITS_SHOWN]
    return f'{kind} "{name}"{", " if conflict.field else ""}{conflict.field}'


def print_conflicts(console: Console, conflicts: Sequence[Conflict], *, resolved: bool) -> None:
    """List conflicts: what happened to each, its values in a line, and how to go on."""
    if not conflicts:
        text = "Nothing was resolved yet." if resolved else "No conflicts."
        console.print(Text(text, style="green"))
        return
    for conflict in conflicts:
        title = Text(conflict.id[:ID_DIGITS_SHOWN], style="bold yellow")
        title.append(f"  {printable(subject(conflict))}", style="bold")
        if resolved:
            title.append(f"  resolved: {conflict.state}", style="green")
        console.print(title)
        console.print(_indented(Text(printable(conflict.explanation)), 2))
        if conflict.field:
            console.print(_indented(_sides(conflict, short=True), 4))
    first = conflicts[0].id[:ID_DIGITS_SHOWN]
    advice = f"One of them, and what each choice does: kafkaman conflicts show {first}"
    if resolved:
        advice = f"Take one back that is not synced yet: kafkaman resolve --undo {first}"
    console.print(Text(f"\n{advice}", style="dim"))


def conflict_panel(conflict: Conflict) -> RenderableType:
    """Show a conflict: what happened, both sides and their difference, and the choices."""
    head = _grid()
    head.add_row("id", conflict.id)
    head.add_row("where", Text(printable("/".join(conflict.path))))
    if conflict.state != "open":
        head.add_row("state", Text(f"resolved: {conflict.state}", style="green"))
    for side in ("mine", "theirs"):
        written = conflict.by.get(side)
        if written is not None:
            head.add_row(side, Text(printable(f"by {signature(written)}")))
    parts: list[RenderableType] = [Text(printable(conflict.explanation)), Text(), head]
    if conflict.note:
        parts.append(Text(printable(conflict.note), style="dim"))
    parts += _values(conflict)
    if conflict.group:
        parts += [Text(), _group(conflict)]
    if conflict.state == "open":
        parts += [Text(), _choices(conflict)]
    title = Text(f" {printable(subject(conflict))} ", style="bold")
    return Panel(Group(*parts), title=title, title_align="left", border_style="yellow")


def _indented(what: RenderableType, columns: int) -> RenderableType:
    return Padding(what, (0, 0, 0, columns), expand=False)


def _values(conflict: Conflict) -> list[RenderableType]:
    if conflict.reason == "mine_deleted" and isinstance(conflict.theirs, dict):
        return [Text(), _foreign(conflict.theirs)]
    if not conflict.field and conflict.reason != "theirs_deleted":
        return []
    if is_short(conflict):
        return [Text(), _sides(conflict, short=False)]
    lines = difference(conflict)
    shown = Text()
    for line in lines[:LINES_MAX]:
        shown.append(f"{printable(line, lines=True)}\n", style=_style(line))
    if len(lines) > LINES_MAX:
        more = plural(len(lines) - LINES_MAX, "line")
        shown.append(f"... {more} more: --json shows all\n", style="dim")
    shown.rstrip()
    return [Text(), shown]


def _foreign(theirs: dict[str, Value]) -> RenderableType:
    """Show what others wrote to and below something that this device deleted."""
    grid = _grid()
    for path, fields in theirs.items():
        grid.add_row("theirs", Text(printable(path), style="cyan"))
        for name, value in fields.items() if isinstance(fields, dict) else ():
            grid.add_row("", Text(f"{printable(name)} = {_one_line(value)}"))
    return grid


def _style(line: str) -> str:
    if line.startswith(("---", "+++")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")


def _sides(conflict: Conflict, *, short: bool) -> RenderableType:
    grid = _grid()
    for side, style in _SIDES:
        text = _one_line(getattr(conflict, side)) if short else _whole(getattr(conflict, side))
        grid.add_row(side, Text(text, style=style))
    return grid


def _whole(value: Value) -> str:
    if value is None:
        return "-"
    return printable(value if isinstance(value, str) else json_text(value, indent=2), lines=True)


def _one_line(value: Value) -> str:
    if value is None:
        return "-"
    text = printable(value if isinstance(value, str) else json_text(value))
    if len(text) <= _LINE_CHARACTERS_MAX:
        return text
    return f"{text[:_LINE_CHARACTERS_MAX]}..."


def _group(conflict: Conflict) -> RenderableType:
    grid = _grid()
    for member in conflict.group[:LINES_MAX]:
        kind = member["kind"].replace("_", " ") or "entity"
        grid.add_row(f"  {member['action']}", Text(printable(f'{kind} "{member["name"]}"')))
    hidden = len(conflict.group) - LINES_MAX
    if hidden > 0:
        grid.add_row("", Text(f"... {hidden:,} more: --json shows all", style="dim"))
    return Group(Text("These depend on it and go with it:", style="dim"), grid)


def _choices(conflict: Conflict) -> RenderableType:
    grid = _grid()
    for choice, flag in _FLAGS.items():
        if choice in conflict.choices:
            does = Text(printable(conflict.choices[choice]))
            grid.add_row(Text(flag, style="cyan"), does)
    command = f"kafkaman resolve {conflict.id[:ID_DIGITS_SHOWN]}"
    return Group(Text.assemble(("Choose: ", "dim"), (command, "cyan"), (" with", "dim")), grid)


def print_resolutions(console: Console, resolutions: Sequence[Resolution]) -> None:
    """Say what was done about each conflict."""
    if not resolutions:
        console.print(Text("No conflicts.", style="green"))
        return
    grid = _grid()
    for each in resolutions:
        word = Text(each.choice or "open", style="green" if each.choice else "yellow")
        why = each.error["message"] if each.error else each.why
        about = Text(printable(subject(each)))
        if why:
            about.append(f"  {printable(why)}", style="dim")
        grid.add_row(each.id[:ID_DIGITS_SHOWN], word, about)
    console.print(grid)


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid
