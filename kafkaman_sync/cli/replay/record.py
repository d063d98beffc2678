"""`kafkaman replay record`: the flight recorder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import note, print_json
from kafkaman_sync.cli.replay.ranges import Positive
from kafkaman_sync.cli.replay.sources import INPUT_FILE
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.device.paths import Home
from kafkaman_sync.errors import UsageError
from kafkaman_sync.replay.recorder import Summary, Target, Wanted, record, record_last


@command(
    "record",
    examples=(
        "kafkaman replay record --last -o then.capture     the last minutes of this device",
        "kafkaman replay record ~/.kafkaman -o now.capture         a device, until Ctrl-C",
        "kafkaman replay record ./srv -o srv.capture --seconds 60  a server, for a minute",
    ),
)
@click.argument("target", metavar="[TARGET]", required=False, type=INPUT_FILE)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write the capture.",
)
@click.option("--last", is_flag=True, help="Write out what the daemon remembers, and end.")
@click.option(
    "--seconds",
    type=Positive(),
    metavar="N",
    help="Record for so long. [default: until Ctrl-C]",
)
@click.option("--values", is_flag=True, help="Keep the values of fields.")
@click.option("--redact", is_flag=True, help="Hash the names of people and things as well.")
@click.option("--force", is_flag=True, help="Write over an older capture.")
async def record_command(
    invocation: Invocation, *, target: Path | None, output: Path, last: bool,
    seconds: float | None, values: bool, redact: bool, force: bool,
) -> None:  # fmt: skip
    """Record what a daemon or a server says and hears.

    TARGET is a device's home (default: this one's) or a server's data folder. Passwords, tokens
    and leases are never recorded. Values of fields are replaced by hashes, which are equal where
    the values are.
    """
    if values and redact:
        raise UsageError(
            "--values keeps what --redact hides.", code="usage.options", hint="Use one of them."
        )
    if last and seconds is not None:
        raise UsageError(
            "--last writes out the past, which takes no --seconds.",
            code="usage.options",
            hint="Use one of them.",
        )
    wanted = Wanted(output, values=values, names=not redact, force=force)
    found = Target(home=Home.find(invocation.home)) if target is None else Target.find(target)
    if last:
        if found.home is None:
            raise UsageError(
                "A server remembers nothing that it could write out.",
                code="usage.options",
                hint="Record it while it works: leave out --last.",
            )
        summary = await record_last(found.home, wanted)
    else:
        note("Recording ..." if seconds else "Recording; Ctrl-C ends it ...")
        summary = await record(found, wanted, seconds)
    _show(invocation, summary, wanted, last=last)


def _show(invocation: Invocation, summary: Summary, wanted: Wanted, *, last: bool) -> None:
    if invocation.json:
        print_json(_as_dict(summary, wanted))
        return
    told = sum(summary.records.values()) - summary.frames
    click.echo(
        f"{summary.path}: {plural(summary.frames, 'frame')} and {plural(told, 'step')}, "
        f"{plural(summary.bytes, 'byte')}"
    )
    if summary.lost and last:  # who records from now on did not ask for what was before
        note(f"{plural(summary.lost, 'record')} before that are not kept any more.")
    if summary.ended:
        note(summary.ended)


def _as_dict(summary: Summary, wanted: Wanted) -> dict[str, Any]:
    return {
        "file": str(summary.path),
        "bytes": summary.bytes,
        "seconds": round(summary.seconds, 3),
        "records": {sort.value: count for sort, count in sorted(summary.records.items())},
        "lost": summary.lost,
        "values": wanted.values,
        "names": wanted.names,
        "ended": summary.ended,
    }
