"""Turn a person's edits into changes: what each is based on, where it goes, whether it may be.

Pure: the store loads a Scene, `plan` says which changes the edits are, the store writes them in the
same transaction. Rules: docs/protocol.md, "What a change carries".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from msgspec import Struct

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.changes import Action, Change, FieldEdit
from kafkaman_sync.model.edits import Create, Delete, Edit, Move, Restore, Update
from kafkaman_sync.model.entities import ROOT, Entity, Kind, Place, is_id, is_position
from kafkaman_sync.model.limits import POSITION_BYTES_SOFT
from kafkaman_sync.model.ordering import position_between, positions_evenly
from kafkaman_sync.model.rules import check_depth, check_fit, check_values, hidden_by, not_found
from kafkaman_sync.model.values import REMOVED, hash_value
from kafkaman_sync.model.view import ViewEntity, ancestors, hiding, lay_over, sibling_order

_UNSEEN: Final = hash_value(REMOVED)


@dataclass(slots=True)
class Scene:
    """The part of one workspace's view that a batch of edits touches.

    `plan` advances it, but not by what no later edit looks at.
    `entities` holds everything the edits name, with fields where they edit them, all ancestors,
    and every child of the parents in `complete`. `ends` is the greatest position known below a
    parent. `edits` holds the newest pending edit of each field. `hiding` holds, for each entity
    with a pending edit that hides a newer value of another device, the base of that edit.
    `updates` are the pending updates of each entity that no later one covers.
    """

    workspace: str
    cursor: int
    entities: dict[str, ViewEntity] = field(default_factory=dict)
    edits: dict[str, dict[str, FieldEdit]] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    complete: set[str] = field(default_factory=set)
    hiding: dict[str, int] = field(default_factory=dict)
    updates: dict[str, dict[int, Change]] = field(default_factory=dict)

    def add_pending(self, change: Change) -> None:
        """Lay a pending change over the entities, in op order."""
        laid = lay_over(self.entities.get(change.entity), change)
        if laid is not None:
            self.entities[change.entity] = laid
        self.edits.setdefault(change.entity, {}).update(change.fields)
        if change.action is Action.UPDATE:
            self.updates.setdefault(change.entity, {})[change.op] = change

    def cover(self, change: Change) -> tuple[int, ...]:
        """Return the pending updates that an update makes invisible, and forget them."""
        if change.action is not Action.UPDATE:
            return ()
        updates = self.updates.get(change.entity, {})
        covered = [op for op, each in updates.items() if each.fields.keys() <= change.fields.keys()]
        for op in covered:
            del updates[op]
        return tuple(covered)


class Planned(Struct, frozen=True, gc=False):
    """A change, the field bytes that the person saw, and the pending ops that it covers."""

    change: Change
    seen: Mapping[str, bytes]
    covers: tuple[int, ...] = ()


class CrowdedError(Exception):
    """The children of `parent` must all be in the scene, to be spaced anew."""

    def __init__(self, parent: str) -> None:
        super().__init__(parent)
        self.parent = parent


def plan(
    scene: Scene,
    edits: Sequence[Edit],
    *,
    last_op: int,
    previous: int,
    suffix: Callable[[], str],
) -> list[Planned]:
    """Return the changes that `edits` are, numbered behind `last_op`.

    An edit that changes nothing makes no change. `previous` is the greatest op that waits in the
    outbox. Raises ModelError for an edit that breaks a rule; nothing of the batch may be kept then.
    Raises CrowdedError when siblings must be loaded to be spaced anew: load them and plan again.
    """
    planner = _Planner(scene, last_op, previous, suffix)
    last = {edit.id: edit for edit in edits}
    parents = {edit.parent for edit in edits if isinstance(edit, Create | Move | Restore)}
    for edit in edits:  # `again`: a later one is of the same entity, or puts something into it
        planner.add(edit, again=last[edit.id] is not edit or edit.id in parents)
    return planner.planned


def hidden_base(entity: Entity, changes: Sequence[Change]) -> int | None:
    """Return the lowest base of pending field edits that hide a newer value of another device.

    A confirmed value that is the one the person saw, or the one they wrote, is none that they do
    not know.
    """
    lowest: int | None = None
    for change in changes:
        for name, edit in change.fields.items():
            held = entity.fields.get(name)
            if held is None or held.version <= edit.base or held.value == edit.value:
                continue
            if hash_value(held.value) != edit.prior:
                lowest = edit.base if lowest is None else min(lowest, edit.base)
    return lowest


class _Planner:
    def __init__(
        self, scene: Scene, last_op: int, previous: int, suffix: Callable[[], str]
    ) -> None:
        self.planned: list[Planned] = []
        self._scene = scene
        self._last_op = last_op
        self._previous = previous
        self._suffix = suffix
        # Parents that were found to take a kind, and those that were found alive with all above
        # them, until something is moved, deleted or restored.
        self._open: set[tuple[str, Kind]] = set()
        self._sound: set[str] = set()

    def add(self, edit: Edit, *, again: bool) -> None:
        match edit:
            case Create():
                self._create(edit, again=again)
            case Update():
                self._update(edit, again=again)
            case Move():
                self._move(edit)
            case Delete():
                self._delete(edit)
            case Restore():
                self._restore(edit)
            case _:
                assert_never(edit)

    def _put(
        self,
        action: Action,
        entity: str,
        *,
        base: int | None = None,
        kind: Kind | None = None,
        place: Place | None = None,
        fields: Mapping[str, FieldEdit] | None = None,
        seen: Mapping[str, bytes] | None = None,
        laid: bool = True,
    ) -> None:
        self._last_op += 1
        change = Change(
            self._last_op,
            self._previous,
            self._scene.workspace,
            action,
            entity,
            self._scene.cursor if base is None else base,
            kind,
            place,
            fields or {},
        )
        self._previous = self._last_op
        if action is not Action.CREATE and action is not Action.UPDATE:
            self._open.clear()
            self._sound.clear()
        covers = self._scene.cover(change)
        if laid:
            self._scene.add_pending(change)
        if place is not None:
            end = self._scene.ends.get(place.parent)
            if end is None or place.position > end:
                self._scene.ends[place.parent] = place.position
        self.planned.append(Planned(change, seen or {}, covers))

    # Edits

    def _create(self, edit: Create, *, again: bool) -> None:
        if not is_id(edit.id):
            raise ModelError("An id is not 32 hexadecimal digits.", code="model.invalid")
        if edit.id in self._scene.entities:
            raise ModelError(
                "An entity of this id exists already.", code="entity.exists", entity=edit.id
            )
        self._check_parent(edit.parent, edit.kind)
        check_values(edit.fields, {})
        if edit.position is None:
            position = self._position(edit.parent, edit.before, edit.after)
        elif is_position(edit.position):
            position = edit.position
        else:
            raise ModelError("This is not a position.", code="model.invalid", entity=edit.id)
        cursor = self._scene.cursor
        self._put(
            Action.CREATE,
            edit.id,
            kind=edit.kind,
            place=Place(edit.parent, position),
            fields={
                name: FieldEdit(value, cursor, _UNSEEN)
                for name, value in edit.fields.items()
                if value != REMOVED
            },
            laid=again or edit.parent in self._scene.complete,
        )

    def _update(self, edit: Update, *, again: bool) -> None:
        shown = self._alive(edit.id)
        held = shown.fields
        check_values(edit.fields, held)
        seen = {
            name: known
            for name, value in edit.fields.items()
            if (known := held.get(name, REMOVED)) != value
        }
        if not seen:
            return
        own, values, cursor = self._scene.edits.get(edit.id), edit.fields, self._scene.cursor
        fields = {
            name: FieldEdit(
                values[name], own[name].base if own and name in own else cursor, hash_value(value)
            )
            for name, value in seen.items()
        }
        self._put(Action.UPDATE, edit.id, fields=fields, seen=seen, laid=again)

    def _move(self, edit: Move) -> None:
        shown = self._alive(edit.id)
        beside = edit.before or edit.after
        parent = edit.parent
        if parent is None:
            parent = self._alive(beside).parent if beside else shown.parent
        if beside is None and parent == shown.parent:
            return
        self._check_parent(parent, shown.kind, of=edit.id)
        if beside is not None and parent == shown.parent:
            lower, upper = self._neighbours(parent, edit.before, edit.after, but=edit.id)
            at = sibling_order(shown)
            if (lower is None or lower < at) and (upper is None or at < upper):
                return
        position = self._position(parent, edit.before, edit.after, of=edit.id)
        self._put(Action.MOVE, edit.id, place=Place(parent, position))

    def _delete(self, edit: Delete) -> None:
        shown = self._known(edit.id)
        if shown.deleted:
            return
        self._alive(edit.id)
        entities = self._scene.entities
        bases = [
            base
            for below, base in self._scene.hiding.items()
            if below == edit.id or any(above.id == edit.id for above in ancestors(entities, below))
        ]
        self._put(Action.DELETE, edit.id, base=min([self._scene.cursor, *bases]))

    def _restore(self, edit: Restore) -> None:
        shown = self._known(edit.id)
        hidden = hiding(self._scene.entities, edit.id)
        if hidden is None:
            return
        if edit.parent is None:
            if not shown.deleted:
                raise hidden_by(shown, hidden)
            self._check_parent(shown.parent, shown.kind, of=edit.id)
            self._put(Action.RESTORE, edit.id)
            return
        self._check_parent(edit.parent, shown.kind, of=edit.id)
        position = self._position(edit.parent, None, None, of=edit.id)
        self._put(Action.RESTORE, edit.id, place=Place(edit.parent, position))

    # Rules

    def _known(self, entity: str) -> ViewEntity:
        shown = self._scene.entities.get(entity)
        if shown is None:
            raise not_found(entity)
        return shown

    def _alive(self, entity: str) -> ViewEntity:
        shown = self._known(entity)
        if not shown.deleted and shown.parent in self._sound:
            return shown
        hidden = hiding(self._scene.entities, entity)
        if hidden is not None:
            raise hidden_by(shown, hidden)
        self._sound.add(shown.parent)
        return shown

    def _check_parent(self, parent: str, kind: Kind, *, of: str = "") -> None:
        """Judge a place as the server will: the parent is there, alive, fits, and is not inside."""
        if parent == ROOT:
            check_fit(kind, None)
            return
        if not of and (parent, kind) in self._open:
            return
        holder = self._alive(parent)
        check_fit(kind, holder.kind)
        path = [holder, *ancestors(self._scene.entities, parent)]
        if any(each.id == of for each in path):
            raise ModelError(
                "An entity cannot lie inside itself.",
                code="move.cycle",
                hint="Choose a parent that is not below it.",
                entity=of,
            )
        check_depth(len(path))
        self._open.add((parent, kind))

    # Positions

    def _position(self, parent: str, before: str | None, after: str | None, *, of: str = "") -> str:
        """Return a position for `of` (empty: something new); spaces the siblings anew if it must.

        Raises CrowdedError when it would have to, or must look at siblings that are not loaded.
        """
        lower: str | None
        upper: str | None = None
        if before is None and after is None:
            lower = self._scene.ends.get(parent)
        else:
            low, high = self._neighbours(parent, before, after, but=of)
            lower, upper = low and low[0], high and high[0]
        try:
            position = position_between(lower, upper, self._suffix())
        except ModelError:
            position = ""
        if 0 < len(position) <= POSITION_BYTES_SOFT:
            return position
        return self._space_anew(parent, before, after, of)

    def _siblings(self, parent: str, but: str) -> list[ViewEntity]:
        if parent not in self._scene.complete:
            raise CrowdedError(parent)
        return sorted(
            (
                each
                for each in self._scene.entities.values()
                if each.parent == parent and not each.deleted and each.id != but
            ),
            key=sibling_order,
        )

    def _neighbours(
        self, parent: str, before: str | None, after: str | None, *, but: str
    ) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
        """Return the order of the siblings to lie between; None at an end of the list."""
        siblings = self._siblings(parent, but)
        index = self._gap(siblings, before, after, but)
        lower = sibling_order(siblings[index - 1]) if index > 0 else None
        upper = sibling_order(siblings[index]) if index < len(siblings) else None
        return lower, upper

    def _gap(
        self, siblings: list[ViewEntity], before: str | None, after: str | None, but: str
    ) -> int:
        """Return how many siblings come before the place that is asked for."""
        beside = before or after
        if beside is None:
            return len(siblings)
        for index, sibling in enumerate(siblings):
            if sibling.id == beside:
                return index if before else index + 1
        self._alive(beside)
        what = "itself" if beside == but else "an entity with another parent"
        raise ModelError(
            f"The sibling to lie beside is {what}.",
            code="order.not_sibling",
            hint="Name an entity that lies in the same parent.",
            entity=beside,
        )

    def _space_anew(self, parent: str, before: str | None, after: str | None, of: str) -> str:
        siblings = self._siblings(parent, of)
        index = self._gap(siblings, before, after, of)
        positions = positions_evenly(len(siblings) + 1, self._suffix())
        own = positions.pop(index)
        for sibling, position in zip(siblings, positions, strict=True):
            self._put(Action.MOVE, sibling.id, place=Place(parent, position))
        self._scene.ends[parent] = max([own, *positions])
        return own
