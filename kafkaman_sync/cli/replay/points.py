"""Points in a log and entities there, as a person names them; and who wrote what, as it is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import Event
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.limits import INTEGER_MAX
from kafkaman_sync.replay.naming import find_id
from kafkaman_sync.replay.records import Log, Names
from kafkaman_sync.replay.source import Source
from kafkaman_sync.replay.state import State, seq_at

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

FROM_LOG: Final = click.option(
    "--from-log",
    is_flag=True,
    help="Believe the events only, not the rows that are stored for the head.",
)


def seq_of(source: Source, log: Log, moment: int | datetime) -> int:
    """Return the seq of a moment: for a time, the last one written by then."""
    if isinstance(moment, int):
        return moment
    at = (moment - _EPOCH) // timedelta(milliseconds=1)
    return seq_at(source, log, min(max(at, 0), INTEGER_MAX))


def find_in(state: State, text: str) -> str:
    """Return the id of what a person names, as things were at a point."""
    held: list[Entity] = []

    def rows() -> list[Entity]:
        if not held:
            held.extend(state.outlines())
        return held

    return find_id(rows, text)


def found_in(state: State, text: str) -> Entity:
    """Return the entity that a person names; ReplayError `entity.not_found` where it is not."""
    entity = find_in(state, text)
    then = state.get(entity)
    if then is None:
        raise ReplayError(
            f"It was not there at seq {state.seq}.",
            code="entity.not_found",
            hint=f"`kafkaman replay log SOURCE --entity {entity}` shows what happened to it.",
            entity=entity,
        )
    return then


def iso(at: int) -> str | None:
    """Spell a time in milliseconds since 1970; None for none, or for one beyond all calendars."""
    try:
        return (_EPOCH + timedelta(milliseconds=at)).isoformat() if at else None
    except OverflowError:
        return None


def signed(names: Names, event: Event | None) -> dict[str, Any] | None:
    """Return who wrote something, and when, as JSON has it; None if that is not known."""
    if event is None:
        return None
    return {
        "seq": event.seq,
        "action": event.action.value,
        "account": event.account,
        "username": names.account(event.account) if event.account else "",
        "device": event.device,
        "device_name": names.device(event.device) if event.device else "",
        "op": event.op,
        "at": iso(event.at),
    }


def writer_of(names: Names, event: Event | None) -> str:
    """Say who wrote something, and on which device; the server writes without one."""
    if event is None:
        return "older than the log"
    if not event.device:
        return "the server"
    return f"{names.account(event.account)} on {names.device(event.device)}"
