"""What the store knows without asking its file: nobody else writes there.

A ledger is what the last transaction left. The two that come all the time, edits and batches of
messages, work on a copy, which counts once they are on the disk. Any other one, and any that fails,
leaves none: the next one reads it anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from kafkaman_sync.database import Database, Reader, Writer
from kafkaman_sync.model.limits import WINDOW_BYTES_MAX, WINDOW_CHANGES_MAX
from kafkaman_sync.store.confirmed import Confirmed
from kafkaman_sync.store.facts import Counts, Identity
from kafkaman_sync.store.identity import IDENTITY, identity_from_rows
from kafkaman_sync.store.rows import NUMBERS, WORKSPACES, Held, Pending, workspaces_from_rows

# What may be on its way, and as much again behind it.
_RECENT_CHANGES_MAX: Final = 2 * WINDOW_CHANGES_MAX
_RECENT_BYTES_MAX: Final = 2 * WINDOW_BYTES_MAX

_COUNTS: Final = (
    "SELECT (SELECT count(*) FROM outbox),"
    " (SELECT count(*) FROM conflicts WHERE state = 'open' AND head = ''),"
    " (SELECT count(*) FROM outbox WHERE verdict IS NOT NULL),"
    " (SELECT count(*) FROM graves)"
)

T = TypeVar("T")


@dataclass(slots=True)
class Ledger:
    """Whose store this is, its workspaces, and the numbers of its outbox and conflicts.

    `last_op` is the last op number given and `waiting` the greatest op without a verdict (0: none).
    `pending` counts the outbox, `decided` those of it whose verdict waits for its seq. `graves`
    counts what is kept of purged entities. `stale` is set by a transaction that did more than it
    can say here.
    """

    identity: Identity | None
    workspaces: dict[str, Held]
    last_op: int
    waiting: int
    counts: Counts
    decided: int
    graves: int = 0
    stale: bool = False

    def copy(self) -> Ledger:
        """Return one to work on."""
        held = {each.id: replace(each) for each in self.workspaces.values()}
        return replace(self, workspaces=held)

    def queue(self, count: int) -> None:
        """Note that so many ops were given and wait in the outbox."""
        if count:
            self.last_op += count
            self.waiting = self.last_op
            self.counts = replace(self.counts, pending=self.counts.pending + count)

    def settle(self, finished: Collection[int], decided: Collection[int]) -> None:
        """Note which ops have left the outbox, and of which the verdict now waits there."""
        pending = self.counts.pending - len(finished)
        self.counts = replace(self.counts, pending=pending)
        self.decided = len(decided)
        if self.waiting in finished or self.waiting in decided:
            # Verdicts come in op order, so that nothing else can be without one.
            self.waiting = 0
            self.stale = self.stale or pending != self.decided


async def load_ledger(reader: Reader) -> Ledger:
    """Read what there is to know."""
    identity, workspaces = await reader.fetch_all((IDENTITY, ()), (WORKSPACES, ()))
    ledger = Ledger(
        identity=identity_from_rows(identity),
        workspaces=workspaces_from_rows(workspaces),
        last_op=0,
        waiting=0,
        counts=Counts(0, 0),
        decided=0,
    )
    await recount(reader, ledger)
    return ledger


async def recount(reader: Reader, ledger: Ledger) -> None:
    """Read the numbers of the outbox and the conflicts anew."""
    ((last_op, waiting),), ((pending, conflicts, decided, graves),) = await reader.fetch_all(
        (NUMBERS, ()), (_COUNTS, ())
    )
    ledger.last_op, ledger.waiting = last_op or 0, waiting or 0
    ledger.counts, ledger.decided = Counts(pending, conflicts), decided
    ledger.graves = graves


class Recent:
    """Own changes that wait for a verdict, as the outbox holds them, from some op on; bounded.

    When there are too many the later ones are left out, for the first ones are answered first; it
    takes in others only when all it has are gone.
    """

    def __init__(self) -> None:
        self._changes: dict[int, Pending] = {}
        self._bytes = 0
        self._after: int | None = None
        self._last = 0
        self._full = False

    def get(self, op: int) -> Pending | None:
        """Return a change that waits for its verdict; None if it is not known here."""
        return self._changes.get(op)

    def add(self, queued: Iterable[Pending]) -> None:
        """Take in changes that were put into the outbox, in op order."""
        for pending in queued:
            room = len(self._changes) < _RECENT_CHANGES_MAX and self._bytes < _RECENT_BYTES_MAX
            self._full = self._full or not room
            if self._full:
                return
            if self._after is None:
                self._after = pending.op - 1
            self._changes[pending.op] = pending
            self._last = pending.op
            self._bytes += len(pending.data)

    def drop(self, ops: Iterable[int]) -> None:
        """Let go of changes that have their verdicts."""
        for op in ops:
            pending = self._changes.pop(op, None)
            if pending is not None:
                self._bytes -= len(pending.data)
        if self._full and not self._changes:
            self._after, self._full = None, False

    def let_go(self, op: int) -> None:
        """Let go of the changes up to `op`, which stay in the outbox."""
        first = next(iter(self._changes), op + 1)
        self.drop(range(first, op + 1))
        if self._after is not None:
            self._after = max(self._after, op)

    def after(self, op: int, *, changes_max: int, bytes_max: int) -> list[tuple[int, bytes]] | None:
        """Return what the outbox has behind `op`, within the limits; None when it must be asked."""
        if self._after is None or op < self._after:
            return None
        found: list[tuple[int, bytes]] = []
        size = 0
        # What is asked for lies behind those that are on their way, which are most.
        first = next(iter(self._changes), self._last + 1)
        for number in range(max(op + 1, first), self._last + 1):
            pending = self._changes.get(number)
            if pending is not None:
                size += len(pending.data)
                if found and (size > bytes_max or len(found) == changes_max):
                    break
                found.append((number, pending.data))
        return None if self._full and not found else found


class Books:
    """The ledger, the recent changes and the rows that they are about, and the transactions.

    These keep all of it up to date, or lose it.
    """

    def __init__(self, database: Database) -> None:
        self.ledger: Ledger | None = None
        self.recent = Recent()
        self.confirmed = Confirmed()
        self._database = database

    async def transact(self, work: Callable[[Writer], Awaitable[T]]) -> T:
        """Run a transaction after which nothing is known by heart."""

        async def forgetting(writer: Writer) -> T:
            self._forget()
            return await work(writer)

        return await self._database.transact(forgetting, lambda _: self._forget())

    async def proceed(
        self, work: Callable[[Writer, Ledger], Awaitable[T]], remember: Callable[[T], None]
    ) -> T:
        """Run a transaction on a copy of the ledger; when it is on the disk the copy counts.

        Then `remember` is told its result, to bring the other books up to date.
        """
        done: list[tuple[Ledger, T]] = []

        async def on_a_copy(writer: Writer) -> T:
            fresh = self.ledger.copy() if self.ledger else await load_ledger(writer)
            result = await work(writer, fresh)
            done.append((fresh, result))
            return result

        def ended(committed: bool) -> None:
            if not committed or not done or done[0][0].stale:
                self._forget()
                return
            self.ledger, result = done[0]
            remember(result)

        return await self._database.transact(on_a_copy, ended)

    def _forget(self) -> None:
        self.ledger = None
        self.recent = Recent()
        self.confirmed = Confirmed()
