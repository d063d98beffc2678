"""`kafkaman replay explain`: why an entity, or a field of it, is what it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import click

from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import note, print_json, print_row, printable
from kafkaman_sync.cli.replay.sources import SOURCE, WORKSPACE, reading
from kafkaman_sync.cli.replay.story import Fates, Telling
from kafkaman_sync.cli.wording import ago, clock_time
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.replay.device_store import DeviceStore
from kafkaman_sync.replay.explaining import DELETED, PLACE, Story, explain
from kafkaman_sync.replay.losing import OTHER, Whereabouts, locate
from kafkaman_sync.replay.selecting import find_entity
from kafkaman_sync.replay.source import choose_log


@command(
    "explain",
    examples=(
        "kafkaman replay explain ./srv 'My API/Ping' url",
        "kafkaman replay explain ./srv 3fa94c --device ~/laptop --json",
    ),
)
@SOURCE
@click.argument("entity", metavar="ENTITY")
@click.argument("field", metavar="[FIELD]", default="")
@WORKSPACE
@click.option(
    "--device",
    "devices",
    metavar="HOME|STORE",
    multiple=True,
    help="Look up there what was not accepted.",
)
def explain_command(
    invocation: Invocation,
    *,
    source: str,
    entity: str,
    field: str,
    workspace: str | None,
    devices: tuple[str, ...],
) -> None:
    """Explain why an entity is what it is.

    Each change of it in order: whose it was, what they had seen, by which rule it was accepted or
    not, and where what was lost is now. FIELD is a field's name, or `place` or `deleted`.
    """
    with reading(source) as opened:
        log = choose_log(opened, workspace)
        story = explain(opened, log, find_entity(opened, log, entity), field)
        _check_field(story)
        telling = Telling(story, opened.names(), _fates(story, devices), log.name)
    if invocation.json:
        print_json({"source": source, **telling.as_dict()})
    elif invocation.decorated:
        _tell(telling)
    else:
        for step in story.steps:
            for cells in telling.rows(step):
                print_row(*cells)
    if story.older and not invocation.json:
        note(f"What was before seq {log.horizon:,} is no longer kept.")


def _check_field(story: Story) -> None:
    """Raise ReplayError `field.not_found` for a field that the entity never had."""
    known = story.last.fields.keys() if story.last is not None else frozenset[str]()
    if story.part in ("", PLACE, DELETED, *known) or story.steps:
        return
    raise ReplayError(
        f"It never had a field {story.part!r}.",
        code="field.not_found",
        hint=f"It had: {', '.join(sorted(known)) or 'none'}. There are `place` and `deleted`, too.",
        entity=story.id,
    )


def _fates(story: Story, devices: Sequence[str]) -> Fates:
    """Look for what was lost in the stores of devices."""
    found: dict[tuple[int, str, int, str], Whereabouts] = {}
    with ExitStack() as stack:
        for text in devices:
            store = stack.enter_context(reading(text))
            if not isinstance(store, DeviceStore):
                raise ReplayError(
                    f"{text} is no device's home or store.",
                    code="replay.no_store",
                    hint="Name the folder that the device has as KAFKAMAN_HOME, or a store in it.",
                )
            for step in story.steps:
                for loss in step.losses:
                    where = locate(store, story.log.workspace, step, loss)
                    if where.where != OTHER:
                        found[step.seq, step.device, step.op, loss.name] = where
    return found


def _tell(telling: Telling) -> None:
    name, what = telling.title()
    click.echo(f"{click.style(printable(name), bold=True)}  {printable(what)}")
    for step in telling.story.steps:
        when = f"{clock_time(step.at)} ({ago(step.at)})"
        seq = click.style(f"seq {step.seq}", bold=True)
        click.echo(f"\n{seq}  {when}  {printable(telling.head(step))}")
        for part, told, accepted in telling.lines(step):
            if told:
                label = f"{printable(part)}: " if part else ""
                text = click.style(printable(told), fg=None if accepted else "yellow")
                click.echo(f"    {click.style(label, fg='cyan')}{text}")
    if not telling.story.steps:
        click.echo("\nNothing in the log wrote it.")
    click.echo(f"\n{click.style('Now', bold=True)}  {printable(telling.ending())}")
