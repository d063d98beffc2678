"""`kafkaman replay what-if`: skip and reorder events, and see what would have come out."""

from __future__ import annotations

from typing import Any

import click

from kafkaman_sync.cli import terminal
from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import note, print_json, print_row
from kafkaman_sync.cli.replay.sources import SOURCE, WORKSPACE, opened, signs_in
from kafkaman_sync.cli.replay.what_if_text import outcome_dict, outcome_rows, summary
from kafkaman_sync.errors import UsageError
from kafkaman_sync.model.limits import INTEGER_MAX
from kafkaman_sync.replay.order import Edit, Move, Skip, Swap
from kafkaman_sync.replay.source import choose_log
from kafkaman_sync.replay.what_if import what_if

_SEQ = click.IntRange(1, INTEGER_MAX)
_SEQ_DIGITS_MAX = 19


class _Seqs(click.ParamType[tuple[int, ...]]):
    """One seq, or several with commas between."""

    name = "seqs"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Read them."""
        parts = [part.strip() for part in str(value).split(",")]
        if not all(map(_is_seq, parts)):
            self.fail(f"{str(value)[:40]!r} is no seq, nor several with commas between", param, ctx)
        return tuple(map(int, parts))


def _is_seq(text: str) -> bool:
    # Measured first: Python refuses to make a number of very many digits.
    return text.isdecimal() and len(text) <= _SEQ_DIGITS_MAX and 0 < int(text) <= INTEGER_MAX


@command(
    "what-if",
    examples=(
        "kafkaman replay what-if ./srv --skip 812",
        "kafkaman replay what-if ./srv --swap 811 812",
        "kafkaman replay what-if ./srv --move 830 --before 811 --skip 812,815 --json",
        "kafkaman replay what-if ./srv --from 1       as it was: what does not come out again?",
    ),
)
@SOURCE
@WORKSPACE
@click.option(
    "--skip",
    "skipped",
    type=_Seqs(),
    multiple=True,
    metavar="SEQ",
    help="As if this change had never come (several: 7,9).",
)
@click.option(
    "--swap",
    "swapped",
    type=(_SEQ, _SEQ),
    multiple=True,
    metavar="A B",
    help="As if these two had come in each other's place.",
)
@click.option(
    "--move",
    "moved",
    type=_SEQ,
    multiple=True,
    metavar="A",
    help="As if this one had come earlier or later: before B.",
)
@click.option(
    "--before",
    "befores",
    type=_SEQ,
    multiple=True,
    metavar="B",
    help="Where the moved one comes. The head + 1 is the end.",
)
@click.option(
    "--from", "first", type=_SEQ, metavar="SEQ", help="Decide again from here, if not from later."
)
@signs_in
def what_if_command(
    invocation: Invocation,
    *,
    source: str,
    workspace: str | None,
    user: str | None,
    password_stdin: bool,
    skipped: tuple[tuple[int, ...], ...],
    swapped: tuple[tuple[int, int], ...],
    moved: tuple[int, ...],
    befores: tuple[int, ...],
    first: int | None,
) -> None:
    """Skip or reorder events, and see what would have come out.

    Works on a copy on the side: what follows is decided again by the server's rules, each change
    as its person made it, having seen what they had seen.
    """
    if len(moved) != len(befores):
        raise UsageError(
            "Each --move takes a --before.", code="usage.missing", hint="--move 30 --before 11"
        )
    edits: list[Edit] = [Move(*pair) for pair in zip(moved, befores, strict=True)]
    edits += [Swap(*pair) for pair in swapped]
    edits += [Skip(seq) for seqs in skipped for seq in seqs]
    if not edits and first is None:
        raise UsageError(
            "What shall be otherwise?",
            code="usage.missing",
            hint="Skip an event (--skip 12), swap two (--swap 11 12), move one (--move 30 --before "
            "11), or decide all again as it was (--from 1).",
        )
    with opened(invocation, source, user, password_stdin=password_stdin) as found:
        log, names = choose_log(found, workspace), found.names()
        with invocation.working("Deciding again"):
            outcome = what_if(found, log, edits, first=first)
        label = found.label
    if invocation.json:
        print_json({"source": label, "workspace": log.workspace, **outcome_dict(outcome, names)})
    elif invocation.decorated:
        terminal.what_if_view.print_outcome(invocation.console(), outcome, names)
    else:
        for row in outcome_rows(outcome, names):
            print_row(*row)
        for each in (summary(outcome), *outcome.notes):
            note(each)
