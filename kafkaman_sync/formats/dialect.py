"""Between the versions 2.0 and 2.1 of the collection format. They differ in two places: 2.1 keeps
the parameters of an auth in a list, 2.0 in a map; 2.1 prefers a URL in parts, 2.0 as text.
"""

from __future__ import annotations

import re
from typing import Final

from kafkaman_sync.formats.draft import Draft, Value, as_map
from kafkaman_sync.formats.shape import Fields
from kafkaman_sync.model.urls import join_url, parse_url

_PLACEHOLDER: Final = re.compile(r":([^:/{}]+)")


def convert(draft: Draft, to_2_1: bool) -> Fields:
    """Give the entity's fields as the other version spells them; what is legal in both stays."""
    fields = _convert_request(draft.fields, to_2_1)
    original = fields.get("originalRequest")
    if isinstance(original, dict):
        fields["originalRequest"] = _convert_request(original, to_2_1)
    return fields


def _convert_request(fields: Fields, to_2_1: bool) -> Fields:
    converted = dict(fields)
    if "auth" in fields:
        auth = fields["auth"]
        converted["auth"] = auth_to_lists(auth) if to_2_1 else auth_to_maps(auth)
    if "url" in fields:
        url = fields["url"]
        converted["url"] = url_to_parts(url) if to_2_1 else url_to_text(url)
    return converted


def auth_to_lists(auth: Value) -> Value:
    """Turn each parameter map into a list of {key, value, type}, as 2.1 has it."""
    if not isinstance(auth, dict):
        return auth
    return {
        scheme: [{"key": key, "value": value, "type": _type(value)} for key, value in kept.items()]
        if isinstance(kept, dict)
        else kept
        for scheme, kept in auth.items()
    }


def _type(value: Value) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) else "any"


def auth_to_maps(auth: Value) -> Value:
    """Turn each parameter list into a map, as 2.0 has it; of equal keys the last one counts."""
    if not isinstance(auth, dict):
        return auth
    converted: Fields = {}
    for scheme, kept in auth.items():
        converted[scheme] = kept
        if isinstance(kept, list):
            pairs = [as_map(entry) for entry in kept]
            converted[scheme] = {
                key: pair.get("value") for pair in pairs if isinstance(key := pair.get("key"), str)
            }
    return converted


def url_to_parts(url: Value) -> Value:
    """Take a URL's text apart, as clients do: variables in double braces are never cut."""
    if not isinstance(url, str):
        return url
    parts: Fields = {"raw": url, **parse_url(url)}
    path = parts.get("path")
    pieces = [piece for piece in path if isinstance(piece, str)] if isinstance(path, list) else []
    names = [match[1] for piece in pieces if (match := _PLACEHOLDER.fullmatch(piece))]
    if names:
        parts["variable"] = [{"key": name, "value": ""} for name in dict.fromkeys(names)]
    return parts


def url_to_text(url: Value) -> Value:
    """Give a URL's text where it tells all that the parts do; else leave the parts, legal in 2.0
    too: descriptions, switched-off parameters and path variables have no place in a text.
    """
    if not isinstance(url, dict):
        return url
    raw = url.get("raw")
    text = raw if isinstance(raw, str) else join_url(url)
    told = as_map(url_to_parts(text))
    kept = {key: value for key, value in url.items() if value not in ([], None) and key != "raw"}
    return text if all(told.get(key) == value for key, value in kept.items()) else url
