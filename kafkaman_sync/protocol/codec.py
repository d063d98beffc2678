"""Messages to bytes and back. One error type, WireError, for everything that is not legal.

Unknown message types raise WireError `wire.unknown`; unknown keys are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kafkaman_sync.errors import WireError
from kafkaman_sync.model.changes import HASH_BYTES, Verdict
from kafkaman_sync.model.digest import DIGEST_BYTES
from kafkaman_sync.model.limits import (
    INTEGER_MAX,
    ITEMS_MAX,
    MESSAGE_BYTES_MAX,
    PUSH_CHANGES_MAX,
    RETRY_AFTER_SECONDS_MAX,
    ROW_BYTES_MAX,
)
from kafkaman_sync.protocol.messages import (
    Call,
    Checkpoint,
    Entities,
    EpochStart,
    Events,
    Goodbye,
    Hello,
    Message,
    Notice,
    Position,
    Push,
    Reply,
    Resend,
    Verdicts,
    Welcome,
    WorkspaceHead,
)
from kafkaman_sync.protocol.reading import Record, unpack
from kafkaman_sync.protocol.records import read_id, read_verdict
from kafkaman_sync.protocol.usual import encode_usual, read_events

WORKSPACES_MAX: Final = 10_000
EPOCHS_MAX: Final = 1_000
# How the messages begin of which there are most; two keys or, with a digest, three follow the type.
_EVENTS_STARTS: Final = tuple(bytes((0x80 + keys,)) + b"\xa4type\xa6events" for keys in (3, 4))


def encode(message: Message) -> bytes:
    """Return the bytes of a message."""
    name, write, _ = _BY_CLASS[type(message)]
    return encode_usual({"type": name, **write(message)})


def decode(data: bytes) -> Message:
    """Return the message of `data`; WireError when it is not a legal one."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise WireError(f"A message has {len(data):,} bytes; allowed are {MESSAGE_BYTES_MAX:,}.")
    events = read_events(data) if data.startswith(_EVENTS_STARTS) else None
    if events is not None:
        return Events(events.workspace, events.items, events.digest)
    record = unpack(data, "A message")
    name = record.text("type")
    if name not in _BY_NAME:
        raise WireError("This type of message is not known.", code="wire.unknown")
    return _BY_NAME[name](record)


def _write_call(message: Call) -> dict[str, Any]:
    return {"id": message.id, "method": message.method, "params": dict(message.params)}


def _read_call(record: Record) -> Call:
    return Call(record.integer("id"), record.text("method"), record.plain("params"))


def _write_hello(message: Hello) -> dict[str, Any]:
    return {
        "token": message.token,
        "device": message.device,
        "lease": message.lease,
        "positions": [
            {"workspace": at.workspace, "epoch": at.epoch, "cursor": at.cursor, "mark": at.mark}
            for at in message.positions
        ],
        "confirmed_op": message.confirmed_op,
        "highest_base": dict(message.highest_base),
    }


def _read_hello(record: Record) -> Hello:
    bases = dict(record.entries("highest_base", most=WORKSPACES_MAX))
    if not all(type(base) is int and 0 <= base <= INTEGER_MAX for base in bases.values()):
        raise record.fault("highest_base", "a map of integers")
    return Hello(
        token=record.text("token"),
        device=read_id(record, "device"),
        lease=record.text("lease"),
        positions=record.items("positions", _read_position, most=WORKSPACES_MAX),
        confirmed_op=record.integer("confirmed_op", 0),
        highest_base=bases,
    )


def _read_position(value: object) -> Position:
    record = Record(value, "A position")
    return Position(
        workspace=read_id(record, "workspace"),
        epoch=record.text("epoch", ""),
        cursor=record.integer("cursor", 0),
        mark=record.integer("mark", 0),
    )


def _write_push(message: Push) -> dict[str, Any]:
    return {"changes": list(message.changes), "confirmed_op": message.confirmed_op}


def _read_push(record: Record) -> Push:
    changes = record.items("changes", _read_row, most=PUSH_CHANGES_MAX)
    return Push(changes, record.integer("confirmed_op", 0))


def _write_welcome(message: Welcome) -> dict[str, Any]:
    return {
        "server": message.server,
        "epoch": message.epoch,
        "lease": message.lease,
        "account": message.account,
        "device": message.device,
        "last_op": message.last_op,
        "last_change": message.last_change,
        "workspaces": [
            {
                "id": workspace.id,
                "name": workspace.name,
                "role": workspace.role,
                "head": workspace.head,
                "epochs": [[start.epoch, start.first_seq] for start in workspace.epochs],
            }
            for workspace in message.workspaces
        ],
        "limits": dict(message.limits),
    }


def _read_welcome(record: Record) -> Welcome:
    return Welcome(
        server=record.text("server"),
        epoch=record.text("epoch"),
        lease=record.text("lease"),
        account=record.text("account"),
        device=read_id(record, "device"),
        last_op=record.integer("last_op"),
        workspaces=record.items("workspaces", _read_workspace, most=WORKSPACES_MAX),
        limits=record.plain("limits"),
        last_change=record.raw("last_change", b"", bytes_max=HASH_BYTES),
    )


def _read_workspace(value: object) -> WorkspaceHead:
    record = Record(value, "A workspace")
    return WorkspaceHead(
        id=read_id(record, "id"),
        name=record.text("name"),
        role=record.text("role"),
        head=record.integer("head"),
        epochs=record.items("epochs", _read_epoch, most=EPOCHS_MAX),
    )


def _read_epoch(value: object) -> EpochStart:
    if not isinstance(value, list) or len(value) != 2:
        raise WireError("A workspace: 'epochs' is not an array of [epoch, first seq].")
    record = Record({"epoch": value[0], "first_seq": value[1]}, "An epoch")
    return EpochStart(record.text("epoch"), record.integer("first_seq"))


def _write_events(message: Events) -> dict[str, Any]:
    record = {"workspace": message.workspace, "items": message.items}
    return record if message.digest is None else {**record, "digest": message.digest}


def _read_events(record: Record) -> Events:
    return Events(
        workspace=read_id(record, "workspace"),
        items=record.items("items", _read_event_or_stub, most=ITEMS_MAX),
        digest=_read_digest(record) if record.has("digest") else None,
    )


def _read_event_or_stub(value: object) -> bytes | Verdict:
    return _read_row(value) if isinstance(value, bytes) else read_verdict(value)


def _write_entities(message: Entities) -> dict[str, Any]:
    return {
        "workspace": message.workspace,
        "rows": list(message.rows),
        "mark": message.mark,
        "full": message.full,
        "total": message.total,
        "purged": [list(entry) for entry in message.purged],
        "through": message.through,
    }


def _read_entities(record: Record) -> Entities:
    return Entities(
        workspace=read_id(record, "workspace"),
        rows=record.items("rows", _read_row, most=ITEMS_MAX),
        mark=record.integer("mark"),
        full=record.flag("full"),
        total=record.integer("total", 0),
        purged=record.items("purged", _read_purged, most=ITEMS_MAX),
        through=record.integer("through") if record.has("through") else None,
    )


def _read_purged(value: object) -> tuple[str, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise WireError("Entities: 'purged' is not an array of [entity, seq].")
    record = Record({"entity": value[0], "seq": value[1]}, "A purge")
    return read_id(record, "entity"), record.integer("seq")


def _write_checkpoint(message: Checkpoint) -> dict[str, Any]:
    return {"workspace": message.workspace, "seq": message.seq, "digest": message.digest}


def _read_checkpoint(record: Record) -> Checkpoint:
    return Checkpoint(read_id(record, "workspace"), record.integer("seq"), _read_digest(record))


def _write_verdicts(message: Verdicts) -> dict[str, Any]:
    return {"verdicts": message.verdicts}


def _read_verdicts(record: Record) -> Verdicts:
    return Verdicts(record.items("verdicts", read_verdict, most=ITEMS_MAX))


def _write_resend(message: Resend) -> dict[str, Any]:
    return {"op": message.op}


def _read_resend(record: Record) -> Resend:
    return Resend(record.integer("op"))


def _write_reply(message: Reply) -> dict[str, Any]:
    if message.error is not None:
        return {"id": message.id, "error": dict(message.error)}
    return {"id": message.id, "result": dict(message.result or {})}


def _read_reply(record: Record) -> Reply:
    if record.has("error"):
        return Reply(record.integer("id"), error=record.plain("error"))
    return Reply(record.integer("id"), result=record.plain("result"))


def _write_notice(message: Notice) -> dict[str, Any]:
    return {"code": message.code, "message": message.message, "details": dict(message.details)}


def _read_notice(record: Record) -> Notice:
    return Notice(record.text("code"), record.text("message"), record.plain("details"))


def _write_goodbye(message: Goodbye) -> dict[str, Any]:
    return {"code": message.code, "message": message.message, "retry_after": message.retry_after}


def _read_goodbye(record: Record) -> Goodbye:
    retry_after = min(record.seconds("retry_after"), float(RETRY_AFTER_SECONDS_MAX))
    return Goodbye(record.text("code"), record.text("message"), retry_after)


def _read_row(value: object) -> bytes:
    if not isinstance(value, bytes) or len(value) > ROW_BYTES_MAX:
        raise WireError(f"A record is not a byte string of at most {ROW_BYTES_MAX} bytes.")
    return value


def _read_digest(record: Record) -> bytes:
    digest = record.raw("digest", bytes_max=DIGEST_BYTES)
    if len(digest) != DIGEST_BYTES:
        raise record.fault("digest", f"{DIGEST_BYTES} bytes")
    return digest


_BY_CLASS: Final[
    dict[type, tuple[str, Callable[[Any], dict[str, Any]], Callable[[Record], Message]]]
] = {
    Call: ("call", _write_call, _read_call),
    Hello: ("hello", _write_hello, _read_hello),
    Push: ("push", _write_push, _read_push),
    Welcome: ("welcome", _write_welcome, _read_welcome),
    Events: ("events", _write_events, _read_events),
    Entities: ("entities", _write_entities, _read_entities),
    Checkpoint: ("checkpoint", _write_checkpoint, _read_checkpoint),
    Verdicts: ("verdicts", _write_verdicts, _read_verdicts),
    Resend: ("resend", _write_resend, _read_resend),
    Reply: ("reply", _write_reply, _read_reply),
    Notice: ("notice", _write_notice, _read_notice),
    Goodbye: ("goodbye", _write_goodbye, _read_goodbye),
}

_BY_NAME: Final = {name: read for name, _, read in _BY_CLASS.values()}
