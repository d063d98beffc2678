"""What would have come out: the changes of a log decided again by the real rules, in another order.

It works on a copy on the side. What people and devices did stays what it was: each change is the
one that it really was, made by who had seen what they really had (`seen`), wherever it comes now.
What had become no event is decided again too, by its hashes; its values are not in the log.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

from kafkaman_server.decide import Author, decide, purge
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import (
    Change,
    Dispute,
    Event,
    FieldEdit,
)
from kafkaman_sync.model.entities import Entity, Place
from kafkaman_sync.model.limits import MIB
from kafkaman_sync.replay.again import change_of
from kafkaman_sync.replay.aside import Scratch
from kafkaman_sync.replay.naming import title_of
from kafkaman_sync.replay.order import Edit, Run, Skip, first_touched, reorder, seqs_of
from kafkaman_sync.replay.otherwise import (
    Judged,
    Otherwise,
    Outcome,
    Word,
    beside,
    difference,
    disputed,
    judged,
    name_of,
)
from kafkaman_sync.replay.records import Log, Logged
from kafkaman_sync.replay.seen import Sights, hash_of_unknown, rebase, unknown_value
from kafkaman_sync.replay.source import Source
from kafkaman_sync.replay.state import entity_at, gapless, rows_at

DIFFERENCES_MAX: Final = 1000
"""So many changes, and so many entities, that come out otherwise are told one by one."""

_BYTES_MAX: Final = 16 * MIB
_TOLD_EVERY: Final = 500
# What the log does not tell enough about to be decided again: it stays refused.
_SETTLED: Final = frozenset({"permission.denied", "base.unknown"})


def what_if(
    source: Source,
    log: Log,
    edits: Sequence[Edit],
    *,
    first: int | None = None,
    told: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Decide again, from the first event that the edits touch, or from `first` if that is earlier.

    `told` is called now and then with the count of changes decided; what it raises ends the work.
    Raises ReplayError `replay.order` for seqs that the log has not, and `replay.gap` where events
    are missing among those that are to be decided.
    """
    start = min(first_touched(edits, log.head + 1), log.head + 1 if first is None else first)
    named = [seq for edit in edits for seq in seqs_of(edit)]
    for seq in (*named, start if first is None else first):
        if not log.horizon < seq <= log.head + 1:
            raise ReplayError(
                f"There is no event {seq} in this log.",
                code="replay.order",
                hint=f"It has the events {log.horizon + 1} to {log.head}.",
                seq=seq,
            )
    runs = reorder(edits, start, log.head)
    before = rows_at(source, log, start - 1)
    scratch = Scratch(log.workspace, start - 1, before, _writers(source, log, start - 1))
    with closing(scratch):
        again = _Again(source, log, scratch, Outcome(tuple(edits), start, log.head), told)
        return again.run(runs)


def _writers(source: Source, log: Log, upto: int) -> Callable[[str], tuple[str, int]]:
    def writer(entity: str) -> tuple[str, int]:
        last = ""
        for logged in source.events(log, upto=upto, entity=entity, backward=True):
            device = logged.event.device
            if last and device != last:
                return last, logged.event.seq
            last = device
        return last, 0

    return writer


@dataclass(frozen=True, slots=True)
class _Asked:
    """A change to decide again; `seq` is its event's, else the head when it was decided."""

    change: Change
    account: str
    device: str
    at: int
    was: Judged
    seq: int


class _Again:
    """One run of the rules over another order."""

    def __init__(
        self,
        source: Source,
        log: Log,
        scratch: Scratch,
        outcome: Outcome,
        told: Callable[[int], None],
    ) -> None:
        self._source = source
        self._log = log
        self._scratch = scratch
        self._outcome = outcome
        self._told = told
        self._sights = Sights(outcome.first)
        self._disputed = scratch.keep_disputes(source.disputes(log), outcome.first)
        self._ops: dict[str, int] = {}
        self._inverted: set[str] = set()
        self._unknown = 0
        self._baseless = 0

    def run(self, runs: Iterable[Run]) -> Outcome:
        outcome = self._outcome
        for edit in outcome.edits:
            if isinstance(edit, Skip):
                self._scratch.touch(self._event(edit.seq).event.entity)
        for start, end in runs:
            if start % 2:
                self._decide_disputes(start // 2, None)
            after, upto = (start - 1) // 2, end // 2
            found = self._source.events(self._log, after=after, upto=upto)
            for logged in gapless(self._log, found, after, upto):
                self._decide_event(logged)
                if 2 * logged.event.seq < end:
                    self._decide_disputes(logged.event.seq, logged)
        outcome.head_then = self._scratch.world.head
        self._compare()
        self._note()
        return outcome

    def _event(self, seq: int) -> Logged:
        for logged in self._source.events(self._log, after=seq - 1, upto=seq):
            return logged
        raise ReplayError(
            f"The event {seq} is missing in the log.",
            code="replay.order",
            hint="`replay verify` lists the gaps of a log.",
            seq=seq,
        )

    def _decide_event(self, logged: Logged) -> None:
        event = logged.event
        self._scratch.touch(event.entity)
        change = change_of(logged)
        if change is None:
            self._purge(event)
            return
        self._baseless += logged.basis is None
        self._inverted |= {event.device} if event.op < self._ops.get(event.device, 0) else set()
        self._ops[event.device] = max(event.op, self._ops.get(event.device, 0))
        was = Judged(Word.ACCEPTED, tuple(sorted(event.fields)))
        for dispute in self._disputes(event.seq):
            if _is_of(dispute, event):
                lost = _lost_edits(dispute)
                change = replace(change, fields={**change.fields, **lost})
                was = disputed(dispute, was.accepted)
        self._decide(_Asked(change, event.account, event.device, event.at, was, event.seq))

    def _decide_disputes(self, seq: int, logged: Logged | None) -> None:
        """Decide again what became no event at all, after the event of a seq."""
        for dispute in self._disputes(seq):
            event = (logged or self._event(seq)).event
            if _is_of(dispute, event) or _is_settled(dispute):
                continue
            self._scratch.touch(dispute.entity)
            change = _change_of(dispute, self._log.workspace)
            asked = _Asked(
                change, dispute.account, dispute.device, dispute.at, disputed(dispute), seq
            )
            self._decide(asked, slot=2 * seq + 1)

    def _disputes(self, seq: int) -> list[Dispute]:
        at = bisect_left(self._disputed, seq)
        here = at < len(self._disputed) and self._disputed[at] == seq
        return self._scratch.disputes(seq) if here else []

    def _decide(self, asked: _Asked, *, slot: int | None = None) -> None:
        self._scratch.load(asked.change)
        world = self._scratch.world
        change = rebase(world, asked.change, asked.device, self._sights)
        held = world.get(change.entity)
        author = Author(asked.account, asked.device, "owner")
        decision = decide(world, change, author, at=asked.at)
        event, then, was = decision.event, judged(decision.verdict, self._real), asked.was
        if event is not None:
            self._scratch.wrote(change.entity)
            self._sights.note(2 * asked.seq if slot is None else slot)
            new = set(then.accepted) - set(was.accepted)
            values = [change.fields[name].value for name in new]
            self._unknown += sum(hash_of_unknown(value) is not None for value in values)
        self._count()
        if (was.word, was.accepted) != (then.word, then.accepted):
            self._add(
                Otherwise(
                    seq=asked.seq,
                    action=change.action,
                    entity=change.entity,
                    name=_name(world.get(change.entity), held, change),
                    account=asked.account,
                    device=asked.device,
                    op=change.op,
                    was=was,
                    then=then,
                    seq_then=None if event is None else event.seq,
                )
            )

    def _purge(self, event: Event) -> None:
        """Purge if the real rule does, at the age at which it really did."""
        scratch = self._scratch
        cutoff = self._purged_at(event)
        scratch.bring(event.entity)
        world, held = scratch.world, scratch.world.get(event.entity)
        path = [] if held is None else [held, *world.path_to_root(held.place.parent)]
        old = [
            each.deleted_version
            for each in path
            if each.deleted and self._sights.slot(each.deleted_version) <= 2 * cutoff
        ]
        # The server purges what lies below first; here that may have been left.
        purged = None
        if not scratch.has_below(event.entity):
            purged = purge(world, event.entity, deleted_upto=max(old, default=0), at=event.at)
        if purged is not None:
            scratch.wrote(event.entity)
            self._sights.note(2 * event.seq)
        self._count()
        if purged is None:
            was, then = Judged(Word.PURGED), Judged(Word.NOTHING if held is None else Word.KEPT)
            self._add(
                Otherwise(
                    event.seq, event.action, event.entity, name_of(held), "", "", 0, was, then, None
                )
            )

    def _purged_at(self, event: Event) -> int:
        """Return the deletion for which an entity really was purged: what was as old was due."""
        found: list[int] = []
        entity = entity_at(self._source, self._log, event.entity, event.seq - 1)
        while entity is not None and len(found) <= DIFFERENCES_MAX:
            found.append(entity.deleted_version if entity.deleted else event.seq - 1)
            if not entity.place.parent:
                break
            entity = entity_at(self._source, self._log, entity.place.parent, event.seq - 1)
        return min(found, default=event.seq - 1)

    def _real(self, seq: int) -> int | None:
        slot = self._sights.slot(seq)
        return None if slot % 2 else slot // 2

    def _count(self) -> None:
        self._outcome.decided += 1
        if self._outcome.decided % _TOLD_EVERY == 0:
            self._told(self._outcome.decided)

    def _add(self, otherwise: Otherwise) -> None:
        self._outcome.changes_count += 1
        if len(self._outcome.changes) < DIFFERENCES_MAX:
            self._outcome.changes.append(otherwise)

    def _compare(self) -> None:
        """Compare the ends, of what was touched: the real rows and those on the side."""
        outcome, size = self._outcome, 0
        real = rows_at(self._source, self._log, self._log.head)
        for was, then in beside(real, self._scratch.touched()):
            found = difference(was, then)
            if found is None:
                continue
            outcome.entities_count += 1
            size += sum(len(each.was or b"") + len(each.then or b"") for each in found.fields)
            if len(outcome.entities) < DIFFERENCES_MAX and size <= _BYTES_MAX:
                outcome.entities.append(found)

    def _note(self) -> None:
        notes = self._outcome.notes
        if self._inverted:
            notes.append(
                "Changes of one device come in another order than its ops: no server would take "
                "them so."
            )
        if self._unknown:
            notes.append(
                f"Values accepted only now, {self._unknown} of them, are not in the log: the "
                "device that lost them has them in its conflicts."
            )
        if self._baseless:
            notes.append(
                f"{self._baseless} changes are from before bases were kept; each is taken to have "
                "been made in full view of what came before it."
            )


def _is_of(dispute: Dispute, event: Event) -> bool:
    return (dispute.device, dispute.op) == (event.device, event.op)


def _is_settled(dispute: Dispute) -> bool:
    code = "" if dispute.refusal is None else dispute.refusal.code
    return code in _SETTLED or (code.startswith("limit.") and code != "limit.depth")


def _lost_edits(dispute: Dispute) -> dict[str, FieldEdit]:
    return {
        name: FieldEdit(unknown_value(lost.value_hash), lost.base, lost.prior)
        for name, lost in dispute.fields.items()
    }


def _change_of(dispute: Dispute, workspace: str) -> Change:
    return Change(
        op=dispute.op,
        previous=dispute.previous,
        workspace=workspace,
        action=dispute.action,
        entity=dispute.entity,
        base=dispute.base,
        kind=dispute.kind,
        # The position was not kept: it orders siblings, and decides nothing.
        place=None if dispute.parent is None else Place(dispute.parent, "V"),
        fields=_lost_edits(dispute),
    )


def _name(after: Entity | None, before: Entity | None, change: Change) -> str:
    """Return what an entity is called, before if what it is called now is not in the log."""
    sought = {name: edit.value for name, edit in change.fields.items()}
    return name_of(after) or name_of(before) or title_of(change.kind, sought)
