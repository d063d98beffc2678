"""A draft: an entity of a file, before it has an id, a place or a version in a workspace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kafkaman_sync.model.values import Value

__all__ = ["CHILDREN_KEY", "Draft", "Value", "as_map", "as_names", "title"]

CHILDREN_KEY: Final = {
    "collection": "item",
    "folder": "item",
    "request": "response",
    "environment": "values",
}
"""The key of a file's list of children, by the parent's kind."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One entity with everything below it; `docs/formats.md` lists the fields of each kind.

    A field's name has at most 128 UTF-8 bytes. `children` are in sibling order.
    """

    kind: str
    fields: dict[str, Value]
    children: tuple[Draft, ...] = ()


def title(draft: Draft) -> str:
    """Give the text by which a person knows an entity: its name, or what comes closest to one."""
    fields = draft.fields
    for field in ("name", "key") if not draft.kind.endswith("variable") else ("key", "name"):
        value = fields.get(field)
        if isinstance(value, str) and value:
            return value
    parts: list[Value] = []
    if draft.kind == "request":
        url = fields.get("url")
        parts = [fields.get("method"), url.get("raw") if isinstance(url, dict) else url]
    elif draft.kind == "response":
        parts = [fields.get("code"), fields.get("status")]
    words = [str(part) for part in parts if isinstance(part, str | int) and part != ""]
    return " ".join(words) or f"Untitled {draft.kind.replace('_', ' ')}"


def as_map(value: Value) -> dict[str, Value]:
    """Give the value when it is a map, else an empty one: hints may be edited or damaged."""
    return value if isinstance(value, dict) else {}


def as_names(value: Value) -> list[str]:
    """Give the strings of a list, else nothing: hints may be edited or damaged."""
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
