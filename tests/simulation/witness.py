"""The plain model: what people did and were told, and what must therefore be found in the end.

Each value that a person writes carries a token of its own. A token that was acknowledged must be
found where the person wrote it, in a conflict record or in a sealed archive, unless a person took
it out in view of it. Nothing else may take one out, and nothing may bring one back.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from kafkaman_sync.model.changes import Action, Change, Event
from kafkaman_sync.model.edits import Create, Delete, Edit, Move, Restore, Update
from kafkaman_sync.model.entities import Entity

_TOKEN: Final = re.compile(rb"<\d+>")

Where = tuple[str, str]
"""An entity and the name of a field."""


def tokens_of(value: bytes) -> frozenset[bytes]:
    """Return the tokens in a value, or in anything else."""
    return frozenset(_TOKEN.findall(value))


@dataclass(slots=True)
class Attempt:
    """Edits as they were planned inside a transaction, with what the view showed then."""

    noted: Callable[[Attempt], None]
    edits: Sequence[Edit] = ()
    seen: Mapping[Where, bytes] = field(default_factory=dict)


ATTEMPT: ContextVar[Attempt | None] = ContextVar("attempt", default=None)


@dataclass(slots=True)
class Findings:
    """All that is left in the end: on the server, and on devices outside the synced state."""

    rows: Mapping[str, Entity]
    events: Sequence[Event]
    disputed: Sequence[Change]
    sealed: bytes


class Witness:
    """Remembers edits; judges what is left."""

    def __init__(self) -> None:
        self.claims: dict[bytes, tuple[str, Where]] = {}
        """Acknowledged tokens: whose they are and where they were written."""
        self.excused: set[bytes] = set()
        """Tokens that a person has lost by their own doing, or that nobody held any more."""
        self.restored = False
        """Whether the server has ever forgotten something."""
        self._taken_out: set[bytes] = set()
        self._asserted: Counter[bytes] = Counter()
        self._created: dict[str, str] = {}
        self._deleted: set[str] = set()
        self._moved: dict[str, str] = {}
        self._touched: Counter[tuple[type[Edit], str]] = Counter()

    # Watching

    def attempt(self, attempt: Attempt) -> None:
        """Note edits that may or may not take effect."""
        for _, value, seen in _written(attempt):
            self._taken_out |= tokens_of(seen) - tokens_of(value)
            self._asserted.update(tokens_of(value) - tokens_of(seen))
        for each in attempt.edits:
            self._touched[type(each), each.id] += 1

    def acknowledge(self, device: str, attempt: Attempt) -> None:
        """Note edits that have returned success."""
        for where, value, seen in _written(attempt):
            for token in sorted(tokens_of(value) - tokens_of(seen)):
                self.claims.setdefault(token, (device, where))
        for each in attempt.edits:
            if isinstance(each, Create):
                self._created[each.id] = device
            elif isinstance(each, Delete):
                self._deleted.add(each.id)
            elif isinstance(each, Move) and each.parent is not None:
                self._moved[each.id] = each.parent

    def excuse(
        self, tokens: Iterable[bytes], there: Iterable[str] = (), deleted: Iterable[str] = ()
    ) -> None:
        """Expect no more of these: values, entities, deletions."""
        self.excused.update(tokens)
        for entity in there:
            self._created.pop(entity, None)
        self._deleted.difference_update(deleted)

    def excuse_moves(self) -> None:
        """Expect nothing of moves until now: their device was set back."""
        self._moved.clear()

    def repeat(self, tokens: Iterable[bytes]) -> None:
        """Expect these to be written once more: a copied outbox is another device's outbox."""
        self._asserted.update(tokens)

    # Judging

    def judge(self, found: Findings) -> list[str]:
        """Return what is wrong, nothing if all is well."""
        disputed: set[bytes] = set()
        for change in found.disputed:
            for edit in change.fields.values():
                disputed |= tokens_of(edit.value)
        kept = disputed | tokens_of(found.sealed)
        return [
            *self._judge_claims(found, kept),
            *self._judge_log(found.events, kept),
            *self._judge_structure(found),
            *_judge_order(found.events),
        ]

    def _judge_claims(self, found: Findings, kept: set[bytes]) -> list[str]:
        wrong = []
        for token, (device, (entity, name)) in self.claims.items():
            if token in kept or token in self._taken_out or token in self.excused:
                continue
            row = found.rows.get(entity)
            held = row.fields.get(name) if row is not None else None
            if held is None or token not in tokens_of(held.value):
                wrong.append(f"{token!r} of {device} in {entity[:6]}.{name} is lost")
        return wrong

    def _judge_log(self, events: Sequence[Event], kept: set[bytes]) -> list[str]:
        """Find what came or went without a person."""
        wrong = []
        values: dict[Where, frozenset[bytes]] = {}
        came: Counter[bytes] = Counter()
        for event in events:
            for name, value in event.fields.items():
                where = event.entity, name
                before, after = values.get(where, frozenset()), tokens_of(value)
                gone = before - after - self._taken_out - self.excused - kept
                wrong += [f"{token!r} went silently at {event.seq}" for token in sorted(gone)]
                came.update(after - before)
                values[where] = after
        wrong += [
            f"{token!r} came {count} times, written {self._asserted[token]} times"
            for token, count in came.items()
            if count > self._asserted[token]
        ]
        return wrong

    def _judge_structure(self, found: Findings) -> list[str]:
        disputes: dict[str, set[Action]] = defaultdict(set)
        for change in found.disputed:
            disputes[change.entity].add(change.action)
        wrong = []
        for entity, device in self._created.items():
            sealed = entity.encode() in found.sealed
            if entity not in found.rows and Action.CREATE not in disputes[entity] and not sealed:
                wrong.append(f"{entity[:6]} that {device} created is lost")
        for entity in sorted(self._deleted):
            row = found.rows.get(entity)
            disputed = disputes[entity] & {Action.DELETE, Action.CREATE}
            restored = self._touched[Restore, entity] or self._touched[Create, entity] > 1
            sealed = entity.encode() in found.sealed
            if row is not None and not (row.deleted or disputed or restored or sealed):
                wrong.append(f"{entity[:6]} is there although it was deleted")
        for entity, parent in self._moved.items():
            row = found.rows.get(entity)
            others = self._touched[Move, entity] > 1 or self._touched[Restore, entity]
            if row is None or others or self.restored or entity.encode() in found.sealed:
                continue
            if row.place.parent != parent and not disputes[entity]:
                wrong.append(f"{entity[:6]} is not where it was moved to")
        return wrong


def _written(attempt: Attempt) -> list[tuple[Where, bytes, bytes]]:
    """Return where something was written, what, and what was seen there."""
    seen = dict(attempt.seen)
    found: list[tuple[Where, bytes, bytes]] = []
    for edit in attempt.edits:
        if isinstance(edit, Create | Update):
            for name, value in edit.fields.items():
                where = edit.id, name
                found.append((where, value, seen.get(where, b"")))
                seen[where] = value
    return found


def _judge_order(events: Sequence[Event]) -> list[str]:
    """Seqs are gapless, each op has one event, and a device's ops are in order."""
    wrong = []
    last_op: dict[str, int] = {}
    for number, event in enumerate(events, start=events[0].seq if events else 1):
        if event.seq != number:
            wrong.append(f"seq {event.seq} stands where {number} should")
        if event.op <= last_op.get(event.device, 0):
            wrong.append(f"op {event.op} of {event.device[:6]} comes after a later one")
        last_op[event.device] = event.op
    return wrong
