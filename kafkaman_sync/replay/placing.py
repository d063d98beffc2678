"""What the rules plainly accept of creates, moves, deletes and restores, with little work for each.

It says yes only where the rules in `decide` would, by their own predicates; where it does not,
those must be asked.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.msgpack import Decoder, Encoder

from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import (
    ROOT,
    Count,
    FieldValue,
    Kind,
    Place,
    fits,
    is_id,
    is_position,
)
from kafkaman_sync.model.limits import FIELD_NAME_BYTES_MAX, TREE_DEPTH_MAX
from kafkaman_sync.replay.held import Held, hold_parts
from kafkaman_sync.replay.judging import FIELDS_FEW
from kafkaman_sync.replay.rows import Rows

OP_BITS: Final = 48
"""An op of more bits is not looked at here."""

Op = Annotated[int, Meta(ge=1, lt=1 << OP_BITS)]
Name = Annotated[str, Meta(min_length=1, max_length=FIELD_NAME_BYTES_MAX // 4)]

_pack: Final = Encoder().encode


class Flagged(Struct, gc=False):
    """What an event that deletes or restores has behind its workspace, seq and action."""

    entity: str
    op: Op
    at: Count


class Moved(Flagged, gc=False):
    """What a move has."""

    parent: str
    position: str


class Created(Moved, gc=False):
    """What a create has."""

    kind: Kind
    fields: dict[Name, FieldValue]


_Reader = Decoder[Flagged] | Decoder[Moved] | Decoder[Created]
_FLAGGED: Final = Decoder(Flagged)
# Account and device come, too: so many entries leave room for nothing else.
USUAL: Final[dict[bytes, tuple[Action, int, _Reader]]] = {
    _pack(Action.CREATE): (Action.CREATE, 0x8C, Decoder(Created)),
    _pack(Action.MOVE): (Action.MOVE, 0x8A, Decoder(Moved)),
    _pack(Action.DELETE): (Action.DELETE, 0x88, _FLAGGED),
    _pack(Action.RESTORE): (Action.RESTORE, 0x88, _FLAGGED),
}
"""By how an action is packed: how an event of it begins that has what it needs, and its reader."""


class Placing:
    """Where rows lie, and what may come to lie there.

    `alive` has for each parent in which nothing is hidden, and that was asked for, how deep it is.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.alive: dict[str, int] = {ROOT: 0}

    def is_alive(self, parent: str) -> bool:
        """Tell whether what lies in `parent` is not hidden, and remember it."""
        depth = 0
        for row in self.rows.path(parent):
            if row.deleted:
                return False
            depth += 1
        self.alive[parent] = depth
        return True

    def forget(self, entity: str) -> None:
        """Take note that an entity was moved, deleted or restored."""
        if self.rows.children(entity):
            self.alive.clear()
            self.alive[ROOT] = 0
        else:
            self.alive.pop(entity, None)

    def placed(
        self, action: Action, event: Flagged, seq: int, device: str, base: int
    ) -> Held | None:
        """Return the row that an event leads to, None if the rules have to be asked.

        `base` is what its author had seen. Whoever wrote the row is not taken down.
        """
        row = self.rows.held[event.entity]
        if isinstance(event, Created):
            return None if row is not None else self._created(event, seq, device)
        # What lies in it would have to be looked at, too.
        if row is None or self.rows.children(event.entity):
            return None
        if action is Action.DELETE:
            accepted = not row.deleted and row.changed_by_others(device) <= base
            return row.moved(action, None, seq) if accepted else None
        if isinstance(event, Moved):
            place = Place(event.parent, event.position)
            alive = not row.deleted and (row.parent in self.alive or self.is_alive(row.parent))
            accepted = alive and is_position(event.position)
        else:
            place, accepted = None, row.deleted
        parent = row.parent if place is None else place.parent
        if not accepted or parent == event.entity or not self._fits(row.outlined().kind, parent):
            return None
        return row.moved(action, place, seq)

    def _created(self, event: Created, seq: int, device: str) -> Held | None:
        entity, fields = event.entity, event.fields
        legal = is_id(entity) and is_position(event.position) and len(fields) <= FIELDS_FEW
        if not legal or not self._fits(event.kind, event.parent):
            return None
        head = (entity, event.kind, event.parent, event.position, seq, False, seq)
        return hold_parts(
            _pack(head),
            {name: _pack(name) + _pack((fields[name], seq)) for name in sorted(fields)},
            parent=event.parent,
            deleted=False,
            version=seq,
            writer=device,
        )

    def _fits(self, kind: Kind, parent: str) -> bool:
        """Tell whether something of a kind may come to lie in a parent."""
        if parent == ROOT:
            return fits(kind, None)
        row = self.rows.held[parent]
        if row is None or (parent not in self.alive and not self.is_alive(parent)):
            return False
        return self.alive[parent] < TREE_DEPTH_MAX and fits(kind, row.outlined().kind)
