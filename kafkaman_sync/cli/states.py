"""Where the device is in its life: now, as it changes, and waiting for it to."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from kafkaman_sync.cli import terminal
from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import note, print_json, print_json_line, printable
from kafkaman_sync.cli.wording import COLORS, clock_time, plural, state_words, status_lines
from kafkaman_sync.client import WAITABLE, Status
from kafkaman_sync.engine.states import Transition

_STDOUT: Final = 1


@command(
    "status",
    examples=("kafkaman status", "kafkaman status --watch", "kafkaman status --json | jq .state"),
)
@click.option("--watch", is_flag=True, help="Print each change of state, the current one first.")
async def status_command(invocation: Invocation, watch: bool) -> None:
    """Show whether everything is in sync, and if not, why."""
    if watch:
        await _watch(invocation)
        return
    async with invocation.client() as client:
        status = await client.status()
    _print_status(invocation, status)


def _print_status(invocation: Invocation, status: Status) -> None:
    if invocation.json:
        print_json(status.as_dict())
    elif invocation.decorated:
        invocation.console().print(terminal.views.status_panel(status))
    else:
        for name, value in status_lines(status):
            click.echo(f"{name}: {printable(value)}")


async def _watch(invocation: Invocation) -> None:
    invocation.streaming = True
    async with invocation.client() as client:
        with _while_somebody_reads():
            async for transition in client.transitions():
                if invocation.json:
                    print_json_line(transition.as_dict())
                else:
                    click.echo(_transition_line(transition), color=invocation.color)


@contextmanager
def _while_somebody_reads() -> Iterator[None]:
    """Raise BrokenPipeError when the output is a pipe and its reader goes away.

    Without this, `status --watch | head -1` would end only at the next transition.
    """
    if not stat.S_ISFIFO(os.fstat(_STDOUT).st_mode):
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "a coroutine of the command runs in a task"
    gone = False

    def leave() -> None:
        nonlocal gone
        gone = True
        loop.remove_reader(_STDOUT)
        task.cancel()

    # The writing end never gets readable, but the error that its reader has gone counts as it.
    loop.add_reader(_STDOUT, leave)
    try:
        yield
    except asyncio.CancelledError:
        if gone:
            raise BrokenPipeError from None
        raise
    finally:
        loop.remove_reader(_STDOUT)


def _transition_line(transition: Transition) -> str:
    state, facts = transition.after, transition.facts
    parts = [
        clock_time(transition.since),
        click.style(f"{state_words(state):<10}", fg=COLORS[state], bold=True),
        printable(transition.cause.message or transition.cause.code),
    ]
    if facts.progress:
        parts.append(f"{facts.progress.done:,} of {facts.progress.total:,}")
    if facts.pending:
        parts.append(f"{facts.pending:,} pending")
    if facts.conflicts:
        parts.append(plural(facts.conflicts, "conflict"))
    if transition.retry_at:
        parts.append(f"next try {clock_time(transition.retry_at)}")
    return "  ".join(parts)


@command(
    "wait",
    examples=(
        "kafkaman wait --until in-sync --timeout 30",
        "kafkaman sync off && kafkaman wait --until offline",
    ),
)
@click.option(
    "--until",
    required=True,
    metavar="STATE",
    type=click.Choice([*WAITABLE, "in_sync"], case_sensitive=False),
    help="offline, connecting, syncing, online (syncing or in-sync), in-sync or error.",
)
@click.option(
    "--timeout",
    "seconds",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="S",
    help="Seconds to wait at most.",
)
async def wait_command(invocation: Invocation, until: str, seconds: float) -> None:
    """Wait until the device is in a state.

    Exits 1 when the time is up.
    """
    async with invocation.client() as client:
        status = await client.wait(until.lower().replace("_", "-"), seconds)
    if invocation.json:
        print_json(status.as_dict())
        return
    click.echo(state_words(status.state))
    if status.conflicts:
        note(f"{plural(status.conflicts, 'conflict')} to decide: kafkaman conflicts")
