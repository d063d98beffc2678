"""Compares two sources: where they part, and what each side holds that the other has not.

Sides at different seqs are compared as far as both have come: a part (the place, the deleted flag,
a field) that the further side has written since says nothing, and every other must be the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import Event
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.replay.changing import paired
from kafkaman_sync.replay.device_store import DeviceStore, Waiting
from kafkaman_sync.replay.partings import Origins, Parting, Partings, row_partings
from kafkaman_sync.replay.records import Log, Logged
from kafkaman_sync.replay.server_log import ServerLog
from kafkaman_sync.replay.source import Source, choose_log
from kafkaman_sync.replay.state import head_rows, rows_at

PENDING_KEPT_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Side:
    """One side: a source with its log of the workspace, as far as it has come."""

    source: Source
    log: Log

    @property
    def keeps_events(self) -> bool:
        """Whether it has a log, not only a state."""
        return not isinstance(self.source, DeviceStore)


@dataclass(frozen=True, slots=True)
class Pending:
    """An op that waits on one side; `decided`: the other side, a server, has decided it already."""

    side: int
    waiting: Waiting
    decided: bool


@dataclass(slots=True)
class Comparison:
    """What came out: the partings, the first event first, and how far each side has come.

    `at` is the seq up to which both were compared. `events` is how many events the further side has
    behind it, `notes` what else is to be known.
    """

    one: Side
    two: Side
    at: int = 0
    partings: list[Parting] = field(default_factory=list)
    parted: int = 0
    entities: int = 0
    rows: int = 0
    digests: tuple[bytes | None, bytes | None] = (None, None)
    pending: list[Pending] = field(default_factory=list)
    pending_count: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether they are the same, as far as both have come; also in their digests."""
        return self.parted == 0 and not self.digests_differ

    @property
    def digests_differ(self) -> bool:
        """Whether both have a digest for the seq that was compared, and not the same one."""
        one, two = self.digests
        return one is not None and two is not None and one != two

    @property
    def first(self) -> Parting | None:
        """Where they part first."""
        return self.partings[0] if self.partings else None


def choose_sides(one: Source, two: Source, wanted: str | None) -> tuple[Side, Side]:
    """Return both sides of the workspace that is meant, or of the only one that both have."""
    logs = {log.workspace: log for log in two.logs()}
    if wanted is None:
        common = [log for log in one.logs() if log.workspace in logs]
        filled = [log for log in common if log.head or logs[log.workspace].head]
        chosen = filled if len(filled) == 1 else common
        if len(chosen) == 1:
            return Side(one, chosen[0]), Side(two, logs[chosen[0].workspace])
    log = choose_log(one, wanted)
    if log.workspace not in logs:
        raise ReplayError(
            f"{two.label} does not hold the workspace {log.workspace[:8]} ({log.name}).",
            code="workspace.unknown",
            hint="Are they of the same account?",
        )
    return Side(one, log), Side(two, logs[log.workspace])


def compare(one: Side, two: Side) -> Comparison:
    """Compare two sides of one workspace. Raises ReplayError where they have no seq in common."""
    found = Comparison(one, two)
    found.at = at = min(one.log.head, two.log.head)
    partings = Partings()
    if one.keeps_events and two.keeps_events:
        _compare_events(found, partings)
    _compare_rows(found, partings)
    _compare_digests(found)
    for number, side, other in ((1, one, two), (2, two, one)):
        _note_lead(found, side, other)
        _note_pending(found, number, side, other)
    found.partings, found.parted, found.entities = partings.kept(), partings.count, partings.rows
    if found.digests_differ and not found.parted:
        found.notes.append(
            "The rows are the same, and the digests that are stored with them are not: on one side "
            "the rows were changed behind its digest. `replay verify` tells on which."
        )
    if at == 0 and max(one.log.head, two.log.head):
        found.notes.append("One side has nothing yet: there is nothing to compare.")
    return found


def _compare_events(found: Comparison, partings: Partings) -> None:
    """Find the first event that is not the same in both logs."""
    one, two = found.one, found.two
    after = max(one.log.horizon, two.log.horizon)
    if after > found.at:
        raise ReplayError(
            "The logs have no event in common: one of them ends before the other one begins.",
            code="replay.no_common",
            hint="Compare with a later backup.",
        )
    mine = one.source.events(one.log, after=after, upto=found.at)
    theirs = two.source.events(two.log, after=after, upto=found.at)
    for left, right in _pairs(mine, theirs):
        if left is not None and right is not None and left.event == right.event:
            continue
        partings.add(_parted_events(left, right))
        return


def _pairs(
    mine: Iterator[Logged], theirs: Iterator[Logged]
) -> Iterator[tuple[Logged | None, Logged | None]]:
    """Yield the events of both logs seq by seq; None where one log lacks it."""
    left, right = next(mine, None), next(theirs, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left.event.seq < right.event.seq):
            yield left, None
            left = next(mine, None)
        elif left is None or right.event.seq < left.event.seq:
            yield None, right
            right = next(theirs, None)
        else:
            yield left, right
            left, right = next(mine, None), next(theirs, None)


def _parted_events(left: Logged | None, right: Logged | None) -> Parting:
    present = left or right
    assert present is not None
    event = present.event
    if left is None or right is None:
        which = "second" if right is None else "first"
        told = f"The {which} log lacks this event."
        return Parting(event.entity, "", event.seq, told, event=event)
    differing = _differing(left.event, right.event)
    told = f"Event {event.seq} is another one in each: {', '.join(differing)} differ."
    parts = sorted(event.fields) if differing == ["fields"] and len(event.fields) == 1 else [""]
    return Parting(event.entity, parts[0], event.seq, told, event=event)


def _differing(left: Event, right: Event) -> list[str]:
    names = ("action", "entity", "account", "device", "op", "at", "kind", "place", "fields")
    return [name for name in names if getattr(left, name) != getattr(right, name)]


def _compare_rows(found: Comparison, partings: Partings) -> None:
    origins = Origins(found.one, found.two)
    at = found.at
    for mine, theirs in paired(_rows(found.one, at), _rows(found.two, at)):
        found.rows += 1
        if mine != theirs:
            limit = min(_seq(found.one, at), _seq(found.two, at))
            for each in row_partings(mine, theirs, limit, origins):
                partings.add(each)
    if origins.perhaps_purged:
        told = "the log is not kept from so early on" if origins.has_log else "no device can tell"
        found.notes.append(
            f"{origins.perhaps_purged:,} entities are only on the side that is behind: removed for "
            f"good since, or lost. Which of both, {told}."
        )


def _rows(side: Side, at: int) -> Iterator[Entity]:
    """Yield the rows nearest to `at` that the side can give, in order of ids."""
    if side.keeps_events and side.log.head != at and at >= side.log.horizon:
        return rows_at(side.source, side.log, at)
    if side.keeps_events and at < side.log.horizon:
        return side.source.bases(side.log)
    return head_rows(side.source, side.log)


def _seq(side: Side, at: int) -> int:
    """Return the seq up to which the rows of a side are sure to be complete."""
    return at if side.keeps_events else min(at, side.log.head)


def _compare_digests(found: Comparison) -> None:
    found.digests = _digest(found.one, found.at), _digest(found.two, found.at)


def _digest(side: Side, at: int) -> bytes | None:
    if side.log.head == at:
        return side.log.digest
    if not side.keeps_events:
        return None
    return next((each.digest for each in side.source.events(side.log, after=at - 1, upto=at)), None)


def _note_lead(found: Comparison, side: Side, other: Side) -> None:
    ahead = side.log.head - other.log.head
    if ahead > 0:
        found.notes.append(
            f"{side.source.label} is ahead by {ahead:,}: it has come to seq {side.log.head:,}, "
            f"{other.source.label} to {other.log.head:,}."
        )
        if not side.keeps_events and other.keeps_events:
            found.notes.append(
                f"A device ahead of its server: {other.source.label} was set back, or is an older "
                "copy. The device sends again what was forgotten when it next connects."
            )
    if isinstance(side.source, DeviceStore):
        mark = side.source.position(side.log).mark
        if mark:
            found.notes.append(
                f"{side.source.label} is fetching rows, and has them up to seq {mark:,}: what is "
                f"newer than seq {side.log.head:,} there was not compared."
            )


def _note_pending(found: Comparison, number: int, side: Side, other: Side) -> None:
    if not isinstance(side.source, DeviceStore):
        return
    own = side.source.identity
    decided = 0
    if own is not None and isinstance(other.source, ServerLog):
        decided = other.source.last_ops().get(own.device, 0)
    for waiting in side.source.outbox(side.log.workspace):
        found.pending_count += 1
        if len(found.pending) < PENDING_KEPT_MAX:
            found.pending.append(Pending(number, waiting, waiting.op <= decided))


def as_dict(found: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON has it."""
    sides = [
        {
            "source": side.source.label,
            "kind": side.source.kind.value,
            "head": side.log.head,
            "horizon": side.log.horizon,
            "digest": digest.hex() if digest is not None else None,
        }
        for side, digest in zip((found.one, found.two), found.digests, strict=True)
    ]
    return {
        "workspace": found.one.log.workspace,
        "name": found.one.log.name,
        "equal": found.equal,
        "at": found.at,
        "sides": sides,
        "rows": found.rows,
        "first": found.first.as_dict() if found.first else None,
        "partings": [each.as_dict() for each in found.partings],
        "parted": found.parted,
        "entities": found.entities,
        "pending": [
            {
                "side": each.side,
                "op": each.waiting.op,
                "action": each.waiting.change.action.value,
                "entity": each.waiting.change.entity,
                "fields": sorted(each.waiting.change.fields),
                "decided": each.decided,
            }
            for each in found.pending
        ],
        "pending_count": found.pending_count,
        "notes": found.notes,
    }
