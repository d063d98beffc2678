"""`kafkaman replay verify`: whether what is stored is what the rules make of the log."""

from __future__ import annotations

import click

from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.exits import Exit
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import note, print_json, print_row, printable
from kafkaman_sync.cli.replay.sources import SOURCE, WORKSPACE, reading
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.replay.findings import Finding
from kafkaman_sync.replay.source import choose_log
from kafkaman_sync.replay.verifying import Verification, verify


@command(
    "verify",
    examples=(
        "kafkaman replay verify ./srv",
        "kafkaman replay verify backup.db --json | jq .first",
    ),
)
@SOURCE
@WORKSPACE
def verify_command(invocation: Invocation, *, source: str, workspace: str | None) -> None:
    """Replay a log by the real rules and compare it with what is stored.

    Ends with 0 when all is sound, and with 1 when something is wrong. Without --workspace every
    workspace is verified.
    """
    with reading(source) as opened:
        logs = opened.logs() if workspace is None else [choose_log(opened, workspace)]
        found = []
        for log in logs:
            with invocation.working(f"Verifying {log.name} up to seq {log.head:,}"):
                found.append(verify(opened, log))
    if not found:
        note(f"There is no workspace in {source}: nothing was verified.")
    sound = all(each.sound for each in found)
    if invocation.json:
        workspaces = [each.as_dict() for each in found]
        print_json({"source": source, "sound": sound, "workspaces": workspaces})
    else:
        for each in found:
            _show(each, decorated=invocation.decorated)
    if not sound:
        raise click.exceptions.Exit(Exit.FAILED)


def _show(verification: Verification, *, decorated: bool) -> None:
    if not decorated:
        for each in verification.findings:
            print_row(
                verification.log.workspace, each.code, each.first or each.seq or "",
                each.seq or "", each.entity, each.field, each.message,
            )  # fmt: skip
        for text in verification.unchecked:
            note(f"Not checked: {text}")
        return
    log = verification.log
    title = click.style(printable(f"{log.name} ({log.workspace[:8]})"), bold=True)
    checked = ", ".join(
        (
            plural(verification.events, "event"),
            f"{plural(verification.digests, 'digest')} of commits",
            plural(verification.rows, "row"),
        )
    )
    click.echo(f"{title}  {checked}")
    first = verification.first
    if first is None:
        click.echo(click.style(f"Sound up to seq {verification.upto:,}.", fg="green"))
    else:
        click.echo(click.style(f"Wrong first: {_told(first)}", fg="red"))
        for each in verification.findings[1:]:
            click.echo(f"  then: {_told(each)}")
        more = verification.found - len(verification.findings)
        if more > 0:
            click.echo(f"  and {plural(more, 'more finding')}")
    for text in verification.unchecked:
        click.echo(click.style(printable(f"Not checked: {text}"), fg="yellow"))


def _told(finding: Finding) -> str:
    where = f"seq {finding.first or finding.seq:,}" if finding.seq else "at the head"
    if finding.first and finding.first != finding.seq:
        where = f"seqs {finding.first:,} to {finding.seq:,}"
    about = f" of {finding.entity[:8]}" if finding.entity else ""
    named = f", {finding.field}" if finding.field else ""
    return printable(f"{where}{about}{named}: {finding.message} [{finding.code}]")
