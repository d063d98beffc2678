"""Format strings for events: `{seq} {at:%H:%M} {action:<8} {entity:.8}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from string import Formatter
from typing import Any, Final

from kafkaman_sync.cli.output import json_text, printable
from kafkaman_sync.errors import UsageError
from kafkaman_sync.model.values import REMOVED, read_value
from kafkaman_sync.replay.reading import Entry
from kafkaman_sync.replay.records import Names
from kafkaman_sync.replay.selecting import Described


@dataclass(frozen=True, slots=True)
class Shown:
    """An event with all that can be told of it on a line."""

    entry: Entry
    entity: Described
    names: Names


_Cell = Callable[[Any, Any, Shown], object]
CELLS: Final[Mapping[str, _Cell]] = {
    "seq": lambda event, _, __: event.seq,
    "at": lambda event, _, __: event.at,
    "action": lambda event, _, __: event.action.value,
    "kind": lambda _, __, shown: shown.entity.kind.value if shown.entity.kind else "",
    "entity": lambda event, _, __: event.entity,
    "name": lambda _, __, shown: shown.entity.name,
    "parent": lambda event, _, __: event.place.parent if event.place else "",
    "account": lambda event, _, __: event.account,
    "username": lambda event, _, shown: shown.names.accounts.get(event.account, ""),
    "device": lambda event, _, shown: shown.names.device(event.device),
    "device_id": lambda event, _, __: event.device,
    "op": lambda event, _, __: event.op,
    "base": lambda _, logged, __: logged.basis.base if logged.basis else "",
    "size": lambda _, logged, __: logged.size,
    "fields": lambda event, _, __: ",".join(sorted(event.fields)),
    "digest": lambda _, logged, __: logged.digest.hex() if logged.digest else "",
    "workspace": lambda event, _, __: event.workspace,
}
"""What can be named in a format string; field.NAME besides."""

_FIELD: Final = "field."
_SPEC: Final = re.compile(r"[<>^]?[0-9]{0,3}(\.[0-9]{1,6})?")
_CLOCK: Final = re.compile(r"(%[YmdHMSfzZjaAbBpIyeTFs%]|[^%])+")
_ESCAPES: Final = {r"\t": "\t", r"\n": "\n", r"\\": "\\"}
_ESCAPE: Final = re.compile(r"\\[tn\\]")


@dataclass(frozen=True, slots=True)
class EventFormat:
    """A format string that has been read."""

    parts: tuple[tuple[str, str | None, str], ...]

    @classmethod
    def read(cls, text: str) -> EventFormat:
        """Read a format string. Raises UsageError `usage.format`."""
        text = _ESCAPE.sub(lambda found: _ESCAPES[found[0]], text)
        try:
            parts = [
                (before, name, spec or "", conversion)
                for before, name, spec, conversion in Formatter().parse(text)
            ]
        except ValueError as error:
            raise _wrong(f"It cannot be read: {error}.") from error
        for _, name, spec, conversion in parts:
            if name is not None:
                _check(name, spec, conversion)
        return cls(tuple((before, name, spec) for before, name, spec, _ in parts))

    def line(self, shown: Shown) -> str:
        """Write an event."""
        return "".join(
            before if name is None else f"{before}{_cell(name, spec, shown)}"
            for before, name, spec in self.parts
        )


def _check(name: str, spec: str, conversion: str | None) -> None:
    if name not in CELLS and (not name.startswith(_FIELD) or name == _FIELD):
        close = get_close_matches(name, CELLS, n=1, cutoff=0.6)
        meant = f" Did you mean {{{close[0]}}}?" if close else ""
        raise _wrong(f"There is no {{{name[:40]}}}.{meant}")
    if conversion:
        raise _wrong(f"{{{name}!{conversion[:8]}}} is not known: there are no conversions.")
    legal = _CLOCK if name == "at" and "%" in spec else _SPEC
    if not legal.fullmatch(spec):
        raise _wrong(f"{{{name}:{spec[:40]}}} cannot be written: the part after the colon is not.")


def _cell(name: str, spec: str, shown: Shown) -> str:
    logged = shown.entry.logged
    assert logged is not None, "what cannot be read has no cells"
    event = logged.event
    if name.startswith(_FIELD):
        data = event.fields.get(name.removeprefix(_FIELD), REMOVED)
        value = "" if data == REMOVED else value_text(data)
        return format(printable(value), spec)
    cell = CELLS[name](event, logged, shown)
    if name == "at":
        return clock(event.at).strftime(spec) if "%" in spec else format(iso_time(event.at), spec)
    return format(printable(str(cell)), spec)


def value_text(data: bytes) -> str:
    """Write a value: text as it is, anything else as JSON, what is no value by its bytes."""
    value = read_value(data)
    if isinstance(value, bytes):
        return f"(no value: {value.hex()})"
    return value if isinstance(value, str) else json_text(value)


def clock(at: int) -> datetime:
    """Return the local time of milliseconds since 1970; one beyond all calendars as the last."""
    last = int(datetime(9999, 12, 30, tzinfo=UTC).timestamp() * 1000)
    return datetime.fromtimestamp(min(at, last) / 1000, UTC).astimezone()


def iso_time(at: int) -> str:
    """Write milliseconds since 1970 as ISO 8601, in UTC."""
    return clock(at).astimezone(UTC).isoformat(timespec="milliseconds")


def _wrong(why: str) -> UsageError:
    return UsageError(
        f"The format is wrong. {why}",
        code="usage.format",
        hint=f"There are {', '.join(f'{{{name}}}' for name in CELLS)} and {{field.NAME}}, with a "
        "width as in {action:<8}, a length as in {entity:.8}, a clock as in {at:%H:%M}.",
    )
