"""The flight recorder: the latest frames and transitions of a daemon, in memory, always on.

It holds references to bytes that were there anyway, so a note costs a microsecond. Secrets are
hidden before anything leaves it; passwords, which only calls carry, before anything enters.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from kafkaman_sync.device.feed import Feed
from kafkaman_sync.model.limits import MIB
from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import Call, Hello, Message
from kafkaman_sync.protocol.recording import Recorded, Sort, pack_facts
from kafkaman_sync.protocol.secrets import Veil

# Minutes of a person's work, or seconds of a burst.
BYTES_MAX: Final = 4 * MIB
COUNT_MAX: Final = 20_000
# Connections of which the beginning is kept: without its hello and welcome none can be run again.
BEGINNINGS_MAX: Final = 8
_BEGINNING_BYTES_MAX: Final = 64 * 1024
# What a note costs beside its frame, and what the facts of one are taken to cost.
_NOTE_BYTES: Final = 200
_FACTS_BYTES: Final = 600


class _Note(NamedTuple):
    number: int
    sort: Sort
    seconds: float
    clock: float
    connection: int
    data: bytes | Mapping[str, Any]


class Tape:
    """A ring of notes, bounded in bytes and count, and those who listen."""

    def __init__(self, *, bytes_max: int = BYTES_MAX, count_max: int = COUNT_MAX) -> None:
        self.feed = Feed("recorded")
        self._bytes_max = bytes_max
        self._count_max = count_max
        self._notes: deque[_Note] = deque()
        self._bytes = 0
        self._count = 0
        self._connections = 0
        # The first notes of the latest connections, of which the ring may have let go.
        self._beginnings: dict[int, list[_Note]] = {}
        # The connection of which the answer to its hello has not come.
        self._greeting = 0
        self._veil = Veil(secrets.token_bytes(32))

    # Notes

    def opened(self) -> int:
        """Note that a connection began; return its number."""
        self._connections += 1
        number = self._connections
        self._beginnings[number] = []
        if len(self._beginnings) > BEGINNINGS_MAX:
            del self._beginnings[next(iter(self._beginnings))]
        self._begin(self._note(Sort.OPENED, number, {}))
        return number

    def closed(self, connection: int, code: str = "") -> None:
        """Note that a connection ended."""
        self._note(Sort.CLOSED, connection, {"code": code} if code else {})

    def sent(self, connection: int, message: Message, frame: bytes) -> None:
        """Note a message that goes to the server, with its bytes."""
        if isinstance(message, Call | Hello):
            frame = encode(self._veil.message(message))
            note = self._note(Sort.UP, connection, frame)
            if isinstance(message, Hello):
                self._greeting = connection
                self._begin(note)
            return
        self._note(Sort.UP, connection, frame)

    def came(self, connection: int, frame: bytes) -> None:
        """Note a frame from the server."""
        note = self._note(Sort.DOWN, connection, frame)
        if connection == self._greeting:
            self._greeting = 0
            self._begin(note)

    def stepped(self, facts: Mapping[str, Any]) -> None:
        """Note a step of the device's life."""
        self._note(Sort.STATE, 0, facts)

    def _begin(self, note: _Note) -> None:
        if note.connection in self._beginnings and len(note.data) <= _BEGINNING_BYTES_MAX:
            self._beginnings[note.connection].append(note)

    def _note(self, sort: Sort, connection: int, data: bytes | Mapping[str, Any]) -> _Note:
        note = _Note(self._count, sort, time.monotonic(), time.time(), connection, data)
        self._count += 1
        notes = self._notes
        notes.append(note)
        self._bytes += _weight(data)
        while self._bytes > self._bytes_max or len(notes) > self._count_max:
            self._bytes -= _weight(notes.popleft().data)
        if self.feed:
            self.feed.publish(as_params(self._recorded(note)))
        return note

    # What leaves it

    def last(self) -> Iterator[Recorded]:
        """Yield what it holds, oldest first; a record says how much is missing before the ring."""
        first = self._notes[0] if self._notes else None
        yield from self._before(self._count if first is None else first.number, first)
        for note in list(self._notes):
            yield self._recorded(note)

    def beginnings(self) -> Iterator[Recorded]:
        """Yield how the connections that stand began, and how much is missing since."""
        yield from self._before(self._count, None)

    def _before(self, first: int, note: _Note | None) -> Iterator[Recorded]:
        """Yield the beginnings before a note, and how much else there was before it."""
        kept = [
            each for notes in self._beginnings.values() for each in notes if each.number < first
        ]
        yield from map(self._recorded, kept)
        if first > len(kept):
            seconds, clock = (time.monotonic(), time.time())
            if note is not None:
                seconds, clock = note.seconds, note.clock
            lost = pack_facts({"records": first - len(kept)})
            yield Recorded(Sort.LOST, _microseconds(seconds), _milliseconds(clock), 0, lost)

    def _recorded(self, note: _Note) -> Recorded:
        sort, data = note.sort, note.data
        if isinstance(data, Mapping):
            kept = pack_facts(dict(data))
        else:
            kept = self._veil.frame(data) or b""
            if not kept:
                side = "device" if sort is Sort.UP else "server"
                sort, kept = Sort.ILLEGIBLE, pack_facts({"from": side, "bytes": len(data)})
        return Recorded(
            sort, _microseconds(note.seconds), _milliseconds(note.clock), note.connection, kept
        )


def as_params(record: Recorded) -> dict[str, Any]:
    """Return a record as the control socket carries it: its bytes in base64."""
    return {
        "sort": record.sort.value,
        "at_us": record.at_us,
        "wall_ms": record.wall_ms,
        "connection": record.connection,
        "data": base64.b64encode(record.data).decode("ascii"),
    }


def _weight(data: bytes | Mapping[str, Any]) -> int:
    return _NOTE_BYTES + (len(data) if isinstance(data, bytes) else _FACTS_BYTES)


def _microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)


def _milliseconds(clock: float) -> int:
    return max(0, int(clock * 1000))
