"""The daemon: up and down, sync on and off, and trying again at once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

import click

from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import print_json
from kafkaman_sync.client import Status
from kafkaman_sync.errors import KafkamanError, LocalError

_END_SECONDS_MAX: Final = 30.0
_LOOK_SECONDS: Final = 0.02


@command("up", examples=("kafkaman up",))
async def up_command(invocation: Invocation) -> None:
    """Start the daemon; other commands do so on demand."""
    async with invocation.client() as client:
        status = await client.status()
    _print_running(invocation, running=True, pid=status.pid)


@command("down", examples=("kafkaman down",))
async def down_command(invocation: Invocation) -> None:
    """Stop the daemon.

    Work on this device stays safe, and syncs when the daemon runs again.
    """
    pid = None
    try:
        async with invocation.client(start=False) as client:
            pid = (await client.status()).pid
            await client.shutdown()
    except KafkamanError as error:
        if error.code != "daemon.not_running":
            raise
    if pid is not None:
        await _ended(pid)
    _print_running(invocation, running=False, pid=pid)


async def _ended(pid: int) -> None:
    """Return when the process is gone, so that the next command starts a new one undisturbed."""
    try:
        async with asyncio.timeout(_END_SECONDS_MAX):
            while _is_running(pid):  # noqa: ASYNC110 - its end is told by pidfd on Linux only, kqueue on macOS
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        raise LocalError(
            f"The daemon (process {pid}) has not ended after {_END_SECONDS_MAX:g} s.",
            code="daemon.still_running",
            hint="Its log is daemon.log in its home; as a last resort kill the process.",
        ) from None


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # not Linux, or just gone
        return True
    return state != "Z"  # in a container without an init nobody collects the dead


def _print_running(invocation: Invocation, *, running: bool, pid: int | None) -> None:
    if invocation.json:
        print_json({"running": running, "pid": pid})
    elif running:
        click.echo(f"The daemon is running (process {pid}).")
    else:
        click.echo("The daemon was not running." if pid is None else "The daemon has stopped.")


@command("sync", examples=("kafkaman sync off", "kafkaman sync on"))
@click.argument("switch", metavar="on|off", type=click.Choice(["on", "off"]))
async def sync_command(invocation: Invocation, switch: str) -> None:
    """Switch sync on or off.

    Off means no network at all; work on this device goes on.
    """
    async with invocation.client() as client:
        await client.sync(on=switch == "on")
        status = await client.status()
    _print_state(invocation, status, f"Sync is {switch}.")


@command("retry", examples=("kafkaman retry",))
async def retry_command(invocation: Invocation) -> None:
    """Try to reach the server now."""
    async with invocation.client() as client:
        await client.retry()
        status = await client.status()
    _print_state(invocation, status, "Trying now.")


def _print_state(invocation: Invocation, status: Status, text: str) -> None:
    if invocation.json:
        print_json(status.as_dict())
    else:
        click.echo(text)
