r"""Fields on the command line, spelt as in HTTPie.

    name=text       a string            name=@file    the text of a file
    name:=json      any JSON value      name:=@file   the JSON of a file

The first `=` divides; a name that holds one is spelt with `\=`. A text that begins with @ is
spelt with `\@`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import simplejson

from kafkaman_sync.cli.reading import read_file
from kafkaman_sync.errors import UsageError

_ITEM: Final = re.compile(r"(?!:=)((?:\\.|[^=\\])+?)(:?=)(.*)", re.DOTALL)


def parse_fields(items: Iterable[str]) -> dict[str, Any]:
    """Read `name=text` and `name:=json` items; raises UsageError `usage.field`."""
    fields: dict[str, Any] = {}
    for item in items:
        match = _ITEM.fullmatch(item)
        if match is None:
            raise UsageError(
                f"{_shortened(item)!r} is not a field.",
                code="usage.field",
                hint="Write name=text, or name:=json for a number, list, object, true or null.",
            )
        name = re.sub(r"\\(.)", r"\1", match[1])
        if name in fields:
            raise UsageError(f"The field {name!r} is given twice.", code="usage.field", field=name)
        fields[name] = _value(name, match[3], is_json=match[2] == ":=")
    return fields


def parse_json(name: str, text: str) -> Any:
    """Read JSON that is given for a field, or with @FILE the file's; raises `usage.json`."""
    return _value(name, text, is_json=True)


def _value(name: str, text: str, *, is_json: bool) -> Any:
    source = f"the field {name!r}"
    if text.startswith("@"):
        path = text[1:]
        source = path
        text = _text_of(path)
    elif text.startswith("\\@"):
        text = text[1:]
    return _json_value(name, text, source) if is_json else text


def _text_of(path: str) -> str:
    data = read_file(path)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not text in UTF-8: byte {error.start} does not fit.",
            code="usage.field",
            hint="A field holds text or JSON; encode other data first, for example with base64.",
            file=path,
        ) from error


def _json_value(name: str, text: str, source: str) -> Any:
    try:
        return simplejson.loads(text, use_decimal=True, parse_constant=_refuse_constant)
    except simplejson.JSONDecodeError as error:
        raise UsageError(
            f"The value of {source} is not JSON: {error.msg[0].lower()}{error.msg[1:]}"
            f" at line {error.lineno}, column {error.colno}.",
            code="usage.json",
            hint=f"For a string write {name}=text; JSON strings have double quotes.",
            field=name,
            line=error.lineno,
            column=error.colno,
        ) from error
    except (ValueError, RecursionError) as error:
        reason = "it nests too deep" if isinstance(error, RecursionError) else str(error)
        raise UsageError(
            f"The value of {source} is not JSON: {reason}.", code="usage.json", field=name
        ) from error


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON number")


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
