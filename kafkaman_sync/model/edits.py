"""What a person asks for: edits, before they become numbered changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.immutable import immutable


@immutable
class Create:
    """A new entity in `parent` (ROOT: the workspace), by default behind its siblings.

    `before` or `after` names a sibling to lie beside. `position` is for copies that bring theirs.
    Values are canonical bytes.
    """

    id: str
    kind: Kind
    parent: str
    fields: Mapping[str, bytes] = field(default_factory=dict)
    before: str | None = None
    after: str | None = None
    position: str | None = None


@immutable
class Update:
    """New values for fields, as canonical bytes; REMOVED removes a field."""

    id: str
    fields: Mapping[str, bytes]


@immutable
class Move:
    """Another place. Without a parent it stays where it is, or goes to where its new sibling is."""

    id: str
    parent: str | None = None
    before: str | None = None
    after: str | None = None


@immutable
class Delete:
    """Deletes the entity; what is below is hidden with it."""

    id: str


@immutable
class Restore:
    """Brings a deleted entity back with what is below, into `parent` when one is named."""

    id: str
    parent: str | None = None


Edit = Create | Update | Move | Delete | Restore
