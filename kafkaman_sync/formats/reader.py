"""From JSON text to values, with nothing lost: any integer, any decimal, any string (RFC 8259)."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal, DecimalException
from functools import partial
from typing import Final, NoReturn

import simplejson

from kafkaman_sync.errors import FormatError
from kafkaman_sync.formats.draft import Value
from kafkaman_sync.formats.limits import JSON_LEVELS_MAX
from kafkaman_sync.formats.warnings import Warnings

_DIGITS_MAX: Final = 4000
"""Longer integers become decimals: Python refuses to read or write more than 4,300 digits."""

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_CUT_SHORT: Final = re.compile(r"-?|t(ru?)?|f(a(ls?)?)?|n(ul?)?|\\?(u[0-9a-fA-F]{0,3})?|[.eE][+-]?")
_STRANGERS: Final = (
    ("<", "It looks like HTML or XML: perhaps a web page was saved in place of the file."),
    ("openapi:", "It looks like an OpenAPI description in YAML, which is not a collection."),
    ("curl ", "It looks like a shell command, not an exported file."),
)


def read(text: str, warnings: Warnings) -> Value:
    """Read one JSON document; warn of each key that one object repeats.

    A number with a point or an exponent becomes a float when the float's shortest spelling has the
    same value, else it stays a Decimal. Raises FormatError: `format.not_json`, `format.truncated`,
    `format.too_deep`, `format.invalid`.
    """
    repeated: list[tuple[dict[str, Value], str]] = []
    decoder = _decoder(repeated)
    try:
        value = _decode(decoder, text)
    except RecursionError:
        repeated.clear()
        try:
            value = _decode_deep(decoder, text, repeated)
        except simplejson.JSONDecodeError as error:
            raise _explained(error, text) from error
    except simplejson.JSONDecodeError as error:
        raise _explained(error, text) from error
    if repeated:
        _warn_of_repeats(value, repeated, warnings)
    return value


def _decoder(repeated: list[tuple[dict[str, Value], str]]) -> simplejson.JSONDecoder:
    def pairs(members: list[tuple[str, Value]]) -> dict[str, Value]:
        found = dict(members)
        if len(found) != len(members):
            _note_repeats(found, members, repeated)
        return found

    return simplejson.JSONDecoder(
        object_pairs_hook=pairs,
        parse_float=_fraction,
        parse_int=_integer,
        parse_constant=_refuse_constant,
    )


def _decode(decoder: simplejson.JSONDecoder, text: str) -> Value:
    value: Value = decoder.decode(text)
    return value


def _note_repeats(
    found: dict[str, Value],
    members: list[tuple[str, Value]],
    repeated: list[tuple[dict[str, Value], str]],
) -> None:
    times = Counter(key for key, _ in members)
    repeated.extend((found, key) for key, count in times.items() if count > 1)


def _integer(literal: str) -> int | float | Decimal:
    if literal == "-0":
        return -0.0
    return int(literal) if len(literal) <= _DIGITS_MAX else Decimal(literal)


def _fraction(literal: str) -> float | Decimal:
    near = float(literal)
    shortest = repr(near)
    if shortest == literal:
        return near
    try:
        exact = Decimal(literal)
    except DecimalException as error:
        raise FormatError(
            f"The number {literal[:40]} is beyond what can be kept exactly.",
            code="format.invalid",
            hint="Write it with a smaller exponent, or as a string.",
        ) from error
    return near if exact == Decimal(shortest) else exact


def _refuse_constant(literal: str) -> NoReturn:
    raise FormatError(
        f"The file holds {literal}, which is not a JSON number.",
        code="format.not_json",
        hint=f"Replace {literal} by null, a number or a string.",
    )


def _decode_deep(
    decoder: simplejson.JSONDecoder,
    text: str,
    repeated: list[tuple[dict[str, Value], str]],
) -> Value:
    """Read what nests too deep for the recursive decoder: with a stack of our own, up to the limit.

    Scalars and keys still go through the decoder.
    """
    outermost: list[Value] = []
    stack: list[list[Value] | dict[str, Value]] = [outermost]
    members: list[list[tuple[str, Value]]] = [[]]  # beside each container: its pairs so far
    position = 0
    while True:
        position = _skip(text, position)
        value: Value
        opened: list[Value] | dict[str, Value] | None = None
        if text[position : position + 1] in ("{", "["):
            value = opened = {} if text[position] == "{" else []
            position += 1
        else:
            value, position = decoder.raw_decode(text, position)
        _place(stack[-1], members[-1], value)
        if opened is not None:
            if len(stack) > JSON_LEVELS_MAX:
                raise _too_deep(text, position)
            stack.append(opened)
            members.append([])
            position = _skip(text, position)
            if text[position : position + 1] != ("}" if isinstance(opened, dict) else "]"):
                position = _before_value(decoder, text, position, opened, members[-1])
                continue
        position = _close(text, position, stack, members, repeated)
        if len(stack) == 1:
            if position != len(text):
                raise simplejson.JSONDecodeError("Extra data", text, position)
            return outermost[0]
        position = _before_value(decoder, text, position + 1, stack[-1], members[-1])


def _place(
    container: list[Value] | dict[str, Value], pairs: list[tuple[str, Value]], value: Value
) -> None:
    if isinstance(container, list):
        container.append(value)
    else:
        key, _ = pairs[-1]
        pairs[-1] = (key, value)
        container[key] = value


def _before_value(
    decoder: simplejson.JSONDecoder,
    text: str,
    position: int,
    container: list[Value] | dict[str, Value],
    pairs: list[tuple[str, Value]],
) -> int:
    """Go past a member's key and colon, in an object; answer where the value begins."""
    if isinstance(container, list):
        return position
    position = _skip(text, position)
    if text[position : position + 1] != '"':
        raise simplejson.JSONDecodeError("Expecting a key in double quotes", text, position)
    key, position = decoder.raw_decode(text, position)
    position = _skip(text, position)
    if text[position : position + 1] != ":":
        raise simplejson.JSONDecodeError("Expecting ':'", text, position)
    pairs.append((key, None))
    return position + 1


def _close(
    text: str,
    position: int,
    stack: list[list[Value] | dict[str, Value]],
    members: list[list[tuple[str, Value]]],
    repeated: list[tuple[dict[str, Value], str]],
) -> int:
    """Close what ends here; answer where the next comma (or, at the outside, the text's end) is."""
    while len(stack) > 1:
        position = _skip(text, position)
        container = stack[-1]
        mark = text[position : position + 1]
        if mark == ",":
            return position
        if mark != ("}" if isinstance(container, dict) else "]"):
            raise simplejson.JSONDecodeError("Expecting ',' or a closing bracket", text, position)
        pairs = members.pop()
        stack.pop()
        if isinstance(container, dict) and len(pairs) != len(container):
            _note_repeats(container, pairs, repeated)
        position += 1
    return _skip(text, position)


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None, "the pattern matches the empty string"
    return match.end()


def _explained(error: simplejson.JSONDecodeError, text: str) -> FormatError:
    stripped = text.rstrip(" \t\n\r")
    if not stripped.strip():
        return FormatError(
            "The file is empty.", code="format.not_json", hint="Export it again from its source."
        )
    position = error.pos
    line, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
    where = f"line {line}, column {column}"
    begins = stripped.lstrip()[0] in '{["'
    unterminated = error.msg.startswith("Unterminated string")
    if begins and (unterminated or _CUT_SHORT.fullmatch(stripped, min(position, len(stripped)))):
        return FormatError(
            f"The file is cut short: it ends at line {stripped.count(chr(10)) + 1} inside a value"
            f" ({where}).",
            code="format.truncated",
            hint="Copy or export the whole file again, then import it.",
            line=line,
            column=column,
        )
    hint = "Check that it is an exported JSON file."
    for start, explanation in _STRANGERS:
        if stripped.lstrip().lower().startswith(start):
            hint = explanation
    return FormatError(
        f"The file is not JSON: {error.msg[0].lower()}{error.msg[1:]} at {where}.",
        code="format.not_json",
        hint=hint,
        line=line,
        column=column,
    )


def _too_deep(text: str, position: int) -> FormatError:
    line = text.count("\n", 0, position) + 1
    return FormatError(
        f"The file nests deeper than {JSON_LEVELS_MAX} levels (line {line}, character {position}).",
        code="format.too_deep",
        hint="Move the innermost folders up, then export and import again.",
        line=line,
    )


def _warn_of_repeats(
    root: Value, repeated: list[tuple[dict[str, Value], str]], warnings: Warnings
) -> None:
    """Name the place of each repeated key: found by identity, as the decoder gives no paths."""
    keys_of: dict[int, list[str]] = {}
    for found, key in repeated:
        keys_of.setdefault(id(found), []).append(key)
    pending: list[tuple[dict[str, Value] | list[Value], _Place]] = []
    pending += [(root, None)] if isinstance(root, dict | list) else []
    while pending:
        value, place = pending.pop()
        steps: list[tuple[Value, _Place]]
        if isinstance(value, dict):
            for key in keys_of.pop(id(value), ()):
                warnings.add(partial(_repeat, place, key))
            steps = [(member, (place, f".{key}")) for key, member in value.items()]
        else:
            steps = [(member, (place, f"[{index}]")) for index, member in enumerate(value)]
        pending.extend(
            (member, step) for member, step in reversed(steps) if isinstance(member, dict | list)
        )
    for keys in keys_of.values():  # inside a value that a repeated key replaced
        for key in keys:
            warnings.add(partial("the key {!r} is repeated in a value that is lost.".format, key))


_Place = tuple["_Place", str] | None
"""Where a value is: where its container is, and the last step of the path."""


def _repeat(place: _Place, key: str) -> str:
    where = _path(place) or "the outermost object"
    return f"{where}: the key {key!r} is repeated; the last one won."


def _path(place: _Place) -> str:
    steps: list[str] = []
    while place is not None:
        place, step = place
        steps.append(step)
    return "".join(reversed(steps)).removeprefix(".")
