"""Confirmed rows that edits have read, for the verdicts that these edits will get; bounded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.limits import MIB, WINDOW_CHANGES_MAX

_ROWS_MAX: Final = 2 * WINDOW_CHANGES_MAX
_BYTES_MAX: Final = 4 * MIB


class Stored(Struct, frozen=True, gc=False):
    """A row of `entities`, its fields also as the bytes that the disk has."""

    entity: Entity
    packed: bytes
    rowid: int


class Confirmed:
    """What `entities` holds of some ids, as of the last transaction; None where it has no row.

    Whoever writes a row lets go of it here.
    """

    def __init__(self) -> None:
        self._rows: dict[str, tuple[int, Stored | None]] = {}
        self._bytes = 0

    def rows(self, copy: int, ids: Iterable[str]) -> tuple[dict[str, Stored], list[str]]:
        """Return the rows of a copy that are known, and the ids of which nothing is."""
        found: dict[str, Stored] = {}
        unknown: list[str] = []
        for entity in ids:
            number, stored = self._rows.get(entity, (None, None))
            if number != copy:
                unknown.append(entity)
            elif stored is not None:
                found[entity] = stored
        return found, unknown

    def add(self, copy: int, rows: Mapping[str, Stored | None]) -> None:
        """Take in what was read, as far as there is room."""
        for entity, stored in rows.items():
            if len(self._rows) >= _ROWS_MAX or self._bytes >= _BYTES_MAX:
                return
            self.drop((entity,))
            self._rows[entity] = copy, stored
            self._bytes += len(stored.packed) if stored is not None else 0

    def drop(self, ids: Iterable[str]) -> None:
        """Let go of rows."""
        for entity in ids:
            _, stored = self._rows.pop(entity, (0, None))
            if stored is not None:
                self._bytes -= len(stored.packed)

    def clear(self) -> None:
        """Let go of all."""
        self._rows.clear()
        self._bytes = 0
