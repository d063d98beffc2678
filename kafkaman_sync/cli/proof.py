"""Fetching what is newer, and proving that device and server hold the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from kafkaman_sync.cli import terminal
from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.exits import Exit
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import print_json, print_row
from kafkaman_sync.client import Client, Proof, Reloaded


@command("reload", examples=("kafkaman reload", "kafkaman reload --full"))
@click.option(
    "--full", is_flag=True, help="Fetch everything anew; unsynced edits and conflicts are kept."
)
async def reload_command(invocation: Invocation, full: bool) -> None:
    """Fetch what is newer on the server, and compare digests."""
    async with invocation.client() as client:
        with invocation.working("Fetching everything" if full else "Fetching what is newer"):
            workspaces = await client.reload(full=full)
        names = await _names(invocation, client)
    equal = all(workspace.equal for workspace in workspaces)
    if invocation.json:
        print_json(_as_json(workspaces))
    elif invocation.decorated:
        invocation.console().print(terminal.views.reload_table(workspaces, names))
    else:
        for workspace in workspaces:
            print_row(workspace.id, workspace.seq, _verdict(workspace.equal))
    if not equal:
        raise click.exceptions.Exit(Exit.FAILED)


@command("prove", examples=("kafkaman prove", "kafkaman prove --json | jq .equal"))
async def prove_command(invocation: Invocation) -> None:
    """Prove that this device and the server hold the same.

    Both sides compute the digest anew, from their rows. Exits 1 when one differs.
    """
    async with invocation.client() as client:
        with invocation.working("Computing the digests on both sides"):
            workspaces = await client.prove()
        names = await _names(invocation, client)
    if invocation.json:
        print_json(_as_json(workspaces))
    elif invocation.decorated:
        console = invocation.console()
        console.print(terminal.views.proof_table(workspaces, names, columns=console.width))
    else:
        for workspace in workspaces:
            print_row(
                workspace.id,
                workspace.seq,
                workspace.device_digest,
                workspace.server_digest,
                _verdict(workspace.equal),
            )
    if not all(workspace.equal for workspace in workspaces):
        raise click.exceptions.Exit(Exit.FAILED)


async def _names(invocation: Invocation, client: Client) -> dict[str, str]:
    if not invocation.decorated:
        return {}
    return {workspace.id: workspace.name for workspace in await client.workspaces()}


def _as_json(workspaces: Sequence[Proof] | Sequence[Reloaded]) -> dict[str, Any]:
    return {
        "equal": all(workspace.equal for workspace in workspaces),
        "workspaces": [workspace.as_dict() for workspace in workspaces],
    }


def _verdict(equal: bool) -> str:
    return "equal" if equal else "different"
