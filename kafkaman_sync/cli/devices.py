"""The devices and workspaces of the account."""

from __future__ import annotations

from typing import Final

import click

from kafkaman_sync.cli import terminal
from kafkaman_sync.cli.command import CommandGroup, command, runs
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import print_json, print_row, printable
from kafkaman_sync.client import Device
from kafkaman_sync.errors import UsageError

_PREFIX_DIGITS_MIN: Final = 4


@click.group(
    "devices",
    cls=CommandGroup,
    invoke_without_command=True,
    examples=("kafkaman devices", "kafkaman devices sign-out 3fa9"),
)
@click.pass_context
def devices_command(context: click.Context) -> None:
    """List the account's devices, or sign one out."""
    if context.invoked_subcommand is None:
        runs(_list_devices)()


async def _list_devices(invocation: Invocation) -> None:
    async with invocation.client() as client:
        devices = await client.devices()
    if invocation.json:
        print_json({"devices": [device.as_dict() for device in devices]})
    elif invocation.decorated:
        invocation.console().print(terminal.views.devices_table(devices))
    else:
        for device in devices:
            connected = "connected" if device.connected else "away"
            print_row(device.id, device.name, connected, "current" if device.current else "")


@command("sign-out", group=devices_command, examples=("kafkaman devices sign-out 3fa9",))
@click.argument("device", metavar="ID")
async def devices_sign_out_command(invocation: Invocation, device: str) -> None:
    """Sign out another device of the account.

    ID is the device's id, or the beginning of it. The device deletes the account's data at its
    next contact with the server.
    """
    async with invocation.client() as client:
        chosen = _one_device(await client.devices(), device)
        await client.sign_out_device(chosen.id)
    if invocation.json:
        print_json({"signed_out": chosen.id})
    else:
        click.echo(f"Signed out {printable(chosen.name)} ({chosen.id}).")


def _one_device(devices: list[Device], text: str) -> Device:
    found = [device for device in devices if device.id == text] or [
        device
        for device in devices
        if len(text) >= _PREFIX_DIGITS_MIN and device.id.startswith(text)
    ]
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f"Several devices begin with {text}." if found else f"There is no device {text}.",
        code="device.ambiguous" if found else "device.not_found",
        hint="See their ids: kafkaman devices",
    )


@command("workspaces", examples=("kafkaman workspaces",))
async def workspaces_command(invocation: Invocation) -> None:
    """List the workspaces on this device."""
    async with invocation.client() as client:
        workspaces = await client.workspaces()
    if invocation.json:
        print_json({"workspaces": [workspace.as_dict() for workspace in workspaces]})
    elif invocation.decorated:
        invocation.console().print(terminal.views.workspaces_table(workspaces))
    else:
        for workspace in workspaces:
            print_row(workspace.id, workspace.name, workspace.role)
