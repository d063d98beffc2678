"""One event before the real rules: turned back into its change, decided again, and applied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from kafkaman_server.decide import RULES, Author, World, purge, refuse
from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.apply import apply_event
from kafkaman_sync.model.changes import Action, Change, ConflictCode, Event, Verdict
from kafkaman_sync.model.entities import pack_fields
from kafkaman_sync.replay.again import change_of
from kafkaman_sync.replay.findings import Finding, Findings
from kafkaman_sync.replay.held import hold
from kafkaman_sync.replay.records import Logged
from kafkaman_sync.replay.rows import Rows

Past = Callable[[str, int, int], Iterator[Logged]]
"""Gives an entity's events behind one seq and up to another."""

_ROLE: Final = "owner"
_OBSTACLES: Final = {
    ConflictCode.DELETED: "what it changes, or something above it, was deleted",
    ConflictCode.CHANGED: "another device had changed what it deletes",
    ConflictCode.PLACE: "it leads out of or into something deleted",
}


class Trial:
    """Decides the events of a log in order against `rows`, which follow the log regardless."""

    def __init__(self, rows: Rows, findings: Findings, past: Past | None, horizon: int) -> None:
        self.rows = rows
        self.world = World(rows.workspace)
        self.unjudged = 0
        """Deletions that cannot be judged: what came behind their base is no longer kept."""
        self._findings = findings
        self._past = past
        self._horizon = horizon
        self._author = Author("", "", _ROLE)

    def judge(self, logged: Logged) -> bool:
        """Judge an event, add what is wrong with it, and apply it; tell whether the row changed."""
        if logged.event.action is Action.PURGE:
            return self._purge(logged.event)
        return self.decide(logged) and self._apply(logged.event)

    def decide(self, logged: Logged) -> bool:
        """Ask the rules what they say of a device's event; tell whether it can be applied."""
        event, change = logged.event, change_of(logged)
        assert change is not None
        if self._is_misshapen(event):
            return False
        self.world = self.rows.world(event)
        author = self._author
        if (author.account, author.device) != (event.account, event.device):
            author = self._author = Author(event.account, event.device, _ROLE)
        verdict = refuse(self.world, change, author) or RULES[change.action](
            self.world, change, author
        )
        if verdict.disagreements and self._changed_by_nobody(event, change, verdict):
            verdict = Verdict(event.op, seq=event.seq, event=True)
        reason = _objection(event, verdict)
        if reason:
            told = f"The rules would not have accepted this {event.action.value}: {reason}."
            self._find("rule", event, told, field=_field(verdict))
            if verdict.refusal is not None and verdict.refusal.code == "move.cycle":
                return False  # nothing can be told of what lies inside itself
        return True

    def _is_misshapen(self, event: Event) -> bool:
        fault = _misshapen(event)
        if fault:
            self._find("rule", event, f"An event {event.action.value} has {fault}.")
        return bool(fault)

    def _find(self, code: str, event: Event, message: str, *, field: str = "") -> None:
        self._findings.add(Finding(code, event.seq, message, event.entity, field))

    def _changed_by_nobody(self, event: Event, change: Change, verdict: Verdict) -> bool:
        """Tell whether what seems to stand in the way of a deletion is only not known."""
        disputed = [each.code for each in verdict.disagreements]
        if disputed != [ConflictCode.CHANGED]:
            return False
        unknown = False
        for entry in self.world.below(event.entity):
            if entry.changed_by_others(event.device) <= change.base:
                continue
            entity = entry.entity.id
            row = self.rows.held[entity]
            known = row is None or not row.unsure
            if known or self._others_wrote(entity, event, change.base):
                return False
            unknown = unknown or change.base < self._horizon
        self.unjudged += unknown
        return True

    def _others_wrote(self, entity: str, event: Event, base: int) -> bool:
        if self._past is None:
            return False
        between = self._past(entity, base, event.seq - 1)
        return any(each.event.device != event.device for each in between)

    def _purge(self, event: Event) -> bool:
        if self._is_misshapen(event):
            return False
        world = self.world = self.rows.loaded(event)
        if world.get(event.entity) is None:
            self._find("purge", event, "It purges what is not there.")
            return False
        if world.children(event.entity):
            self._find("purge", event, "It purges what something else still lies in.")
        if purge(world, event.entity, deleted_upto=event.seq - 1, at=event.at) is None:
            told = "It purges what was not deleted, nor lay in anything that was."
            self._find("purge", event, told)
        self.rows.take(event.entity)
        return True

    def _apply(self, event: Event) -> bool:
        known = self.rows.held[event.entity]
        updating = event.action is Action.UPDATE
        try:
            after = apply_event(known.entity(whole=updating) if known else None, event)
        except ModelError as error:
            self._find("broken", event, error.message)
            return False
        assert after is not None
        others = 0 if known is None else known.changed_by_others(event.device)
        packed = pack_fields(after.fields) if known is None or updating else known.packed()
        row = hold(after, event.device, others, packed)
        if known is not None:
            row.counted = known.counted
            # Who wrote last is known now; who did before, only if that was another device.
            row.unsure = known.unsure and known.writer in ("", event.device)
        self.rows.put(event.entity, row)
        return True


def _misshapen(event: Event) -> str:
    """Return what an event of this action has, or lacks, that none can; empty if it is whole."""
    action = event.action
    if (event.kind is not None) != (action is Action.CREATE):
        return "a kind" if event.kind is not None else "no kind"
    if event.place is None and action in (Action.CREATE, Action.MOVE):
        return "no place"
    if event.place is not None and action in (Action.UPDATE, Action.DELETE, Action.PURGE):
        return "a place"
    if event.fields and action not in (Action.CREATE, Action.UPDATE):
        return "fields"
    if not event.fields and action is Action.UPDATE:
        return "no fields"
    return ""


def _objection(event: Event, verdict: Verdict) -> str:
    """Return why the rules would not have made this event; empty if they would."""
    if verdict.event and verdict.refusal is None and not verdict.disagreements:
        return ""
    if verdict.refusal is not None:
        return f"{verdict.refusal.code}, {verdict.refusal.message.rstrip('.')}"
    for each in verdict.disagreements:
        if each.code is ConflictCode.FIELD:
            return (
                f"{each.field} had been written at seq {each.version}, behind what its author had "
                "seen, and with another value"
            )
        since = f" (seq {each.version})" if each.version else ""
        return f"{_OBSTACLES[each.code]}{since}"
    return "there was nothing left to do, so that it makes no event"


def _field(verdict: Verdict) -> str:
    return next((each.field for each in verdict.disagreements if each.field), "")
