"""What storage keeps beside entities, events and verdicts: accounts, devices, workspaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kafkaman_server.decide import Entry
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.immutable import immutable
from kafkaman_sync.protocol.messages import EpochStart


@dataclass(frozen=True, slots=True)
class Account:
    """A person; `password` is an Argon2id hash."""

    id: str
    email: str
    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Device:
    """A device, signed in or not; rows are never deleted, because ids are never used again.

    `lease` is the last one that the device is known to have stored, `next_lease` the one of the
    latest welcome. `last_op` is its last decided op. `replaced_by` names the device that its
    installation was registered as anew. Times are milliseconds since 1970, for people only.
    """

    id: str
    account: str
    name: str
    platform: str
    token_hash: bytes
    created_at: int
    lease: str = ""
    next_lease: str = ""
    last_op: int = 0
    seen_at: int | None = None
    revoked_at: int | None = None
    replaced_by: str | None = None

    @property
    def signed_in(self) -> bool:
        """Whether the device holds one of its account's places."""
        return self.revoked_at is None and self.replaced_by is None


@dataclass(frozen=True, slots=True)
class Membership:
    """A workspace as one of its members has it."""

    workspace: str
    name: str
    role: str
    head: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class EventChunk:
    """Stored events in seq order; `head`, `digest` and `horizon` are those of the snapshot."""

    events: tuple[bytes, ...]
    last_seq: int
    head: int
    digest: bytes
    horizon: int


@dataclass(frozen=True, slots=True)
class EntityChunk:
    """Rows in order of version; `complete` when the snapshot has none behind them.

    A row is its entity without the fields, and these as bytes.
    """

    rows: tuple[tuple[Entity, bytes], ...]
    complete: bool
    head: int
    digest: bytes
    horizon: int


@dataclass(frozen=True, slots=True)
class PurgeChunk:
    """Purges as (entity, seq) in seq order; `complete` when the snapshot has none behind them."""

    purged: tuple[tuple[str, int], ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class EntityPast:
    """What one snapshot holds of an entity's past.

    Events at or below `horizon` are gone, the latest of them was written at `horizon_at`; `base` is
    the encoded row as it was there, None if there was none. `known` tells whether anything is left
    of the entity at all.
    """

    head: int
    horizon: int
    horizon_at: int
    base: bytes | None
    known: bool


@dataclass(frozen=True, slots=True)
class PastChunk:
    """Stored events of one entity as (seq, bytes), in the order asked for.

    `last_seq` is that of the last one looked at, `complete` tells whether it is the last there is.
    """

    events: tuple[tuple[int, bytes], ...]
    last_seq: int
    complete: bool
    horizon: int


@dataclass(frozen=True, slots=True)
class LogHead:
    """A workspace's log: where it ends and begins, and who may write there from which devices.

    `devices` are (id, name, platform, account), those that were signed out among them.
    """

    name: str
    head: int
    digest: bytes
    horizon: int
    horizon_at: int
    accounts: Mapping[str, str]
    devices: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True, slots=True)
class LogPiece:
    """Rows of a log as they are stored, in the order asked for; `more`: there are others."""

    rows: tuple[tuple[Any, ...], ...]
    more: bool
    head: int
    horizon: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A workspace as retention sees it: how far its log goes, and what is aged.

    Events up to `events_upto` are older than their retention, deletions up to `trash_upto` older
    than theirs.
    """

    workspace: str
    horizon: int
    events_upto: int
    trash_upto: int


@dataclass(frozen=True, slots=True)
class Foldable:
    """The oldest events of a log, and the encoded bases of the entities that they write."""

    events: tuple[bytes, ...]
    bases: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class VerdictChunk:
    """Stored verdicts of a device, encoded, in op order; `complete` when there are no more."""

    verdicts: tuple[bytes, ...]
    complete: bool


@dataclass(slots=True)
class Touched:
    """What a batch touches in one workspace.

    `targets` are loaded whole; of their ancestors, of `parents` and theirs, and of all that lies at
    or below `subtrees`, everything but the fields.
    """

    targets: set[str] = field(default_factory=set)
    parents: set[str] = field(default_factory=set)
    subtrees: set[str] = field(default_factory=set)


class TooLargeError(Exception):
    """What a batch touches is too much for one commit."""


@immutable
class StoredVerdict:
    """A verdict as the journal stored it, with the fingerprint of the change it answers."""

    device: str
    op: int
    change_hash: bytes
    body: bytes


@dataclass(slots=True)
class Commit:
    """All that one commit of the journal writes.

    `events` are (workspace, seq, entity, encoded event, encoded basis), `disputes` (workspace, seq,
    entity, encoded dispute), `entries` the last rows of the entities written, by workspace, `heads`
    the new head and digest of each workspace written. `last_ops`,
    `leases` (that the devices have used now) and `confirmed_ops` are by device. `begun` are the
    workspaces in which the running epoch is recorded already. `purged` are (workspace, entity, seq)
    of the rows to remove.
    """

    epoch: str
    events: list[tuple[str, int, str, bytes, bytes | None]] = field(default_factory=list)
    disputes: list[tuple[str, int, str, bytes]] = field(default_factory=list)
    entries: dict[str, dict[str, Entry]] = field(default_factory=dict)
    verdicts: list[StoredVerdict] = field(default_factory=list)
    heads: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    last_ops: dict[str, int] = field(default_factory=dict)
    leases: dict[str, str] = field(default_factory=dict)
    confirmed_ops: dict[str, int] = field(default_factory=dict)
    begun: frozenset[str] = frozenset()
    purged: list[tuple[str, str, int]] = field(default_factory=list)


Epochs = Mapping[str, tuple[EpochStart, ...]]
"""The epochs of several workspaces, oldest first."""
