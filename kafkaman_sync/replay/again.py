"""Events turned back into the changes they came from, so that they can be decided again."""

from __future__ import annotations

from kafkaman_sync.model.changes import Action, Basis, Change, FieldEdit
from kafkaman_sync.model.values import REMOVED, hash_value
from kafkaman_sync.replay.records import Logged

_NOTHING_SEEN = hash_value(REMOVED)


def change_of(logged: Logged) -> Change | None:
    """Return the change that became this event, without what was not accepted of it.

    None for a purge, which is no device's change. Where the basis was not kept, the change is taken
    to have been made in full view of all that came before it.
    """
    event, basis = logged.event, logged.basis
    if event.action is Action.PURGE:
        return None
    if basis is None:
        basis = Basis(max(event.op - 1, 0), event.seq - 1)
    fields = {}
    if event.fields:
        seen = dict(zip(sorted(event.fields), basis.fields, strict=False))
        for name, value in event.fields.items():
            base, prior = seen.get(name, (basis.base, _NOTHING_SEEN))
            fields[name] = FieldEdit(value, base, prior)
    return Change(
        op=event.op,
        previous=basis.previous,
        workspace=event.workspace,
        action=event.action,
        entity=event.entity,
        base=basis.base,
        kind=event.kind,
        place=event.place,
        fields=fields,
    )
