"""What the server asks of its storage. No SQL is known outside this package.

A Snapshot is one consistent committed state; a Transaction is the same with writes, alone in its
storage until its end, all or nothing, and on the disk when `transact` returns. Every read is
bounded in bytes, save for lists of ids: of one account's devices and workspaces, and of what
retention works through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol, TypeVar

from kafkaman_server.decide import World
from kafkaman_server.storage.records import (
    Account,
    Commit,
    Device,
    EntityChunk,
    EntityPast,
    Epochs,
    EventChunk,
    Foldable,
    Kept,
    LogHead,
    LogPiece,
    Membership,
    PastChunk,
    PurgeChunk,
    StoredVerdict,
    Touched,
    VerdictChunk,
)
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.limits import INTEGER_MAX

T = TypeVar("T")


class Snapshot(Protocol):
    """Reads on one consistent state."""

    async def account(self, user: str) -> Account | None:
        """Return the account whose e-mail or username is `user`, in any case."""
        ...

    async def account_by_id(self, account: str) -> Account | None:
        """Return an account."""
        ...

    async def device(self, device: str) -> Device | None:
        """Return a device, signed in or not."""
        ...

    async def devices(self, devices: Collection[str]) -> dict[str, Device]:
        """Return the devices of these ids that exist."""
        ...

    async def devices_of(self, account: str) -> list[Device]:
        """Return the signed-in devices of an account, oldest first."""
        ...

    async def memberships(self, account: str) -> list[Membership]:
        """Return the workspaces of an account, the personal one first."""
        ...

    async def epochs(self, account: str) -> Epochs:
        """Return all epochs of all workspaces of an account."""
        ...

    async def head(self, workspace: str) -> int:
        """Return the last seq of a workspace's log, 0 if there is none."""
        ...

    async def events_after(self, workspace: str, seq: int, *, bytes_max: int) -> EventChunk:
        """Return the events behind `seq`, up to about `bytes_max` bytes, at least one.

        None at all when `seq` lies below the horizon.
        """
        ...

    async def entities_after(self, workspace: str, version: int, *, bytes_max: int) -> EntityChunk:
        """Return the rows newer than `version`, up to about `bytes_max` bytes, at least one."""
        ...

    async def count_after(self, workspace: str, version: int, *, upto: int | None = None) -> int:
        """Return how many rows are newer than `version`, and no newer than `upto`."""
        ...

    async def verdicts_after(self, device: str, op: int, *, bytes_max: int) -> VerdictChunk:
        """Return the stored verdicts behind `op`, up to about `bytes_max` bytes, at least one."""
        ...

    async def purges_after(self, workspace: str, seq: int) -> PurgeChunk:
        """Return the purges behind `seq`, a bounded number."""
        ...

    async def entity(self, workspace: str, entity: str) -> tuple[Entity, bytes] | None:
        """Return a row as its entity without the fields, and these as bytes; None if none."""
        ...

    async def entity_past(self, workspace: str, entity: str) -> EntityPast:
        """Return what is kept of an entity's past."""
        ...

    async def events_of(
        self, workspace: str, entity: str, seq: int, *, bytes_max: int
    ) -> PastChunk:
        """Return an entity's events behind `seq`, up to about `bytes_max` bytes, at least one."""
        ...

    async def events_before(
        self,
        workspace: str,
        entity: str,
        seq: int,
        *,
        rows_max: int,
        bytes_max: int,
        containing: bytes = b"",
    ) -> PastChunk:
        """Look at an entity's events before `seq`, newest first, within both limits.

        At least one is looked at. Those that hold the bytes `containing` are returned.
        """
        ...

    async def event_heads(self, workspace: str, seqs: Collection[int]) -> list[bytes]:
        """Return the beginning of each of these events that is still kept, in seq order."""
        ...

    async def usernames(self, accounts: Collection[str]) -> dict[str, str]:
        """Return the names of those accounts that exist."""
        ...

    async def log_head(self, workspace: str) -> LogHead:
        """Return where a workspace's log ends and begins, and who its members and devices are."""
        ...

    async def log_piece(
        self,
        workspace: str,
        part: str,
        *,
        after: int | str,
        upto: int = INTEGER_MAX,
        entity: str | None = None,
        backward: bool = False,
        rows_max: int,
        bytes_max: int,
    ) -> LogPiece:
        """Return `events`, `bases`, `rows` or `disputes` behind a key, within both limits.

        At least one, if there is any. Of events those up to `upto`; `backward` goes down from it.
        """
        ...

    async def expired(self, workspace: str, seq: int) -> list[tuple[str, int]]:
        """Return what was, or lies below what was, deleted at or before `seq`, with its bytes.

        Each comes before what it lies in.
        """
        ...

    async def kept(self, events_aged_ms: int, trash_aged_ms: int) -> list[Kept]:
        """Return what is aged in each workspace.

        Its arguments are the running times before which what is old is older than its retention.
        """
        ...


class Transaction(Snapshot, Protocol):
    """Reads and writes that hold together."""

    async def add_account(self, account: Account, workspace: str, at: int) -> bool:
        """Add an account and its personal workspace; False when e-mail or username are taken."""
        ...

    async def add_device(self, device: Device) -> None:
        """Add a device."""
        ...

    async def update_device(self, device: Device) -> None:
        """Store a device's leases, times and state; never its ops."""
        ...

    async def begin_epoch(self, epoch: str, account: str) -> None:
        """Record that `epoch` goes on behind the heads of all workspaces of the account."""
        ...

    async def roles(self, wanted: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
        """Return the roles of (account, workspace) pairs; a pair without a role is absent."""
        ...

    async def worlds(
        self, touched: Mapping[str, Touched], *, bytes_max: int = INTEGER_MAX
    ) -> dict[str, World]:
        """Return what is there of the touched parts; a workspace that is not there is absent.

        Raises TooLargeError when several targets have more bytes of fields than `bytes_max`.
        """
        ...

    async def stored_verdicts(
        self, wanted: Collection[tuple[str, int]]
    ) -> dict[tuple[str, int], StoredVerdict]:
        """Return the verdicts of (device, op) pairs that are stored."""
        ...

    async def write(self, commit: Commit) -> None:
        """Write a commit of the journal."""
        ...

    async def age(self) -> tuple[int, int] | None:
        """Return the running time that was last written down, and when; None before the first."""
        ...

    async def save_age(self, running_ms: int, saved_at: int) -> None:
        """Write the running time down, and how far each log that has grown has come by now."""
        ...

    async def drop_samples(self, aged_ms: int) -> None:
        """Drop the samples that are older than the last one at or before this running time."""
        ...

    async def foldable(
        self, workspace: str, upto: int, *, rows_max: int, bytes_max: int
    ) -> Foldable:
        """Return the oldest events up to a seq, with their bases, within both limits.

        At least one event, if there is one.
        """
        ...

    async def fold(
        self, workspace: str, horizon: int, at: int, bases: Mapping[str, bytes | None]
    ) -> None:
        """Move the horizon up; what is at or below goes, and `bases` (None: gone) stand for it."""
        ...


class Storage(Protocol):
    """An open storage."""

    server: str
    """The id of this database, made when it was created."""

    async def read(self, work: Callable[[Snapshot], Awaitable[T]]) -> T:
        """Run `work` on a snapshot. Raises StoreError."""
        ...

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in a transaction; all it wrote is on the disk then. Raises StoreError."""
        ...
