"""Between the versions 2.0 and 2.1 of the collection format. They differ in two places: 2.1 keeps
the parameters of an auth in a list, 2.0 in a map; 2.1 prefers a URL in parts, 2.0 as text.
"""

from __future__ import annotations

import re
from typing import Final

from kafkaman_sync.formats.draft import Draft, Value, as_map
from kafkaman_sync.formats.shape import Fields

_VARIABLE: Final = re.compile(r"\{\{[^{}]*\}\}")
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
    parts: Fields = {"raw": url}
    rest, mark, fragment = _cut(url, "#")
    if mark:
        parts["hash"] = fragment
    rest, mark, query = _cut(rest, "?")
    if mark:
        parts["query"] = [_parameter(pair) for pair in _split(query, "&")]
    protocol, mark, after = _cut(rest, "://")
    if mark:
        parts["protocol"], rest = protocol, after
    authority, slash, path = _cut(rest, "/")
    user, at, host = _cut(authority, "@")
    if not at:
        host = user
    host, colon, port = _cut(host, ":")
    if host:
        # Credentials have no part of their own: with them the host stays one piece.
        whole: list[Value] = [f"{user}@{host}"]
        parts["host"] = whole if at else list(_split(host, "."))
    if colon:
        parts["port"] = port
    if slash:
        segments = _split(path, "/")
        parts["path"] = list(segments)
        names = [match[1] for text in segments if (match := _PLACEHOLDER.fullmatch(text))]
        if names:
            parts["variable"] = [{"key": name, "value": ""} for name in dict.fromkeys(names)]
    return parts


def _parameter(text: str) -> Fields:
    key, mark, value = _cut(text, "=")
    return {"key": key, "value": value if mark else None}


def url_to_text(url: Value) -> Value:
    """Give a URL's text where it tells all that the parts do; else leave the parts, legal in 2.0
    too: descriptions, switched-off parameters and path variables have no place in a text.
    """
    if not isinstance(url, dict):
        return url
    raw = url.get("raw")
    text = raw if isinstance(raw, str) else _join(url)
    told = as_map(url_to_parts(text))
    kept = {key: value for key, value in url.items() if value not in ([], None) and key != "raw"}
    return text if all(told.get(key) == value for key, value in kept.items()) else url


def _join(url: Fields) -> str:
    protocol, port, fragment = url.get("protocol"), url.get("port"), url.get("hash")
    text = f"{protocol}://" if isinstance(protocol, str) and protocol else ""
    text += _joined(url.get("host"), ".")
    text += f":{port}" if isinstance(port, str | int) and port != "" else ""
    path = _joined(url.get("path"), "/")
    text += f"/{path.removeprefix('/')}" if path else ""
    query = url.get("query")
    if isinstance(query, list) and query:
        text += "?" + "&".join(_pair(as_map(entry)) for entry in query)
    return text + (f"#{fragment}" if isinstance(fragment, str) else "")


def _joined(pieces: Value, separator: str) -> str:
    if isinstance(pieces, list):
        return separator.join(
            str(as_map(piece).get("value", "") if isinstance(piece, dict) else piece)
            for piece in pieces
        )
    return pieces if isinstance(pieces, str) else ""


def _pair(entry: Fields) -> str:
    key, value = entry.get("key"), entry.get("value")
    name = key if isinstance(key, str) else ""
    return f"{name}={value}" if isinstance(value, str | int) else name


def _masked(text: str) -> str:
    """The text with its variables blanked out, character by character."""
    return _VARIABLE.sub(lambda match: "\0" * len(match[0]), text)


def _cut(text: str, separator: str) -> tuple[str, str, str]:
    at = _masked(text).find(separator)
    if at < 0:
        return text, "", ""
    return text[:at], separator, text[at + len(separator) :]


def _split(text: str, separator: str) -> list[str]:
    pieces: list[str] = []
    start = 0
    for piece in _masked(text).split(separator):
        pieces.append(text[start : start + len(piece)])
        start += len(piece) + len(separator)
    return pieces
