"""A device's store as a source: its rows at the cursor, its outbox and its conflict queue.

It has no events: a device keeps what they led to. What only a log can tell is refused, with where
it is to be had.
"""

# ruff: noqa: S608 - only names of ours are put into statements; values are parameters

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import msgpack
from msgspec import Struct

from kafkaman_sync.errors import ReplayError, StoreError, WireError
from kafkaman_sync.model.changes import Change, Dispute, Verdict
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.protocol.records import decode_change, decode_verdict
from kafkaman_sync.replay.records import DeviceName, Log, Logged, Names
from kafkaman_sync.replay.source import ACCOUNTS, SourceKind
from kafkaman_sync.replay.sqlite_file import SqliteFile, check_version
from kafkaman_sync.replay.stored import ROW, damaged, read_row, text_of
from kafkaman_sync.store.facts import Identity
from kafkaman_sync.store.identity import IDENTITY, identity_from_rows
from kafkaman_sync.store.schema import APPLICATION_ID, MIGRATIONS

# Beside a store, until all of an account that leaves the device is deleted.
_LEAVING: Final = ".leaving"
_TIMES_VERSION: Final = 2


class Waiting(Struct, frozen=True, gc=False):
    """A change in the outbox, by its `op`; `at` is the device's clock (0: not known).

    `verdict` is set when the server has accepted it at a seq that the cursor has not reached.
    """

    op: int
    change: Change
    verdict: Verdict | None = None
    at: int = 0


class Queued(Struct, frozen=True, gc=False):
    """A record of the conflict queue, open or closed, as the store keeps it.

    `head` is the record of the refused create that it depends on.
    """

    id: str
    state: str
    workspace: str
    entity: str
    code: str
    field: str
    refusal: str
    device: str
    op: int
    base: bytes | None
    mine: bytes | None
    theirs: bytes | None
    theirs_version: int
    head: str = ""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a store is in a workspace: what it has applied, and what is under way.

    `mark` is how far a catch-up by state has come (0: none is running), `epochs` the (epoch, first
    seq) that it knows; `whole` and `fork` say that a full state must come.
    """

    cursor: int
    mark: int
    epochs: tuple[tuple[str, int], ...]
    whole: bool
    fork: int | None


class DeviceStore:
    """A device's database, beside its daemon or a copy."""

    kind = SourceKind.STORE

    def __init__(self, file: SqliteFile) -> None:
        self.file = file
        self.label = str(file.path)
        try:
            self.identity: Identity | None = identity_from_rows(list(file.rows(IDENTITY)))
        except StoreError as error:
            raise damaged(f"who is signed in at {file.path}", error) from error
        self._copies: dict[str, int] = {}

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[DeviceStore]:
        """Open a device's store. Raises ReplayError `replay.foreign`, `store.newer`."""
        with SqliteFile.open(path) as file:
            if not cls.is_written_as(file.application_id):
                raise ReplayError(
                    f"{path} is no device's store.",
                    code="replay.foreign",
                    hint="A device keeps one for each account in its home, in accounts/.",
                )
            check_version(file, len(MIGRATIONS))
            yield cls(file)

    @staticmethod
    def is_written_as(application_id: int) -> bool:
        """Tell whether a database of this application id is a device's store."""
        return application_id == APPLICATION_ID

    def logs(self) -> list[Log]:
        """Return the workspaces in the order of their ids, each with the cursor as its head."""
        found = []
        for row in self.file.rows(
            "SELECT copy, CAST(id AS TEXT), name, CAST(cursor AS INTEGER), CAST(digest AS BLOB)"
            " FROM workspaces ORDER BY id"
        ):
            copy, workspace, name, cursor, digest = row
            self._copies[workspace] = copy
            found.append(Log(workspace, text_of(name), cursor, digest))
        return found

    def position(self, log: Log) -> Position:
        """Return where the store is in a workspace."""
        cursor, mark, epochs, whole, fork = self.file.one(
            "SELECT CAST(cursor AS INTEGER), CAST(mark AS INTEGER), epochs, whole, fork"
            " FROM workspaces WHERE id = ?",
            (log.workspace,),
        )
        try:
            known = tuple((str(epoch), int(first)) for epoch, first in msgpack.unpackb(epochs))
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise damaged("where the device is in the log", error) from error
        return Position(cursor, mark, known, bool(whole), fork)

    def names(self) -> Names:
        """Return this device and its account, which is all that it is sure of."""
        own = self.identity
        if own is None:
            return Names()
        return Names(
            accounts={own.account: own.username},
            devices={own.device: DeviceName(own.device, own.device_name, "", own.account)},
        )

    def events(
        self,
        log: Log,
        *,
        after: int = 0,
        upto: int | None = None,
        entity: str | None = None,
        backward: bool = False,
    ) -> Iterator[Logged]:
        """Refuse: a device keeps no events."""
        self._refuse("no_events", "what happened")

    def bases(self, log: Log, entity: str | None = None) -> Iterator[Entity]:
        """Refuse: a device keeps no past."""
        self._refuse("no_events", "what there was before")

    def disputes(self, log: Log, entity: str | None = None) -> Iterator[Dispute]:
        """Refuse: the log of what was not accepted is the server's."""
        self._refuse("no_events", "what was not accepted")

    def _refuse(self, reason: str, what: str) -> NoReturn:
        raise ReplayError(
            f"{self.label} is a device's store: it keeps the state, and not {what}.",
            code=f"replay.{reason}",
            hint="Name the server's data folder, a copy of its database, or an export of its log; "
            "or, while this device's daemon runs, the control.sock in its home.",
        )

    def rows(self, log: Log, entity: str | None = None) -> Iterator[Entity]:
        """Yield the confirmed rows at the cursor, in order of their ids."""
        for row in self.stored_rows(log, entity):
            yield read_row(row)

    def stored_rows(self, log: Log, entity: str | None = None) -> Iterator[tuple[Any, ...]]:
        """Yield the confirmed rows as they are stored, for who checks them."""
        if log.workspace not in self._copies:
            self.logs()
        of = "" if entity is None else " AND id = ?2"
        copy = self._copies[log.workspace]
        return self.file.rows(
            f"SELECT {ROW} FROM entities WHERE copy = ?1{of} ORDER BY id",
            [copy] if entity is None else [copy, entity],
        )

    def last_op(self) -> int:
        """Return the last op number that the store has given; 0 for none."""
        found = next(
            self.file.rows("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'last_op'"), (0,)
        )
        return int(found[0])

    def outbox(self, workspace: str | None = None) -> Iterator[Waiting]:
        """Yield the changes that wait, of one workspace or of all, in op order."""
        at = "at" if self.file.version >= _TIMES_VERSION else "0"
        of = "" if workspace is None else " WHERE workspace = ?"
        for op, data, verdict, when in self.file.rows(
            f"SELECT op, CAST(change AS BLOB), CAST(verdict AS BLOB), {at} FROM outbox{of}"
            " ORDER BY op",
            [] if workspace is None else [workspace],
        ):
            try:
                decided = None if verdict is None else decode_verdict(verdict)
                yield Waiting(op, decode_change(data), decided, when)
            except WireError as error:
                raise damaged(f"op {op} of the outbox", error) from error

    def conflicts(self, workspace: str, entity: str | None = None) -> Iterator[Queued]:
        """Yield the records of the conflict queue, closed ones too, in op order."""
        head = "head" if self.file.version >= _TIMES_VERSION else "''"
        of = "" if entity is None else " AND entity = ?2"
        for row in self.file.rows(
            "SELECT id, state, workspace, entity, code, field, refusal, device, op, base, mine,"
            f" theirs, theirs_version, {head} FROM conflicts WHERE workspace = ?1{of}"
            " ORDER BY op, field",
            [workspace] if entity is None else [workspace, entity],
        ):
            yield Queued(*row)


def store_of_home(home: Path) -> Path | None:
    """Return the store of the account that is signed in at a device's home; None for no home.

    Raises ReplayError `replay.signed_out` or `replay.ambiguous`.
    """
    folder = home / ACCOUNTS
    if not folder.is_dir():
        return None
    found = [
        path for path in sorted(folder.glob("*.db")) if not path.with_suffix(_LEAVING).exists()
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise ReplayError(
            f"{home} holds the stores of {len(found)} accounts.",
            code="replay.ambiguous",
            hint=f"Name one: {', '.join(map(str, found[:10]))}.",
        )
    raise ReplayError(
        f"No account is signed in at the device of {home}.",
        code="replay.signed_out",
        hint="Name a store by its file: what was damaged lies in damaged/, the Scratch Pad in "
        "scratch.db.",
    )
