"""The outcome of a what-if on a person's terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kafkaman_sync.cli.differences import difference
from kafkaman_sync.cli.output import printable
from kafkaman_sync.cli.replay.what_if_text import judged_text, shape_text, side_values, summary
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.replay.otherwise import EntityDifference, Judged, Otherwise, Outcome, Word
from kafkaman_sync.replay.records import Names

SHOWN_MAX: Final = 100
"""Changes, and entities, that are shown; all that are kept are under --json."""

_ID_DIGITS: Final = 8
_STYLES: Final = {
    Word.ACCEPTED: "green",
    Word.PURGED: "green",
    Word.PARTLY: "yellow",
    Word.CONFLICT: "yellow",
    Word.KEPT: "yellow",
    Word.REFUSED: "red",
    Word.NOTHING: "dim",
}


def print_outcome(console: Console, outcome: Outcome, names: Names) -> None:
    """Print what comes out otherwise, changes first."""
    for each in outcome_lines(outcome, names):
        console.print(each)


def outcome_lines(outcome: Outcome, names: Names) -> Iterator[Text | Padding]:
    """Yield what there is to say of an outcome, part by part."""
    if outcome.edits:
        said = "; ".join(map(str, outcome.edits[:20]))
        more = len(outcome.edits) - 20
        yield Text(f"What if: {said}{f'; and {more} more' if more > 0 else ''}", style="bold")
    yield Text(summary(outcome))
    for change in outcome.changes[:SHOWN_MAX]:
        yield Text()
        yield from _change_lines(change, names)
    yield from _more(outcome.changes_count - SHOWN_MAX, "change")
    if outcome.entities:
        yield Text("\nAt the end", style="bold")
    for entity in outcome.entities[:SHOWN_MAX]:
        yield from _entity_lines(entity)
    yield from _more(outcome.entities_count - SHOWN_MAX, "entity")
    for note in outcome.notes:
        yield Text(f"\nNote: {note}", style="dim")


def _more(count: int, noun: str) -> Iterator[Text]:
    if count > 0:
        yield Text(f"... {plural(count, noun)} more", style="dim")


def _change_lines(change: Otherwise, names: Names) -> Iterator[Text | Padding]:
    device = names.device(change.device) if change.device else "the server"
    line = Text().append(f"seq {change.seq}  ", style="dim")
    line.append(change.action.value, style="bold")
    line.append(f"  {printable(change.name or change.entity[:_ID_DIGITS])}")
    line.append(f"  {printable(device)}", style="cyan")
    line.append(f"  op {change.op}" if change.op else "", style="dim")
    if change.seq_then is not None and change.seq_then != change.seq:
        line.append(f"  now seq {change.seq_then}", style="dim")
    yield line
    grid = _grid()
    grid.add_row("was", _judged(change.was))
    grid.add_row("then", _judged(change.then))
    yield Padding(grid, (0, 0, 0, 4))


def _judged(judged: Judged) -> Text:
    text = Text().append(printable(judged_text(judged)), style=_STYLES[judged.word])
    if judged.refusal is not None:
        text.append(f"  {printable(judged.refusal.message)}", style="dim")
    return text


def _entity_lines(entity: EntityDifference) -> Iterator[Text | Padding]:
    line = Text().append(printable(entity.name or entity.id[:_ID_DIGITS]), style="bold")
    line.append(f"  {entity.kind.value.replace('_', ' ')}  {entity.id[:_ID_DIGITS]}", style="dim")
    yield line
    grid = _grid()
    if entity.was != entity.then:
        was, then = Text(shape_text(entity.was)), Text(shape_text(entity.then))
        was.stylize("red")
        then.stylize("green")
        grid.add_row("place", Text.assemble(was, ("  ->  ", "dim"), then))
    both = entity.was is not None and entity.then is not None
    for field in entity.fields if both else ():
        sides = [side_values(field.was), side_values(field.then)]
        grid.add_row(Text(printable(field.name)), difference(*sides))
    yield Padding(grid, (0, 0, 0, 4))


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid
