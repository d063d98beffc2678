"""Environments and globals: a list of variables, with or without an object around it."""

from __future__ import annotations

from functools import partial
from typing import Final

from kafkaman_sync.errors import FormatError
from kafkaman_sync.formats.draft import Draft, Value, as_map, as_names
from kafkaman_sync.formats.shape import VARIABLE, Fields, read_fields, shape, write_fields
from kafkaman_sync.formats.warnings import Warnings

SCOPE_KEY: Final = "_postman_variable_scope"

_ENVIRONMENT: Final = shape(
    f"id name scope={SCOPE_KEY}", children="values", order=f"id name values {SCOPE_KEY}"
)


def read_environment(
    document: Fields | list[Value], *, globals_: bool, warnings: Warnings
) -> Draft:
    """Read an environment or globals object, or a bare list of global variables."""
    kind = "global_variable" if globals_ else "environment_variable"
    values: Value
    if isinstance(document, list):
        values = document
        fields: Fields = {"scope": "globals", "source": {"list": True}}
    else:
        values = document.get("values")
        fields = read_fields(_ENVIRONMENT, document)
        if SCOPE_KEY not in document:
            source = as_map(fields.get("source"))
            source = {**source, "absent": [*as_names(source.get("absent")), SCOPE_KEY]}
            if globals_:
                source["scope"] = fields["scope"] = "globals"
            fields["source"] = source
    children: list[Draft] = []
    for index, value in enumerate(values if isinstance(values, list) else ()):
        if not isinstance(value, dict):
            place = f"values[{index}]" if isinstance(document, dict) else f"[{index}]"
            warnings.add(partial("{} is not an object; it is kept as it is.".format, place))
        children.append(Draft(kind, read_fields(VARIABLE, value)))
    return Draft("environment", fields, tuple(children))


def write_environment(root: Draft) -> Value:
    """Write an environment, globals, or one variable inside an object of its own."""
    if root.kind != "environment":
        scope = "globals" if root.kind == "global_variable" else "environment"
        root = Draft("environment", {"name": scope.capitalize(), "scope": scope}, (root,))
    values: list[Value] = []
    for child in root.children:
        if not child.kind.endswith("_variable"):
            raise FormatError(
                f"A {child.kind} has no place in an environment file.", code="format.invalid"
            )
        values.append(write_fields(VARIABLE, child.fields, []))
    source = as_map(root.fields.get("source"))
    shown = {field: value for field, value in root.fields.items() if field != "source"}
    if source.get("list") and shown in ({}, {"scope": "globals"}):
        return list(values)
    fields = dict(root.fields)
    if SCOPE_KEY not in as_names(source.get("absent")):
        has_globals = any(child.kind == "global_variable" for child in root.children)
        fields.setdefault("scope", "globals" if has_globals else "environment")
    elif fields.get("scope") == source.get("scope"):
        fields.pop("scope", None)  # the file leaves it unsaid, and nobody has changed it
    return write_fields(_ENVIRONMENT, fields, values)
