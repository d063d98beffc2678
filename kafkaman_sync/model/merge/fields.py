"""Which field is merged by which rule. Field names are those of docs/formats.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.merge.json_text import code
from kafkaman_sync.model.merge.parts import Rule
from kafkaman_sync.model.merge.structures import alike, anything, by_key, items, lines, text
from kafkaman_sync.model.merge.urls import url_rule

_DESCRIPTION: Final = by_key({"content": text}, otherwise=text)
# A header, parameter, form field, variable or cookie.
_ENTRY: Final = by_key({"description": _DESCRIPTION})

_HEADERS: Final = items(("key",), _ENTRY, repeatable=True, fold=True, otherwise=text)
_URL: Final = url_rule(_ENTRY)
_BODY: Final = alike(
    "mode",
    by_key(
        {
            "raw": code,
            "urlencoded": items(("key",), _ENTRY, repeatable=True),
            # A file has `src` where text has `value`.
            "formdata": items(("key",), alike("type", _ENTRY), repeatable=True),
            "graphql": by_key({"query": text, "variables": code}),
        },
        otherwise=code,
    ),
)
# The parameters of the type are under its name: a list, or a map in files of version 2.0.
_AUTH: Final = alike("type", by_key(other=items(("key",), _ENTRY)))
_REQUEST: Final[Mapping[str, Rule]] = {
    "description": _DESCRIPTION,
    "header": _HEADERS,
    "url": _URL,
    "body": _BODY,
    "auth": _AUTH,
}
_RULES: Final[Mapping[str, Rule]] = {
    **_REQUEST,
    "event": items(("listen",), by_key({"script": by_key({"exec": lines}, otherwise=lines)})),
    "variable": items(("key", "id", "name"), _ENTRY, repeatable=True),
    "cookie": items(("name", "key"), _ENTRY, repeatable=True),
    "originalRequest": by_key(_REQUEST, otherwise=_URL),
}


def rule_of(kind: Kind | None, name: str) -> Rule:
    """Return the rule for a field. A run report holds what was measured, and has no such fields."""
    return anything if kind is Kind.COLLECTION_RUN else _RULES.get(name, anything)
