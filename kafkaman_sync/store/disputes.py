"""The part of a store where a person decides what could not be merged."""

from __future__ import annotations

from collections.abc import Callable

from kafkaman_sync.database import Database, Reader, Writer
from kafkaman_sync.errors import UsageError
from kafkaman_sync.model.ordering import suffixes
from kafkaman_sync.store import conflicts
from kafkaman_sync.store.facts import ConflictRecord, EditResult, TheirWriter
from kafkaman_sync.store.ledger import Books
from kafkaman_sync.store.reopening import reopen
from kafkaman_sync.store.resolving import Choice, Pen, resolve
from kafkaman_sync.store.standing import Standing, load_standing


class Disputes:
    """What every store can tell and do about its conflicts."""

    leaving = False
    """Whether its account is leaving the device: what were edited now would be in no seal."""

    def __init__(
        self,
        database: Database,
        *,
        local: bool,
        entropy: Callable[[int], bytes],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._local = local
        self._entropy = entropy
        self._suffix = suffixes(entropy).__next__
        self._clock = clock
        self._books = Books(database)

    def check_staying(self) -> None:
        """Raise UsageError `account.leaving` while the account is leaving the device.

        Whatever a person changes asks this in the step that queues its transaction. Transactions
        come in the order in which they were queued, so the seal, which is one behind this, has what
        was let through; were there an await between, it could come first.
        """
        if self.leaving:
            raise UsageError(
                "The account is leaving this device.",
                code="account.leaving",
                hint="Sign in again, or work in the Scratch Pad.",
            )

    def _now(self) -> int:
        return round(self._clock() * 1000)

    def _pen(self) -> Pen:
        return Pen(self._local, self._suffix, lambda: self._entropy(16).hex(), self._now())

    async def conflicts(self) -> list[ConflictRecord]:
        """Return the open conflicts in op order; theirs is the value confirmed now."""
        return await self._database.read(conflicts.load_conflicts)

    async def standings(self, *, resolved: bool = False) -> list[Standing]:
        """Return how each open conflict stands, groups as one; or each that a person resolved."""

        async def work(reader: Reader) -> list[Standing]:
            if resolved:
                return await load_standing(reader, await conflicts.load_resolved(reader))
            found = await conflicts.load_conflicts(reader)
            return await load_standing(reader, [each for each in found if not each.head])

        return await self._database.read(work)

    async def standing(self, conflict: str) -> Standing:
        """Return how a conflict stands, by its id or the beginning of it, be it open or closed.

        Of one that depends on another it returns the other. Raises ModelError `conflict.not_found`
        or `conflict.ambiguous`.
        """

        async def work(reader: Reader) -> Standing:
            record = await conflicts.load_conflict(reader, conflict, closed=True)
            if record.head:
                record = await conflicts.load_conflict(reader, record.head, closed=True)
            (found,) = await load_standing(reader, [record])
            return found

        return await self._database.read(work)

    async def resolve(
        self,
        conflict_id: str,
        mine: bool,
        *,
        value: bytes | None = None,
        both: bool = False,
        parent: str | None = None,
        version: int | None = None,
    ) -> EditResult:
        """Close a conflict, and those that depend on it: see `Choice`. What it keeps stays kept."""
        self.check_staying()
        choice = Choice(mine, value, both, parent, version)
        return await self._books.transact(
            lambda writer: resolve(writer, conflict_id, choice, self._pen())
        )

    async def reopen(self, conflict_id: str) -> EditResult:
        """Take a resolution back; ModelError `conflict.synced` once the server has answered it."""
        self.check_staying()
        return await self._books.transact(lambda writer: reopen(writer, conflict_id, self._pen()))

    async def note_writer(self, conflict_id: str, written: TheirWriter) -> None:
        """Keep who wrote theirs."""

        async def work(writer: Writer) -> None:
            await writer.run(
                "UPDATE conflicts SET writer = ? WHERE id = ?",
                (conflicts.pack_writer(written), conflict_id),
            )

        await self._books.transact(work)
