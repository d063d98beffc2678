"""`kafkaman replay blame`: who last wrote each part of an entity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.moments import MOMENT
from kafkaman_sync.cli.output import json_text, print_json, print_row, printable
from kafkaman_sync.cli.replay.points import (
    FROM_LOG,
    found_in,
    iso,
    seq_of,
    signed,
    writer_of,
)
from kafkaman_sync.cli.replay.sources import SOURCE, WORKSPACE, reading
from kafkaman_sync.cli.wording import clock_time
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import Event
from kafkaman_sync.model.entities import ROOT, Entity
from kafkaman_sync.model.tagged import json_of
from kafkaman_sync.model.values import REMOVED, read_value
from kafkaman_sync.replay.blaming import DELETED, PLACE, Written, blame_entity, blame_field
from kafkaman_sync.replay.naming import name_of
from kafkaman_sync.replay.records import Names
from kafkaman_sync.replay.source import SourceKind, choose_log
from kafkaman_sync.replay.state import State
from kafkaman_sync.replay.writers import writers_of

VALUE_CHARS_SHOWN = 400
_OLDER = "older than the log"


@command(
    "blame",
    examples=(
        "kafkaman replay blame ./srv 'My API/Ping'",
        "kafkaman replay blame ./srv 3fa94c --field headers --at 1200",
    ),
)
@SOURCE
@click.argument("entity", metavar="ENTITY")
@click.option("--field", metavar="FIELD", help="Each item, key or line of this field's value.")
@click.option("--at", "moment", metavar="SEQ|TIME", type=MOMENT, help="As it was. [default: now]")
@FROM_LOG
@WORKSPACE
def blame_command(
    invocation: Invocation,
    *,
    source: str,
    entity: str,
    field: str | None,
    moment: int | datetime | None,
    from_log: bool,
    workspace: str | None,
) -> None:
    """Show who last wrote each field of an entity, and its place."""
    with reading(source) as opened:
        log = choose_log(opened, workspace)
        seq = log.head if moment is None else seq_of(opened, log, moment)
        state = State(opened, log, seq, from_log=from_log)
        found = found_in(state, entity)
        parts = blame_entity(state, found) if field is None else blame_field(state, found, field)
        if field is not None and not parts:
            raise ReplayError(
                f"It had no field {field!r} at seq {seq}.",
                code="field.not_found",
                hint=f"It had: {', '.join(sorted(found.values)) or 'none'}.",
                entity=found.id,
            )
        written = writers_of(opened, log, [part.seq for part in parts if part.seq is not None])
        names, of_store = opened.names(), opened.kind is SourceKind.STORE
    blamed = _Blamed(found, field, parts, names, written, of_store)
    if invocation.json:
        about = {"source": source, "workspace": log.workspace, "seq": seq}
        print_json({**about, **blamed.as_dict()})
    elif invocation.decorated:
        blamed.show()
    else:
        for part in parts:
            event = written.get(part.seq or 0)
            signs = ("", "", "")
            if event is not None:
                device = names.device(event.device) if event.device else ""
                signs = (iso(event.at) or "", names.account(event.account), device)
            print_row(part.seq or "", *signs, part.sort, part.label, _value(found, part))


@dataclass(frozen=True, slots=True)
class _Blamed:
    """An entity, or a field of it, with who wrote each part."""

    entity: Entity
    field: str | None
    parts: list[Written]
    names: Names
    written: Mapping[int, Event]
    of_store: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        entity = self.entity
        return {
            "id": entity.id,
            "kind": entity.kind.value,
            "name": name_of(entity),
            "field": self.field,
            "parts": [
                {
                    "part": part.sort,
                    "label": part.label,
                    **_value_json(entity, part),
                    "seq": part.seq,
                    "by": signed(self.names, self.written.get(part.seq or 0)),
                }
                for part in self.parts
            ],
        }

    def show(self) -> None:
        """Show each part beside who wrote it."""
        entity, field = self.entity, self.field
        kind = entity.kind.value.replace("_", " ")
        what = f"{kind} {entity.id[:8]}" + (f", its {field}" if field else "")
        name = printable(name_of(entity) or entity.id[:8])
        click.echo(f"{click.style(name, bold=True)}  {click.style(printable(what), dim=True)}")
        heads = list(map(self._head, self.parts))
        width = max(map(len, heads))
        for part, head in zip(self.parts, heads, strict=True):
            label = part.label or (part.sort if part.sort in (PLACE, DELETED) else "")
            shown = f"{click.style(printable(label), fg='cyan')}: " if label else ""
            value = _cut(printable(_shown(entity, part)))
            click.echo(f"{click.style(f'{head:<{width}}', dim=True)}  {shown}{value}")

    def _head(self, part: Written) -> str:
        event = self.written.get(part.seq or 0)
        if event is None and part.seq is not None and self.of_store:
            return f"seq {part.seq}"
        if event is None:
            return _OLDER
        who = writer_of(self.names, event)
        return printable(f"seq {event.seq}  {clock_time(event.at)}  {who}")


def _value_json(entity: Entity, part: Written) -> dict[str, Any]:
    if part.sort == PLACE:
        return {"value": {"parent": entity.place.parent, "position": entity.place.position}}
    if part.sort == DELETED:
        return {"value": entity.deleted}
    # A removed field has none, which null would not say.
    if part.data is None or part.data == REMOVED:
        return {}
    return {"value": json_of(part.data)}


def _value(entity: Entity, part: Written) -> str:
    if part.sort == PLACE:
        return entity.place.parent if entity.place.parent != ROOT else "/"
    if part.sort == DELETED:
        return "yes" if entity.deleted else "no"
    if part.data is None or part.data == REMOVED:
        return ""
    return json_text(json_of(part.data))


def _cut(text: str) -> str:
    more = len(text) - VALUE_CHARS_SHOWN
    return f"{text[:VALUE_CHARS_SHOWN]} ... {more:,} more: --json shows all" if more > 0 else text


def _shown(entity: Entity, part: Written) -> str:
    """Return a value as a person reads it: text without its quotes."""
    if part.data is None:
        return _value(entity, part)
    if part.data == REMOVED:
        return "removed"
    value = read_value(part.data)
    return value if isinstance(value, str) else _value(entity, part)
