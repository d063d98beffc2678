"""`kafkaman replay at`: a workspace, or one entity, as it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import click

from kafkaman_sync.cli import terminal
from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.moments import MOMENT
from kafkaman_sync.cli.output import json_text, print_json, print_rows, printable
from kafkaman_sync.cli.replay.points import FROM_LOG, found_in, seq_of, signed
from kafkaman_sync.cli.replay.sources import SOURCE, WORKSPACE, reading
from kafkaman_sync.model.changes import Event
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.tagged import json_of
from kafkaman_sync.model.values import REMOVED
from kafkaman_sync.replay.naming import name_of
from kafkaman_sync.replay.outlines import Line, Outlines
from kafkaman_sync.replay.records import Names
from kafkaman_sync.replay.source import SourceKind, choose_log
from kafkaman_sync.replay.state import State
from kafkaman_sync.replay.writers import writers_of


@command(
    "at",
    examples=(
        "kafkaman replay at ./srv 1200",
        "kafkaman replay at ./srv '2 hours ago' --tree",
        "kafkaman replay at ./srv 1200 'My API/Ping'",
    ),
)
@SOURCE
@click.argument("moment", metavar="SEQ|TIME", type=MOMENT)
@click.argument("entity", metavar="[ENTITY]", required=False)
@click.option("--tree", "as_tree", is_flag=True, help="The workspace as a tree.")
@click.option("--deleted", is_flag=True, help="With what was deleted then.")
@FROM_LOG
@WORKSPACE
def at_command(
    invocation: Invocation,
    *,
    source: str,
    moment: int | datetime,
    entity: str | None,
    as_tree: bool,
    deleted: bool,
    from_log: bool,
    workspace: str | None,
) -> None:
    """Show a workspace, or one entity, as it was.

    At a time, it is what the last event written by then had made of it.
    """
    with reading(source) as opened:
        log = choose_log(opened, workspace)
        state = State(opened, log, seq_of(opened, log, moment), from_log=from_log)
        if entity is not None:
            _show_entity(invocation, state, found_in(state, entity))
            return
        with invocation.working(f"Looking back to seq {state.seq:,}"):
            outlines = Outlines(state.outlines())
        last = _writers(state, [state.seq]).get(state.seq)
        _show_workspace(invocation, state, outlines, last, as_tree=as_tree, deleted=deleted)


def _writers(state: State, seqs: Iterable[int]) -> Mapping[int, Event]:
    """Return the events of seqs; a device's store has the state, and no events."""
    if state.source.kind is SourceKind.STORE:
        return {}
    return writers_of(state.source, state.log, seqs)


def _show_workspace(
    invocation: Invocation,
    state: State,
    outlines: Outlines,
    last: Event | None,
    *,
    as_tree: bool,
    deleted: bool,
) -> None:
    lines = (line for line in outlines.lines() if deleted or not line.hidden)
    if invocation.json:
        print_json(
            {
                "source": state.source.label,
                "workspace": state.log.workspace,
                "seq": state.seq,
                "by": signed(state.source.names(), last),
                "entities": [_listed(line) for line in lines],
            }
        )
    elif invocation.decorated or as_tree:
        console = invocation.console()
        console.print(terminal.at_view.headline(state, last))
        if as_tree:
            terminal.at_view.print_tree(console, list(lines))
        else:
            console.print(terminal.at_view.summary(outlines))
    else:
        print_rows(_cells(lines))


def _cells(lines: Iterator[Line]) -> Iterator[tuple[object, ...]]:
    for line in lines:
        cells = (line.outline.id, line.outline.kind, line.path)
        yield (*cells, "deleted") if line.hidden else cells


def _listed(line: Line) -> dict[str, Any]:
    outline = line.outline
    return {
        "id": outline.id,
        "kind": outline.kind.value,
        "name": outline.name,
        "path": line.path,
        "parent": outline.parent,
        "position": outline.position,
        "deleted": outline.deleted,
        "hidden": line.hidden,
    }


def _show_entity(invocation: Invocation, state: State, entity: Entity) -> None:
    versions = [entity.version, *(field.version for field in entity.fields.values())]
    written = _writers(state, versions)
    names = state.source.names()
    if invocation.json:
        print_json(_entity_json(state, entity, names, written.get(entity.version)))
    elif invocation.decorated:
        invocation.console().print(terminal.at_view.entity_panel(state, entity, names, written))
    else:
        _print_plain(state, entity)


def _entity_json(state: State, entity: Entity, names: Names, last: Event | None) -> dict[str, Any]:
    return {
        "source": state.source.label,
        "workspace": state.log.workspace,
        "seq": state.seq,
        "id": entity.id,
        "kind": entity.kind.value,
        "name": name_of(entity),
        "parent": entity.place.parent,
        "position": entity.place.position,
        "deleted": entity.deleted,
        "version": entity.version,
        "place_version": entity.place_version,
        "deleted_version": entity.deleted_version,
        "by": signed(names, last),
        "fields": {name: json_of(data) for name, data in sorted(entity.values.items())},
        "versions": {name: held.version for name, held in sorted(entity.fields.items())},
    }


def _print_plain(state: State, entity: Entity) -> None:
    facts = {
        "at": state.seq,
        "id": entity.id,
        "kind": entity.kind.value,
        "name": name_of(entity),
        "parent": entity.place.parent,
        "position": entity.place.position,
        "deleted": "yes" if entity.deleted else "no",
        "version": entity.version,
        "workspace": state.log.workspace,
    }
    for name, fact in facts.items():
        click.echo(f"{name}: {printable(str(fact))}")
    for name, held in sorted(entity.fields.items()):
        if held.value != REMOVED:
            value = json_text(json_of(held.value))
            click.echo(f"fields.{printable(name)}: {printable(value)}")
