"""Records of what could not be merged: written, read, and found again; theirs follows the log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

import msgpack

from kafkaman_sync.database import Reader, Row, Writer, json_list
from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.changes import Action, Change
from kafkaman_sync.model.planning import Scene
from kafkaman_sync.model.values import REMOVED, read_value
from kafkaman_sync.model.view import ViewEntity, ancestors
from kafkaman_sync.protocol.records import encode_change
from kafkaman_sync.store.facts import ConflictRecord, TheirWriter
from kafkaman_sync.store.rows import (
    load_entities,
    load_workspaces,
    own_change,
    pack_seen,
    unpack_seen,
)

REFUSED: Final = "refused"
OPEN: Final = "open"
_NAMES: Final = ("name", "key")
_COLUMNS: Final = (
    "id, workspace, entity, kind, code, field, base, mine, theirs, theirs_version, device, op,"
    " change, seen, path, refusal, message, state, snapshot, at, head, writer, resolved_ops"
)
_PREFIX: Final = re.compile(r"[0-9a-f]{1,32}")
# What a person gave up stays part of an archive; what they made again is in the outbox or the log.
_KEPT: Final = "state IN ('open', 'theirs', 'value')"
_CANDIDATES_MAX: Final = 10


def name_of(entity: ViewEntity) -> str:
    """Return what a person calls the entity; its id's beginning when it has no name."""
    for field in _NAMES:
        data = entity.fields.get(field, REMOVED)
        value = read_value(data) if data != REMOVED else None
        if isinstance(value, str) and value:
            return value
    return entity.id[:8]


def entity_path(scene: Scene, change: Change) -> tuple[tuple[str, ...], str]:
    """Return the names from the workspace down to a change's entity, and its kind ("" unknown)."""
    shown = scene.entities.get(change.entity)
    if shown is None and change.kind is not None and change.place is not None:
        scene.add_pending(change)
        shown = scene.entities[change.entity]
    if shown is None:
        return (), ""
    above = ancestors(scene.entities, shown.id)
    return tuple(name_of(each) for each in [*reversed(above), shown]), shown.kind.value


async def insert_conflicts(writer: Writer, records: Iterable[ConflictRecord]) -> None:
    """Keep records; one that is there already stays as it is."""
    await writer.run_many(
        f"INSERT OR IGNORE INTO conflicts ({_COLUMNS})"  # noqa: S608 - only constants go in
        f" VALUES ({', '.join('?' * len(_COLUMNS.split(',')))})",
        [_row(record) for record in records],
    )


def _row(record: ConflictRecord) -> tuple[Any, ...]:
    packed = {
        "change": encode_change(record.change),
        "seen": pack_seen(record.seen),
        "path": msgpack.packb(record.path, unicode_errors="surrogatepass"),
        "writer": pack_writer(record.writer) if record.writer else None,
    }
    return tuple(
        packed[name] if name in packed else getattr(record, name) for name in _COLUMNS.split(", ")
    )


def pack_writer(writer: TheirWriter) -> bytes:
    """Return who wrote a version as bytes."""
    return bytes(msgpack.packb(asdict(writer), unicode_errors="surrogatepass"))


def _record(row: Row) -> ConflictRecord:
    facts: dict[str, Any] = dict(zip(_COLUMNS.split(", "), row, strict=True))
    facts["change"] = own_change(facts["change"])
    facts["seen"] = unpack_seen(facts["seen"])
    facts["path"] = tuple(msgpack.unpackb(facts["path"], unicode_errors="surrogatepass"))
    if facts["writer"] is not None:
        written = msgpack.unpackb(facts["writer"], unicode_errors="surrogatepass")
        facts["writer"] = TheirWriter(**written)
    return ConflictRecord(**facts)


async def join_groups(writer: Writer, records: Sequence[ConflictRecord]) -> list[ConflictRecord]:
    """Return new records, each with the head that it depends on, in op order.

    What a refused create was to hold, or later changes of it, cannot be done without it.
    """
    heads: dict[tuple[str, str], str] = {}
    ids = {record.entity for record in records} | _parents(records)
    rows = await writer.fetch(
        "SELECT id, workspace, entity, head, change FROM conflicts WHERE state = 'open'"
        " AND code = 'refused'"
        " AND entity IN (SELECT value FROM json_each(?)) ORDER BY op",
        (json_list(ids),),
    )
    for conflict, workspace, entity, head, change in rows:
        if own_change(change).action is Action.CREATE:
            heads[workspace, entity] = head or conflict
    joined: list[ConflictRecord] = []
    for record in records:
        place = record.change.place
        head = heads.get((record.workspace, record.entity), "")
        if not head and place is not None:
            head = heads.get((record.workspace, place.parent), "")
        if record.code == REFUSED and record.change.action is Action.CREATE:
            heads[record.workspace, record.entity] = head or record.id
        joined.append(replace(record, head=head))
    return joined


async def part_from_lost_heads(writer: Writer) -> None:
    """Let records stand for themselves whose head is not there, so that they can be resolved."""
    await writer.run(
        "UPDATE conflicts SET head = '' WHERE head <> '' AND head NOT IN (SELECT id FROM conflicts)"
    )


def _parents(records: Iterable[ConflictRecord]) -> set[str]:
    return {record.change.place.parent for record in records if record.change.place}


async def load_conflicts(reader: Reader, *, closed: bool = False) -> list[ConflictRecord]:
    """Return the open records in op order, with theirs as it is now.

    `closed` adds those whose own value a person gave up.
    """
    return await _load(reader, _KEPT if closed else "state = 'open'")


async def load_resolved(reader: Reader) -> list[ConflictRecord]:
    """Return the records that a person has closed, the latest changes last."""
    return await _load(reader, "state NOT IN ('open', 'equal') AND head = ''")


async def load_group(reader: Reader, record: ConflictRecord) -> list[ConflictRecord]:
    """Return a record with those that depend on it, in op order."""
    return [record, *await _load(reader, "head = ? AND state = ?", (record.id, record.state))]


async def load_conflict(reader: Reader, text: str, *, closed: bool = False) -> ConflictRecord:
    """Return the open record of an id, or of the beginning of one; `closed`: any record.

    Raises ModelError `conflict.not_found`, or `conflict.ambiguous` with the candidates.
    """
    found: list[ConflictRecord] = []
    if _PREFIX.fullmatch(text):
        within = "id >= ? AND id < ?", (text, f"{text}g")
        found = await _load(reader, f"{within[0]} AND state = 'open'", within[1])
        if closed and not found:
            found = await _load(reader, *within)
    if not found:
        raise ModelError(
            f"There is no {'' if closed else 'open '}conflict {text[:40]!r}.",
            code="conflict.not_found",
            hint="List them with `kafkaman conflicts`.",
            conflict=text[:40],
        )
    if len(found) > 1:
        raise ModelError(
            f"{text[:40]!r} stands for {len(found)} conflicts.",
            code="conflict.ambiguous",
            hint="Give more digits of its id.",
            candidates=[each.id for each in found[:_CANDIDATES_MAX]],
        )
    return found[0]


async def _load(
    reader: Reader, condition: str, parameters: tuple[str, ...] = ()
) -> list[ConflictRecord]:
    rows = await reader.fetch(
        f"SELECT {_COLUMNS} FROM conflicts WHERE {condition} ORDER BY op, field",  # noqa: S608 - every caller's condition is made of literals
        parameters,
    )
    return await _follow(reader, [_record(row) for row in rows])


async def _follow(reader: Reader, records: list[ConflictRecord]) -> list[ConflictRecord]:
    """Return the open records with the confirmed value, where it is another and newer, as theirs.

    A closed one keeps what theirs was then.
    """
    entities: dict[tuple[str, str], dict[str, tuple[bytes, int]]] = {}
    workspaces = await load_workspaces(reader) if records else {}
    for held in workspaces.values():
        ids = {each.entity for each in records if each.workspace == held.id and each.field}
        for entity in (await load_entities(reader, held.copy, ids)).values():
            entities[held.id, entity.id] = {
                name: (each.value, each.version) for name, each in entity.fields.items()
            }
    followed: list[ConflictRecord] = []
    for record in records:
        value, version = entities.get((record.workspace, record.entity), {}).get(
            record.field, (b"", 0)
        )
        newer = record.state == OPEN and version > record.theirs_version
        follows = newer and value != record.theirs
        followed.append(
            replace(record, theirs=value, theirs_version=version) if follows else record
        )
    return followed
