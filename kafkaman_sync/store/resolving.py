"""A person's choice about a conflict, as edits: mine again, theirs, another value, or both.

Every choice is made on the view as it is now, by ordinary edits with new op numbers; what the
record keeps is never changed. Rules: docs/conflicts.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from kafkaman_sync.database import Reader, Writer
from kafkaman_sync.errors import ModelError, UsageError
from kafkaman_sync.model.changes import Action, Change
from kafkaman_sync.model.edits import Create, Delete, Edit, Move, Restore, Update
from kafkaman_sync.model.entities import ROOT, Kind
from kafkaman_sync.model.merge import keep_both
from kafkaman_sync.model.planning import Scene
from kafkaman_sync.model.values import REMOVED, encode_value, read_value
from kafkaman_sync.model.view import ViewEntity, ancestors, hiding
from kafkaman_sync.protocol.records import decode_entity
from kafkaman_sync.store.conflicts import load_conflict, load_group
from kafkaman_sync.store.editing import Suffix, edit, load_chain
from kafkaman_sync.store.facts import ConflictRecord, EditResult
from kafkaman_sync.store.ledger import load_ledger
from kafkaman_sync.store.rows import Held, load_workspace
from kafkaman_sync.store.standing import between, load_standing

_VARIABLES: Final = (Kind.ENVIRONMENT_VARIABLE, Kind.GLOBAL_VARIABLE)


@dataclass(frozen=True, slots=True)
class Choice:
    """What becomes of a conflict: theirs stays, or with `mine` the own change is made again.

    With `mine`, `value` takes the place of the own value, `both` keeps the two, and `parent` says
    where what was to be created, moved or brought back shall lie. `version` is that of the state
    the person saw; a choice other than theirs is refused when there is a newer one.
    """

    mine: bool
    value: bytes | None = None
    both: bool = False
    parent: str | None = None
    version: int | None = None

    @property
    def word(self) -> str:
        """How the record says that it was closed."""
        if not self.mine:
            return "theirs"
        return "both" if self.both else "mine" if self.value is None else "value"


@dataclass(frozen=True, slots=True)
class Pen:
    """What new edits need besides the store: where, when, and the randomness of ids."""

    local: bool
    suffix: Suffix
    fresh_id: Callable[[], str]
    at: int


async def resolve(writer: Writer, conflict: str, choice: Choice, pen: Pen) -> EditResult:
    """Close a record, and those that depend on it, with a person's choice."""
    record = await load_conflict(writer, conflict)
    if record.head:
        raise ModelError(
            "This change depends on one that was refused, and is resolved together with it.",
            code="conflict.in_group",
            hint=f"Run `kafkaman conflicts show {record.head}`.",
            conflict=record.id,
            head=record.head,
        )
    result, ops = EditResult([record.entity], 0), []
    if choice.mine:
        await _check_seen(writer, record, choice)
        edits = await _edits(writer, record, choice, pen)
        ledger = await load_ledger(writer)
        edited = await edit(
            writer, ledger, record.workspace, edits, local=pen.local, suffix=pen.suffix, at=pen.at
        )
        result = edited.result
        ops = [(record.id, pending.op) for pending in edited.queued]
    await writer.run_many("UPDATE outbox SET resolves = ? WHERE op = ?", ops)
    await writer.run(
        "UPDATE conflicts SET state = ?, resolved_ops = ?, theirs = ?, theirs_version = ?"
        " WHERE id = ?",
        (choice.word, len(ops), record.theirs, record.theirs_version, record.id),
    )
    await writer.run(
        "UPDATE conflicts SET state = ? WHERE head = ? AND state = 'open'", (choice.word, record.id)
    )
    return result


async def _check_seen(reader: Reader, record: ConflictRecord, choice: Choice) -> None:
    if choice.version is None:
        return
    (standing,) = await load_standing(reader, [record])
    if standing.version != choice.version:
        raise ModelError(
            "The other side has changed since you looked.",
            code="conflict.changed",
            hint=f"Look again with `kafkaman conflicts show {record.id[:8]}`, then choose.",
            conflict=record.id,
            version=standing.version,
        )


async def _edits(reader: Reader, record: ConflictRecord, choice: Choice, pen: Pen) -> list[Edit]:
    held = await load_workspace(reader, record.workspace)
    group = await load_group(reader, record)
    again = _Again(record, await _load_scene(reader, held, group, choice), choice)
    if choice.both:
        again.keep_both(pen.fresh_id)
    else:
        for each in group:
            again.make(each)
    return again.edits


async def _load_scene(
    reader: Reader, held: Held, group: Sequence[ConflictRecord], choice: Choice
) -> Scene:
    ids = {choice.parent} if choice.parent else set()
    for record in group:
        ids.add(record.entity)
        places = [record.change.place]
        if record.snapshot is not None:
            places.append(decode_entity(record.snapshot).place)
        ids.update(place.parent for place in places if place is not None)
    scene = Scene(held.id, held.cursor)
    await load_chain(reader, held, scene, ids - {ROOT}, {record.entity for record in group})
    return scene


@dataclass(slots=True)
class _Again:
    """The edits that make a record's change, and what depends on it, once more."""

    record: ConflictRecord
    scene: Scene
    choice: Choice
    edits: list[Edit] = field(default_factory=list)
    made: set[str] = field(default_factory=set)

    # One change

    def make(self, record: ConflictRecord) -> None:
        """Make one change again; those it depends on come before it."""
        change = record.change
        here = self.scene.entities.get(change.entity)
        if change.entity in self.made:
            self._follow_up(change)
        elif here is not None:
            self._change(record, here)
        elif change.action is Action.CREATE:
            assert change.kind is not None
            assert change.place is not None
            values = {name: each.value for name, each in change.fields.items()}
            position = change.place.position if self._parent(record) is None else None
            parent = self._arrive(record, change.place.parent)
            self._create(Create(change.entity, change.kind, parent, values, position=position))
        elif change.action is not Action.DELETE:
            self._create_anew(record)

    def _parent(self, record: ConflictRecord) -> str | None:
        """Return the place that the person named; it is meant for the head of a group only."""
        return self.choice.parent if record.id == self.record.id else None

    def _values(self, record: ConflictRecord) -> dict[str, bytes]:
        """Return the values that the person wants."""
        values = {name: each.value for name, each in record.change.fields.items()}
        if self.choice.value is not None:
            return {_one_field(record): self.choice.value}
        return {record.field: values[record.field]} if record.field else values

    def _follow_up(self, change: Change) -> None:
        """Add what was done to something new after its creation."""
        if change.action is Action.UPDATE:
            values = {name: each.value for name, each in change.fields.items()}
            self.edits.append(Update(change.entity, values))
        elif change.action is Action.DELETE:
            self.edits.append(Delete(change.entity))
        elif change.action is Action.RESTORE:
            self.edits.append(Restore(change.entity))
        if change.place is not None:
            parent = change.place.parent
            if parent in self.scene.entities:
                self._revive(parent)
            elif parent not in self.made and parent != ROOT:
                return  # its new place is gone: it stays where it was made
            self.edits.append(Move(change.entity, parent))

    def _change(self, record: ConflictRecord, here: ViewEntity) -> None:
        change, named = record.change, self._parent(record)
        if change.action is Action.DELETE:
            _refuse_place(record, named)
            self.edits.append(Delete(here.id))
            return
        hidden = hiding(self.scene.entities, here.id) is not None
        if named is not None:
            if not hidden and change.place is None:
                _refuse_place(record, named)
            self._arrive(record, named)
            self.edits.append(Restore(here.id, named) if hidden else Move(here.id, named))
        elif hidden:
            self._revive(here.id)
        if change.fields:
            self.edits.append(Update(here.id, self._values(record)))
        elif self.choice.value is not None:
            _one_field(record)
        if named is None and change.place is not None and change.action is not Action.CREATE:
            self._arrive(record, change.place.parent)
            self._make_way(here, change.place.parent)
            self.edits.append(Move(here.id, change.place.parent))

    def _create(self, create: Create) -> None:
        kept = {name: value for name, value in create.fields.items() if value != REMOVED}
        self.edits.append(
            Create(create.id, create.kind, create.parent, kept, position=create.position)
        )
        self.made.add(create.id)

    def _create_anew(self, record: ConflictRecord) -> None:
        """Create an entity that is gone, with what was known of it."""
        if record.snapshot is None:
            raise ModelError(
                "The entity is gone, and nothing of it was kept but this change.",
                code="conflict.entity_gone",
                hint="Copy what you need of it, then resolve with --theirs.",
                conflict=record.id,
            )
        known = decode_entity(record.snapshot)
        place = record.change.place or known.place
        values = {**known.values, **self._values(record)}
        self._create(Create(known.id, known.kind, self._arrive(record, place.parent), values))

    # Places

    def _arrive(self, record: ConflictRecord, parent: str) -> str:
        """Return where it shall lie, having brought that back if it is deleted."""
        named = self._parent(record)
        parent = parent if named is None else named
        if parent == ROOT or parent in self.made:
            return parent
        if parent not in self.scene.entities:
            raise ModelError(
                "What it was to lie in is gone.",
                code="conflict.parent_gone",
                hint="Say where it shall lie: `kafkaman resolve ID --mine --to PARENT`.",
                conflict=record.id,
            )
        self._revive(parent)
        return parent

    def _revive(self, entity: str) -> None:
        """Restore an entity and all above it that is deleted, from the top down."""
        chain = [self.scene.entities[entity], *ancestors(self.scene.entities, entity)]
        self.edits += [Restore(each.id) for each in reversed(chain) if each.deleted]

    def _make_way(self, here: ViewEntity, parent: str) -> None:
        """Where the new parent lies inside the entity, take it out: it goes beside the entity."""
        inner = between(self.scene.entities, parent, here.id)
        if inner is not None:
            self.edits.append(Move(inner.id, here.parent, after=here.id))

    # Both

    def keep_both(self, fresh_id: Callable[[], str]) -> None:
        """Keep one value that holds both; else put a copy with the own one beside the entity."""
        record, name = self.record, self.record.field
        shown = self.scene.entities.get(record.entity)
        hidden = hiding(self.scene.entities, record.entity) is not None
        if not name or shown is None or hidden or record.mine is None:
            raise _no_both("There are no two values here to keep", record)
        base, theirs = record.base or REMOVED, shown.fields.get(name, REMOVED)
        joined = keep_both(shown.kind, name, base, record.mine, theirs)
        if joined is not None:
            self.edits.append(Update(shown.id, {name: joined}))
            return
        if shown.kind in _VARIABLES:
            raise _no_both("Two variables of one key would hide each other", record)
        fields = {**shown.without_removed().fields, name: record.mine}
        known = fields.get("name", REMOVED)
        title = read_value(known) if known != REMOVED else None
        if name != "name" and isinstance(title, str):
            fields["name"] = encode_value(f"{title} (mine)")
        kept = {each: value for each, value in fields.items() if value != REMOVED}
        self.edits.append(Create(fresh_id(), shown.kind, shown.parent, kept, after=shown.id))


def _one_field(record: ConflictRecord) -> str:
    """Return the field that a value is for."""
    names = [record.field] if record.field else list(record.change.fields)
    if len(names) != 1:
        raise UsageError(
            "This conflict is not about one field, so that no value can be given.",
            code="conflict.no_field",
            hint="Resolve it with --mine or --theirs, then set the fields you want.",
            conflict=record.id,
        )
    return names[0]


def _refuse_place(record: ConflictRecord, named: str | None) -> None:
    if named is not None:
        raise UsageError(
            "This conflict is not about a place.",
            code="conflict.no_place",
            hint="Resolve it with --mine or --theirs, then move what you want to move.",
            conflict=record.id,
        )


def _no_both(reason: str, record: ConflictRecord) -> ModelError:
    return ModelError(
        f"{reason}.",
        code="conflict.not_both",
        hint="Choose --mine or --theirs, or give another value with --value or --edit.",
        conflict=record.id,
    )
