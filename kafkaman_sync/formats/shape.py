"""How the object of a file and the fields of an entity correspond: one table for each kind.

A field has slots, the natural one first: places where files keep it. A slot is a key of the object
itself, or `section.key` for the object one level down (`request.url`, `info.name`). Whatever has
no slot goes to the field `extra`, or `<section>_extra`. What the fields cannot tell is noted in
the field `source`, and only where the file is not as we would write it:

    absent   names of parts that we would write and the file lacks
    at       field -> the slots where the file keeps it
    bare     true: the section is a string (a request that is only its URL)
    literal  the value itself, where the file has something else than an object

A note never wins over a field: it only chooses between spellings of the same fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from kafkaman_sync.formats.draft import Value, as_map, as_names

Fields = dict[str, Value]


class Slot(NamedTuple):
    """A place in the object, or in its section."""

    name: str
    in_section: bool
    key: str


@dataclass(frozen=True)
class Shape:
    """The table of one kind. `order` is how the keys of a written object follow each other."""

    fields: Mapping[str, Sequence[Slot]]
    section: str = ""
    children: str = ""
    bare: str = ""
    order: Sequence[str] = ()

    @property
    def section_extra(self) -> str:
        """The field for the section's unknown keys."""
        return f"{self.section}_extra"


def shape(
    fields: str, *, section: str = "", children: str = "", bare: str = "", order: str = ""
) -> Shape:
    """Build a table from text: `field=slot|slot field=slot ...`; a lone name is both."""
    table: dict[str, tuple[Slot, ...]] = {}
    for entry in fields.split():
        field, _, slots = entry.partition("=")
        table[field] = tuple(_slot(name) for name in (slots or field).split("|"))
    return Shape(table, section, children, bare, tuple(order.split()))


def _slot(name: str) -> Slot:
    section, dot, key = name.partition(".")
    return Slot(name, bool(dot), key if dot else section)


def read_fields(shape: Shape, value: Value) -> Fields:
    """Take an object's fields, and the notes without which it could not be written again."""
    if not isinstance(value, dict):
        return {"source": {"literal": value}}
    source: Fields = {}
    section = value.get(shape.section) if shape.section else None
    if shape.bare and isinstance(section, str):
        section = {shape.bare: section}
        source["bare"] = True
    inner = as_map(section)
    fields, outer_used, inner_used = _take(shape, value, inner, source)
    if isinstance(section, dict):
        outer_used.add(shape.section)
    children = value.get(shape.children)
    if shape.children and isinstance(children, list):
        outer_used.add(shape.children)
    absent: list[Value] = [
        part for part in (shape.section, shape.children) if part and part not in value
    ]
    if absent:
        source["absent"] = absent
    extra = {key: member for key, member in value.items() if key not in outer_used}
    if extra:
        fields["extra"] = extra
    section_extra = {key: member for key, member in inner.items() if key not in inner_used}
    if section_extra:
        fields[shape.section_extra] = section_extra
    if source:
        fields["source"] = source
    return fields


def _take(
    shape: Shape, outer: Fields, inner: Fields, source: Fields
) -> tuple[Fields, set[str], set[str]]:
    fields: Fields = {}
    at: Fields = {}
    outer_used: set[str] = set()
    inner_used: set[str] = set()
    for field, slots in shape.fields.items():
        names: list[Value] = []
        for slot in slots:
            holder, used = (inner, inner_used) if slot.in_section else (outer, outer_used)
            if slot.key not in holder:
                continue
            found = holder[slot.key]
            if not names:
                fields[field] = found
            elif not isinstance(found, str) or found != fields[field]:
                continue  # another value: it stays apart, among the unknown keys
            names.append(slot.name)
            used.add(slot.key)
        if names and names != [slots[0].name]:
            at[field] = names
    if at:
        source["at"] = at
    return fields, outer_used, inner_used


def write_fields(shape: Shape, fields: Fields, children: list[Value]) -> Value:
    """Write the object of some fields and the already written children."""
    source = as_map(fields.get("source"))
    if "literal" in source and not children and fields.keys() == {"source"}:
        return source["literal"]
    absent = as_names(source.get("absent"))
    at = as_map(source.get("at"))
    outer = dict(as_map(fields.get("extra")))
    inner = dict(as_map(fields.get(shape.section_extra))) if shape.section else {}
    for field, slots in shape.fields.items():
        if field in fields:
            noted = as_names(at.get(field))
            for slot in [slot for slot in slots if slot.name in noted] or slots[:1]:
                (inner if slot.in_section else outer)[slot.key] = fields[field]
    if shape.section:
        bare = inner.get(shape.bare) if source.get("bare") and len(inner) == 1 else None
        if isinstance(bare, str):
            outer[shape.section] = bare
        elif inner or not (shape.section in outer or shape.section in absent):
            outer[shape.section] = ordered(inner, shape.order)
    if shape.children and (children or not (shape.children in outer or shape.children in absent)):
        outer[shape.children] = children
    return ordered(outer, shape.order)


def ordered(members: Fields, order: Sequence[str]) -> Fields:
    """Put the known keys first, in the order in which people expect them."""
    known = {key: members[key] for key in order if key in members}
    return {**known, **members}


VARIABLE: Final = shape(
    "key value type enabled disabled name description id",
    order="id key value type name description enabled disabled",
)
