"""What goes to standard output and standard error, on any terminal, pipe or closed stream.

Names and values come from files and from other people: control characters in them are shown as
escapes, so that they can neither move a cursor nor break a line in two.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, Literal, TextIO

import click
import simplejson

from kafkaman_sync.errors import KafkamanError

# Control characters and the marks that turn the direction of text; tabs and newlines by choice.
_CONTROLS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
_PIECE_ROWS: Final = 500
_BREAKS: Final = re.compile("[\t\n]")


def prepare_streams() -> None:
    """Make the standard streams safe to write: open, and able to spell every character.

    A closed stream is opened on the null device: else the next file or socket would get its number
    and be written to.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, mode)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    sys.stdin = sys.stdin or _standard(0, "r")
    sys.stdout = sys.stdout or _standard(1, "w")
    sys.stderr = sys.stderr or _standard(2, "w")
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _standard(number: int, mode: Literal["r", "w"]) -> TextIO:
    return open(number, mode, closefd=False)


def silence_streams() -> None:
    """Point the output at the null device: its reader has gone, and so may what is buffered."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(null, stream.fileno())
        except (OSError, ValueError, AttributeError):
            continue
    os.close(null)


def printable(text: str, *, lines: bool = False) -> str:
    """Show control characters as escapes; tabs and newlines too, unless it is text of `lines`."""
    if text.isprintable():
        return text
    text = _CONTROLS.sub(_escape, text)
    return text if lines else _BREAKS.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return repr(match[0])[1:-1] if ord(match[0]) < 256 else f"\\u{ord(match[0]):04x}"


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Spell a value as JSON that the standard output can carry, decimals exactly."""
    return simplejson.dumps(
        value, use_decimal=True, ensure_ascii=not _speaks_unicode(sys.stdout), indent=indent
    )


def _speaks_unicode(stream: TextIO | None) -> bool:
    return (getattr(stream, "encoding", None) or "").lower().startswith("utf")


def print_json(value: Any) -> None:
    """Print one JSON document: indented for a person, on one line for a program."""
    click.echo(json_text(value, indent=2 if sys.stdout.isatty() else None))


def print_json_line(value: Any) -> None:
    """Print one JSON document on one line, at once: for streams of them."""
    click.echo(json_text(value))  # click.echo flushes


def print_row(*cells: object) -> None:
    """Print one line of cells with tabs between: for pipes."""
    click.echo("\t".join(printable(str(cell)) for cell in cells))


def print_rows(rows: Iterable[Sequence[object]]) -> None:
    """Print many lines of cells, a piece at a time; `print_row` sends each one at once."""
    for piece in _pieces(rows):
        click.echo("\n".join("\t".join(printable(str(cell)) for cell in cells) for cells in piece))


def _pieces(rows: Iterable[Sequence[object]]) -> Iterator[list[Sequence[object]]]:
    left = iter(rows)
    while piece := list(islice(left, _PIECE_ROWS)):
        yield piece


def note(text: str) -> None:
    """Tell a person something beside the result, on standard error."""
    click.echo(printable(text, lines=True), err=True)


def print_error(error: KafkamanError, *, as_json: bool, color: bool | None) -> None:
    """Print an error: as JSON on standard output, else for a person on standard error."""
    if as_json:
        facts = error.as_dict()
        first = {key: facts.pop(key) for key in ("code", "message", "hint")}
        print_json({"error": {**first, **facts}})
        return
    label = click.style("Error:", fg="red", bold=True)
    message = printable(error.message, lines=True)
    click.echo(f"{label} {message}", err=True, color=color)
    if error.hint:
        click.echo(
            f"{click.style('Hint:', fg='cyan')} {printable(error.hint, lines=True)}",
            err=True,
            color=color,
        )
