"""The form in which `replay log` shows events on a terminal."""

from __future__ import annotations

from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from kafkaman_sync.cli.history_view import ACTION_COLORS
from kafkaman_sync.cli.output import printable
from kafkaman_sync.cli.replay.event_format import clock
from kafkaman_sync.cli.replay.log_view import Printer, shortened
from kafkaman_sync.model.changes import Action, Event
from kafkaman_sync.replay.reading import Entry
from kafkaman_sync.replay.records import Names
from kafkaman_sync.replay.selecting import Selector

_ID_DIGITS_SHOWN: Final = 8
_DEVICE_COLORS: Final = ("cyan", "magenta", "yellow", "green", "blue", "bright_red")
_DEVICE_CELLS_SHOWN: Final = 16
_SERVER: Final = "the server"


class TablePrinter(Printer):
    """Lines for a person: each device in a colour of its own."""

    def __init__(self, console: Console, *, values: bool) -> None:
        super().__init__()
        self._console = console
        self._values = values
        self._colors: dict[str, str] = {}
        self._widths = (1, 1)

    def begin(self, selector: Selector, names: Names) -> None:
        """Find out how much room names and numbers take."""
        super().begin(selector, names)
        shown = [printable(each.name) for each in names.devices.values()]
        width = min(max(map(cell_len, shown), default=0), _DEVICE_CELLS_SHOWN)
        self._widths = (max(len(str(selector.log.head)), 3), max(width, len(_SERVER)))
        self._colors = {
            device: _DEVICE_COLORS[number % len(_DEVICE_COLORS)]
            for number, device in enumerate(sorted(names.devices))
        }

    def event(self, entry: Entry, event: Event) -> None:
        """Print the line and, if wanted, the values below it."""
        entity = self.described(event)
        seqs, devices = self._widths
        color = self._colors.get(event.device, "")
        device = set_cell_size(printable(self.names.device(event.device)) or _SERVER, devices)
        line = Text(f"{entry.seq:>{seqs}}  {clock(event.at):%m-%d %H:%M:%S}  ", style="dim")
        line.append(f"{device}  ", style=f"not dim {color}")
        line.append(f"{event.action.value:<8}", f"not dim {ACTION_COLORS[event.action.value]}")
        kind = entity.kind.value.replace("_", " ") if entity.kind else "?"
        line.append(f"{kind:<12}  {event.entity[:_ID_DIGITS_SHOWN]}  ")
        line.append(printable(entity.name), style="not dim bold")
        if event.action is Action.UPDATE:
            line.append(f"  {printable(', '.join(sorted(event.fields)))}", style="not dim")
        self._line(line)
        if entry.problem:
            self.told(entry.seq, entry.problem)
        if self._values:
            self._print_values(event, " " * (seqs + 2))

    def told(self, seq: int, problem: str) -> None:
        """Print what is wrong in its place among the events."""
        self._line(Text(f"{seq:>{self._widths[0]}}  {printable(problem)}", style="bold red"))

    def _print_values(self, event: Event, margin: str) -> None:
        for name, data in sorted(event.fields.items()):
            line = Text(f"{margin}{printable(name)}: ", style="cyan")
            self._line(line.append(shortened(data), style="default"))

    def _line(self, line: Text) -> None:
        self._console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
