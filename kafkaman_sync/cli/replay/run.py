"""`kafkaman replay run`: a captured session, driven again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.exits import Exit
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import json_text, note, print_json, printable
from kafkaman_sync.cli.password import read_password
from kafkaman_sync.cli.replay.ranges import Positive
from kafkaman_sync.cli.replay.sources import INPUT_FILE
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.errors import UsageError
from kafkaman_sync.replay.as_device import Pace
from kafkaman_sync.replay.rerun import Report, rerun_against, rerun_device, rerun_scratch
from kafkaman_sync.replay.session import Step


@command(
    "run",
    examples=(
        "kafkaman replay run then.capture                    on a scratch server",
        "kafkaman replay run then.capture --base ./srv       which knows what was before",
        "kafkaman replay run then.capture --faults 7         with drops, cuts and doubles",
        "kafkaman replay run then.capture --device ~/copy    the server's side, for a store",
        "kafkaman replay run then.capture --against ws://127.0.0.1:8765 --user ann",
    ),
)
@click.argument("capture", metavar="CAPTURE", type=INPUT_FILE)
@click.option("--scratch", is_flag=True, help="On a scratch server. [default]")
@click.option("--against", metavar="URL", help="Against this server, as a device of its own.")
@click.option("--user", metavar="NAME", help="Whose device, with --against.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option(
    "--device",
    "home",
    type=INPUT_FILE,
    metavar="HOME",
    help="As the server, for a scratch copy of this home's store.",
)
@click.option("--as", "device", default="", metavar="ID", help="Whose session, of several devices.")
@click.option("--base", metavar="SOURCE", help="Where to find what was there before the session.")
@click.option(
    "--speed",
    type=Positive(),
    metavar="N",
    help="N times the original speed. [default: as fast as the answers come]",
)
@click.option("--step", "stepping", is_flag=True, help="Ask before each message that is sent.")
@click.option("--faults", type=int, metavar="SEED", help="Inject faults, drawn by this seed.")
def run_command(
    invocation: Invocation, *, capture: Path, scratch: bool, against: str | None,
    user: str | None, password_stdin: bool, home: Path | None, device: str, base: str | None,
    speed: float | None, stepping: bool, faults: int | None,
) -> Coroutine[Any, Any, None]:  # fmt: skip
    """Drive a captured session again, and tell the first difference.

    Ends with 0 when all comes out as it was recorded, and with 1 when something differs.
    """
    if sum((scratch, against is not None, home is not None)) > 1:
        raise UsageError(
            "--scratch, --against and --device say three different things.",
            code="usage.options",
            hint="Use one of them.",
        )
    if (against is None) != (user is None):
        raise UsageError(
            "--against needs --user, and --user needs --against.",
            code="usage.options",
            hint="Name the server and the account.",
        )
    if stepping and not invocation.interactive:
        raise UsageError(
            "There is no terminal on which --step could ask.",
            code="usage.options",
            hint="Use --speed instead.",
        )
    pace = Pace(speed or 0.0, _ask if stepping else None)
    if against is not None and user is not None:
        password = read_password(invocation, from_stdin=password_stdin)
        work = rerun_against(
            capture, against, user, password, device=device, pace=pace, faults=faults
        )
    elif home is not None:
        work = rerun_device(capture, home, device=device, pace=pace, faults=faults)
    else:
        work = rerun_scratch(capture, device=device, base=base, pace=pace, faults=faults)
    return _run(invocation, work)


async def _run(invocation: Invocation, work: Coroutine[Any, Any, Report]) -> None:
    report = await work
    if invocation.json:
        print_json(report.as_dict())
    else:
        _show(report)
    if not report.same:
        raise click.exceptions.Exit(Exit.FAILED)


async def _ask(step: Step) -> None:
    side = "device" if step.up else "server"
    question = f"{side}: {type(step.message).__name__.lower()}  [Enter] "
    await asyncio.to_thread(click.prompt, question, "", show_default=False, prompt_suffix="")


def _show(report: Report) -> None:
    about = f"{plural(report.connections, 'connection')} of {report.device[:8]}"
    if report.faults:
        told = ", ".join(f"{count} {name}" for name, count in sorted(report.faults.items()))
        about = f"{about}; {told}"
    if report.skipped:
        note(f"Not called again: {', '.join(sorted(set(report.skipped)))}.")
    if report.cut_off:
        note("The capture was cut off: what came behind the cut was not run.")
    found = report.difference
    if found is None:
        same = f"The same: {plural(report.facts, 'fact')} against {report.against}"
        click.echo(f"{click.style(same, fg='green')} ({about}).")
        return
    click.echo(f"Against {report.against} ({about}).")
    click.echo(click.style(printable(f"Differs first: {found.message}"), fg="red"))
    click.echo(f"  recorded  {printable(json_text(found.recorded))}")
    click.echo(f"  now       {printable(json_text(found.now))}")
    click.echo(f"  {found.seconds:.3f} s into the session")
