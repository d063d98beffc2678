"""The states of entities before and after each event, followed along a log."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from kafkaman_sync.errors import ModelError, ReplayError
from kafkaman_sync.model.apply import apply_event
from kafkaman_sync.model.changes import Event
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.limits import MIB
from kafkaman_sync.protocol.records import decode_entity, encode_entity
from kafkaman_sync.replay.records import Log
from kafkaman_sync.replay.source import Source
from kafkaman_sync.replay.state import entity_at

# States are held as bytes, a third of what they take as objects; those used last.
_HELD_BYTES_MAX: Final = 48 * MIB
_HELD_OVERHEAD: Final = 200


class Tracker:
    """Gives the states around events that come in seq order, with none left out in between."""

    def __init__(self, source: Source, log: Log) -> None:
        self._source = source
        self._log = log
        self._held: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def around(self, event: Event) -> tuple[Entity | None, Entity | None]:
        """Return the entity before and after an event; what cannot be applied changes nothing."""
        known = self._held.pop(event.entity, None)
        if known is None:
            before = self._look_up(event)
        else:
            self._size -= len(known) + _HELD_OVERHEAD
            before = decode_entity(known) if known else None
        try:
            after = apply_event(before, event)
        except ModelError:
            after = before  # the log is broken there, which `replay verify` tells
        self._hold(event.entity, b"" if after is None else encode_entity(after))
        return before, after

    def _look_up(self, event: Event) -> Entity | None:
        try:
            return entity_at(self._source, self._log, event.entity, event.seq - 1)
        except (ReplayError, ModelError):
            return None  # the log is broken before it

    def _hold(self, entity: str, state: bytes) -> None:
        self._held[entity] = state
        self._size += len(state) + _HELD_OVERHEAD
        while self._size > _HELD_BYTES_MAX:
            _, gone = self._held.popitem(last=False)
            self._size -= len(gone) + _HELD_OVERHEAD
