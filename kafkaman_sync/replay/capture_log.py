"""A capture as a source: the log as far as it can be told from what was said.

Events come from both sides' frames: as they are, and from the pushes and their verdicts, which tell
what they were judged by as well. They are kept in a database without a file while the source is
open, so that a capture may be larger than the memory.
"""

# ruff: noqa: S608 - only names of ours are put into statements; values are parameters

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from kafkaman_sync.errors import ReplayError, WireError
from kafkaman_sync.model.apply import accepted_event
from kafkaman_sync.model.changes import Change, Dispute, Verdict, basis_of, dispute_of
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.limits import INTEGER_MAX
from kafkaman_sync.protocol.codec import decode
from kafkaman_sync.protocol.messages import (
    Call,
    Entities,
    Events,
    Hello,
    Message,
    Push,
    Reply,
    Verdicts,
    Welcome,
)
from kafkaman_sync.protocol.recording import Recorded, Sort
from kafkaman_sync.protocol.records import (
    decode_change,
    decode_dispute,
    decode_entity,
    decode_event,
    encode_basis,
    encode_dispute,
    encode_event,
)
from kafkaman_sync.replay.capture import FRAMES, Capture
from kafkaman_sync.replay.records import DeviceName, Log, Logged, Names
from kafkaman_sync.replay.source import SourceKind
from kafkaman_sync.replay.stored import damaged, read_logged

_SCHEMA: Final = """
CREATE TABLE events (
  workspace TEXT, seq INTEGER, entity TEXT, body BLOB, basis BLOB, digest BLOB,
  PRIMARY KEY (workspace, seq)
) WITHOUT ROWID;
CREATE INDEX events_by_entity ON events(workspace, entity, seq);
CREATE TABLE bases (workspace TEXT, entity TEXT, body BLOB, PRIMARY KEY (workspace, entity));
CREATE TABLE disputes (
  number INTEGER PRIMARY KEY, workspace TEXT, entity TEXT, device TEXT, op INTEGER, body BLOB,
  UNIQUE (device, op)
);
"""
_CACHE_KIB: Final = 16_000
# Changes of one connection that wait for a verdict: what its window allows, and room to spare.
_WAITING_MAX: Final = 10_000
_KEEP: Final = """
INSERT INTO events VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
  basis = coalesce(events.basis, excluded.basis), digest = coalesce(events.digest, excluded.digest)
"""


class CaptureLog:
    """A capture, read once when it is opened."""

    kind = SourceKind.CAPTURE

    def __init__(self, capture: Capture, database: sqlite3.Connection) -> None:
        self.label = str(capture.path)
        self._redacted = not capture.header.values
        self.damage: ReplayError | None = None
        """What is wrong with the file, behind all that was read of it."""
        self._database = database
        self._heard = _Heard(database)
        try:
            for record in capture.records():
                self._heard.take(record)
        except ReplayError as error:
            if error.code != "replay.capture_damaged":
                raise
            self.damage = error
        self.cut_off = capture.cut_off
        """Whether the file ends before its end: what is whole before was read."""

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[CaptureLog]:
        """Open a capture; ReplayError as `Capture.open` raises it.

        A damaged one is read up to the damage, which is raised when the block has ended well.
        """
        with (
            Capture.open(path) as capture,
            closing(sqlite3.connect("", isolation_level=None)) as database,
        ):
            database.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
            database.executescript(_SCHEMA)
            database.execute("BEGIN")
            source = cls(capture, database)
            yield source
            if source.damage is not None:
                raise source.damage

    def logs(self) -> list[Log]:
        """Return the workspaces that were spoken of, in the order of their ids.

        Raises ReplayError where none is, for want of what comes behind damage or a cut.
        """
        heard = self._heard
        if not heard.workspaces and self.damage is not None:
            raise self.damage
        if not heard.workspaces and self.cut_off:
            raise ReplayError(
                f"{self.label} was cut off before a workspace was spoken of.",
                code="replay.capture_cut",
                hint="Get another copy, or record again.",
            )
        found = []
        for workspace in sorted(heard.workspaces):
            first, head = self._one(
                "SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM events"
                " WHERE workspace = ?",
                workspace,
            )
            horizon = 0 if first == 1 else heard.whole.get(workspace, max(first - 1, 0))
            head = max(head, horizon)
            name = heard.workspaces[workspace]
            digest = heard.digests.get((workspace, head))
            found.append(Log(workspace, name, head, digest, horizon, redacted=self._redacted))
        return found

    def names(self) -> Names:
        """Return the people and devices whose names were spoken of."""
        return Names(dict(self._heard.accounts), dict(self._heard.devices))

    def events(
        self,
        log: Log,
        *,
        after: int = 0,
        upto: int | None = None,
        entity: str | None = None,
        backward: bool = False,
    ) -> Iterator[Logged]:
        """Yield events with `after` < seq <= `upto`, of one entity or of all."""
        of = "" if entity is None else " AND entity = ?4"
        parameters: list[Any] = [
            log.workspace,
            max(after, log.horizon),
            INTEGER_MAX if upto is None else upto,
        ]
        if entity is not None:
            parameters.append(entity)
        cursor = self._database.execute(
            "SELECT seq, body, basis, digest FROM events"
            f" WHERE workspace = ?1 AND seq > ?2 AND seq <= ?3{of}"
            f" ORDER BY seq{' DESC' if backward else ''}",
            parameters,
        )
        for row in cursor:
            yield read_logged(*row)

    def bases(self, log: Log, entity: str | None = None) -> Iterator[Entity]:
        """Yield the rows of the state that came whole before the first event.

        Raises ReplayError `replay.no_state` when none did, and `replay.gap` when events are missing
        behind it.
        """
        self._check_gapless(log)
        if log.horizon and self._heard.whole.get(log.workspace) != log.horizon:
            raise ReplayError(
                f"{self.label} begins at seq {log.horizon + 1}, and what was there before was not "
                "said in it.",
                code="replay.no_state",
                hint="Read the server's database, or record a `kafkaman reload --full`.",
            )
        of = "" if entity is None else " AND entity = ?2"
        parameters = [log.workspace] if entity is None else [log.workspace, entity]
        cursor = self._database.execute(
            f"SELECT entity, body FROM bases WHERE workspace = ?1{of} ORDER BY entity",
            parameters if log.horizon else ["" for _ in parameters],
        )
        for name, body in cursor:
            try:
                yield decode_entity(body)
            except WireError as error:
                raise damaged(f"the row of the entity {name}", error) from error

    def rows(self, log: Log, entity: str | None = None) -> Iterator[Entity]:
        """Refuse: what a server or a device stores is not in what it says."""
        del log, entity
        raise ReplayError(
            f"{self.label} is a capture: what was said, and not what anybody stores.",
            code="replay.no_rows",
            hint="Name the server's database, or the device's store.",
        )

    def disputes(self, log: Log, entity: str | None = None) -> Iterator[Dispute]:
        """Yield what was not accepted of the changes that were pushed, in order."""
        of = "" if entity is None else " AND entity = ?2"
        for (body,) in self._database.execute(
            f"SELECT body FROM disputes WHERE workspace = ?1{of} ORDER BY number",
            [log.workspace] if entity is None else [log.workspace, entity],
        ):
            yield decode_dispute(body)

    def _check_gapless(self, log: Log) -> None:
        count, first = self._one(
            "SELECT count(*), min(seq) FROM events WHERE workspace = ? AND seq > ?",
            log.workspace,
            log.horizon,
        )
        if count and (first != log.horizon + 1 or count != log.head - log.horizon):
            missing = log.head - log.horizon - count
            raise ReplayError(
                f"{self.label} misses {missing:,} events between seq {log.horizon} and {log.head}.",
                code="replay.gap",
                hint="`kafkaman replay log` shows those that are there; read the server's database "
                "for the rest.",
            )

    def _one(self, sql: str, *parameters: Any) -> tuple[int, int]:
        found: tuple[int, int] = self._database.execute(sql, parameters).fetchone()
        return found


class _Heard:
    """What the frames of a capture say, connection by connection."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.workspaces: dict[str, str] = {}
        self.accounts: dict[str, str] = {}
        self.devices: dict[str, DeviceName] = {}
        self.digests: dict[tuple[str, int], bytes] = {}
        # The seq of the state that came whole, by workspace.
        self.whole: dict[str, int] = {}
        self._database = database
        self._owners: dict[int, tuple[str, str]] = {}
        self._waiting: dict[int, dict[int, Change]] = {}
        self._called: dict[tuple[int, int], Call] = {}
        self._staging: dict[tuple[int, str], int] = {}

    def take(self, record: Recorded) -> None:
        """Take in a record."""
        number = record.connection
        if record.sort is Sort.OPENED:
            facts = record.facts
            if facts.get("device"):
                self._owners[number] = (str(facts["device"]), str(facts.get("account", "")))
        elif record.sort is Sort.CLOSED:
            for each in (self._owners, self._waiting):
                each.pop(number, None)
        elif record.sort in FRAMES:
            try:
                self._message(number, decode(record.data))
            except WireError as error:
                raise damaged("a frame", error) from error

    def _message(self, number: int, message: Message) -> None:
        if isinstance(message, Push):
            waiting = self._waiting.setdefault(number, {})
            for change in map(decode_change, message.changes):
                waiting[change.op] = change
            while len(waiting) > _WAITING_MAX:
                del waiting[next(iter(waiting))]
        elif isinstance(message, Events):
            self._events(number, message)
        elif isinstance(message, Verdicts):
            for verdict in message.verdicts:
                self._settle(number, verdict)
        elif isinstance(message, Entities):
            self._entities(number, message)
        elif isinstance(message, Hello):
            self._owners[number] = (message.device, "")
        elif isinstance(message, Welcome):
            self._owners[number] = (message.device, message.account)
            self.workspaces |= {each.id: each.name for each in message.workspaces}
        elif isinstance(message, Call):
            self._called[number, message.id] = message
        elif isinstance(message, Reply):
            self._reply(message, self._called.pop((number, message.id), None))

    def _events(self, number: int, message: Events) -> None:
        workspace = message.workspace
        self.workspaces.setdefault(workspace, "")
        seq = 0
        for item in message.items:
            if isinstance(item, Verdict):
                seq = item.seq or seq
                self._settle(number, item)
            else:
                event = decode_event(item)
                seq = event.seq
                self._keep(workspace, seq, event.entity, item, None)
        if message.digest is not None:
            self.digests[workspace, seq] = message.digest
            self._database.execute(
                "UPDATE events SET digest = ? WHERE workspace = ? AND seq = ?",
                (message.digest, workspace, seq),
            )

    def _settle(self, number: int, verdict: Verdict) -> None:
        change = self._waiting.get(number, {}).pop(verdict.op, None)
        device, account = self._owners.get(number, ("", ""))
        if change is None or not device:
            return
        event = accepted_event(change, verdict, account=account, device=device)
        if event is not None:
            basis = encode_basis(basis_of(change, verdict.accepted))
            self._keep(change.workspace, event.seq, event.entity, encode_event(event), basis)
        (head,) = self._database.execute(
            "SELECT coalesce(max(seq), 0) FROM events WHERE workspace = ?", (change.workspace,)
        ).fetchone()
        dispute = dispute_of(change, verdict, account=account, device=device, head=head)
        if dispute is not None:
            # A verdict that was lost on the way comes again, and says the same.
            self._database.execute(
                "INSERT OR IGNORE INTO disputes (workspace, entity, device, op, body)"
                " VALUES (?, ?, ?, ?, ?)",
                (change.workspace, change.entity, device, change.op, encode_dispute(dispute)),
            )

    def _keep(
        self, workspace: str, seq: int, entity: str, body: bytes, basis: bytes | None
    ) -> None:
        self._database.execute(_KEEP, (workspace, seq, entity, body, basis, None))

    def _entities(self, number: int, message: Entities) -> None:
        """Keep the first state that came whole, from its first message to its last."""
        workspace = message.workspace
        self.workspaces.setdefault(workspace, "")
        if not message.full or workspace in self.whole:
            return
        key = (number, workspace)
        if key not in self._staging:
            self._staging = {key: 0}
            self._database.execute("DELETE FROM bases WHERE workspace = ?", (workspace,))
        for row in message.rows:
            self._database.execute(
                "INSERT OR REPLACE INTO bases VALUES (?, ?, ?)",
                (workspace, decode_entity(row).id, row),
            )
        for entity, _ in message.purged:
            self._database.execute(
                "DELETE FROM bases WHERE workspace = ? AND entity = ?", (workspace, entity)
            )
        if message.through is not None:
            self.whole[workspace] = message.through
            del self._staging[key]

    def _reply(self, reply: Reply, call: Call | None) -> None:
        result = reply.result or {}
        device, account = result.get("device"), result.get("account")
        if isinstance(account, str) and isinstance(result.get("username"), str):
            self.accounts[account] = result["username"]
            name = "" if call is None else str(call.params.get("device_name", ""))
            if isinstance(device, str):
                self.devices[device] = DeviceName(device, name, "", account)
        listed = result.get("devices")
        for each in listed if isinstance(listed, list) else ():
            if isinstance(each, dict) and {"id", "name"} <= each.keys():
                known = str(each["id"])
                self.devices[known] = DeviceName(
                    known, str(each["name"]), str(each.get("platform", ""))
                )
