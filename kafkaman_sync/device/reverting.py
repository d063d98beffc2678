"""Going back: the edits that make an entity what it was, as far as that can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kafkaman_sync.device.naming import Spot
from kafkaman_sync.device.trash import check_place
from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.edits import Create, Edit, Move, Restore, Update
from kafkaman_sync.model.entities import ROOT, Entity, Place
from kafkaman_sync.model.values import REMOVED
from kafkaman_sync.model.view import ViewEntity
from kafkaman_sync.store import ViewChange

# Why a place may not be had any more: its parent is gone, deleted, inside the entity, or too deep.
_NO_PLACE: Final = frozenset(
    {"entity.not_found", "entity.deleted", "move.cycle", "limit.depth", "parent.kind"}
)


@dataclass(frozen=True, slots=True)
class Reversion:
    """What going back changed; `note` says why the entity did not go back to its place."""

    ops: int
    changes: Sequence[ViewChange]
    fields: tuple[str, ...] = ()
    restored: bool = False
    moved: bool = False
    note: str = ""


async def revert(spot: Spot, then: Entity, now: ViewEntity | None, parent: str | None) -> Reversion:
    """Make an entity what it was `then`; `parent` is where a person wants it instead.

    Its fields become what they were, and it goes to where it lay, if that is there. What is deleted
    is restored, what is gone for good is created anew. Raises ModelError.
    """
    if then.deleted:
        raise ModelError(
            "It was deleted then.",
            code="history.deleted_then",
            hint="Name another moment, or delete it with `kafkaman rm`.",
            entity=then.id,
        )
    if now is None:
        return await _create(spot, then, parent)
    hidden = await spot.store.hidden_by(spot.workspace, now.id) is not None
    fields = _difference(then, now)
    update: list[Edit] = [Update(now.id, fields)] if fields else []
    target = then.place.parent if parent is None else parent
    away = target != now.parent
    place: list[Edit] = [Restore(now.id, target if away else None)] if hidden else []
    if (away and not hidden) or (not away and now.position != then.place.position):
        place += await _way_back(spot, now, then.place, target)
    try:
        result = await spot.store.edit(spot.workspace, [*place, *update])
    except ModelError as error:
        if not place or parent is not None or error.code not in _NO_PLACE:
            raise
        if hidden:
            await check_place(spot, now, "--parent")
        stay: list[Edit] = [Restore(now.id)] if hidden else []
        result = await spot.store.edit(spot.workspace, [*stay, *update])
        note = f"It stays where it is, for it cannot go back to where it lay: {error.message}"
        return Reversion(result.ops, result.changes, tuple(fields), hidden, note=note)
    after = await spot.store.show(spot.workspace, now.id)
    moved = after.parent != now.parent or (not hidden and after.position != now.position)
    return Reversion(result.ops, result.changes, tuple(fields), hidden, moved)


def _difference(then: Entity, now: ViewEntity) -> dict[str, bytes]:
    """Return the values that bring the fields back."""
    names = sorted({*then.values, *now.fields})
    return {
        name: then.values.get(name, REMOVED)
        for name in names
        if then.values.get(name, REMOVED) != now.fields.get(name, REMOVED)
    }


async def _create(spot: Spot, then: Entity, parent: str | None) -> Reversion:
    where = then.place.parent if parent is None else parent
    position = then.place.position if parent is None else None
    create = Create(then.id, then.kind, where, then.values, position=position)
    try:
        result = await spot.store.edit(spot.workspace, [create])
    except ModelError as error:
        if parent is not None or where == ROOT or error.code not in _NO_PLACE:
            raise
        raise ModelError(
            f"It was removed for good, and cannot be made anew where it lay. {error.message}",
            code="parent.gone",
            hint="Say where it shall lie: add `--parent PARENT`.",
            entity=then.id,
        ) from error
    return Reversion(result.ops, result.changes, tuple(sorted(then.values)), restored=True)


async def _way_back(spot: Spot, now: ViewEntity, then: Place, target: str) -> list[Edit]:
    """Return the move to the place among those that are siblings now."""
    try:
        siblings = await spot.store.children(spot.workspace, target)
    except ModelError:
        return [Move(now.id, target)]  # whose own error says what is wrong with it
    others = [each for each in siblings if each.id != now.id]
    if then.parent != target or not others:
        return [Move(now.id, target)] if target != now.parent else []
    if target == now.parent and _between(others, now.position) == _between(others, then.position):
        return []
    index = _between(others, then.position)
    if index < len(others):
        return [Move(now.id, target, before=others[index].id)]
    return [Move(now.id, target, after=others[-1].id)]


def _between(siblings: Sequence[ViewEntity], position: str) -> int:
    """Return how many siblings come before a position."""
    return sum(each.position < position for each in siblings)
