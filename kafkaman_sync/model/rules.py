"""What every edit is held to, each with the error that says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.entities import (
    PARENT_KINDS,
    Kind,
    check_entity_values,
    check_field,
    fits,
)
from kafkaman_sync.model.limits import (
    ENTITY_BYTES_MAX,
    FIELD_NAME_BYTES_MAX,
    FIELD_VALUE_BYTES_MAX,
    TREE_DEPTH_MAX,
)
from kafkaman_sync.model.view import ViewEntity

# So few fields of so few bytes are within an entity's limits, whatever their names.
_FIELDS_FEW: Final = 512
_BYTES_FEW: Final = ENTITY_BYTES_MAX - 2 * _FIELDS_FEW * FIELD_NAME_BYTES_MAX


def check_values(fields: Mapping[str, bytes], held: Mapping[str, bytes]) -> None:
    """Raise ModelError when a field's name or bytes are over a limit, or the entity would be.

    `held` are the fields that it has.
    """
    names = "".join(fields)
    size = sum(map(len, fields.values()))
    plain = names.isascii() and "" not in fields
    if plain and len(names) <= FIELD_NAME_BYTES_MAX and size <= FIELD_VALUE_BYTES_MAX:
        # All together are within the limits of one field, as they nearly always are; and so few
        # that a bound on what they make of the entity nearly always does.
        if not held or (len(held) <= _FIELDS_FEW and size + _bytes(held) <= _BYTES_FEW):
            return
    else:
        for name, value in fields.items():
            check_field(name, value)
    check_entity_values({**held, **fields})


def _bytes(fields: Mapping[str, bytes]) -> int:
    return sum(map(len, fields.values()))


def check_fit(kind: Kind, parent: Kind | None) -> None:
    """Raise ModelError when an entity of `kind` may not lie there (None: the workspace itself)."""
    if not fits(kind, parent):
        where = parent.phrase if parent else "the workspace itself"
        raise ModelError(
            f"{kind.phrase.capitalize()} cannot lie in {where}.",
            code="parent.kind",
            hint=f"It lies in {_places(kind)}; name one as its parent.",
        )


def _places(kind: Kind) -> str:
    """Return where an entity of a kind may lie, as a person would say it."""
    return " or ".join(
        sorted(parent.phrase if parent else "the workspace" for parent in PARENT_KINDS[kind])
    )


def check_depth(above: int) -> None:
    """Raise ModelError when something with `above` ancestors would lie too deep."""
    if above >= TREE_DEPTH_MAX:
        raise ModelError(
            f"Folders nest at most {TREE_DEPTH_MAX} deep.",
            code="limit.depth",
            hint="Choose a parent that lies less deep.",
        )


def not_found(entity: str) -> ModelError:
    """Return the error for an entity that is not there."""
    return ModelError(
        f"There is no entity {entity}.",
        code="entity.not_found",
        hint="List what there is with `kafkaman ls`.",
        entity=entity,
    )


def hidden_by(shown: ViewEntity, hidden: ViewEntity) -> ModelError:
    """Return the error for an entity that the deletion of `hidden` hides."""
    own = shown.id == hidden.id
    return ModelError(
        f"This {shown.kind} is deleted."
        if own
        else f"This {shown.kind} lies in a {hidden.kind} that is deleted.",
        code="entity.deleted",
        hint="Restore it first.",
        entity=shown.id,
        deleted=hidden.id,
    )
