"""`kafkaman replay step`: go through a log event by event, on a terminal."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from functools import partial

import click

from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.moments import MOMENT
from kafkaman_sync.cli.replay.selection import where_option
from kafkaman_sync.cli.replay.sources import SOURCE, WORKSPACE, opened, signs_in
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.replay.extra import extra


@command(
    "step",
    examples=(
        "kafkaman replay step ./srv",
        "kafkaman replay step ./srv --at 812",
        "kafkaman replay step ./srv --at 2h --break 'device == phone and action == delete'",
    ),
)
@SOURCE
@WORKSPACE
@click.option("--at", metavar="SEQ|TIME", type=MOMENT, help="Where to begin. [default: the end]")
@click.option("--break", "where", metavar="EXPR", help="A breakpoint: c runs to it, C back to it.")
@signs_in
async def step_command(
    invocation: Invocation,
    *,
    source: str,
    workspace: str | None,
    at: int | datetime | None,
    where: str | None,
    user: str | None,
    password_stdin: bool,
) -> None:
    """Step through a log, both ways, with the tree and each change.

    Skip and reorder events, and see what would have come out. Nothing is written. Takes a terminal
    of 80x24 or more; ? shows the keys.
    """
    if invocation.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ReplayError(
            "To step through a log takes a terminal to show it on.",
            code="replay.no_terminal",
            hint="For scripts there are `kafkaman replay log` and `kafkaman replay what-if`, both "
            "with --json.",
        )
    if invocation.color is False:
        os.environ["NO_COLOR"] = "1"
    with extra("The stepper"):
        from kafkaman_sync.cli.replay.step_app import StepperApp  # noqa: PLC0415 - textual is optional
        from kafkaman_sync.cli.replay.step_backstage import Backstage  # noqa: PLC0415 - textual is optional
    breakpoint_ = where_option(where)
    opening = partial(opened, invocation, source, user, password_stdin=password_stdin)
    backstage = Backstage(opening, workspace)
    try:
        with invocation.working("Opening"):
            await backstage.open(at)
        app = StepperApp(backstage, breakpoint_)
        await app.run_async()
        if app.failure is not None:
            raise app.failure
    finally:
        await backstage.close()
