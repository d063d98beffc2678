"""Rows to objects and back: workspaces, entities, the outbox."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgpack
from msgspec import MsgspecError
from msgspec.msgpack import Encoder

from kafkaman_sync.database import Reader, Row, Writer, json_list
from kafkaman_sync.errors import StoreError, WireError
from kafkaman_sync.model.changes import Change
from kafkaman_sync.model.entities import (
    Entity,
    Field,
    Kind,
    Place,
    pack_fields,
    unpack_fields,
)
from kafkaman_sync.model.planning import Planned
from kafkaman_sync.protocol.messages import EpochStart
from kafkaman_sync.protocol.records import decode_change, encode_change
from kafkaman_sync.store.facts import WorkspaceState

SKELETON_COLUMNS: Final = (
    "entities.id, kind, entities.parent, entities.position, place_version, deleted,"
    " deleted_version, version"
)
ENTITY_COLUMNS: Final = (
    "id, kind, parent, position, place_version, deleted, deleted_version, version, fields"
)
KINDS: Final = {kind.value: kind for kind in Kind}
_WORKSPACE_COLUMNS: Final = (
    "id, name, role, cursor, mark, digest, epochs, copy, staged, staged_digest, fork, whole"
)


@dataclass(slots=True)
class Held:
    """A workspace's row, while a transaction works on it."""

    id: str
    name: str
    role: str
    cursor: int
    mark: int
    digest: bytes
    epochs: tuple[EpochStart, ...]
    copy: int
    staged: int | None
    staged_digest: bytes | None
    fork: int | None
    whole: bool = False

    def state(self) -> WorkspaceState:
        """Return what others may know of it."""
        return WorkspaceState(
            id=self.id,
            name=self.name,
            role=self.role,
            cursor=self.cursor,
            mark=self.mark,
            # The running epoch is listed before it has written anything.
            epochs=() if self.whole else self.history(max(self.cursor, self.mark)),
            digest=self.digest,
        )

    def history(self, seq: int) -> tuple[EpochStart, ...]:
        """Return the epochs up to `seq`."""
        return tuple(start for start in self.epochs if start.first_seq <= seq)


WORKSPACES: Final = f"SELECT {_WORKSPACE_COLUMNS} FROM workspaces ORDER BY id"  # noqa: S608 - only constants go in


async def load_workspaces(reader: Reader) -> dict[str, Held]:
    """Return all workspaces by id, in the order of their ids."""
    return workspaces_from_rows(await reader.fetch(WORKSPACES))


def workspaces_from_rows(rows: Iterable[Row]) -> dict[str, Held]:
    """Return the workspaces that WORKSPACES found, by id."""
    return {row[0]: _held(row) for row in rows}


async def load_workspace(reader: Reader, workspace: str) -> Held:
    """Return a workspace; StoreError `workspace.unknown` if it is not held."""
    rows = await reader.fetch(
        f"SELECT {_WORKSPACE_COLUMNS} FROM workspaces WHERE id = ?",  # noqa: S608 - only constants go in
        (workspace,),
    )
    return known_workspace(workspaces_from_rows(rows), workspace)


def known_workspace(workspaces: Mapping[str, Held], workspace: str) -> Held:
    """Return one of the workspaces; StoreError `workspace.unknown` if it is not held."""
    if workspace not in workspaces:
        raise unknown_workspace(workspace)
    return workspaces[workspace]


def unknown_workspace(workspace: str) -> StoreError:
    """Return the error for a workspace that is not held."""
    return StoreError(
        "This device holds no such workspace.",
        code="workspace.unknown",
        hint="List what there is with `kafkaman workspaces`.",
        workspace=workspace,
    )


async def save_workspace(writer: Writer, held: Held) -> None:
    """Write a workspace's row."""
    await writer.run(
        f"INSERT OR REPLACE INTO workspaces ({_WORKSPACE_COLUMNS})"  # noqa: S608 - only constants go in
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            held.id,
            held.name,
            held.role,
            held.cursor,
            held.mark,
            held.digest,
            msgpack.packb([[start.epoch, start.first_seq] for start in held.epochs]),
            held.copy,
            held.staged,
            held.staged_digest,
            held.fork,
            held.whole,
        ),
    )


def next_copy(workspaces: Iterable[Held]) -> int:
    """Return a copy number that no workspace uses."""
    return 1 + max((max(held.copy, held.staged or 0) for held in workspaces), default=0)


def _held(row: Row) -> Held:
    facts: dict[str, Any] = dict(zip(_WORKSPACE_COLUMNS.split(", "), row, strict=True))
    try:
        facts["epochs"] = tuple(EpochStart(*start) for start in msgpack.unpackb(facts["epochs"]))
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise damaged_row() from error
    facts["whole"] = bool(facts["whole"])
    return Held(**facts)


def entity_from_row(row: Row) -> Entity:
    """Return the entity of a row of ENTITY_COLUMNS."""
    try:
        return Entity(
            row[0],
            KINDS[row[1]],
            Place(row[2], row[3]),
            row[4],
            bool(row[5]),
            row[6],
            row[7],
            own_fields(row[8]),
        )
    except KeyError as error:
        raise damaged_row() from error


def own_fields(data: bytes) -> dict[str, Field]:
    """Return the fields of an entity that this store keeps."""
    try:
        return unpack_fields(data)
    except (TypeError, MsgspecError) as error:
        raise damaged_row() from error


def own_change(data: bytes) -> Change:
    """Return a change that this store keeps."""
    try:
        return decode_change(data)
    except WireError as error:
        raise damaged_row() from error


def damaged_row() -> StoreError:
    """Return the error for a row that SQLite takes for whole, and that is not."""
    return StoreError("A row of the database is not what was written there.", code="store.damaged")


async def load_entities(reader: Reader, copy: int, ids: Collection[str]) -> dict[str, Entity]:
    """Return those of `ids` that the copy has."""
    if not ids:
        return {}
    rows = await reader.fetch(
        f"SELECT {ENTITY_COLUMNS} FROM entities"  # noqa: S608 - only constants go in
        " WHERE copy = ? AND id IN (SELECT value FROM json_each(?))",
        (copy, json_list(ids)),
    )
    return {row[0]: entity_from_row(row) for row in rows}


async def save_entities(writer: Writer, copy: int, entities: Mapping[str, Entity | None]) -> None:
    """Write rows, and delete those that are None."""
    held = [entity for entity in entities.values() if entity is not None]
    await write_entities(writer, copy, [(entity, pack_fields(entity.fields)) for entity in held])
    await writer.run_many(
        "DELETE FROM entities WHERE copy = ? AND id = ?",
        [(copy, entity) for entity, row in entities.items() if row is None],
    )


async def write_entities(
    writer: Writer, copy: int, entities: Iterable[tuple[Entity, bytes]]
) -> None:
    """Write rows, each with its fields as bytes."""
    await writer.run_many(
        f"INSERT INTO entities (copy, {ENTITY_COLUMNS})"  # noqa: S608 - only constants go in
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (copy, id) DO UPDATE SET"
        " kind = excluded.kind, parent = excluded.parent, position = excluded.position,"
        " place_version = excluded.place_version, deleted = excluded.deleted,"
        " deleted_version = excluded.deleted_version, version = excluded.version,"
        " fields = excluded.fields",
        [
            (
                copy,
                entity.id,
                entity.kind.value,
                entity.place.parent,
                entity.place.position,
                entity.place_version,
                entity.deleted,
                entity.deleted_version,
                entity.version,
                packed,
            )
            for entity, packed in entities
        ],
    )


@dataclass(slots=True)
class Pending:
    """A row of the outbox; `made` is its change where that is known without decoding it."""

    op: int
    workspace: str
    entity: str
    data: bytes
    seen: bytes
    verdict: bytes | None
    at: int = 0
    made: Change | None = None

    def change(self) -> Change:
        """Return the change itself."""
        return self.made or own_change(self.data)


PENDING_COLUMNS: Final = "op, workspace, entity, change, seen, verdict, at"


async def append_outbox(
    writer: Writer, planned: Sequence[Planned], *, at: int = 0
) -> list[Pending]:
    """Add changes that a person made `at` some time to the outbox; return their rows."""
    rows = [outbox_row(each.change, pack_seen(each.seen)) for each in planned]
    await writer.run_many(
        "INSERT INTO outbox (op, workspace, entity, action, parent, position, base, lowest_base,"
        " change, seen, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(*row, at) for row in rows],
    )
    await writer.run_many(
        "UPDATE outbox SET covered_by = ? WHERE op = ?",
        [(each.change.op, op) for each in planned for op in each.covers],
    )
    return [
        Pending(row[0], row[1], row[2], row[-2], row[-1], None, at, each.change)
        for row, each in zip(rows, planned, strict=True)
    ]


def outbox_row(change: Change, seen: bytes) -> tuple[Any, ...]:
    """Return what the outbox holds of a new change."""
    place = change.place
    return (
        change.op,
        change.workspace,
        change.entity,
        change.action.value,
        place.parent if place else None,
        place.position if place else None,
        change.base,
        min([change.base, *[edit.base for edit in change.fields.values()]]),
        encode_change(change),
        seen,
    )


_PACK_SEEN: Final = Encoder()


def pack_seen(seen: Mapping[str, bytes]) -> bytes:
    """Return field values as bytes."""
    return _PACK_SEEN.encode(seen)


def unpack_seen(data: bytes) -> dict[str, bytes]:
    """Return the field values that `pack_seen` wrote."""
    try:
        return dict(msgpack.unpackb(data))
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise damaged_row() from error


NUMBERS: Final = (
    "SELECT (SELECT value FROM meta WHERE key = 'last_op'),"
    " (SELECT max(op) FROM outbox WHERE verdict IS NULL)"
)


async def load_numbers(reader: Reader) -> tuple[int, int]:
    """Return the last op number given, and the greatest op that waits for a verdict (0: none)."""
    last_op, waiting = (await reader.fetch(NUMBERS))[0]
    return last_op or 0, waiting or 0


async def load_meta(reader: Reader, key: str) -> Any:
    """Return a value of the store's own, None if it is not set."""
    rows = await reader.fetch("SELECT value FROM meta WHERE key = ?", (key,))
    return rows[0][0] if rows else None


async def save_meta(writer: Writer, key: str, value: bytes | int | str) -> None:
    """Set a value of the store's own."""
    await writer.run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))
