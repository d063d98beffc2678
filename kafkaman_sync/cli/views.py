"""Tables and panels for a person's terminal: status, devices, workspaces, proofs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from kafkaman_sync.cli.output import printable
from kafkaman_sync.cli.wording import COLORS, ago, state_words, status_lines
from kafkaman_sync.client import Device, Proof, Reloaded, Status, Workspace

ID_DIGITS_SHOWN: Final = 8
_DIGEST_DIGITS_SHOWN: Final = 12
_WIDE_COLUMNS: Final = 120


def status_panel(status: Status) -> RenderableType:
    """Show a status: the state in its colour, and the lines that have something to say."""
    color = COLORS[status.state]
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in status_lines(status)[1:]:  # the state itself is the title
        style = "cyan" if name == "hint" else ""
        if name in ("pending", "conflicts") and text[0] != "0":
            style = "yellow"
        line = Text(printable(text), style=style)
        if name == "conflicts" and status.conflicts:
            line.append("  kafkaman conflicts", style="cyan")
        grid.add_row(name, line)
    title = Text(f" {state_words(status.state)} ", style=f"bold {color}")
    return Panel(grid, title=title, title_align="left", border_style=color, expand=False)


def devices_table(devices: Sequence[Device], *, numbered: bool = False) -> RenderableType:
    """Show the devices of an account; `numbered` to choose one."""
    table = _table()
    if numbered:
        table.add_column("", justify="right")
    for heading in ("device", "platform", "last seen", "id"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "id")
    for number, device in enumerate(devices, 1):
        seen = Text("connected", style="green") if device.connected else Text(ago(device.last_seen))
        name = Text(printable(device.name), style="bold")
        if device.current:
            name.append("  this one", style="green")
        row = (name, printable(device.platform), seen, device.id[:ID_DIGITS_SHOWN])
        table.add_row(*((str(number), *row) if numbered else row))
    return table


def workspaces_table(workspaces: Sequence[Workspace]) -> RenderableType:
    """Show the workspaces."""
    table = _table("workspace", "role", "seq", "id")
    table.columns[2].justify = "right"
    for workspace in workspaces:
        table.add_row(
            Text(printable(workspace.name), style="bold"),
            printable(workspace.role),
            f"{workspace.seq:,}",
            workspace.id,
        )
    return table


def reload_table(workspaces: Sequence[Reloaded], names: Mapping[str, str]) -> RenderableType:
    """Show what a reload brought."""
    table = _table("workspace", "seq", "")
    for workspace in workspaces:
        name = Text(printable(names.get(workspace.id, workspace.id)), style="bold")
        table.add_row(name, f"{workspace.seq:,}", _verdict(workspace.equal))
    return table


def proof_table(
    workspaces: Sequence[Proof], names: Mapping[str, str], *, columns: int
) -> RenderableType:
    """Show the digests of both sides; whole ones where the terminal is wide enough."""
    shown = None if columns >= _WIDE_COLUMNS else _DIGEST_DIGITS_SHOWN
    table = _table("workspace", "seq", "this device", "server", "")
    for workspace in workspaces:
        table.add_row(
            Text(printable(names.get(workspace.id, workspace.id)), style="bold"),
            f"{workspace.seq:,}",
            workspace.device_digest[:shown],
            workspace.server_digest[:shown],
            _verdict(workspace.equal),
        )
    if all(workspace.equal for workspace in workspaces):
        return table
    advice = Text("Run `kafkaman reload --full`; unsynced edits and conflicts are kept.", "cyan")
    return Group(table, Padding(advice, (1, 0, 0, 0)))


def _verdict(equal: bool) -> Text:
    return Text("equal", style="green") if equal else Text("different", style="bold red")


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
