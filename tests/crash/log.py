"""The server's log, read from its file while the server runs or lies dead."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from kafkaman_sync.database import Row
from kafkaman_sync.model.changes import Action, Event
from kafkaman_sync.model.limits import INTEGER_MAX
from kafkaman_sync.model.values import decode_value
from kafkaman_sync.protocol.records import decode_event


class ServerLog:
    """What the log of the one workspace has told so far; `read` goes on from there.

    `markers` counts the names that were written, `steps` the moves to another parent and the
    deletions of each entity, `born` is the entity that was created under a name.
    """

    def __init__(self, database: Path) -> None:
        self.markers: Counter[str] = Counter()
        self.steps: Counter[tuple[str, str]] = Counter()
        self.born: dict[str, str] = {}
        self.seq = 0
        self._database = database
        self._fingerprint = hashlib.blake2b()
        self._ops: set[tuple[str, int]] = set()
        self._parents: dict[str, str] = {}

    def read(self) -> None:
        """Read what is new; the log has no gap, and no op of a device stands in it twice."""
        for seq, body in self._rows(self.seq):
            assert seq == self.seq + 1, f"the log goes from {self.seq} to {seq}"
            self.seq = seq
            self._fingerprint.update(body)
            self._note(decode_event(body))
        assert self._head() == self.seq, "the head is that of the last event"

    def read_again(self) -> None:
        """Nothing that was read has changed since."""
        fingerprint = hashlib.blake2b()
        for _, body in self._rows(0, self.seq):
            fingerprint.update(body)
        assert fingerprint.digest() == self._fingerprint.digest(), "the log has changed"

    def _note(self, event: Event) -> None:
        op = (event.device, event.op)
        assert op not in self._ops, f"op {event.op} took effect twice, again at {event.seq}"
        self._ops.add(op)
        name = str(decode_value(event.fields["name"])) if "name" in event.fields else ""
        if name:
            self.markers[name] += 1
        if event.action is Action.CREATE:
            self.born[name] = event.entity
        if event.action is Action.DELETE:
            self.steps[event.entity, "delete"] += 1
        if event.place is not None:
            before = self._parents.get(event.entity)
            self._parents[event.entity] = event.place.parent
            # Siblings that are spaced anew move too, but stay where they are.
            if event.action is Action.MOVE and before != event.place.parent:
                self.steps[event.entity, "move"] += 1

    def _rows(self, after: int, last: int = INTEGER_MAX) -> list[Row]:
        return self._query(
            "SELECT seq, body FROM events WHERE seq > ? AND seq <= ? ORDER BY seq", after, last
        )

    def _head(self) -> int:
        ((head,),) = self._query("SELECT head FROM workspaces")
        return int(head)

    def _query(self, sql: str, *parameters: int) -> list[Row]:
        uri = f"{self._database.as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as database:
            return database.execute(sql, parameters).fetchall()
