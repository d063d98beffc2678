"""Signing up, in and out."""

from __future__ import annotations

import asyncio
import sys

import click

from kafkaman_sync.cli import terminal
from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import note, print_json, printable
from kafkaman_sync.cli.password import read_password
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.client import Device, SignedIn
from kafkaman_sync.errors import KafkamanError

_SERVER = click.option(
    "--server", required=True, metavar="URL", help="Address of the server: ws://HOST:PORT or wss://"
)
_PASSWORD = click.option(
    "--password-stdin", is_flag=True, help="Read the password from the first line of the input."
)
_DEVICE_NAME = click.option(
    "--device-name", metavar="NAME", help="How this device is called. [default: the host's name]"
)


@command(
    "sign-up",
    examples=(
        "kafkaman sign-up --server wss://sync.example.org --email me@example.org --username me",
        "pass show sync | kafkaman sign-up --server ws://localhost:8765 \\",
        "    --email me@example.org --username me --password-stdin --device-name laptop",
    ),
)
@_SERVER
@click.option("--email", required=True, metavar="EMAIL", help="Your e-mail address.")
@click.option("--username", required=True, metavar="NAME", help="A short name; signs in as well.")
@_PASSWORD
@_DEVICE_NAME
def sign_up_command(
    invocation: Invocation,
    *,
    server: str,
    email: str,
    username: str,
    password_stdin: bool,
    device_name: str | None,
) -> None:
    """Create an account, and sign this device in."""
    password = read_password(invocation, from_stdin=password_stdin, twice=True)

    async def attempt() -> SignedIn:
        async with invocation.client() as client:
            return await client.sign_up(
                server=server,
                email=email,
                username=username,
                password=password,
                device_name=device_name,
            )

    _print_signed_in(invocation, asyncio.run(attempt()))


@command(
    "sign-in",
    examples=(
        "kafkaman sign-in --server wss://sync.example.org --user me",
        "pass show sync | kafkaman sign-in --server ws://localhost:8765 --user me --password-stdin",
    ),
)
@_SERVER
@click.option("--user", required=True, metavar="NAME", help="Your username or e-mail address.")
@_PASSWORD
@_DEVICE_NAME
@click.option(
    "--replace", metavar="DEVICE-ID", help="Sign out this other device when there are too many."
)
def sign_in_command(
    invocation: Invocation,
    *,
    server: str,
    user: str,
    password_stdin: bool,
    device_name: str | None,
    replace: str | None,
) -> None:
    """Sign this device in, and restore everything to it."""
    password = read_password(invocation, from_stdin=password_stdin)

    async def attempt(replaced: str | None) -> SignedIn:
        async with invocation.client() as client:
            return await client.sign_in(
                server=server,
                user=user,
                password=password,
                device_name=device_name,
                replace=replaced,
            )

    try:
        signed_in = asyncio.run(attempt(replace))
    except KafkamanError as error:
        if error.code != "auth.device_limit":
            raise
        signed_in = asyncio.run(attempt(_choose_device(invocation, error)))
    _print_signed_in(invocation, signed_in)


def _choose_device(invocation: Invocation, error: KafkamanError) -> str:
    """Let a person choose the device to sign out; else raise the error again."""
    devices = [Device.read(each) for each in error.details.get("devices") or []]
    if invocation.json or not devices:
        raise error
    error.hint = "Sign one of them out: add --replace DEVICE-ID."
    if not invocation.interactive:
        for device in devices:
            note(f"  {device.id}  {printable(device.name)}")
        raise error
    note(error.message)
    invocation.console(stderr=True).print(terminal.views.devices_table(devices, numbered=True))
    chosen = click.prompt(
        "Which one shall be signed out? Its number, or Enter for none",
        type=click.IntRange(0, len(devices)),
        default=0,
        show_default=False,
        err=True,
    )
    if not chosen:
        raise error
    return devices[chosen - 1].id


def _print_signed_in(invocation: Invocation, signed_in: SignedIn) -> None:
    if invocation.json:
        print_json(signed_in.as_dict())
        return
    account, device = signed_in.account, signed_in.device
    click.echo(
        f"Signed in as {printable(account['username'])} <{printable(account['email'])}>,"
        f" on the device {printable(device['name'])}."
    )
    if sys.stdout.isatty():
        note("See it sync: kafkaman status --watch")


@command(
    "sign-out",
    examples=("kafkaman sign-out", "kafkaman sign-out --discard-unsynced"),
)
@click.option(
    "--discard-unsynced",
    is_flag=True,
    help="Do not keep the edits that the server has not got; without this they are sealed.",
)
async def sign_out_command(invocation: Invocation, discard_unsynced: bool) -> None:
    """Sign this device out; deletes the account's data from it.

    Edits that the server has not acknowledged are sealed into an archive first, which can be
    imported again.
    """
    async with invocation.client() as client:
        result = await client.sign_out(discard_unsynced=discard_unsynced)
    if invocation.json:
        print_json(result.as_dict())
        return
    click.echo("Signed out. The account's data is no longer on this device.")
    if result.sealed:
        count = result.sealed_changes + result.sealed_conflicts
        names = ", ".join(map(printable, result.names))
        more = sum(result.kinds.values()) - len(result.names)
        rest = f" and {more:,} more" if more > 0 else ""
        click.echo(f"{plural(count, 'unsynced edit')} kept in {result.sealed}: {names}{rest}")
        note("See it, and bring it back: kafkaman unsynced")
    elif result.discarded:
        click.echo(f"{plural(result.discarded, 'unsynced edit')} discarded, as you asked.")
    if not result.told_server:
        note(
            "Note: the server could not be told, so this device keeps its place there until you"
            " sign it out from another one (kafkaman devices sign-out ID)."
        )
