"""`kafkaman replay log`: events in order."""

from __future__ import annotations

from collections import deque

import click

from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import print_row
from kafkaman_sync.cli.replay.sources import SOURCE, WORKSPACE
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.source import choose_log


@command("log", examples=("kafkaman replay log ./srv --last 20",))
@SOURCE
@WORKSPACE
@click.option("--last", "-n", type=click.IntRange(min=1), metavar="N", help="Only the last N.")
def log_command(
    _invocation: Invocation, *, source: str, workspace: str | None, last: int | None
) -> None:
    """Show the events of a log, in order."""
    with open_source(source) as opened:
        log, names = choose_log(opened, workspace), opened.names()
        events = opened.events(log, backward=last is not None)
        if last is not None:
            found = (next(events, None) for _ in range(last))
            events = iter(deque(reversed([each for each in found if each is not None])))
        for logged in events:
            event = logged.event
            print_row(event.seq, event.action, event.entity[:8], names.device(event.device))
