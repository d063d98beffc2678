"""Seal unacknowledged work: one readable archive, on the disk before anything drops the work."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import simplejson

from kafkaman_sync.database import Reader
from kafkaman_sync.model.changes import Change
from kafkaman_sync.model.planning import Scene
from kafkaman_sync.model.values import REMOVED, Value, decode_value
from kafkaman_sync.model.view import confirmed_view
from kafkaman_sync.protocol.records import decode_change, decode_entity
from kafkaman_sync.store.conflicts import entity_path, load_conflicts
from kafkaman_sync.store.editing import load_chain
from kafkaman_sync.store.facts import ConflictRecord, Identity
from kafkaman_sync.store.rows import Held, load_workspaces, unpack_seen

FORMAT: Final = "kafkaman.sealed"
VERSION: Final = 1
_CHUNK_ROWS: Final = 200


@dataclass(frozen=True, slots=True)
class Sealable:
    """What an archive will hold, as JSON-like records."""

    changes: list[dict[str, Any]]
    conflicts: list[dict[str, Any]]


async def collect(reader: Reader) -> Sealable:
    """Return the outbox, the open conflicts and the losing values that are still kept."""
    workspaces = await load_workspaces(reader)
    changes: list[dict[str, Any]] = []
    last = 0
    while rows := await reader.fetch(
        "SELECT op, change, seen FROM outbox WHERE op > ? ORDER BY op LIMIT ?", (last, _CHUNK_ROWS)
    ):
        pending = [(decode_change(data), unpack_seen(seen)) for _, data, seen in rows]
        last = rows[-1][0]
        for held in workspaces.values():
            mine = [each for each in pending if each[0].workspace == held.id]
            changes += await _describe(reader, held, mine)
    changes.sort(key=lambda each: int(each["op"]))
    records = await load_conflicts(reader, closed=True)
    conflicts = [_conflict(record, workspaces[record.workspace]) for record in records]
    return Sealable(changes, conflicts)


async def _describe(
    reader: Reader, held: Held, pending: list[tuple[Change, dict[str, bytes]]]
) -> list[dict[str, Any]]:
    scene = Scene(held.id, held.cursor)
    ids = {change.entity for change, _ in pending}
    await load_chain(reader, held, scene, ids, whole=None)
    found = []
    for change, seen in pending:
        path, kind = entity_path(scene, change)
        record = _change(change, seen, held, path, kind)
        shown = scene.entities.get(change.entity)
        if shown is not None:
            record["entity_values"] = _values(shown.without_removed().fields)
        found.append(record)
    return found


def _change(
    change: Change,
    seen: Mapping[str, bytes],
    held: Held,
    path: tuple[str, ...],
    kind: str,
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "op": change.op,
        "workspace": {"id": held.id, "name": held.name},
        "action": change.action.value,
        "entity": change.entity,
        "kind": kind,
        "path": list(path),
        "base": change.base,
    }
    if change.place is not None:
        record["parent"] = change.place.parent
        record["position"] = change.place.position
    values = {name: edit.value for name, edit in change.fields.items()}
    if values:
        record["fields"] = _values(values)
        record["removed"] = sorted(name for name, value in values.items() if value == REMOVED)
    if seen:
        record["seen"] = _values(seen)
    return record


def _conflict(record: ConflictRecord, held: Held) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": record.id,
        "state": record.state,
        "code": record.code,
        "refusal": record.refusal,
        "message": record.message,
        "field": record.field,
        "change": _change(record.change, record.seen, held, record.path, record.kind),
    }
    for name, data in (("base", record.base), ("mine", record.mine), ("theirs", record.theirs)):
        if data is not None and data != REMOVED:
            found[name] = _plain(decode_value(data))
    if record.snapshot is not None:
        entity = decode_entity(record.snapshot)
        shown = confirmed_view(record.workspace, entity).without_removed()
        found["entity"] = {
            "id": entity.id,
            "kind": entity.kind.value,
            "parent": entity.place.parent,
            "position": entity.place.position,
            "fields": _values(shown.fields),
        }
    return found


def _values(fields: Mapping[str, bytes]) -> dict[str, Any]:
    return {name: _plain(decode_value(data)) for name, data in fields.items() if data != REMOVED}


def _plain(value: Value) -> Any:
    """Return a value as JSON can hold it; what JSON cannot say is tagged with one "$" key."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        plain = {key: _plain(item) for key, item in value.items()}
        tagged = len(plain) == 1 and next(iter(plain)).startswith("$")
        return {"$map": plain} if tagged else plain
    return value


def write_archive(
    directory: Path, sealable: Sealable, identity: Identity | None, reason: str, at: datetime
) -> Path:
    """Write an archive so that it is whole and on the disk when this returns, or not there."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = _free_name(directory, at)
    temporary = path.with_suffix(".partial")
    temporary.unlink(missing_ok=True)
    opened = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "w", encoding="utf-8") as file:
        file.writelines(_text(sealable, identity, reason, at))
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path


def _free_name(directory: Path, at: datetime) -> Path:
    stem = f"unsynced-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    path = directory / f"{stem}.json"
    number = 1
    while path.exists():
        number += 1
        path = directory / f"{stem}-{number}.json"
    return path


def _text(
    sealable: Sealable, identity: Identity | None, reason: str, at: datetime
) -> Iterator[str]:
    document = {
        "format": FORMAT,
        "version": VERSION,
        "reason": reason,
        "sealed_at": at.astimezone(UTC).isoformat(),
        "server": identity.server_url if identity else "",
        "account": identity.account if identity else "",
        "username": identity.username if identity else "",
        "device": identity.device if identity else "",
        "device_name": identity.device_name if identity else "",
        "changes": sealable.changes,
        "conflicts": sealable.conflicts,
    }
    # Escaped to ASCII, so that text with lone surrogates survives too.
    encoder = simplejson.JSONEncoder(indent=2, use_decimal=True, ensure_ascii=True)
    yield from encoder.iterencode(document)
    yield "\n"
