"""The story of an entity in sentences and as JSON: what `kafkaman replay explain` tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from kafkaman_sync.cli.output import json_text, printable
from kafkaman_sync.cli.replay.points import iso
from kafkaman_sync.model.changes import Action, ConflictCode
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.tagged import json_of
from kafkaman_sync.model.values import REMOVED
from kafkaman_sync.replay.explaining import DELETED, PLACE, Loss, Part, Step, Story
from kafkaman_sync.replay.losing import ARCHIVE, CONFLICT, NOWHERE, OTHER, OUTBOX, Whereabouts
from kafkaman_sync.replay.naming import name_of
from kafkaman_sync.replay.records import Names
from kafkaman_sync.replay.rules import ACCEPTED, DISPUTED

VALUE_SHOWN_MAX: Final = 60
_DID: Final = {
    Action.CREATE: "created it",
    Action.UPDATE: "changed it",
    Action.MOVE: "moved it",
    Action.DELETE: "deleted it",
    Action.RESTORE: "brought it back",
    Action.PURGE: "removed it for good",
}
_WANTED: Final = {
    Action.CREATE: "create it",
    Action.UPDATE: "change it",
    Action.MOVE: "move it",
    Action.DELETE: "delete it",
    Action.RESTORE: "bring it back",
}
_CLOSED: Final = {
    "mine": "a person chose it: it was written again",
    "theirs": "a person chose the other value; this one is kept in the record",
    "both": "a person kept both",
    "value": "a person wrote another value",
    "equal": "what was confirmed became equal to it",
}

Fates = Mapping[tuple[int, str, int, str], Whereabouts]
"""Where losing values are, by seq, device, op and name, for those that were looked for."""


@dataclass(frozen=True, slots=True)
class Telling:
    """A story with what it takes to tell it."""

    story: Story
    names: Names
    fates: Fates
    workspace_name: str = ""

    def fate(self, step: Step, loss: Loss) -> Whereabouts | None:
        """Return where a losing value is, None if nobody looked."""
        return self.fates.get((step.seq, step.device, step.op, loss.name))

    # In sentences

    def title(self) -> tuple[str, str]:
        """Return the entity's name, and what else names it."""
        last = self.story.last
        name = (name_of(last) if last else "") or self.story.id[:8]
        kind = last.kind.value.replace("_", " ") if last else "entity"
        what = f"{kind} {self.story.id[:8]}"
        return name, f"{what}, its {self.story.part}" if self.story.part else what

    def who(self, account: str, device: str) -> str:
        """Say who wrote something, and on which device; the server writes without one."""
        if not device:
            return "the server"
        return f"{self.names.account(account)} on {self.names.device(device)}"

    def head(self, step: Step) -> str:
        """Say who did what."""
        did = _DID[step.action] if step.event else f"wanted to {_WANTED[step.action]}"
        op = f" (op {step.op})" if step.device else ""
        return f"{self.who(step.account, step.device)} {did}{op}"

    def lines(self, step: Step) -> Iterator[tuple[str, str, bool]]:
        """Yield (name, sentence, accepted) for each part of a step; one reason is told once."""
        for why, parts in groupby(step.parts, _why):
            rule = ""
            for part in parts:
                rule = part.rule
                if part.name:
                    yield part.name, _change(part, step), True
            yield "", f"accepted by `{rule}`: {why}", True
        for loss in step.losses:
            yield loss.name, f"not accepted, `{loss.rule}`: {self._why_not(step, loss)}", False
            yield "", self._where(step, loss), False

    def rows(self, step: Step) -> Iterator[tuple[object, ...]]:
        """Yield a row of cells for each part of a step, for pipes."""
        by = (self.names.device(step.device) if step.device else "", step.op)
        head = (step.seq, iso(step.at) or "")
        for part in step.parts:
            change = _change(part, step)
            yield *head, "accepted", *by, step.action, part.name, part.rule, change, _why(part)
        for loss in step.losses:
            told = f"{self._why_not(step, loss)} {self._where(step, loss)}"
            yield *head, "lost", *by, step.action, loss.name, loss.rule, "", told

    def _why_not(self, step: Step, loss: Loss) -> str:
        device = self.names.device(step.device)
        if loss.told:
            return loss.told
        found = DISPUTED[ConflictCode(loss.rule)]
        if loss.against:
            found += f": at seq {loss.against}"
        if loss.by is not None:
            found += f", by {self.who(loss.by.account, loss.by.device)} (op {loss.by.op})"
        found += f"; {device} had seen the log up to seq {loss.base}"
        if loss.seen:
            found += f", and there the value of seq {loss.seen}"
        elif loss.seen == 0:
            found += ", and there no value"
        return f"{found}."

    def _where(self, step: Step, loss: Loss) -> str:
        """Say where the losing value is now."""
        device, told = self.names.device(step.device), []
        if loss.stands_at:
            told.append(f"The same value was accepted later, at seq {loss.stands_at}.")
        elif loss.again_at:
            told.append(
                f"{device} wrote it again at seq {loss.again_at}: merged, or what a person chose."
            )
        fate = self.fate(step, loss)
        if fate is None or fate.where == OTHER:
            if not told:
                told.append(
                    f"What it lost is on {device}: look with --device at its home or store."
                )
        elif fate.where == CONFLICT and fate.state == "open":
            told.append(
                f"What it lost waits in the conflict queue of {device}: "
                f"kafkaman conflicts show {fate.id[:8]}"
            )
        elif fate.where == CONFLICT:
            closed = _CLOSED.get(fate.state, f"closed as {fate.state}")
            told.append(f"The conflict {fate.id[:8]} of {device} is closed: {closed}.")
        elif fate.where == OUTBOX:
            told.append(f"It waits in the outbox of {device} as op {fate.id}.")
        elif fate.where == ARCHIVE:
            told.append(f"It is sealed on {device}: kafkaman unsynced show {fate.id}")
        elif fate.where == NOWHERE and not told:
            told.append(f"{device} keeps no record of it (any more).")
        return " ".join(told)

    def ending(self) -> str:
        """Say what it is now."""
        story = self.story
        if story.entity is None:
            return "It is gone." if story.last else "It was never accepted."
        entity, name = story.entity, story.part
        if name and name not in (PLACE, DELETED):
            held = entity.fields.get(name)
            if held is None:
                return f"It has no {name}."
            return f"{name} is {shown(held.value)}, of seq {held.version}."
        if name == PLACE:
            return f"It lies in {_parent(entity)}, since seq {entity.place_version}."
        deleted = "It is deleted" if entity.deleted else "It is not deleted"
        return f"{deleted}; what wrote it last was seq {entity.version}."

    # As JSON

    def as_dict(self) -> dict[str, Any]:
        """The story as JSON has it."""
        story = self.story
        last = story.last
        return {
            "workspace": story.log.workspace,
            "entity": story.id,
            "kind": last.kind.value if last else None,
            "name": name_of(last) if last else "",
            "field": story.part or None,
            "older": story.log.horizon if story.older else None,
            "steps": [self._step(step) for step in story.steps],
            "now": _now(story),
        }

    def _step(self, step: Step) -> dict[str, Any]:
        return {
            "seq": step.seq,
            "action": step.action.value,
            "accepted": step.event is not None,
            "at": iso(step.at),
            "account": step.account,
            "username": self.names.account(step.account) if step.account else "",
            "device": step.device,
            "device_name": self.names.device(step.device) if step.device else "",
            "op": step.op,
            "parts": [_part(part) for part in step.parts],
            "losses": [self._loss(step, loss) for loss in step.losses],
        }

    def _loss(self, step: Step, loss: Loss) -> dict[str, Any]:
        fate = self.fate(step, loss)
        by = loss.by
        return {
            "part": loss.name,
            "rule": loss.rule,
            "message": loss.told or DISPUTED[ConflictCode(loss.rule)],
            "base": loss.base,
            "seen": loss.seen,
            "against": loss.against or None,
            "by": None if by is None else {"device": by.device, "op": by.op, "entity": by.entity},
            "value_hash": loss.value_hash.hex() or None,
            "stands_at": loss.stands_at or None,
            "again_at": loss.again_at or None,
            "where": None
            if fate is None
            else {"kind": fate.where, "id": fate.id or None, "state": fate.state or None},
        }


def shown(value: bytes) -> str:
    """Spell a field's value on one line, the beginning of a long one."""
    if value == REMOVED:
        return "nothing (removed)"
    text = printable(json_text(json_of(value)))
    return text if len(text) <= VALUE_SHOWN_MAX else f"{text[: VALUE_SHOWN_MAX - 1]}…"


def _change(part: Part, step: Step) -> str:
    if part.name == PLACE and step.event is not None and step.event.place is not None:
        return f"in {step.event.place.parent[:8] or 'the workspace'}"
    if part.name == DELETED:
        return "yes" if step.action is Action.DELETE else "no"
    if part.value is None:
        return ""
    before = f"{shown(part.before)} -> " if part.before is not None else ""
    return f"{before}{shown(part.value)}"


def _why(part: Part) -> str:
    told = ACCEPTED[part.rule]
    if part.base is not None and part.rule in ("base", "delete"):
        told += f" (seq {part.base})"
    if part.rule in ("equal", "prior"):
        told += f" (written at seq {part.replaced}, seen up to seq {part.base})"
    if part.seen:
        told += f"; they saw the value of seq {part.seen}"
    return f"{told}."


def _parent(entity: Entity) -> str:
    return entity.place.parent[:8] or "the workspace"


def _part(part: Part) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "part": part.name,
        "rule": part.rule,
        "message": ACCEPTED[part.rule],
        "base": part.base,
        "seen": part.seen,
        "replaced": part.replaced or None,
    }
    for name, value in (("before", part.before), ("value", part.value)):
        if value is not None and value != REMOVED:
            facts[name] = json_of(value)
    return facts


def _now(story: Story) -> dict[str, Any] | None:
    entity = story.entity
    if entity is None:
        return None
    facts: dict[str, Any] = {
        "version": entity.version,
        "deleted": entity.deleted,
        "parent": entity.place.parent,
        "position": entity.place.position,
    }
    held = entity.fields.get(story.part)
    if held is not None:
        facts["field_version"] = held.version
        if held.value != REMOVED:
            facts["value"] = json_of(held.value)
    return facts
