"""Decide what becomes of a change: the one place that rules over the log. Pure.

The journal loads the entities that a batch of changes touches into a World, asks `decide` for each
change in order, and writes what came out in one transaction. Rules: docs/protocol.md, "How the
server decides".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.apply import accepted_event, apply_event
from kafkaman_sync.model.changes import (
    Action,
    Change,
    ConflictCode,
    Disagreement,
    Event,
    FieldEdit,
    Refusal,
    Verdict,
)
from kafkaman_sync.model.digest import EMPTY_DIGEST, row_hash, shift_digest
from kafkaman_sync.model.entities import (
    ROOT,
    Entity,
    Field,
    Kind,
    Place,
    check_entity_size,
    fits,
    pack_fields,
)
from kafkaman_sync.model.immutable import immutable
from kafkaman_sync.model.limits import (
    ENTITY_BYTES_MAX,
    FIELD_NAME_BYTES_MAX,
    TREE_DEPTH_MAX,
)
from kafkaman_sync.model.values import hash_value

# So few fields of so few bytes are within an entity's limits, whatever their names.
_FIELDS_FEW: Final = 1024
_BYTES_FEW: Final = ENTITY_BYTES_MAX - _FIELDS_FEW * FIELD_NAME_BYTES_MAX

WRITERS: Final = frozenset({"owner", "editor"})
"""The roles that may change a workspace."""


@immutable
class Author:
    """Whose change it is; `role` is theirs in the workspace, empty when they have none."""

    account: str
    device: str
    role: str


class Entry(Struct, frozen=True, gc=False):
    """An entity with what deletion must know of its past.

    `writer` is the device that last wrote it and `foreign_version` the last version that another
    device than that one wrote (0: none). `packed` are its fields as bytes, None when they were not
    loaded.
    """

    entity: Entity
    writer: str
    foreign_version: int = 0
    packed: bytes | None = None

    def changed_by_others(self, device: str) -> int:
        """Return the last version that a device other than `device` wrote; 0 if there is none."""
        return self.foreign_version if self.writer == device else self.entity.version


@dataclass(slots=True)
class World:
    """The part of one workspace that a batch touches.

    Entities that changes name are loaded whole, their ancestors and, for deletions, what lies below
    may lack fields. `decide` advances it, so that later changes of the batch see earlier ones.
    """

    workspace: str
    head: int = 0
    digest: bytes = EMPTY_DIGEST
    entries: dict[str, Entry] = field(default_factory=dict)
    # Only deletions ask for it; None as long as none has.
    _children: dict[str, set[str]] | None = None

    def put(self, entry: Entry) -> None:
        """Add or replace an entity."""
        entity = entry.entity
        if self._children is not None:
            known = self.entries.get(entity.id)
            if known is not None:
                self._children[known.entity.place.parent].discard(entity.id)
            self._children.setdefault(entity.place.parent, set()).add(entity.id)
        self.entries[entity.id] = entry

    def take(self, entity: str) -> None:
        """Remove an entity."""
        taken = self.entries.pop(entity)
        if self._children is not None:
            self._children[taken.entity.place.parent].discard(entity)

    def get(self, entity: str) -> Entity | None:
        """Return an entity, None if it is not there."""
        entry = self.entries.get(entity)
        return entry.entity if entry else None

    def children(self, entity: str) -> frozenset[str]:
        """Return the ids of what lies directly in an entity, deleted or not."""
        return frozenset(self._below_each().get(entity, ()))

    def below(self, entity: str) -> list[Entry]:
        """Return the entity and all that lies below it, but nothing below what is deleted."""
        children = self._below_each()
        found: list[Entry] = []
        waiting = [entity]
        while waiting:
            entry = self.entries[waiting.pop()]
            found.append(entry)
            waiting.extend(
                child
                for child in children.get(entry.entity.id, ())
                if not self.entries[child].entity.deleted
            )
        return found

    def _below_each(self) -> dict[str, set[str]]:
        if self._children is None:
            self._children = {}
            for each, known in self.entries.items():
                self._children.setdefault(known.entity.place.parent, set()).add(each)
        return self._children

    def path_to_root(self, parent: str) -> list[Entity]:
        """Return the parent and its ancestors, nearest first, as far as they are there."""
        path: list[Entity] = []
        while parent != ROOT and len(path) <= TREE_DEPTH_MAX:
            entry = self.entries.get(parent)
            if entry is None:
                break
            path.append(entry.entity)
            parent = entry.entity.place.parent
        return path


class Decision(Struct, frozen=True, gc=False):
    """What became of a change; `event` is its new one, if it has one."""

    verdict: Verdict
    event: Event | None = None


def decide(world: World, change: Change, author: Author, *, at: int) -> Decision:
    """Decide `change` against `world`, which advances by it.

    `at` is the server's clock in milliseconds, recorded and never judged by. The caller has made
    sure that the op was not decided before.
    """
    rule = RULES[change.action]
    refusal = refuse(world, change, author)
    v = rule(world, change, author) if refusal is None else refusal
    verdict = Verdict(v.op, v.seq, v.event, at, v.accepted, v.disagreements, v.refusal)
    event = accepted_event(change, verdict, account=author.account, device=author.device)
    if event is not None:
        entry = world.entries.get(change.entity)
        after = apply_event(entry.entity if entry else None, event)
        assert after is not None
        _record(world, entry, after, author.device)
    return Decision(verdict, event)


def purge(world: World, entity: str, *, deleted_upto: int, at: int) -> Event | None:
    """Return the event that removes an entity for good from `world`, which advances by it.

    It is no device's change: the server purges what was deleted, or lies below what was, at or
    before `deleted_upto`. None if that is not so any more. Nothing may lie below the entity: purge
    that first, for nothing new comes to lie below what is deleted.
    """
    entry = world.entries.get(entity)
    if entry is None:
        return None
    path = [entry.entity, *world.path_to_root(entry.entity.place.parent)]
    if not any(each.deleted and each.deleted_version <= deleted_upto for each in path):
        return None
    removed = row_hash(world.workspace, entry.entity, entry.packed)
    world.take(entity)
    world.head += 1
    world.digest = shift_digest(world.digest, removed, 0)
    return Event(world.workspace, world.head, Action.PURGE, entity, "", "", 0, at)


def _record(world: World, entry: Entry | None, after: Entity, device: str) -> None:
    workspace = world.workspace
    if entry is None:
        removed = foreign_version = 0
    else:
        removed = row_hash(workspace, entry.entity, entry.packed)
        foreign_version = entry.changed_by_others(device)
    packed = pack_fields(after.fields)
    world.put(Entry(after, device, foreign_version, packed))
    world.head = after.version
    world.digest = shift_digest(world.digest, removed, row_hash(workspace, after, packed))


def refuse(world: World, change: Change, author: Author) -> Verdict | None:
    """Return the refusal of a change that no state could save; None: the rule of its action."""
    if author.role not in WRITERS:
        return _refused(change, "permission.denied", "You may not change this workspace.")
    # A base from the future cannot be: the device would be judging values that nobody has written.
    head = world.head
    for base in (change.base, *[edit.base for edit in change.fields.values()]):
        if base > head:
            return _refused(change, "base.unknown", "The change is based on a seq not yet written.")
    return None


def _refused(change: Change, code: str, message: str) -> Verdict:
    return Verdict(change.op, refusal=Refusal(code, message))


def _accepted(
    world: World,
    change: Change,
    names: tuple[str, ...] = (),
    disagreements: tuple[Disagreement, ...] = (),
) -> Verdict:
    return Verdict(
        change.op, seq=world.head + 1, event=True, accepted=names, disagreements=disagreements
    )


def _disputed(change: Change, code: ConflictCode, version: int) -> Verdict:
    return Verdict(change.op, disagreements=(Disagreement(code, version=version),))


def hidden_by(world: World, entity: Entity) -> Entity | None:
    """Return the deleted entity that hides `entity`: itself or the nearest ancestor, or None."""
    return entity if entity.deleted else _deleted(world.path_to_root(entity.place.parent))


def _deleted(path: list[Entity]) -> Entity | None:
    for entity in path:
        if entity.deleted:
            return entity
    return None


def _decide_create(world: World, change: Change, author: Author) -> Verdict:
    assert change.place is not None
    if world.get(change.entity) is not None:
        return _refused(change, "entity.exists", "An entity of this id exists already.")
    refusal = _place_refusal(world, change, change.place)
    if refusal is not None:
        return refusal
    return _size_refusal(change, {}) or _accepted(world, change, tuple(sorted(change.fields)))


def _place_refusal(world: World, change: Change, place: Place) -> Verdict | None:
    """Judge the parent of a new entity: it must be there, be alive, fit, and not lie too deep."""
    if place.parent == ROOT:
        parent = None
    else:
        path = world.path_to_root(place.parent)
        if not path:
            return _refused(change, "parent_refused", "The parent was never accepted.")
        parent = path[0]
        if _deleted(path) is not None:
            return _refused(change, "parent.deleted", "The parent is deleted.")
        if len(path) >= TREE_DEPTH_MAX:
            return _refused(change, "limit.depth", f"Folders nest at most {TREE_DEPTH_MAX} deep.")
    assert change.kind is not None
    return _misfit(change, change.kind, parent)


def _misfit(change: Change, kind: Kind, parent: Entity | None) -> Verdict | None:
    """Refuse a parent of a kind that `kind` cannot lie in; None is the workspace."""
    if fits(kind, parent.kind if parent else None):
        return None
    where = parent.kind.phrase if parent else "the workspace itself"
    return _refused(change, "parent.kind", f"{kind.phrase.capitalize()} cannot lie in {where}.")


def _size_refusal(change: Change, held: Mapping[str, Field]) -> Verdict | None:
    """Refuse what would make the entity, with the fields that it has, larger than the limits."""
    # An upper bound decides nearly always: what is replaced counts twice in it.
    size = sum([len(edit.value) for edit in change.fields.values()])
    size += sum([len(known.value) for known in held.values()])
    if len(change.fields) + len(held) <= _FIELDS_FEW and size <= _BYTES_FEW:
        return None
    sizes = {name: len(known.value) for name, known in held.items()}
    for name, edit in change.fields.items():
        sizes[name] = len(edit.value)
    try:
        check_entity_size(sizes.items())
    except ModelError as error:
        return _refused(change, error.code, error.message)
    return None


def _decide_update(world: World, change: Change, author: Author) -> Verdict:
    entity = world.get(change.entity)
    if entity is None:
        return _disputed(change, ConflictCode.DELETED, 0)
    hidden = hidden_by(world, entity)
    if hidden is not None:
        return _disputed(change, ConflictCode.DELETED, hidden.deleted_version)
    accepted: list[str] = []
    disagreements: list[Disagreement] = []
    for name in sorted(change.fields):
        held = entity.fields.get(name)
        if field_accepted(held, change.fields[name]):
            accepted.append(name)
        else:
            assert held is not None
            disagreements.append(Disagreement(ConflictCode.FIELD, name, held.value, held.version))
    if not accepted:
        return Verdict(change.op, disagreements=tuple(disagreements))
    return _size_refusal(change, entity.fields) or _accepted(
        world, change, tuple(accepted), tuple(disagreements)
    )


def field_accepted(held: Field | None, edit: FieldEdit) -> bool:
    """A field is free to write if nobody wrote it since, or what the person saw still stands."""
    if held is None or held.version <= edit.base:
        return True
    return held.value == edit.value or hash_value(held.value) == edit.prior


def _decide_delete(world: World, change: Change, author: Author) -> Verdict:
    entity = world.get(change.entity)
    if entity is None or entity.deleted:
        return Verdict(change.op, seq=world.head)
    changed = max(entry.changed_by_others(author.device) for entry in world.below(entity.id))
    if changed > change.base:
        return _disputed(change, ConflictCode.CHANGED, changed)
    return _accepted(world, change)


def _decide_move(world: World, change: Change, author: Author) -> Verdict:
    assert change.place is not None
    entity = world.get(change.entity)
    if entity is None:
        return _disputed(change, ConflictCode.DELETED, 0)
    obstacle = hidden_by(world, entity)
    if obstacle is not None:
        return _disputed(change, ConflictCode.PLACE, obstacle.deleted_version)
    return _arrival(world, change, entity, change.place) or _accepted(world, change)


def _arrival(world: World, change: Change, entity: Entity, place: Place) -> Verdict | None:
    """Judge the parent that an existing entity is to lie under."""
    if place.parent == ROOT:
        parent = None
    else:
        path = world.path_to_root(place.parent)
        if not path:
            return _disputed(change, ConflictCode.PLACE, 0)
        parent = path[0]
        if any(ancestor.id == entity.id for ancestor in path):
            return _refused(change, "move.cycle", "An entity cannot lie inside itself.")
        obstacle = _deleted(path)
        if obstacle is not None:
            return _disputed(change, ConflictCode.PLACE, obstacle.deleted_version)
        if len(path) >= TREE_DEPTH_MAX:
            return _refused(change, "limit.depth", f"Folders nest at most {TREE_DEPTH_MAX} deep.")
    return _misfit(change, entity.kind, parent)


def _decide_restore(world: World, change: Change, author: Author) -> Verdict:
    entity = world.get(change.entity)
    if entity is None:
        return _disputed(change, ConflictCode.DELETED, 0)
    obstacle = _arrival(world, change, entity, change.place or entity.place)
    if obstacle is not None:
        return obstacle
    if not entity.deleted and change.place is None:
        return Verdict(change.op, seq=world.head)
    return _accepted(world, change)


RULES: Final = {
    Action.CREATE: _decide_create,
    Action.UPDATE: _decide_update,
    Action.MOVE: _decide_move,
    Action.DELETE: _decide_delete,
    Action.RESTORE: _decide_restore,
}
"""What decides a change that `refuse` let pass, by its action."""
