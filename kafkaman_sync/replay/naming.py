"""What people call entities in a log: by id, by the beginning of one, or by a path of names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.entities import ROOT, Entity, Kind, is_id
from kafkaman_sync.model.values import REMOVED, read_value

CANDIDATES_MAX: Final = 10

_PREFIX: Final = re.compile(r"[0-9a-f]{4,31}")
_SLASH: Final = re.compile(r"(?<!\\)/")
_KEYED: Final = frozenset({Kind.ENVIRONMENT_VARIABLE, Kind.GLOBAL_VARIABLE})


def name_of(entity: Entity) -> str:
    """Return what a person calls an entity, empty if it has no name; variables go by their key."""
    return title_of(entity.kind, {name: held.value for name, held in entity.fields.items()})


def title_of(kind: Kind | None, values: Mapping[str, bytes]) -> str:
    """Return what a person calls an entity of that kind, and with those fields."""
    for name in ("key", "name") if kind in _KEYED else ("name", "key"):
        data = values.get(name, REMOVED)
        value = read_value(data) if data != REMOVED else None
        if isinstance(value, str) and value:
            return value
    return ""


def find_id(rows: Callable[[], Iterable[Entity]], text: str) -> str:
    """Return the id of the one entity that `text` stands for; `rows` gives all there are.

    An id stands for itself, also of what is not there. A path of names wins over the beginning of
    an id, and leads through what is not deleted. Raises ReplayError `entity.not_found`, or
    `entity.ambiguous` with the candidates. It holds what it has found, and no other rows.
    """
    if is_id(text):
        return text
    found = _by_path(rows, text)
    if not found and _PREFIX.fullmatch(text):
        found = [entity for entity in rows() if entity.id.startswith(text)]
    if len(found) == 1:
        return found[0].id
    if not found:
        raise ReplayError(
            f"There is no entity {text[:200]!r}.",
            code="entity.not_found",
            hint="Name it by its id, by the beginning of its id (4 digits or more), or by its path "
            "of names. What is gone is named by its whole id.",
        )
    raise ReplayError(
        f"{text[:200]!r} stands for {len(found)} entities.",
        code="entity.ambiguous",
        hint="Name it by its id.",
        candidates=[
            {"id": each.id, "kind": each.kind.value, "name": name_of(each)}
            for each in found[:CANDIDATES_MAX]
        ],
    )


def _by_path(rows: Callable[[], Iterable[Entity]], path: str) -> list[Entity]:
    found: list[Entity] = []
    parents = {ROOT}
    for step in _SLASH.split(path):
        name = step.replace("\\/", "/")
        found = [
            entity
            for entity in rows()
            if entity.place.parent in parents and not entity.deleted and name_of(entity) == name
        ]
        parents = {entity.id for entity in found}
        if not parents:
            return []
    return found
