"""The one interface through which every source is read."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import Dispute
from kafkaman_sync.model.entities import Entity, is_id
from kafkaman_sync.replay.records import Log, Logged, Names

ACCOUNTS: Final = "accounts"
"""The folder of a device's home that its accounts' stores lie in."""


class SourceKind(StrEnum):
    """What a source is."""

    SERVER = "server database"
    STORE = "device store"
    LINES = "JSON lines"
    CAPTURE = "capture"
    DAEMON = "daemon"
    WIRE = "server"


class Source(Protocol):
    """One consistent state of a source; read only. Raises ReplayError and StoreError.

    What a source has not got it refuses by a ReplayError that says where it is to be had, such as
    `replay.no_events` for a device's store. Iterators hold little: a chunk of rows at a time.
    """

    kind: SourceKind
    label: str
    """What to call it: a path, or an address."""

    def logs(self) -> list[Log]:
        """Return the workspaces that it has, in a stable order."""
        ...

    def names(self) -> Names:
        """Return who accounts and devices are, as far as it knows."""
        ...

    def events(
        self,
        log: Log,
        *,
        after: int = 0,
        upto: int | None = None,
        entity: str | None = None,
        backward: bool = False,
    ) -> Iterator[Logged]:
        """Yield events with `after` < seq <= `upto` (None: the head), of one entity or of all.

        In seq order, or from the last one back. Raises `replay.log_damaged`, naming the seq, for
        what is no legal event.
        """
        ...

    def bases(self, log: Log, entity: str | None = None) -> Iterator[Entity]:
        """Yield the rows as they were at the horizon, before the first event."""
        ...

    def rows(self, log: Log, entity: str | None = None) -> Iterator[Entity]:
        """Yield the rows that it stores for the head."""
        ...

    def disputes(self, log: Log, entity: str | None = None) -> Iterator[Dispute]:
        """Yield what was not accepted, in the order of its decision."""
        ...


@runtime_checkable
class Stored(Protocol):
    """A source that gives its events' bytes as they are stored, also those that are no event."""

    def raw_events(
        self,
        log: Log,
        *,
        after: int = 0,
        upto: int | None = None,
        entity: str | None = None,
        backward: bool = False,
    ) -> Iterator[tuple[int, bytes, bytes | None, bytes | None]]:
        """Yield (seq, event, basis, digest) in the order asked for."""
        ...


@runtime_checkable
class Recorded(Protocol):
    """A source that was recorded until somebody ended it, or something did."""

    cut_off: bool
    """Whether it ends in the middle."""


@runtime_checkable
class Live(Protocol):
    """A source to which events may be added while it is open."""

    def wait(self, seconds: float) -> bool:
        """Wait for so long at most; return whether something may have been written meanwhile.

        What is read after it is of a new state.
        """
        ...


@runtime_checkable
class Indexed(Source, Protocol):
    """A source that finds what is about one entity without reading the rest of its log."""

    def has_index(self) -> bool:
        """Tell whether this one does: an old release's database does not."""
        ...

    def row_counts(self, log: Log, seq: int) -> tuple[int, int]:
        """Return how many rows are stored for the head, and how many of them changed after seq."""
        ...

    def purged_after(self, log: Log, seq: int) -> list[str]:
        """Return the entities that were purged after `seq`, in order of their ids."""
        ...

    def touched(self, log: Log, after: int, upto: int) -> list[str]:
        """Return the entities that events with `after` < seq <= `upto` are about, in order."""
        ...

    def event_count(self, log: Log, upto: int) -> int:
        """Return how many events up to `upto` there are, without reading them."""
        ...

    def bodies_back(
        self, log: Log, upto: int, entity: str | None = None
    ) -> Iterator[tuple[str, int, bytes]]:
        """Yield (entity, seq, stored event) from `upto` back, of one entity or of all."""
        ...

    def entities(self, log: Log, upto: int) -> Iterator[str]:
        """Yield the entities that events up to `upto` are about, in order of their ids."""
        ...

    def outlines(self, log: Log) -> Iterator[Entity]:
        """Yield the rows that it stores for the head, of the fields only those that name one."""
        ...

    def row_bytes(self, log: Log) -> int:
        """Return how much the fields of all rows hold, those at the horizon too."""
        ...


def choose_log(source: Source, wanted: str | None) -> Log:
    """Return the log of the workspace of that name, id or unique beginning of an id.

    Without one: the only workspace that there is, else the only one with events. Raises ReplayError
    `workspace.unknown` or `workspace.ambiguous`.
    """
    logs = source.logs()
    if not logs:
        raise ReplayError(
            f"There is no workspace in {source.label} yet.",
            code="workspace.unknown",
            hint="Sign in on a device first.",
        )
    if wanted is None:
        found = logs if len(logs) == 1 else [log for log in logs if log.head > 0]
    else:
        found = [log for log in logs if log.workspace == wanted]
        found = found or [log for log in logs if log.name.casefold() == wanted.casefold()]
        found = found or [log for log in logs if log.workspace.startswith(wanted.lower())]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{log.workspace[:8]} ({log.name}, head {log.head})" for log in logs[:20])
    if found or wanted is None:
        raise ReplayError(
            f"Which workspace? {source.label} has {len(logs)}.",
            code="workspace.ambiguous",
            hint=f"Name one with --workspace: {listed}.",
            workspaces=[log.workspace for log in logs],
        )
    raise ReplayError(
        f"There is no workspace {wanted[:64]!r} in {source.label}.",
        code="workspace.unknown",
        hint=f"It has: {listed}.",
    )


def is_id_prefix(text: str) -> bool:
    """Tell whether a text may be the beginning of an id, long enough to be meant as one."""
    return 4 <= len(text) <= 32 and is_id(text.ljust(32, "0"))
