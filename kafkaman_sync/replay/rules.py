"""The rules by which a change was accepted or not, each with a stable code and in words."""

from __future__ import annotations

from typing import Final

from kafkaman_sync.model.changes import Action, Basis, ConflictCode, Event, FieldEdit
from kafkaman_sync.model.entities import Entity, Field
from kafkaman_sync.model.values import hash_value

ACCEPTED: Final = {
    "create": "there was no such entity, and its parent was there",
    "new": "nobody had written this field before",
    "base": "nobody had written it since what its author had seen",
    "equal": "it had been written since, with the same value",
    "prior": "it had been written since, but what its author saw stood there again",
    "move": "the last move wins",
    "delete": "no other device had changed it, nor what lies below, since what its author had seen",
    "restore": "what is deleted comes back",
    "purge": "it had been in the trash for as long as the server keeps it",
    "unknown": "what it was based on is not known: an early release or a capture did not keep it",
    "none": "no rule would have accepted it: `replay verify` tells more",
}
"""Why a change, or a field of one, was accepted."""

DISPUTED: Final = {
    ConflictCode.FIELD: "it had been written since what its author had seen, with another value",
    ConflictCode.DELETED: "what it changes, or something above it, was deleted or gone",
    ConflictCode.CHANGED: "another device had changed what it deletes",
    ConflictCode.PLACE: "it leads out of or into something deleted",
}
"""Why a part of a change was not accepted: a conflict. A refusal has a code of its own."""

_WHOLE: Final = {
    Action.CREATE: "create",
    Action.MOVE: "move",
    Action.DELETE: "delete",
    Action.RESTORE: "restore",
    Action.PURGE: "purge",
}


def field_rule(held: Field | None, edit: FieldEdit | None, value: bytes) -> str:
    """Return the code of the rule by which a field was accepted; `held` is what stood before.

    The order is that in which the server asks.
    """
    if held is None:
        return "new"
    if edit is None:
        return "unknown"
    if held.version <= edit.base:
        return "base"
    if held.value == value:
        return "equal"
    return "prior" if hash_value(held.value) == edit.prior else "none"


def whole_rule(event: Event, before: Entity | None, basis: Basis | None) -> str:
    """Return the code of the rule by which a change was accepted that is no update."""
    if event.action is Action.DELETE and basis is None:
        return "unknown"
    if before is None and event.action in (Action.MOVE, Action.DELETE, Action.RESTORE):
        return "none"
    return _WHOLE[event.action]
