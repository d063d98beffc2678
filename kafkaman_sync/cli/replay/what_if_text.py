"""The outcome of a what-if as JSON and as rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from kafkaman_sync.cli.output import json_text
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.model.entities import ROOT
from kafkaman_sync.model.tagged import json_of
from kafkaman_sync.model.values import Value
from kafkaman_sync.replay.order import Edit, Move, Skip
from kafkaman_sync.replay.otherwise import (
    EntityDifference,
    FieldDifference,
    Judged,
    Obstacle,
    Otherwise,
    Outcome,
    Shape,
    Word,
)
from kafkaman_sync.replay.records import Names
from kafkaman_sync.replay.seen import hash_of_unknown

_ID_DIGITS: Final = 8
_UNKNOWN: Final = "(a value that is not in the log)"
_OBSTACLES: Final = {
    "deleted": "it, or what it lies in, is deleted",
    "changed": "another device changed it, or what lies in it",
    "place": "it would lie in, or come out of, something deleted",
}


def outcome_dict(outcome: Outcome, names: Names) -> dict[str, Any]:
    """Return an outcome as `--json` has it."""
    return {
        "edits": [_edit_dict(edit) for edit in outcome.edits],
        "from": outcome.first,
        "head": outcome.head,
        "head_then": outcome.head_then,
        "decided": outcome.decided,
        "changes_count": outcome.changes_count,
        "changes": [_change_dict(each, names) for each in outcome.changes],
        "entities_count": outcome.entities_count,
        "entities": [_entity_dict(each) for each in outcome.entities],
        "notes": outcome.notes,
    }


def outcome_rows(outcome: Outcome, names: Names) -> Iterator[tuple[object, ...]]:
    """Yield an outcome as rows: changes first, then what is otherwise at the end."""
    for each in outcome.changes:
        device = names.device(each.device) if each.device else "the server"
        yield (
            *("change", each.seq, each.seq_then or "", each.action, each.entity, each.name),
            *(device, each.op, judged_text(each.was), judged_text(each.then)),
        )
    for entity in outcome.entities:
        head = ("entity", entity.id, entity.kind, entity.name)
        if entity.was != entity.then:
            yield (*head, "", shape_text(entity.was), shape_text(entity.then))
        for field in entity.fields:
            yield (*head, field.name, side_text(field.was), side_text(field.then))


def judged_text(judged: Judged) -> str:
    """Say what became of a change, in one line."""
    if judged.refusal is not None:
        return f"refused ({judged.refusal.code})"
    if judged.word is Word.NOTHING:
        return "nothing left to do"
    if judged.word is Word.KEPT:
        return "not purged"
    reasons = "; ".join(map(_obstacle_text, judged.obstacles))
    if judged.word is Word.PARTLY:
        return f"accepted: {', '.join(judged.accepted)}; conflict: {reasons}"
    return f"{judged.word.value}: {reasons}" if reasons else judged.word.value


def shape_text(shape: Shape | None) -> str:
    """Say where an entity lies, and whether it is deleted."""
    if shape is None:
        return "not there"
    where = "in the workspace" if shape.place.parent == ROOT else f"in {shape.place.parent[:8]}"
    return f"{where} at {shape.place.position}{', deleted' if shape.deleted else ''}"


def side_text(data: bytes | None) -> str:
    """Write a field's value as JSON; empty where there is none."""
    if data is None:
        return ""
    return _UNKNOWN if hash_of_unknown(data) is not None else json_text(json_of(data))


def side_values(data: bytes | None) -> list[Value]:
    """Return a side for `difference`: no item where there is no field."""
    if data is None:
        return []
    return [_UNKNOWN] if hash_of_unknown(data) is not None else [json_of(data)]


def summary(outcome: Outcome) -> str:
    """Say in one sentence what came out."""
    said = f"Decided again: {plural(outcome.decided, 'change')} from seq {outcome.first} on. "
    if not outcome.changes_count and not outcome.entities_count:
        return f"{said}All comes out as it did."
    ends = "the end is the same"
    if outcome.entities_count:
        verb = "is" if outcome.entities_count == 1 else "are"
        ends = f"{plural(outcome.entities_count, 'entity')} {verb} otherwise at the end"
    come = "comes" if outcome.changes_count == 1 else "come"
    changes = plural(outcome.changes_count, "change") if outcome.changes_count else "No change"
    return f"{said}{changes} {come if outcome.changes_count else 'comes'} out otherwise; {ends}."


def _obstacle_text(obstacle: Obstacle) -> str:
    what = obstacle.field or _OBSTACLES.get(obstacle.code.value, obstacle.code.value)
    if obstacle.seq == 0:
        return "it is not there"
    by = "by what had not been accepted" if obstacle.seq is None else f"by {obstacle.seq}"
    return f"{what} ({by})"


def _edit_dict(edit: Edit) -> dict[str, Any]:
    if isinstance(edit, Skip):
        return {"skip": edit.seq}
    if isinstance(edit, Move):
        return {"move": edit.seq, "before": edit.before}
    return {"swap": [edit.one, edit.other]}


def _change_dict(change: Otherwise, names: Names) -> dict[str, Any]:
    known = names.devices.get(change.device)
    return {
        "seq": change.seq,
        "seq_then": change.seq_then,
        "action": change.action.value,
        "entity": change.entity,
        "name": change.name,
        "account": change.account,
        "username": names.accounts.get(change.account, ""),
        "device": change.device,
        "device_name": "" if known is None else known.name,
        "op": change.op,
        "was": _judged_dict(change.was),
        "then": _judged_dict(change.then),
    }


def _judged_dict(judged: Judged) -> dict[str, Any]:
    refusal = judged.refusal
    return {
        "verdict": judged.word.value,
        "accepted": list(judged.accepted),
        "conflicts": [
            {"code": each.code.value, "field": each.field, "by": each.seq}
            for each in judged.obstacles
        ],
        "refusal": refusal and {"code": refusal.code, "message": refusal.message},
    }


def _entity_dict(entity: EntityDifference) -> dict[str, Any]:
    return {
        "id": entity.id,
        "kind": entity.kind.value,
        "name": entity.name,
        "was": _shape_dict(entity.was),
        "then": _shape_dict(entity.then),
        "fields": [_field_dict(each) for each in entity.fields],
    }


def _shape_dict(shape: Shape | None) -> dict[str, Any] | None:
    if shape is None:
        return None
    place = shape.place
    return {"parent": place.parent, "position": place.position, "deleted": shape.deleted}


def _field_dict(field: FieldDifference) -> dict[str, Any]:
    found: dict[str, Any] = {"field": field.name}
    for side, data in (("was", field.was), ("then", field.then)):
        unknown = None if data is None else hash_of_unknown(data)
        if unknown is not None:
            found[f"{side}_hash"] = unknown.hex()
        elif data is not None:
            found[side] = json_of(data)
    return found
