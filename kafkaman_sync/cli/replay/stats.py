"""`kafkaman replay stats`: the figures of a log."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kafkaman_sync.cli import terminal
from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.moments import MOMENT
from kafkaman_sync.cli.output import note, print_json
from kafkaman_sync.cli.replay.event_format import iso_time
from kafkaman_sync.cli.replay.ranges import SEQS, SeqRange
from kafkaman_sync.cli.replay.selection import bounds, where_option
from kafkaman_sync.cli.replay.sources import SOURCE, WORKSPACE, opened, signs_in
from kafkaman_sync.replay.capture import Capture
from kafkaman_sync.replay.extra import extra
from kafkaman_sync.replay.records import Log, Names
from kafkaman_sync.replay.selecting import Selection
from kafkaman_sync.replay.source import Source, SourceKind, choose_log
from kafkaman_sync.replay.statistics import (
    HOT_SHOWN,
    SLOTS,
    Amount,
    Spread,
    Statistics,
    latency_of,
    named,
    statistics_of,
)
from kafkaman_sync.replay.writing import check_new_file, new_file

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_LATENCY = (
    "How long a change took from its edit to the server's answer is not in this source: an event "
    "does not say when it was edited, and clocks of devices are not the server's. A capture "
    "(kafkaman replay record) tells it from when the change was sent."
)


@command(
    "stats",
    examples=(
        "kafkaman replay stats ./srv",
        "kafkaman replay stats ./srv --since 1d --png day.png",
        "kafkaman replay stats ./srv --where 'kind == request' --json | jq .hot",
    ),
)
@SOURCE
@WORKSPACE
@signs_in
@click.option("--seq", "seqs", metavar="A..B", type=SEQS, help="Only these; A.. and ..B will do.")
@click.option("--since", metavar="TIME", type=MOMENT, help="Only what came after a time.")
@click.option("--until", metavar="TIME", type=MOMENT, help="Only what came up to a time.")
@click.option("--where", metavar="EXPR", help="Only events for which an expression holds.")
@click.option(
    "--top", type=click.IntRange(1, 1000), default=HOT_SHOWN, show_default=True, metavar="N",
    help="Entities to name of those that were written most.",
)  # fmt: skip
@click.option("--png", metavar="FILE", type=click.Path(path_type=Path), help="Draw a picture, too.")
@click.option("--force", is_flag=True, help="Draw over a file that is there.")
def stats_command(
    invocation: Invocation,
    *,
    source: str,
    workspace: str | None,
    user: str | None,
    password_stdin: bool,
    seqs: SeqRange | None,
    since: int | datetime | None,
    until: int | datetime | None,
    where: str | None,
    top: int,
    png: Path | None,
    force: bool,
) -> None:
    """Count what a log holds: when, by whom, of what, how much.

    And what was not accepted, and which entities were written most.
    """
    selection = Selection(where=where_option(where))
    if png is not None:
        check_new_file(png, force=force, inputs=(Path(source),))
    with opened(invocation, source, user, password_stdin=password_stdin) as found:
        log, names = choose_log(found, workspace), found.names()
        after, upto = bounds(found, log, seqs, since, until)
        selection = replace(selection, after=after, upto=upto)
        with invocation.working("Counting"):
            counted = statistics_of(found, log, names, selection, top=top)
            latency = _latency(found)
    if png is not None:
        with new_file(png, force=force, inputs=(Path(source),)) as part:
            _draw(counted, log, names, part)
    if invocation.json:
        print_json(_facts(counted, log, names, latency))
    elif invocation.decorated:
        terminal.stats_view.print_figures(invocation.console(), counted, log, names, latency)
    else:
        terminal.stats_view.print_rows(counted, names, latency)
    if png is not None and not invocation.json:
        note(f"Drawn: {png}")


def _draw(counted: Statistics, log: Log, names: Names, path: Path) -> None:
    with extra("--png"):
        from kafkaman_sync.cli.replay.stats_picture import (  # noqa: PLC0415 - matplotlib is optional
            draw,
        )

        draw(counted, log, names, path)


def _latency(source: Source) -> Spread | None:
    if source.kind is not SourceKind.CAPTURE:
        return None
    with Capture.open(Path(source.label)) as capture:
        return latency_of(capture.records())


def _facts(counted: Statistics, log: Log, names: Names, latency: Spread | None) -> dict[str, Any]:
    return {
        "workspace": {"id": log.workspace, "name": log.name, "head": log.head},
        "seqs": {"first": counted.first_seq, "last": counted.last_seq},
        "time": {
            "first": iso_time(counted.first_at) if counted.first_at else None,
            "last": iso_time(counted.last_at) if counted.last_at else None,
            "slot_ms": (counted.last_at - counted.first_at + 1) / SLOTS,
            "slots": counted.slots,
        },
        "total": asdict(counted.total),
        "actions": _amounts(counted.actions),
        "kinds": _amounts(counted.kinds),
        "devices": [
            {"id": device, "name": names.device_name(device), **asdict(amount)}
            for device, amount in named(counted.devices)
        ],
        "accounts": [
            {"id": account, "username": names.accounts.get(account, ""), **asdict(amount)}
            for account, amount in named(counted.accounts)
        ],
        "fields": dict(counted.fields.most_common()),
        "sizes": counted.sizes and asdict(counted.sizes),
        "behind": counted.behind and asdict(counted.behind),
        "disputes": {
            "total": counted.disputes,
            "codes": dict(counted.disputes_by_code.most_common()),
            "devices": [
                {"id": device, "name": names.device_name(device), "disputes": number}
                for device, number in counted.disputes_by_device.most_common()
            ],
        },
        "latency_us": latency and asdict(latency),
        "latency_note": "" if latency else NO_LATENCY,
        "hot": [
            {
                "entity": hot.entity,
                "kind": hot.described.kind and hot.described.kind.value,
                "name": hot.described.name,
                "events": hot.events,
            }
            for hot in counted.hot
        ],
        "unreadable": counted.unreadable,
        "missing": counted.missing,
    }


def _amounts(amounts: Mapping[str, Amount]) -> dict[str, dict[str, int]]:
    return {name: asdict(amount) for name, amount in named(amounts)}
