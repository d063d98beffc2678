"""What restoring an archive does to a workspace: edits, and conflicts where others were faster.

Nothing newer is overwritten: a field is set where it still is what the archived edit saw, merged
where that is possible, else it becomes a conflict (in the Scratch Pad, which has none, a copy). Ids
of what is made are derived from the archive's, so that restoring it again finds it made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.edits import Create, Delete, Edit, Move, Restore, Update
from kafkaman_sync.model.entities import PARENT_KINDS, ROOT, Kind, fits
from kafkaman_sync.model.merge import merge_field
from kafkaman_sync.model.planning import Scene
from kafkaman_sync.model.values import REMOVED, encode_value, read_value
from kafkaman_sync.model.view import ViewEntity, hiding
from kafkaman_sync.store.archive import Above, Archive, ArchivedChange


@dataclass(slots=True)
class Wish:
    """All that an archive says of one entity: what it should become.

    `fields` are (seen, wished) pairs, `held` the values that had been confirmed before. `parent` is
    None where its place was not changed.
    """

    entity: str
    workspace: str
    name: str
    kind: Kind | None = None
    made: dict[str, bytes] | None = None
    fields: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    held: dict[str, bytes] = field(default_factory=dict)
    values: dict[str, bytes] = field(default_factory=dict)
    parent: str | None = None
    above: tuple[Above, ...] = ()
    deleted: bool = False
    op: int = 0

    def add(self, change: ArchivedChange) -> None:
        """Take in one more change, in op order."""
        self.op = change.op
        self.kind = self.kind or change.kind
        self.above = change.above or self.above
        self.values = {**self.values, **change.values}
        if change.path:
            self.name = change.name
        if change.action is Action.DELETE:
            self.deleted = True
        elif change.action is Action.RESTORE:
            self.deleted = False
        if change.parent is not None:
            self.parent = change.parent
        if change.action is Action.CREATE:
            self.made = dict(change.fields)
            if change.confirmed:
                self.held = self.made
            return
        for name, value in change.fields.items():
            seen = self.fields[name][0] if name in self.fields else change.seen.get(name, REMOVED)
            self.fields[name] = seen, value

    def whole(self, shown: ViewEntity | None) -> dict[str, bytes]:
        """Return the entity's fields with the wishes, to make it anew."""
        known = dict(shown.fields) if shown is not None else {}
        wished = {name: value for name, (_, value) in self.fields.items()}
        fields = {**known, **self.values, **(self.made or {}), **wished}
        return {name: value for name, value in fields.items() if value != REMOVED}


@dataclass(frozen=True, slots=True)
class Dispute:
    """A field whose value is neither what the archived edit saw nor what it wished."""

    id: str
    wish: Wish
    entity: ViewEntity
    field: str
    seen: bytes
    mine: bytes


@dataclass(slots=True)
class Restoration:
    """What is to be done, and what a person is told of it. Names are paths."""

    edits: list[Edit] = field(default_factory=list)
    disputes: list[Dispute] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def wishes_of(archive: Archive) -> dict[str, Wish]:
    """Return what the archive wishes for each entity, in the order of its changes.

    Conflicts that nobody decided are wishes too; what a person gave up for theirs is none.
    """
    wishes: dict[str, Wish] = {}
    for change in _changes(archive):
        wish = wishes.get(change.entity)
        if wish is None:
            wish = wishes[change.entity] = Wish(change.entity, change.workspace, change.name)
        wish.add(change)
    for conflict in archive.conflicts:
        if conflict.open and conflict.field:
            wishes[conflict.change.entity].fields[conflict.field] = conflict.base, conflict.mine
    return wishes


def _changes(archive: Archive) -> Iterator[ArchivedChange]:
    disputed = (each.change for each in archive.conflicts if each.open)
    yield from sorted([*archive.changes, *disputed], key=lambda each: each.op)


def new_id(archive: Archive, workspace: str, *parts: str) -> str:
    """Return an id that this archive gives to something in this workspace, always the same."""
    text = "\0".join((archive.id, archive.account, workspace, *parts))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def touched(archive: Archive, workspace: str, wishes: Mapping[str, Wish]) -> set[str]:
    """Return the ids that `plan_restoration` must find in its scene, where they exist."""
    ids: set[str] = set()
    for wish in wishes.values():
        parents = [wish.parent or "", *(each.id for each in wish.above[-1:])]
        ids.update(filter(None, (wish.entity, *parents)))
    derived = {new_id(archive, workspace, each) for each in ids}
    copies = {new_id(archive, workspace, "copy", each) for each in wishes}
    return ids | derived | copies | {new_id(archive, workspace, "collection")}


def plan_restoration(
    archive: Archive, scene: Scene, *, deletes: bool, copies: bool, today: date
) -> Restoration:
    """Return what restores `archive` in the workspace of `scene`.

    `deletes` also deletes what the archive deleted; `copies` makes copies in place of conflicts.
    """
    planner = _Planner(archive, scene, copies=copies, today=today)
    for wish in planner.wishes.values():
        planner.fulfil(wish, deletes=deletes)
    return planner.found


class _Planner:
    def __init__(self, archive: Archive, scene: Scene, *, copies: bool, today: date) -> None:
        self.wishes = wishes_of(archive)
        self.found = Restoration()
        self._archive = archive
        self._scene = scene
        self._copies = copies
        self._today = today
        # Where each wish's entity is, or will be; those being made meanwhile end a circle.
        self._places: dict[str, str | None] = {}
        self._kinds: dict[str, Kind] = {}

    def fulfil(self, wish: Wish, *, deletes: bool) -> None:
        if wish.deleted:
            self._delete(wish, wanted=deletes)
            return
        if wish.entity in self._places:
            return
        at = self._find(wish)
        if at is None:
            self._make(wish)
            return
        self._places[wish.entity] = at
        if not (self._set_fields(wish, at) | self._move(wish, at)):
            self.found.already.append(wish.name)

    # What is there

    def _alive(self, entity: str) -> bool:
        entities = self._scene.entities
        return entity in entities and hiding(entities, entity) is None

    def _own(self, entity: str) -> str:
        return new_id(self._archive, self._scene.workspace, entity)

    def _find(self, wish: Wish) -> str | None:
        """Return the id under which a wish's entity is shown in this workspace."""
        here = wish.workspace == self._scene.workspace
        if here and self._alive(wish.entity):
            return wish.entity
        return self._own(wish.entity) if self._alive(self._own(wish.entity)) else None

    def _delete(self, wish: Wish, *, wanted: bool) -> None:
        at = self._find(wish)
        if at is None:
            self.found.already.append(wish.name)
        elif wanted:
            self.found.edits.append(Delete(at))
            self.found.deleted.append(wish.name)
        else:
            self.found.skipped.append((wish.name, "delete"))

    # What is missing

    def _make(self, wish: Wish) -> str | None:
        """Create a wish's entity anew, in its old place or in one for what lost its place."""
        shown = self._scene.entities.get(wish.entity)
        kind = wish.kind or (shown.kind if shown else None)
        self._places[wish.entity] = None
        if kind is None or not (wish.made or wish.values or shown):
            self.found.skipped.append((wish.name, "gone"))
            return None
        parent = self._parent(wish, kind)
        unused = wish.workspace == self._scene.workspace and shown is None and wish.made is not None
        entity = wish.entity if unused else self._own(wish.entity)
        if entity in self._scene.entities:  # it was restored before, and deleted since
            self.found.edits.append(Restore(entity, parent))
        else:
            self.found.edits.append(Create(entity, kind, parent, wish.whole(shown)))
        self._places[wish.entity] = entity
        self._kinds[entity] = kind
        self.found.created.append(wish.name)
        return entity

    def _parent(self, wish: Wish, kind: Kind) -> str:
        """Return where a new entity goes."""
        known = wish.above[-1].id if wish.above else None
        wanted = wish.parent if wish.parent is not None else known
        if wanted in (None, ROOT) and fits(kind, None):
            return ROOT
        found = self._there(wanted) if wanted else None
        if found is not None and fits(kind, self._kind(found)):
            return found
        return self._holder(kind, wanted or "", wish.above)

    def _there(self, entity: str) -> str | None:
        if entity in self._places:
            return self._places[entity]
        wish = self.wishes.get(entity)
        if wish is not None and not wish.deleted:
            found = self._find(wish)
            return found if found is not None else self._make(wish)
        own = self._own(entity)
        return next((each for each in (entity, own) if self._alive(each)), None)

    def _kind(self, entity: str) -> Kind | None:
        shown = self._scene.entities.get(entity)
        return shown.kind if shown is not None else self._kinds.get(entity)

    def _holder(self, kind: Kind, lost: str, above: tuple[Above, ...]) -> str:
        """Return a place for what lost its own: a collection of this day's, or a new parent."""
        parents = PARENT_KINDS[kind]
        if None in parents:
            return ROOT
        title = f"Restored {self._today.isoformat()}"
        if Kind.COLLECTION in parents:
            return self._ensure(("collection",), Kind.COLLECTION, ROOT, title)
        (holder,) = (each for each in parents if each is not None)
        name = above[-1].name if above else title
        where = ROOT if fits(holder, None) else self._holder(holder, "", ())
        return self._ensure((lost,), holder, where, name)

    def _ensure(self, parts: tuple[str, ...], kind: Kind, parent: str, name: str) -> str:
        entity = new_id(self._archive, self._scene.workspace, *parts)
        if self._alive(entity) or entity in self._kinds:
            return entity
        if entity in self._scene.entities:
            self.found.edits.append(Restore(entity, parent))
        else:
            self.found.edits.append(Create(entity, kind, parent, {"name": encode_value(name)}))
        self._kinds[entity] = kind
        return entity

    # What is there and different

    def _set_fields(self, wish: Wish, at: str) -> bool:
        shown = self._scene.entities[at]
        values: dict[str, bytes] = {}
        disputes: list[Dispute] = []
        held = {name: (REMOVED, value) for name, value in wish.held.items()}
        for name, (seen, mine) in {**held, **wish.fields}.items():
            now = shown.fields.get(name, REMOVED)
            merged = mine if now == seen else merge_field(shown.kind, name, seen, mine, now)
            if merged is None:
                key = new_id(self._archive, self._scene.workspace, "conflict", at, name)
                disputes.append(Dispute(key, wish, shown, name, seen, mine))
            elif merged != now:
                values[name] = merged
        if values:
            self.found.edits.append(Update(at, values))
            self.found.updated.append(wish.name)
        if disputes and self._copies:
            return self._copy(wish, shown, disputes) or bool(values)
        self.found.disputes += disputes
        return bool(values or disputes)

    def _copy(self, wish: Wish, shown: ViewEntity, disputes: Iterable[Dispute]) -> bool:
        entity = new_id(self._archive, self._scene.workspace, "copy", wish.entity)
        if entity in self._scene.entities:
            return False
        mine = {each.field: each.mine for each in disputes}
        fields = {name: data for name, data in {**shown.fields, **mine}.items() if data != REMOVED}
        title = read_value(fields["name"]) if "name" in fields else None
        if isinstance(title, str):
            fields["name"] = encode_value(f"{title} (restored)")
        self.found.edits.append(Create(entity, shown.kind, shown.parent, fields, after=shown.id))
        self.found.created.append(wish.name)
        return True

    def _move(self, wish: Wish, at: str) -> bool:
        if wish.parent is None or wish.made is not None:
            return False
        shown = self._scene.entities[at]
        parent = ROOT if wish.parent == ROOT else self._there(wish.parent)
        if parent is None:
            self.found.skipped.append((wish.name, "place"))
            return True
        if parent == shown.parent:
            return False
        self.found.edits.append(Move(at, parent))
        self.found.moved.append(wish.name)
        return True
