"""The forms in which `replay log` shows events; the one for a terminal is `log_table`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

import click

from kafkaman_sync.cli.output import print_json_line, print_row, printable
from kafkaman_sync.cli.replay.event_format import (
    EventFormat,
    Shown,
    iso_time,
    value_text,
)
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import Event
from kafkaman_sync.model.values import REMOVED, read_value
from kafkaman_sync.replay.reading import Entry, Gap
from kafkaman_sync.replay.records import Names
from kafkaman_sync.replay.selecting import Described, Selector

VALUE_CHARS_SHOWN: Final = 120


class Printer(ABC):
    """Shows what was selected, and counts what was wrong."""

    def __init__(self) -> None:
        self._selector: Selector | None = None
        self.names = Names()
        self._problems = 0
        self._first = 0

    def begin(self, selector: Selector, names: Names) -> None:
        """Show what this one selects from here on."""
        self._selector, self.names = selector, names

    def show(self, each: Entry | Gap) -> None:
        """Show an event, or what is wrong at its place."""
        if isinstance(each, Gap) or each.problem:
            first = each.first if isinstance(each, Gap) else each.seq
            self._first = min(self._first or first, first)
            self._problems += 1
        if isinstance(each, Gap):
            self.gap(each)
        elif each.logged is None:
            self.unreadable(each)
        else:
            self.event(each, each.logged.event)

    def finish(self, source: str) -> None:
        """Raise ReplayError `replay.log_damaged` if anything that was shown is wrong."""
        if self._problems:
            raise ReplayError(
                f"The log is not sound: {plural(self._problems, 'place')} of it "
                f"{'is' if self._problems == 1 else 'are'} wrong, the first at seq {self._first}.",
                code="replay.log_damaged",
                hint=f"See `kafkaman replay verify {source}`.",
                seq=self._first,
            )

    def described(self, event: Event) -> Described:
        """Return the kind and name of an event's entity."""
        assert self._selector is not None, "it has begun"
        return self._selector.describe(event)

    @abstractmethod
    def event(self, entry: Entry, event: Event) -> None:
        """Show an event."""

    def gap(self, gap: Gap) -> None:
        """Show that events are missing."""
        self.told(gap.first, _missing(gap))

    def unreadable(self, entry: Entry) -> None:
        """Show that there are bytes that are no event."""
        self.told(entry.seq, entry.problem)

    def told(self, seq: int, problem: str) -> None:
        """Show what is wrong at a place, beside the events."""
        click.echo(printable(f"{seq}\t{problem}"), err=True)


def _missing(gap: Gap) -> str:
    if gap.first == gap.last:
        return f"There is no event {gap.first}."
    return f"There are no events {gap.first} to {gap.last}."


class JsonPrinter(Printer):
    """JSON lines."""

    def __init__(self, *, values: bool) -> None:
        super().__init__()
        self._values = values

    def event(self, entry: Entry, event: Event) -> None:
        """Print one object."""
        print_json_line(self._facts(entry, event))

    def gap(self, gap: Gap) -> None:
        """Print where it is."""
        print_json_line({"gap": {"first": gap.first, "last": gap.last}})

    def told(self, seq: int, problem: str) -> None:
        """Print what is wrong there."""
        print_json_line({"seq": seq, "problem": problem})

    def _facts(self, entry: Entry, event: Event) -> dict[str, Any]:
        logged, entity = entry.logged, self.described(event)
        assert logged is not None
        facts: dict[str, Any] = {
            "seq": entry.seq,
            "at": iso_time(event.at),
            "action": event.action.value,
            "entity": event.entity,
            "kind": entity.kind and entity.kind.value,
            "name": entity.name,
            "account": event.account,
            "username": self.names.accounts.get(event.account, ""),
            "device": event.device,
            "device_name": self.names.device_name(event.device),
            "op": event.op,
            "base": logged.basis and logged.basis.base,
            "parent": event.place and event.place.parent,
            "position": event.place and event.place.position,
            "fields": sorted(event.fields),
            "size": logged.size,
            "digest": logged.digest and logged.digest.hex(),
        }
        if self._values:
            facts["values"] = _json_values(event.fields)
        if entry.problem:
            facts["problem"] = entry.problem
        return facts


def _json_values(fields: Mapping[str, bytes]) -> dict[str, Any]:
    """Return each value under its name: {"value": ...}, or {} where the field was removed."""
    told: dict[str, Any] = {}
    for name, data in sorted(fields.items()):
        value = read_value(data) if data != REMOVED else None
        if data == REMOVED:
            told[name] = {}
        elif isinstance(value, bytes):
            told[name] = {"damaged": value.hex()}
        else:
            told[name] = {"value": value}
    return told


class RawPrinter(Printer):
    """The stored bytes in hexadecimal: seq, event, basis and digest, with tabs between."""

    def event(self, entry: Entry, event: Event) -> None:
        """Print the bytes."""
        self.unreadable(entry)

    def unreadable(self, entry: Entry) -> None:
        """Print the bytes; that they are no event is no reason not to."""
        parts = (entry.body, entry.basis, entry.digest)
        print_row(entry.seq, *("" if part is None else part.hex() for part in parts))


class FormatPrinter(Printer):
    """A line as a format string says."""

    def __init__(self, layout: EventFormat) -> None:
        super().__init__()
        self._layout = layout

    def event(self, entry: Entry, event: Event) -> None:
        """Print the line."""
        click.echo(self._layout.line(Shown(entry, self.described(event), self.names)))
        if entry.problem:
            self.told(entry.seq, entry.problem)


class RowPrinter(Printer):
    """Rows with tabs between, for programs."""

    def __init__(self, *, values: bool) -> None:
        super().__init__()
        self._values = values

    def event(self, entry: Entry, event: Event) -> None:
        """Print the row and, if wanted, one for each value."""
        entity = self.described(event)
        print_row(
            entry.seq,
            iso_time(event.at),
            event.action.value,
            entity.kind.value if entity.kind else "",
            event.entity,
            entity.name,
            self.names.account(event.account),
            self.names.device(event.device),
            ",".join(sorted(event.fields)),
        )
        if self._values:
            for name, data in sorted(event.fields.items()):
                print_row("", name, shortened(data))
        if entry.problem:
            self.told(entry.seq, entry.problem)


def shortened(data: bytes) -> str:
    """Write a value for a line: its beginning, and how much more there is."""
    if data == REMOVED:
        return "(removed)"
    text = value_text(data)
    rest = len(text) - VALUE_CHARS_SHOWN
    text = printable(text[:VALUE_CHARS_SHOWN])
    return f"{text} ... and {plural(rest, 'character')} more" if rest > 0 else text
