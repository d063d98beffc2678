"""The view: what a person reads. Confirmed rows with the device's own pending changes over them.

The confirmed copy may be behind or half caught up, so a view tolerates parents that are absent and
cycles that will pass: what cannot be reached from the workspace is kept and not shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from kafkaman_sync.model.changes import Action, Change
from kafkaman_sync.model.entities import ROOT, Entity, Kind
from kafkaman_sync.model.immutable import immutable
from kafkaman_sync.model.values import REMOVED


@immutable
class ViewEntity:
    """An entity as its person sees it.

    `version` is the confirmed one (0: not confirmed yet). `fields` are canonical bytes; while
    changes are laid over it they include removed ones, see `without_removed`. `deleted` is its own
    flag. `pending` tells whether a change of this device has no verdict yet.
    """

    id: str
    workspace: str
    kind: Kind
    parent: str
    position: str
    version: int
    fields: Mapping[str, bytes]
    deleted: bool = False
    pending: bool = False

    def without_removed(self) -> ViewEntity:
        """Return it without the fields that were removed."""
        if REMOVED not in self.fields.values():
            return self
        kept = {name: value for name, value in self.fields.items() if value != REMOVED}
        return replace(self, fields=kept)


def confirmed_view(workspace: str, entity: Entity) -> ViewEntity:
    """Return a confirmed row as it looks with nothing pending."""
    return ViewEntity(
        id=entity.id,
        workspace=workspace,
        kind=entity.kind,
        parent=entity.place.parent,
        position=entity.place.position,
        version=entity.version,
        fields={name: held.value for name, held in entity.fields.items()},
        deleted=entity.deleted,
    )


def lay_over(shown: ViewEntity | None, change: Change) -> ViewEntity | None:
    """Return the entity with one more pending change over it, in op order; None if it is absent."""
    if shown is None:
        return _created(change)
    if change.action is Action.CREATE:
        # The confirmed row has arrived before the verdict: it is at least as new.
        return replace(shown, pending=True)
    if change.action is Action.UPDATE:
        fields = dict(shown.fields)
        for name, edit in change.fields.items():
            fields[name] = edit.value
        # What happens most is spelled out: `replace` takes ten times as long as the constructor.
        return ViewEntity(
            shown.id,
            shown.workspace,
            shown.kind,
            shown.parent,
            shown.position,
            shown.version,
            fields,
            shown.deleted,
            pending=True,
        )
    laid = shown
    if change.place is not None:
        laid = replace(shown, parent=change.place.parent, position=change.place.position)
    deleted = laid.deleted if change.action is Action.MOVE else change.action is Action.DELETE
    return replace(laid, deleted=deleted, pending=True)


def _created(change: Change) -> ViewEntity | None:
    if change.kind is None or change.place is None:
        return None
    return ViewEntity(
        id=change.entity,
        workspace=change.workspace,
        kind=change.kind,
        parent=change.place.parent,
        position=change.place.position,
        version=0,
        fields={name: edit.value for name, edit in change.fields.items()},
        pending=True,
    )


class Tree:
    """Entities of one workspace by parent, in the order of siblings."""

    def __init__(self, entities: Iterable[ViewEntity]) -> None:
        self._entities = {entity.id: entity for entity in entities}
        self._children: dict[str, list[ViewEntity]] = {}
        for entity in self._entities.values():
            self._children.setdefault(entity.parent, []).append(entity)
        for siblings in self._children.values():
            siblings.sort(key=sibling_order)

    def get(self, entity: str) -> ViewEntity | None:
        """Return an entity, deleted or not; None if it is absent."""
        return self._entities.get(entity)

    def children(self, parent: str) -> list[ViewEntity]:
        """Return what lies directly in `parent` and is not deleted, in order."""
        return [entity for entity in self._children.get(parent, ()) if not entity.deleted]

    def above(self, entity: str) -> list[ViewEntity]:
        """Return the ancestors of `entity`, nearest first, as far as they are there."""
        return ancestors(self._entities, entity)

    def hidden(self, entity: str) -> bool:
        """Tell whether the entity or something above it is deleted."""
        return hiding(self._entities, entity) is not None

    def trashed(self) -> list[ViewEntity]:
        """Return what is deleted and lies in nothing that is deleted."""
        return [
            each
            for each in self._entities.values()
            if each.deleted and not any(above.deleted for above in self.above(each.id))
        ]

    def below(self, entity: str) -> list[ViewEntity]:
        """Return all that is shown below `entity`, depth first, parents before children."""
        found: list[ViewEntity] = []
        seen = {entity}
        waiting = self.children(entity)[::-1]
        while waiting:
            child = waiting.pop()
            if child.id in seen:
                continue
            seen.add(child.id)
            found.append(child)
            waiting.extend(reversed(self.children(child.id)))
        return found


def sibling_order(entity: ViewEntity) -> tuple[str, str]:
    """Return what siblings are ordered by; both parts are ASCII, so text compares like bytes."""
    return entity.position, entity.id


def ancestors(entities: Mapping[str, ViewEntity], entity: str) -> list[ViewEntity]:
    """Return the ancestors of `entity`, nearest first, as far as they are there, each once."""
    found: list[ViewEntity] = []
    seen = {entity}
    here = entities.get(entity)
    while here is not None and here.parent != ROOT and here.parent not in seen:
        seen.add(here.parent)
        here = entities.get(here.parent)
        if here is not None:
            found.append(here)
    return found


def hiding(entities: Mapping[str, ViewEntity], entity: str) -> ViewEntity | None:
    """Return the deleted entity that hides `entity`: itself or the nearest above; None if shown."""
    own = entities.get(entity)
    if own is None:
        return None
    return next((each for each in (own, *ancestors(entities, entity)) if each.deleted), None)
