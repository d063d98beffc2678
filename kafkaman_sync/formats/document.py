"""Which format a document is, and the way from a document to a draft tree and back."""

from __future__ import annotations

import re
from typing import Final

from kafkaman_sync.errors import FormatError
from kafkaman_sync.formats.collection import V2_0, V2_1, read_collection, write_collection
from kafkaman_sync.formats.draft import Draft, Value, as_map, title
from kafkaman_sync.formats.environment import SCOPE_KEY, read_environment, write_environment
from kafkaman_sync.formats.run import is_from_app, read_run, run_name, write_run
from kafkaman_sync.formats.shape import Fields
from kafkaman_sync.formats.warnings import Warnings

ENVIRONMENT: Final = "environment"
GLOBALS: Final = "globals"
RUN: Final = "run"
FORMATS: Final = (V2_1, V2_0, ENVIRONMENT, GLOBALS, RUN)

_STRANGERS: Final = (
    ("openapi", "an OpenAPI description"),
    ("swagger", "a Swagger description"),
    ("_postman_dump", "a dump of a whole workspace"),
    ("collections", "a dump of a whole workspace"),
    ("log", "an HTTP archive (HAR)"),
    ("resources", "an Insomnia export"),
    ("clientName", "a Thunder Client export"),
)


def read_document(document: Value, filename: str, warnings: Warnings) -> tuple[str, Draft]:
    """Tell a document's format and read it; warns of what a person should know.

    Raises FormatError: `format.unknown`, `format.collection_v1`, `format.too_deep`.
    """
    inner, wrapper = _unwrapped(document)
    found = _recognised(inner, filename)
    if found in (V2_0, V2_1):
        _warn_of_version(as_map(inner), found, warnings)
        root = read_collection(as_map(inner), found, warnings)
    elif found == RUN:
        root = read_run(as_map(inner))
    else:
        holder = inner if isinstance(inner, list) else as_map(inner)
        root = read_environment(holder, globals_=found == GLOBALS, warnings=warnings)
    _name(root, found, filename)
    if wrapper is not None:
        source = as_map(root.fields.get("source"))
        root.fields["source"] = {**source, "wrapper": wrapper}
    return found, root


def _unwrapped(document: Value) -> tuple[Value, Fields | None]:
    """Take the document out of the envelope that the vendor's API puts around it."""
    if isinstance(document, dict) and not {"info", "item", "values", "run", "results"} & set(
        document
    ):
        for key in ("collection", "environment"):
            if isinstance(document.get(key), dict):
                rest = {name: value for name, value in document.items() if name != key}
                return document[key], {"key": key, "rest": rest} if rest else {"key": key}
    return document, None


def _recognised(document: Value, filename: str) -> str:
    if isinstance(document, list):
        if not document or any("key" in as_map(entry) for entry in document):
            return GLOBALS
        raise _unknown("a list of something else than variables")
    if not isinstance(document, dict):
        raise _unknown("a single value")
    run, info = as_map(document.get("run")), as_map(document.get("info"))
    if "executions" in run or "stats" in run:
        return RUN
    schema = info.get("schema")
    version = re.search(r"/v(\d+)\.(\d+)", schema) if isinstance(schema, str) else None
    if (version and version[1] == "1") or (
        isinstance(document.get("requests"), list) and "item" not in document and not info
    ):
        raise FormatError(
            "This is a collection of version 1; versions 2.1 and 2.0 can be imported.",
            code="format.collection_v1",
            hint="Convert it: npx postman-collection-transformer convert -i OLD.json -j 1.0.0"
            " -o NEW.json -p 2.1.0",
        )
    if isinstance(document.get("item"), list) or "schema" in info or "_postman_id" in info:
        return V2_0 if version and version.groups() == ("2", "0") else V2_1
    if isinstance(document.get("results"), list) and (
        {"collection_id", "startedAt", "totalPass"} & set(document)
    ):
        return RUN
    if isinstance(document.get("values"), list):
        said = document.get(SCOPE_KEY, "globals" if "postman_globals" in filename else None)
        return GLOBALS if said == "globals" else ENVIRONMENT
    for key, what in _STRANGERS:
        if key in document:
            raise _unknown(what)
    keys = ", ".join(sorted(document)[:6])
    raise _unknown(f"an object with the keys {keys[:80]}" if keys else "an empty object")


def _unknown(what: str) -> FormatError:
    return FormatError(
        f"The file is JSON, but none of the formats that can be imported: it holds {what}.",
        code="format.unknown",
        hint="Import a collection (2.1 or 2.0), an environment, globals, or a run report.",
    )


def _warn_of_version(document: Fields, read_as: str, warnings: Warnings) -> None:
    schema = as_map(document.get("info")).get("schema")
    if isinstance(schema, str) and not re.search(r"/v2\.[01]", schema):
        unknown = f"info.schema is unknown ({schema[:100]}); it is read as {read_as}."
        warnings.add(lambda: unknown)


def _name(root: Draft, kind_of_file: str, filename: str) -> None:
    """Give a root without a name one, and note it, so that the export leaves it out again."""
    fields = root.fields
    if kind_of_file == RUN:
        given = run_name(fields) or _stem(filename) or title(root)
        if not is_from_app(fields):  # newman's report has no place for a name: nothing to note
            fields["name"] = given
            return
    elif isinstance(fields.get("name"), str) and fields["name"]:
        return
    else:
        given = _stem(filename) or ("Globals" if kind_of_file == GLOBALS else title(root))
    if given == fields.get("name"):
        return
    note: Fields = {"given": given}
    if "name" in fields:
        note["instead"] = fields["name"]
    fields["name"] = given
    fields["source"] = {**as_map(fields.get("source")), "name": note}


def _stem(filename: str) -> str:
    name = re.split(r"[/\\]", filename)[-1]
    return re.sub(r"(\.postman_\w+)?(\.json)?$", "", name, flags=re.IGNORECASE)


def render_document(root: Draft, *, format: str | None = None) -> Value:
    """Write a draft tree as a JSON document: in the format it came in, or the one asked for.

    Raises FormatError (`format.unknown`) where the kind cannot be written in that format.
    """
    if format is not None and format not in FORMATS:
        raise FormatError(
            f"There is no format {format}.",
            code="format.unknown",
            hint=f"Choose one of: {', '.join(FORMATS)}.",
        )
    kind = root.kind
    draft = Draft(kind, _as_given(root.fields), root.children)
    if kind in ("collection", "folder", "request", "response"):
        written = write_collection(draft, format)
    elif kind == "environment" or kind.endswith("_variable"):
        _demand(kind, format, (ENVIRONMENT, GLOBALS))
        written = write_environment(_scoped(draft, format))
    elif kind == "collection_run":
        _demand(kind, format, (RUN,))
        written = write_run(draft)
    else:
        raise FormatError(
            f"There is no file format for a {kind}.",
            code="format.unknown",
            hint="Export the workspace as a backup archive instead.",
        )
    wrapper = as_map(as_map(root.fields.get("source")).get("wrapper"))
    key = wrapper.get("key")
    return {**as_map(wrapper.get("rest")), key: written} if isinstance(key, str) else written


def _demand(kind: str, wanted: str | None, allowed: tuple[str, ...]) -> None:
    if wanted is not None and wanted not in allowed:
        raise FormatError(
            f"A {kind} cannot be written as {wanted}.",
            code="format.unknown",
            hint=f"Choose one of: {', '.join(allowed)}.",
        )


def _scoped(draft: Draft, wanted: str | None) -> Draft:
    if wanted is None or draft.kind != "environment":
        return draft
    is_globals = draft.fields.get("scope") == GLOBALS
    if is_globals == (wanted == GLOBALS):
        return draft
    return Draft(draft.kind, {**draft.fields, "scope": wanted}, draft.children)


def _as_given(fields: Fields) -> Fields:
    """Undo the name that the import gave, unless a person has changed it since."""
    source = as_map(fields.get("source"))
    note = as_map(source.get("name"))
    if not note or fields.get("name") != note.get("given"):
        return fields
    restored = {field: value for field, value in fields.items() if field != "name"}
    if "instead" in note:
        restored["name"] = note["instead"]
    return restored
