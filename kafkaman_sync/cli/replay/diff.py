"""`kafkaman replay diff`: what changed between two points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import click

from kafkaman_sync.cli import terminal
from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.moments import MOMENT
from kafkaman_sync.cli.output import json_text, print_json, print_rows
from kafkaman_sync.cli.replay.points import FROM_LOG, find_in, seq_of, signed
from kafkaman_sync.cli.replay.sources import SOURCE, WORKSPACE, reading
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import Event
from kafkaman_sync.model.entities import ROOT, Entity
from kafkaman_sync.model.tagged import json_of
from kafkaman_sync.model.values import REMOVED
from kafkaman_sync.replay.changing import Changed, Span, span_of
from kafkaman_sync.replay.naming import name_of
from kafkaman_sync.replay.records import Names
from kafkaman_sync.replay.source import choose_log
from kafkaman_sync.replay.writers import writers_of

_PATH_STEPS_MAX = 200


@command(
    "diff",
    examples=(
        "kafkaman replay diff ./srv 1200 1300",
        "kafkaman replay diff ./srv yesterday now",
        "kafkaman replay diff ./srv 1200 1300 'My API/Ping' --json",
    ),
)
@SOURCE
@click.argument("first", metavar="A", type=MOMENT)
@click.argument("last", metavar="B", type=MOMENT)
@click.argument("entity", metavar="[ENTITY]", required=False)
@FROM_LOG
@WORKSPACE
def diff_command(
    invocation: Invocation,
    *,
    source: str,
    first: int | datetime,
    last: int | datetime,
    entity: str | None,
    from_log: bool,
    workspace: str | None,
) -> None:
    """Show what changed between two points, entity by entity.

    A and B are seqs or times. What was changed and changed back is not shown. ENTITY is named as it
    was called at B or, if it is not there, at A.
    """
    with reading(source) as opened:
        log = choose_log(opened, workspace)
        span = span_of(
            opened, log, seq_of(opened, log, first), seq_of(opened, log, last), from_log=from_log
        )
        with invocation.working("Comparing"):
            found = list(span.changes()) if entity is None else _one(span, entity)
        names = opened.names()
        if invocation.json:
            written = writers_of(opened, log, _versions(found))
            print_json(_told(span, found, names, written))
        elif invocation.decorated:
            written = writers_of(opened, log, _versions(found))
            terminal.diff_view.print_changes(invocation.console(), span, found, names, written)
        else:
            print_rows(_rows(span, found))


def _one(span: Span, text: str) -> list[Changed]:
    try:
        entity = find_in(span.after, text)
    except ReplayError as error:
        if error.code != "entity.not_found":
            raise
        entity = find_in(span.before, text)
    found = span.change_of(entity)
    if found is None and span.there(entity) is None:
        raise ReplayError(
            f"It was there neither at seq {span.before.seq} nor at {span.after.seq}.",
            code="entity.not_found",
            hint=f"`kafkaman replay log SOURCE --entity {entity}` shows what happened to it.",
            entity=entity,
        )
    return [] if found is None else [found]


def _versions(found: list[Changed]) -> Iterator[int]:
    """Yield the seqs that wrote what is different."""
    for changed in found:
        after = changed.after
        if after is not None:
            yield from (after.version, after.place_version, after.deleted_version)
            yield from (after.fields[name].version for name in changed.fields)


def path_of(span: Span, entity: Entity) -> str:
    """Return the path of an entity as it was at the later point or, if it was gone, before."""
    steps = [step_of(entity)]
    seen = {entity.id}
    while entity.place.parent != ROOT and len(steps) < _PATH_STEPS_MAX:
        parent = span.there(entity.place.parent)
        if parent is None or parent.id in seen:
            steps.append(f"{entity.place.parent[:8]}?")
            break
        seen.add(parent.id)
        steps.append(step_of(parent))
        entity = parent
    return "/".join(reversed(steps))


def step_of(entity: Entity) -> str:
    r"""Return a name as a step of a path, a slash in it written `\/`."""
    return name_of(entity).replace("/", "\\/") or entity.id[:8]


def _rows(span: Span, found: list[Changed]) -> Iterator[tuple[object, ...]]:
    """Yield a row for each thing that is different: id, kind, path, what, part, before, after."""
    for changed in found:
        entity = changed.entity
        head = (entity.id, entity.kind, path_of(span, entity), ",".join(changed.what))
        parts = 0
        before, after = changed.before, changed.after
        if before is not None and after is not None and before.place != after.place:
            parts += 1
            yield *head, "place", _place(before), _place(after)
        for name in changed.fields:
            parts += 1
            yield *head, name, _text(before, name), _text(after, name)
        if not parts:
            yield *head, "", "", ""


def _place(entity: Entity) -> str:
    return f"{entity.place.parent or '/'} {entity.place.position}"


def _text(entity: Entity | None, name: str) -> str:
    data = value_of(entity, name)
    return "" if data == REMOVED else json_text(json_of(data))


def value_of(entity: Entity | None, name: str) -> bytes:
    """Return the bytes of a field, REMOVED where there is none."""
    held = entity.fields.get(name) if entity is not None else None
    return REMOVED if held is None else held.value


def _told(
    span: Span, found: list[Changed], names: Names, written: Mapping[int, Event]
) -> dict[str, Any]:
    counts = Counter(what.value for changed in found for what in changed.what)
    return {
        "source": span.after.source.label,
        "workspace": span.after.log.workspace,
        "from": span.before.seq,
        "to": span.after.seq,
        "counts": dict(sorted(counts.items())),
        "changes": [_change(span, changed, names, written) for changed in found],
    }


def _change(
    span: Span, changed: Changed, names: Names, written: Mapping[int, Event]
) -> dict[str, Any]:
    entity, after = changed.entity, changed.after
    last = written.get(after.version) if after is not None else None
    return {
        "id": entity.id,
        "kind": entity.kind.value,
        "name": name_of(entity),
        "path": path_of(span, entity),
        "what": [what.value for what in changed.what],
        "before": _outline(changed.before),
        "after": _outline(after),
        "fields": [_field(changed, name, names, written) for name in changed.fields],
        "by": signed(names, last),
    }


def _outline(entity: Entity | None) -> dict[str, Any] | None:
    if entity is None:
        return None
    return {
        "name": name_of(entity),
        "parent": entity.place.parent,
        "position": entity.place.position,
        "deleted": entity.deleted,
        "version": entity.version,
    }


def _field(
    changed: Changed, name: str, names: Names, written: Mapping[int, Event]
) -> dict[str, Any]:
    assert changed.after is not None
    version = changed.after.fields[name].version
    told: dict[str, Any] = {"field": name, "seq": version}
    for side, entity in (("before", changed.before), ("after", changed.after)):
        data = value_of(entity, name)
        if data != REMOVED:
            told[side] = json_of(data)
    return {**told, "by": signed(names, written.get(version))}
