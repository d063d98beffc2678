"""What people call entities: their names, and finding one by id, prefix of an id, or path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from kafkaman_sync.errors import KafkamanError, ModelError
from kafkaman_sync.model.entities import ROOT, Kind, is_id
from kafkaman_sync.model.values import REMOVED, read_value
from kafkaman_sync.model.view import ViewEntity
from kafkaman_sync.store import Store

# Fewer digits would name an entity by accident.
PREFIX_DIGITS_MIN: Final = 4
CANDIDATES_MAX: Final = 10

_PREFIX: Final = re.compile(r"[0-9a-f]{4,31}")
_SLASH: Final = re.compile(r"(?<!\\)/")


@dataclass(frozen=True, slots=True)
class Spot:
    """A workspace on this device: the store it lies in, its id and name."""

    store: Store
    workspace: str
    name: str
    role: str


def name_of(entity: ViewEntity) -> str:
    """Return what a person calls an entity, empty if it has no name; variables go by their key."""
    keyed = entity.kind in (Kind.ENVIRONMENT_VARIABLE, Kind.GLOBAL_VARIABLE)
    for field in ("key", "name") if keyed else ("name", "key"):
        text = _text(entity.fields, field)
        if text:
            return text
    return ""


async def find_entity(spots: Iterable[Spot], text: str) -> tuple[Spot, ViewEntity]:
    """Return the one entity that `text` stands for, in the first of `spots` that has one.

    An id wins over a path of names, a path over a prefix of an id. Raises ModelError
    `entity.not_found`, or `entity.ambiguous` with the candidates.
    """
    spots = list(spots)
    if is_id(text):
        for spot in spots:
            entity = await _shown(spot, text)
            if entity is not None:
                return spot, entity
        raise _not_found(text)
    for spot in spots:
        entity = await _by_path(spot, text)
        if entity is not None:
            return spot, entity
    if _PREFIX.fullmatch(text):
        return await _by_prefix(spots, text)
    raise _not_found(text)


async def find_hidden(spots: Iterable[Spot], text: str) -> tuple[Spot, ViewEntity]:
    """Return the one entity in the trash that `text` stands for; it is named as any entity is.

    Its path is the one that it had. Raises ModelError `entity.not_found` or `entity.ambiguous`.
    """
    found: list[tuple[Spot, ViewEntity]] = []
    for spot in spots:
        found += [(spot, each) for each in await _hidden(spot, text)]
    if not found:
        raise ModelError(
            f"There is nothing {text[:200]!r} in the trash.",
            code="entity.not_found",
            hint="`kafkaman trash` lists what was deleted.",
        )
    if len(found) > 1:
        raise _ambiguous(text, [entity for _, entity in found])
    return found[0]


async def _hidden(spot: Spot, text: str) -> list[ViewEntity]:
    if is_id(text):
        return [each for each in [await _there(spot, text)] if each is not None]
    by_path = await _hidden_by_path(spot, text)
    if by_path or not _PREFIX.fullmatch(text):
        return by_path
    ids = await spot.store.find_hidden(spot.workspace, text, most=CANDIDATES_MAX + 1)
    return [await spot.store.show(spot.workspace, each, deleted=True) for each in ids]


async def _there(spot: Spot, entity: str) -> ViewEntity | None:
    if await spot.store.hidden_by(spot.workspace, entity) is None:
        return None
    return await spot.store.show(spot.workspace, entity, deleted=True)


async def _hidden_by_path(spot: Spot, path: str) -> list[ViewEntity]:
    # What lies in something deleted is hidden, deleted itself or not.
    level: list[tuple[str, bool]] = [(ROOT, False)]
    found: list[tuple[ViewEntity, bool]] = []
    for name in _steps(path):
        found = []
        for parent, hidden in level:
            below = await spot.store.children_with_hidden(spot.workspace, parent)
            found += [(each, hidden or each.deleted) for each in below if name_of(each) == name]
        level = [(entity.id, hidden) for entity, hidden in found]
    return [entity for entity, hidden in found if hidden]


def _steps(path: str) -> list[str]:
    return [part.replace("\\/", "/") for part in _SLASH.split(path)]


async def _shown(spot: Spot, entity: str) -> ViewEntity | None:
    try:
        return await spot.store.show(spot.workspace, entity)
    except ModelError as error:
        if error.code == "entity.not_found":
            return None
        raise


async def _by_path(spot: Spot, path: str) -> ViewEntity | None:
    found: list[ViewEntity] = []
    parents = [ROOT]
    for name in _steps(path):
        found = []
        for parent in parents:
            below = await spot.store.children(spot.workspace, parent, with_fields=True)
            found += [entity for entity in below if name_of(entity) == name]
        parents = [entity.id for entity in found]
    if len(found) > 1:
        raise _ambiguous(path, found)
    return found[0] if found else None


async def _by_prefix(spots: list[Spot], prefix: str) -> tuple[Spot, ViewEntity]:
    found: list[tuple[Spot, ViewEntity]] = []
    for spot in spots:
        for entity in await spot.store.find(spot.workspace, prefix):
            shown = await _shown(spot, entity)
            if shown is not None:
                found.append((spot, shown))
    if not found:
        raise _not_found(prefix)
    if len(found) > 1:
        raise _ambiguous(prefix, [entity for _, entity in found])
    return found[0]


def _text(fields: Mapping[str, bytes], field: str) -> str:
    data = fields.get(field, REMOVED)
    value = read_value(data) if data != REMOVED else None
    return value if isinstance(value, str) else ""


def _not_found(text: str) -> KafkamanError:
    return ModelError(
        f"There is no entity {text[:200]!r}.",
        code="entity.not_found",
        hint="Name it by id, by a unique prefix of its id, or by its path, as `kafkaman ls` shows. "
        "What was deleted is in `kafkaman trash`.",
    )


def _ambiguous(text: str, found: list[ViewEntity]) -> KafkamanError:
    candidates = [
        {"id": each.id, "kind": each.kind.value, "name": name_of(each)}
        for each in found[:CANDIDATES_MAX]
    ]
    return ModelError(
        f"{text[:200]!r} stands for {len(found)} entities.",
        code="entity.ambiguous",
        hint="Name it by its id.",
        candidates=candidates,
    )
