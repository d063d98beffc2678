"""Events as a log has them, readable or not: who looks at a damaged log must see around the damage.

Other commands stop at the first event that is none; this goes on behind it, and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.protocol.records import encode_basis, encode_event
from kafkaman_sync.replay.records import Log, Logged
from kafkaman_sync.replay.source import Source, Stored
from kafkaman_sync.replay.stored import read_logged


@dataclass(frozen=True, slots=True)
class Entry:
    """A place in the log: the event there, its bytes, and what is wrong with it.

    `logged` is None for bytes that are no event. `problem` is a sentence, empty if all is well.
    """

    seq: int
    body: bytes
    basis: bytes | None
    digest: bytes | None
    logged: Logged | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """Seqs of which the log has no events."""

    first: int
    last: int


def read_entries(
    source: Source,
    log: Log,
    *,
    after: int = 0,
    upto: int | None = None,
    entity: str | None = None,
    backward: bool = False,
) -> Iterator[Entry | Gap]:
    """Yield what is at each place with `after` < seq <= `upto`, in seq order or from the last back.

    Gaps are told where they are found; not of one entity's events, which are not next to each
    other. Raises what the source raises when it cannot be read on.
    """
    first = max(after, log.horizon) + 1
    last = log.head if upto is None else min(upto, log.head)
    expected = last if backward else first
    for entry in _entries(source, log, after, last, entity, backward=backward):
        # What comes too early, as before a horizon that is damaged, leaves no gap.
        if entity is None and (entry.seq < expected if backward else entry.seq > expected):
            yield Gap(entry.seq + 1, expected) if backward else Gap(expected, entry.seq - 1)
        expected = entry.seq - 1 if backward else entry.seq + 1
        yield entry
    missing = expected >= first if backward else expected <= last
    if entity is None and missing:
        yield Gap(first, expected) if backward else Gap(expected, last)


def _entries(
    source: Source, log: Log, after: int, upto: int, entity: str | None, *, backward: bool
) -> Iterator[Entry]:
    if not isinstance(source, Stored):
        for logged in source.events(log, after=after, upto=upto, entity=entity, backward=backward):
            yield _told(logged)
        return
    for seq, body, basis, digest in source.raw_events(
        log, after=after, upto=upto, entity=entity, backward=backward
    ):
        yield read_entry(log, seq, body, basis, digest)


def read_entry(log: Log, seq: int, body: bytes, basis: bytes | None, digest: bytes | None) -> Entry:
    """Return what stored bytes are."""
    problem = ""
    try:
        logged = read_logged(seq, body, basis, digest)
    except ReplayError as error:
        try:
            logged = read_logged(seq, body, None, digest)
        except ReplayError:
            return Entry(seq, body, basis, digest, None, error.message)
        problem = "what it was judged by cannot be read"
    event = logged.event
    if event.seq != seq:
        problem = f"the event says that it is {event.seq}"
    elif event.workspace != log.workspace:
        problem = f"the event is of another workspace, {event.workspace[:8]}"
    return Entry(seq, body, basis, digest, logged, problem)


def _told(logged: Logged) -> Entry:
    basis = None if logged.basis is None else encode_basis(logged.basis)
    return Entry(logged.event.seq, encode_event(logged.event), basis, logged.digest, logged)
