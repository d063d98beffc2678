"""Retention: what is old enough leaves the trash, and then the log.

Age is how long the server has run since, all its runs together, and for the time between two runs
at most a day: a clock that is wrong by years purges nothing. How far a log had come at which age is
noted once an hour and at each start, so that what is at or below a note is at least as old as it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Final

import structlog

from kafkaman_server.journal import Journal
from kafkaman_server.purging import Piece
from kafkaman_server.storage.interface import Snapshot, Storage, Transaction
from kafkaman_server.storage.records import Kept
from kafkaman_sync.errors import KafkamanError
from kafkaman_sync.model.apply import apply_event
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.limits import MIB
from kafkaman_sync.protocol.records import decode_entity, decode_event, encode_entity

# A start has other things to do at first.
FIRST_SECONDS: Final = 60.0
EVERY_SECONDS: Final = 3600.0
DAY_MS: Final = 24 * 3600 * 1000
# What one commit purges: it must not hold up the devices' pushes for longer than one of theirs.
PURGED_MAX: Final = 200
PURGED_BYTES_MAX: Final = 8 * MIB
# What one transaction folds: short enough for a push to wait for it.
FOLDED_EVENTS_MAX: Final = 500
FOLDED_BYTES_MAX: Final = 8 * MIB

_log = structlog.get_logger("retention")


class Retention:
    """Purges what has been deleted for long enough, and folds events that are old enough.

    Ages are in days; 0 keeps for good. `clock` is the time in milliseconds since 1970, `running`
    a count of seconds that only ever grows.
    """

    def __init__(
        self,
        storage: Storage,
        journal: Journal,
        *,
        events_days: int,
        trash_days: int,
        clock: Callable[[], int],
        running: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._journal = journal
        self._events_ms = events_days * DAY_MS
        self._trash_ms = trash_days * DAY_MS
        self._clock = clock
        self._running = running
        self._began: tuple[int, float] | None = None

    async def run(self) -> None:
        """Work until cancelled: a minute after the start, and every hour."""
        if not (self._events_ms or self._trash_ms):
            return
        work: Callable[[], Awaitable[object]] = self.note
        seconds = FIRST_SECONDS
        while True:
            try:
                await work()
            except KafkamanError as error:
                _log.error("retention failed", code=error.code, reason=error.message)
            except Exception:  # noqa: BLE001 - the edge of a task whose faults must stop nobody else
                _log.exception("retention failed")
            await asyncio.sleep(seconds)
            work, seconds = self.work, EVERY_SECONDS

    async def note(self) -> int:
        """Write down how old the server is, and how far each log has come; return the age."""

        async def save(transaction: Transaction) -> int:
            now = self._clock()
            if self._began is None:
                age, saved_at = await transaction.age() or (0, now)
                self._began = (age + min(max(now - saved_at, 0), DAY_MS), self._running())
            age, since = self._began
            age += int((self._running() - since) * 1000)
            await transaction.save_age(age, now)
            longest = max(self._events_ms, self._trash_ms)
            await transaction.drop_samples(age - longest)
            return age

        return await self._storage.transact(save)

    async def work(self) -> None:
        """Purge and fold what is old enough by now. Raises StoreError."""
        age = await self.note()
        for kept in await self._storage.read(partial(self._kept, age=age)):
            if self._trash_ms:
                await self._empty_trash(kept)
            if self._events_ms:
                await self._fold(kept)

    async def _kept(self, snapshot: Snapshot, *, age: int) -> list[Kept]:
        return await snapshot.kept(age - self._events_ms, age - self._trash_ms)

    async def _empty_trash(self, kept: Kept) -> None:
        expired = await self._storage.read(partial(_expired, kept=kept))
        for entities in _pieces(expired):
            await self._journal.purge(Piece(kept.workspace, entities, kept.trash_upto))
        if expired:
            _log.info("trash emptied", workspace=kept.workspace, entities=len(expired))

    async def _fold(self, kept: Kept) -> None:
        horizon = kept.horizon
        while horizon < kept.events_upto:
            horizon = await self._storage.transact(partial(_fold_some, kept=kept))
        if horizon > kept.horizon:
            _log.info("events folded", workspace=kept.workspace, horizon=horizon)


async def _expired(snapshot: Snapshot, *, kept: Kept) -> list[tuple[str, int]]:
    return await snapshot.expired(kept.workspace, kept.trash_upto)


def _pieces(expired: Iterable[tuple[str, int]]) -> Iterator[list[str]]:
    piece: list[str] = []
    total = 0
    for entity, size in expired:
        if piece and (len(piece) == PURGED_MAX or total + size > PURGED_BYTES_MAX):
            yield piece
            piece, total = [], 0
        piece.append(entity)
        total += size
    if piece:
        yield piece


async def _fold_some(transaction: Transaction, *, kept: Kept) -> int:
    """Fold some events into their entities' bases; return the new horizon."""
    found = await transaction.foldable(
        kept.workspace,
        kept.events_upto,
        rows_max=FOLDED_EVENTS_MAX,
        bytes_max=FOLDED_BYTES_MAX,
    )
    states: dict[str, Entity | None] = {
        entity: decode_entity(data) for entity, data in found.bases.items()
    }
    events = [decode_event(data) for data in found.events]
    for event in events:
        states[event.entity] = apply_event(states.get(event.entity), event)
    horizon = events[-1].seq
    await transaction.fold(
        kept.workspace,
        horizon,
        max(event.at for event in events),
        {entity: encode_entity(state) if state else None for entity, state in states.items()},
    )
    return horizon
