"""What the library's calls about the trash and the past return."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from kafkaman_sync.client.records import Record
from kafkaman_sync.model.values import Value


@dataclass(frozen=True, slots=True)
class Trashed(Record):
    """Something deleted. `path` are the names from the workspace down, as they were.

    `below` counts what comes back with it. `by` has `username`, `device`, `device_name`,
    `this_device` and `at` of its deletion, or is None while that is not known. `seq` is 0 while the
    server has not got the deletion yet.
    """

    id: str
    kind: str
    name: str
    parent: str
    position: str
    workspace: str
    pending: bool = False
    path: list[str] = dataclasses.field(default_factory=list)
    below: int = 0
    seq: int = 0
    by: dict[str, Any] | None = None

    @property
    def path_text(self) -> str:
        r"""The path as it is named: a slash inside a name written `\/`."""
        return "/".join(step.replace("/", "\\/") for step in self.path)


@dataclass(frozen=True, slots=True)
class Trash(Record):
    """What was deleted, the latest first; `note` says why it is not known who did it."""

    entities: list[Trashed]
    note: str = ""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Trash:
        """Return the trash of the daemon's JSON."""
        entities = [Trashed.read(one) for one in values["entities"]]
        return cls(entities, values.get("note", ""))


@dataclass(frozen=True, slots=True)
class HistoryEvent(Record):
    """Something that happened to an entity.

    `by` has `username`, `device`, `device_name`, `this_device` and `at`; the names are empty for
    what the server did. `changes` are {field, before, after}, without `before` where there was no
    value, without `after` where it was removed. `place` is None, or has `before` (None at first)
    and `after`, each with `parent`, the parent's `name` and `position`.
    """

    seq: int
    action: str
    by: dict[str, Any]
    changes: list[dict[str, Value]] = dataclasses.field(default_factory=list)
    place: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class History(Record):
    """A page of an entity's history, newest first.

    Events at or below `horizon` are no longer kept. `next` is the `before` of the next page, None
    when this is the last. `waiting` tells that an edit of this device is not in it yet.
    """

    id: str
    kind: str
    name: str
    workspace: str
    events: list[HistoryEvent]
    horizon: int = 0
    next: int | None = None
    waiting: bool = False

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> History:
        """Return the history of the daemon's JSON."""
        known = {part.name: values[part.name] for part in fields(cls) if part.name in values}
        return cls(**{**known, "events": [HistoryEvent.read(one) for one in values["events"]]})


@dataclass(frozen=True, slots=True)
class BlamedPart(Record):
    """A part of a value, and the `seq` that made it what it is; both None if no longer kept.

    `label` is the name of a field, or the key of an item; empty for a line of a text or for what
    has no parts. `by` is as in HistoryEvent.
    """

    label: str
    value: Value
    seq: int | None = None
    by: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Blame(Record):
    """Who last wrote each part of an entity: its fields or, with `field`, the parts of that."""

    id: str
    kind: str
    name: str
    workspace: str
    parts: list[BlamedPart]
    field: str | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Blame:
        """Return the blame of the daemon's JSON."""
        known = {part.name: values[part.name] for part in fields(cls) if part.name in values}
        return cls(**{**known, "parts": [BlamedPart.read(one) for one in values["parts"]]})


@dataclass(frozen=True, slots=True)
class ShownAt(Record):
    """An entity as it was at `seq`; `by` says who had last written it then, None if not kept."""

    id: str
    kind: str
    name: str
    parent: str
    position: str
    version: int
    workspace: str
    seq: int
    deleted: bool = False
    by: dict[str, Any] | None = None
    fields: dict[str, Value] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reverted(Record):
    """An entity after it was made what it was at `seq`.

    `ops` counts the new edits, `fields` names those that they changed. `note` says why the entity
    did not go back to where it lay.
    """

    id: str
    kind: str
    name: str
    parent: str
    position: str
    workspace: str
    seq: int
    ops: int = 0
    fields: list[str] = dataclasses.field(default_factory=list)
    restored: bool = False
    moved: bool = False
    note: str = ""
