"""A log as JSON lines: written whole from any source, every stored byte as it is.

    {"kafkaman":"replay log","version":1}                      the first line
    {"account":{"id":"...","username":"ann"}}
    {"device":{"id":"...","name":"laptop","platform":"Linux","account":"..."}}
    {"workspace":{"id":"...","name":"Personal","head":9,...}}  what follows is of this one
    {"base":{"entity":"...","body":"..."}}                     a row as it was at the horizon
    {"event":{"seq":1,"action":"create",...,"body":"..."}}     in seq order
    {"gap":{"first":4,"last":5}}                               events that the source had not got
    {"row":{"entity":"...","kind":"request",...}}              a row as it is stored for the head
    {"dispute":{"seq":7,"entity":"...","body":"..."}}
    {"end":{"lines":17,"blake2b":"..."}}                       the last line: what was before it

Bytes are in base64. What of an event stands beside its `body` is for who reads or searches; reading
refuses a line whose words are not those of its bytes.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.entities import pack_fields
from kafkaman_sync.protocol.records import encode_dispute, encode_entity
from kafkaman_sync.replay.reading import Gap, read_entries
from kafkaman_sync.replay.records import Log, Logged
from kafkaman_sync.replay.server_log import ServerLog
from kafkaman_sync.replay.source import Source, SourceKind

MARK: Final = b'{"kafkaman":"replay log",'
"""How the first line begins."""
VERSION: Final = 1
HASH_BYTES: Final = 16

Json = dict[str, Any]
# Of a stored row, in the order of `stored_rows`.
ROW_COLUMNS: Final = (
    "entity",
    "kind",
    "parent",
    "position",
    "place_version",
    "deleted",
    "deleted_version",
    "version",
    "fields",
    "writer",
    "foreign_version",
)


def write_lines(
    source: Source, logs: Iterable[Log], done: Callable[[int], None] = lambda _: None
) -> Iterator[bytes]:
    """Yield the lines of a source's logs, each with its end; `done` hears of each event's seq.

    Raises ReplayError `replay.no_events` for a source that has none, and what the source raises.
    """
    digest, count = hashlib.blake2b(digest_size=HASH_BYTES), 0
    for record in _records(source, logs, done):
        line = _line(record)
        digest.update(line)
        count += 1
        yield line
    yield _line({"end": {"lines": count, "blake2b": digest.hexdigest()}})


def _line(record: Json) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"


def _records(source: Source, logs: Iterable[Log], done: Callable[[int], None]) -> Iterator[Json]:
    yield {"kafkaman": "replay log", "version": VERSION}
    names = source.names()
    for account, username in sorted(names.accounts.items()):
        yield {"account": {"id": account, "username": username}}
    for _, device in sorted(names.devices.items()):
        yield {
            "device": {
                "id": device.id,
                "name": device.name,
                "platform": device.platform,
                "account": device.account,
            }
        }
    for log in logs:
        yield {"workspace": _heading(log)}
        for base in _bases(source, log):
            yield {"base": base}
        for event in _events(source, log):
            yield event
            done(event["event"]["seq"] if "event" in event else event["gap"]["last"])
        for row in _rows(source, log):
            yield {"row": row}
        for dispute in _disputes(source, log):
            yield {"dispute": dispute}


def _heading(log: Log) -> Json:
    return {
        "id": log.workspace,
        "name": log.name,
        "head": log.head,
        "digest": log.digest.hex() if log.digest else None,
        "horizon": log.horizon,
        "horizon_at": log.horizon_at,
    }


def _bases(source: Source, log: Log) -> Iterator[Json]:
    if isinstance(source, ServerLog):
        for entity, body in source.stored_bases(log):
            yield {"entity": entity, "body": _text(body)}
        return
    for base in source.bases(log):
        yield {"entity": base.id, "body": _text(encode_entity(base))}


def _events(source: Source, log: Log) -> Iterator[Json]:
    # The table says of each event whose it is: as a rule what its bytes say.
    tabled = source.stored_events(log) if isinstance(source, ServerLog) else None
    for each in read_entries(source, log):
        if isinstance(each, Gap):
            yield {"gap": {"first": each.first, "last": each.last}}
            continue
        facts: Json = {"seq": each.seq}
        entity = None if tabled is None else next(tabled)[1]
        if each.logged is not None:
            facts |= words_of(each.logged)
        if entity is not None and facts.get("entity") != entity:
            facts["stored_for"] = entity
        facts["body"] = _text(each.body)
        if each.basis is not None:
            facts["basis"] = _text(each.basis)
        if each.digest is not None:
            facts["digest"] = each.digest.hex()
        yield {"event": facts}


def words_of(logged: Logged) -> Json:
    """Return what of an event is written beside its bytes."""
    event = logged.event
    return {
        "action": event.action.value,
        "entity": event.entity,
        "device": event.device,
        "op": event.op,
        "at": event.at,
        "fields": sorted(event.fields),
    }


def _rows(source: Source, log: Log) -> Iterator[Json]:
    if isinstance(source, ServerLog):
        yield from map(_row, source.stored_rows(log))
        return
    for row in source.rows(log):
        columns = [
            row.id,
            row.kind.value,
            row.place.parent,
            row.place.position,
            row.place_version,
            row.deleted,
            row.deleted_version,
            row.version,
            pack_fields(row.fields),
            "",
            0,
        ]
        yield _row(tuple(columns))


def _row(columns: tuple[Any, ...]) -> Json:
    row = dict(zip(ROW_COLUMNS, columns, strict=True))
    return {**row, "deleted": bool(row["deleted"]), "fields": _text(row["fields"])}


def _disputes(source: Source, log: Log) -> Iterator[Json]:
    if isinstance(source, ServerLog):
        for seq, entity, body in source.stored_disputes(log):
            yield {"seq": seq, "entity": entity, "body": _text(body)}
        return
    for dispute in source.disputes(log):
        yield {
            "seq": dispute.seq,
            "entity": dispute.entity,
            "body": _text(encode_dispute(dispute)),
        }


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def check_exportable(source: Source) -> None:
    """Raise ReplayError for a source that holds states only, or no states.

    `replay.no_events` for a device's store, `replay.no_rows` for a capture.
    """
    if source.kind is SourceKind.STORE:
        raise ReplayError(
            f"{source.label} is a device's store: it holds the latest state, and no events.",
            code="replay.no_events",
            hint="Export a server's database, or from the server itself.",
        )
    if source.kind is SourceKind.CAPTURE:
        raise ReplayError(
            f"{source.label} is a capture: it holds what was said, and not what anybody stores.",
            code="replay.no_rows",
            hint="Its events are to be had: kafkaman replay log CAPTURE --json --values.",
        )
