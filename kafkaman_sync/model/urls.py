"""A URL as text and in parts (`protocol`, `host`, `port`, `path`, `query`, `hash`), as collections
have it. Variables in double braces are never cut.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from kafkaman_sync.model.values import Value

_VARIABLE: Final = re.compile(r"\{\{[^{}]*\}\}")


def parse_url(text: str) -> dict[str, Value]:
    """Take a URL's text apart, as clients do. A part that the text lacks is absent."""
    parts: dict[str, Value] = {}
    rest, mark, fragment = _cut(text, "#")
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
        parts["path"] = list(_split(path, "/"))
    return parts


def join_url(parts: Mapping[str, Value], *, disabled: bool = True) -> str:
    """Put a URL's text together; without parameters that are switched off unless `disabled`."""
    protocol, port, fragment = parts.get("protocol"), parts.get("port"), parts.get("hash")
    text = f"{protocol}://" if isinstance(protocol, str) and protocol else ""
    text += _joined(parts.get("host"), ".")
    text += f":{port}" if isinstance(port, str | int) and port != "" else ""
    path = parts.get("path")
    if path:
        text += "/" + _joined(path, "/").removeprefix("/")
    query = parts.get("query")
    pairs = [
        _pair(entry)
        for entry in (query if isinstance(query, list) else ())
        if isinstance(entry, dict) and (disabled or entry.get("disabled") is not True)
    ]
    if pairs:
        text += "?" + "&".join(pairs)
    return text + (f"#{fragment}" if isinstance(fragment, str) else "")


def _parameter(text: str) -> dict[str, Value]:
    key, mark, value = _cut(text, "=")
    return {"key": key, "value": value if mark else None}


def _pair(entry: Mapping[str, Value]) -> str:
    key, value = entry.get("key"), entry.get("value")
    name = key if isinstance(key, str) else ""
    return f"{name}={value}" if isinstance(value, str | int) else name


def _joined(pieces: Value, separator: str) -> str:
    if isinstance(pieces, list):
        return separator.join(
            str(piece.get("value", "") if isinstance(piece, dict) else piece) for piece in pieces
        )
    return pieces if isinstance(pieces, str) else ""


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
