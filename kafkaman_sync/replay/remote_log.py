"""A server's log as it gives it to a member, piece by piece: over the wire, or through a daemon.

The log only grows: its events up to the head at the opening are the same however long the reading
takes. What is stored for the head is of that head, or is refused.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Final

from kafkaman_sync.errors import ReplayError, WireError
from kafkaman_sync.model.changes import Dispute
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.limits import ITEMS_MAX
from kafkaman_sync.protocol.reading import Record
from kafkaman_sync.protocol.records import decode_dispute, decode_entity
from kafkaman_sync.replay.records import DeviceName, Log, Logged, Names
from kafkaman_sync.replay.source import SourceKind
from kafkaman_sync.replay.stored import damaged, read_logged, read_row

# Whoever looks for few events gets few, whoever goes on gets more at a time.
_FIRST_ROWS: Final = 32
_ROWS_MAX: Final = 1000
# Of each part, how many values a row has; the first is the key in whose order they come.
_COLUMNS: Final = {"events": 4, "bases": 2, "rows": 9, "disputes": 2}
_ANSWER: Final = "The server's answer about its log"

Stored = tuple[int, bytes, bytes | None, bytes | None]


class RemoteLog(ABC):
    """A source that asks `log` of a server; how, is for those who inherit."""

    kind: SourceKind
    label: str

    def __init__(self) -> None:
        self._heads: dict[str, Record] = {}

    @abstractmethod
    def ask(self, params: dict[str, Any]) -> dict[str, Any]:
        """Make the call `log`. Raises KafkamanError for what the server answers, or on the way."""

    @abstractmethod
    def workspaces(self) -> list[str]:
        """Return the ids of the account's workspaces."""

    @abstractmethod
    def wait(self, seconds: float) -> bool:
        """Wait for so long at most; return whether something may have been written meanwhile."""

    def logs(self) -> list[Log]:
        """Return the account's workspaces."""
        return [self._log(workspace) for workspace in self.workspaces()]

    def names(self) -> Names:
        """Return the members of the workspaces, and their devices."""
        accounts: dict[str, str] = {}
        devices: dict[str, DeviceName] = {}
        for workspace in self.workspaces():
            head = self._heads.get(workspace) or self._head(workspace)
            accounts.update(head.entries("accounts", most=ITEMS_MAX))
            for device in head.items("devices", _device, most=ITEMS_MAX):
                devices[device.id] = device
        return Names(accounts, devices)

    def _head(self, workspace: str) -> Record:
        head = Record(self.ask({"workspace": workspace, "part": "head"}), _ANSWER)
        self._heads[workspace] = head
        return head

    def _log(self, workspace: str) -> Log:
        head = self._head(workspace)
        digest = self.raw(head.whole.get("digest")) or None
        return Log(
            workspace,
            head.text("name"),
            head.integer("head"),
            digest,
            head.integer("horizon"),
            head.integer("horizon_at"),
        )

    def raw_events(
        self,
        log: Log,
        *,
        after: int = 0,
        upto: int | None = None,
        entity: str | None = None,
        backward: bool = False,
    ) -> Iterator[Stored]:
        """Yield (seq, event, basis, digest) as the server has them stored."""
        last = log.head if upto is None else min(upto, log.head)
        params = {"workspace": log.workspace, "entity": entity, "backward": int(backward)}
        limit = _FIRST_ROWS
        while after < last:
            given = {**params, "after": after, "upto": last, "limit": limit}
            rows, more = self._piece(log, given, exact=False)
            for seq, body, basis, digest in rows:
                yield seq, self._bytes(body), self.raw(basis), self.raw(digest)
            if not more:
                return
            if backward:
                last = rows[-1][0] - 1
            else:
                after = rows[-1][0]
            limit = min(limit * 4, _ROWS_MAX)

    def events(
        self,
        log: Log,
        *,
        after: int = 0,
        upto: int | None = None,
        entity: str | None = None,
        backward: bool = False,
    ) -> Iterator[Logged]:
        """Yield events, as `Source.events` says."""
        for seq, body, basis, digest in self.raw_events(
            log, after=after, upto=upto, entity=entity, backward=backward
        ):
            yield read_logged(seq, body, basis, digest)

    def bases(self, log: Log, entity: str | None = None) -> Iterator[Entity]:
        """Yield the rows as they were at the horizon."""
        for name, body in self._all(log, "bases", entity):
            try:
                yield decode_entity(self._bytes(body))
            except WireError as error:
                raise damaged(f"what was before the horizon of the entity {name}", error) from error

    def rows(self, log: Log, entity: str | None = None) -> Iterator[Entity]:
        """Yield the rows for the head; of one entity, those that the server has now."""
        for *columns, fields in self._all(log, "rows", entity):
            yield read_row((*columns, self._bytes(fields)))

    def disputes(self, log: Log, entity: str | None = None) -> Iterator[Dispute]:
        """Yield what was not accepted, in the order of its decision."""
        for _, body in self._all(log, "disputes", entity):
            try:
                yield decode_dispute(self._bytes(body))
            except WireError as error:
                raise damaged("what was not accepted", error) from error

    def _all(self, log: Log, part: str, entity: str | None) -> Iterator[list[Any]]:
        after: Any = 0 if part == "disputes" else ""
        params = {"workspace": log.workspace, "part": part, "entity": entity}
        more = True
        while more:
            rows, more = self._piece(log, {**params, "after": after}, exact=entity is None)
            yield from rows
            after = rows[-1][0] if more else after

    def _piece(
        self, log: Log, params: dict[str, Any], *, exact: bool
    ) -> tuple[list[list[Any]], bool]:
        given = {name: value for name, value in params.items() if value is not None}
        answer = Record(self.ask(given), _ANSWER)
        head, horizon = answer.integer("head"), answer.integer("horizon")
        if horizon != log.horizon or (exact and head != log.head):
            raise ReplayError(
                f"{self.label} has gone on while it was read.",
                code="replay.moved_on",
                hint="Try again; or read its database, of which a moment can be held.",
            )
        rows = list(answer.items("rows", _row, most=ITEMS_MAX))
        more = answer.flag("more")
        _check(rows, params, more=more)
        return rows, more

    def raw(self, value: Any) -> bytes | None:
        """Return bytes as they are carried; None where there are none."""
        if value is None or isinstance(value, bytes):
            return value
        raise WireError(f"{_ANSWER}: what should be bytes is none.")

    def _bytes(self, value: Any) -> bytes:
        found = self.raw(value)
        if found is None:
            raise WireError(f"{_ANSWER}: bytes are missing.")
        return found


def _check(rows: list[list[Any]], params: dict[str, Any], *, more: bool) -> None:
    """Raise WireError for rows that are none, or that do not lead on."""
    columns = _COLUMNS[params.get("part", "events")]
    after, keys = params["after"], [row[0] if row else None for row in rows]
    in_order = [params.get("upto", 0) + 1, *keys] if params.get("backward") else [after, *keys]
    if (
        any(len(row) != columns or type(row[0]) is not type(after) for row in rows)
        or (more and not rows)
        or sorted(set(in_order), reverse=bool(params.get("backward"))) != in_order
    ):
        raise WireError(f"{_ANSWER}: what it gives are no rows in order.")


def _row(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise WireError(f"{_ANSWER}: a row is no array.")
    return value


def _device(value: object) -> DeviceName:
    row = _row(value)
    if len(row) != 4 or not all(isinstance(each, str) for each in row):
        raise WireError(f"{_ANSWER}: a device is not four texts.")
    return DeviceName(*row)
