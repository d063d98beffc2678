"""What is left of a damaged store: whose it was, its unacknowledged work, its way into a new one.

Each row counts only if all of it decodes. What SQLite itself still finds goes on as if nothing had
happened, under new op numbers; what only a search of the pages found may have been acknowledged
long ago, and goes into the archive alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar

import msgpack

from kafkaman_sync.database import Writer
from kafkaman_sync.errors import KafkamanError
from kafkaman_sync.model.changes import Action, Change
from kafkaman_sync.model.digest import EMPTY_DIGEST, compute_digest
from kafkaman_sync.model.edits import Create, Edit, Move
from kafkaman_sync.model.entities import PARENT_KINDS, ROOT, Entity, Kind, fits, is_id
from kafkaman_sync.model.planning import Scene
from kafkaman_sync.model.values import encode_value
from kafkaman_sync.model.view import confirmed_view
from kafkaman_sync.protocol.records import decode_change
from kafkaman_sync.store.conflicts import part_from_lost_heads
from kafkaman_sync.store.editing import edit
from kafkaman_sync.store.facts import SCRATCH_PAD, ConflictRecord, Identity
from kafkaman_sync.store.identity import save_identity
from kafkaman_sync.store.ledger import load_ledger
from kafkaman_sync.store.outbox import renumber
from kafkaman_sync.store.resolving import Pen
from kafkaman_sync.store.rows import (
    Held,
    entity_from_row,
    load_workspace,
    save_entities,
    save_meta,
    save_workspace,
    unpack_seen,
)
from kafkaman_sync.store.salvage import Found, Record, salvage

TABLES: Final = ("meta", "workspaces", "outbox", "conflicts", "entities")

T = TypeVar("T")
# What decoding bytes that are not what they should be can raise.
_UNREADABLE: Final = (KafkamanError, msgpack.UnpackException, ValueError, TypeError, KeyError)


@dataclass(frozen=True, slots=True)
class Op:
    """A change of the outbox, what the person saw, and its row."""

    change: Change
    seen: Mapping[str, bytes]
    row: Record


@dataclass(slots=True)
class Rescued:
    """What could be read. `old` may have been acknowledged; `whole` tells that nothing is missing.

    `entities` are the confirmed rows by workspace.
    """

    identity: Identity | None = None
    workspaces: dict[str, Held] = field(default_factory=dict)
    outbox: list[Op] = field(default_factory=list)
    old: list[Op] = field(default_factory=list)
    conflicts: list[tuple[ConflictRecord, Record]] = field(default_factory=list)
    entities: dict[str, dict[str, Entity]] = field(default_factory=dict)
    whole: bool = True
    lost: int = 0
    """Rows of the outbox that are there and do not decode."""

    def scene(self, workspace: str) -> Scene:
        """Return what the person saw in a workspace, as far as it is left."""
        scene = Scene(workspace, 0)
        for entity in self.entities.get(workspace, {}).values():
            scene.entities[entity.id] = confirmed_view(workspace, entity)
        for op in sorted([*self.outbox, *self.old], key=lambda each: each.change.op):
            if op.change.workspace == workspace:
                scene.add_pending(op.change)
        return scene

    @property
    def requeued(self) -> list[Op]:
        """The changes that go on by themselves in a new store."""
        return [each for each in self.outbox if each.change.workspace in self.workspaces]

    def names(self) -> dict[str, str]:
        """Return the name of each workspace, also of those of which only edits are left."""
        lost = {each.change.workspace for each in (*self.outbox, *self.old)}
        lost |= {record.workspace for record, _ in self.conflicts}
        known = {held.id: held.name for held in self.workspaces.values()}
        return {**dict.fromkeys(lost, ""), **known}


def rescue(path: Path, *, local: bool = False) -> Rescued:
    """Read what is left of the store at `path`. Blocks. Raises OSError."""
    found = salvage(path, TABLES)
    rescued = Rescued(whole=all(each.whole for each in found.values()))
    rescued.identity = next(_each(_identity, _all(found["meta"])), None)
    for held in _each(_held, _all(found["workspaces"])):
        rescued.workspaces.setdefault(held.id, held)
    rescued.outbox = sorted(_each(_op, found["outbox"].rows), key=lambda each: each.change.op)
    rescued.lost = len(found["outbox"].rows) - len(rescued.outbox)
    known = {each.change.op for each in rescued.outbox}
    for op in _each(_op, found["outbox"].old):
        if op.change.op not in known:
            known.add(op.change.op)
            rescued.old.append(op)
    seen: set[str] = set()
    for record, row in _each(_conflict, _all(found["conflicts"])):
        if record.id not in seen:
            seen.add(record.id)
            rescued.conflicts.append((record, row))
    _sort_entities(rescued, found["entities"], SCRATCH_PAD if local else None)
    return rescued


def _all(found: Found) -> Iterator[Record]:
    yield from found.rows
    yield from found.old


def _each(read: Callable[[Record], T | None], rows: Iterable[Record]) -> Iterator[T]:
    """Yield what `read` makes of each row that is what it seems to be."""
    for row in rows:
        try:
            value = read(row)
        except _UNREADABLE:
            continue
        if value is not None:
            yield value


def _identity(row: Record) -> Identity | None:
    if row["key"] != "identity":
        return None
    identity = Identity(**msgpack.unpackb(row["value"]))
    return identity if is_id(identity.account) and is_id(identity.device) else None


def _held(row: Record) -> Held | None:
    if not is_id(row["id"]) or not isinstance(row["role"], str) or type(row["copy"]) is not int:
        return None
    # The position is forgotten: the server sends everything anew.
    return Held(
        row["id"], str(row["name"]), row["role"], 0, 0, EMPTY_DIGEST, (),
        row["copy"], None, None, None, whole=True,
    )  # fmt: skip


def _op(row: Record) -> Op | None:
    change = decode_change(row["change"])
    legal = change.op == row["op"] and change.entity == row["entity"]
    if not legal or Action(row["action"]) is not change.action:
        return None
    return Op(change, unpack_seen(row["seen"]), row)


def _conflict(row: Record) -> tuple[ConflictRecord, Record]:
    facts = {each.name: row[each.name] for each in fields(ConflictRecord) if each.name in row}
    facts["change"] = decode_change(row["change"])
    facts["seen"] = unpack_seen(row["seen"])
    facts["path"] = tuple(msgpack.unpackb(row["path"], unicode_errors="surrogatepass"))
    facts.pop("writer", None)  # the server says it again
    if not is_id(row["workspace"]) or facts["change"].entity != row["entity"]:
        raise ValueError("not a record of a conflict")
    return ConflictRecord(**facts), row


def _sort_entities(rescued: Rescued, found: Found, only: str | None) -> None:
    """Give each entity to the workspace whose copy it lies in; the newest row of each counts.

    All belong to `only`, if it is given.
    """
    workspaces = {held.copy: held.id for held in rescued.workspaces.values()}
    for copy, entity in _each(_entity, _all(found)):
        workspace = only or workspaces.get(copy)
        if workspace is None:
            continue
        rows = rescued.entities.setdefault(workspace, {})
        if entity.id not in rows or rows[entity.id].version < entity.version:
            rows[entity.id] = entity


def _entity(row: Record) -> tuple[int, Entity] | None:
    if not is_id(row["id"]) or type(row["copy"]) is not int or type(row["version"]) is not int:
        return None
    columns = (
        "id", "kind", "parent", "position", "place_version", "deleted", "deleted_version",
        "version", "fields",
    )  # fmt: skip
    return row["copy"], entity_from_row(tuple(row[name] for name in columns))


async def refill(writer: Writer, rescued: Rescued) -> None:
    """Put what goes on into a new store.

    The lease is one that no server knows: the device registers anew, for nobody can tell which op
    numbers were used.
    """
    assert rescued.identity is not None
    await save_identity(writer, replace(rescued.identity, lease=secrets.token_hex(16)))
    for number, held in enumerate(rescued.workspaces.values(), start=1):
        await save_workspace(writer, replace(held, copy=number))
    await _insert(writer, "outbox", [{**each.row, "covered_by": None} for each in rescued.requeued])
    await save_meta(writer, "last_op", await renumber(writer, 0))
    await _insert(writer, "conflicts", [row for _, row in rescued.conflicts])
    await part_from_lost_heads(writer)


async def refill_local(writer: Writer, rescued: Rescued, pen: Pen, today: date) -> None:
    """Put the rows of a damaged Scratch Pad into a new one.

    What lost the entity that it lay in goes into a collection of its own.
    """
    held = await load_workspace(writer, SCRATCH_PAD)
    rows = rescued.entities.get(SCRATCH_PAD, {})
    await save_entities(writer, held.copy, dict(rows))
    held.cursor = max((entity.version for entity in rows.values()), default=0)
    held.digest = compute_digest(held.id, rows.values())
    await save_workspace(writer, held)
    edits = list(_adopt(rows, pen.fresh_id, f"Restored {today.isoformat()}"))
    if edits:
        ledger = await load_ledger(writer)
        await edit(writer, ledger, held.id, edits, local=True, suffix=pen.suffix, at=pen.at)


def _adopt(rows: Mapping[str, Entity], new_id: Callable[[], str], title: str) -> Iterator[Edit]:
    """Yield what gives a place to each entity whose parent is lost."""
    holders: dict[tuple[Kind, str], str] = {}

    def holder(kind: Kind, lost: str) -> Iterator[Edit]:
        if (kind, lost) not in holders:
            parent = ROOT
            if not fits(kind, None):
                yield from holder(Kind.COLLECTION, "")
                parent = holders[Kind.COLLECTION, ""]
            holders[kind, lost] = new_id()
            yield Create(holders[kind, lost], kind, parent, {"name": encode_value(title)})

    for entity in rows.values():
        lost = entity.place.parent
        if entity.deleted or lost == ROOT or lost in rows:
            continue
        kinds = PARENT_KINDS[entity.kind]
        if None in kinds:
            yield Move(entity.id, ROOT)
            continue
        kind = Kind.COLLECTION if Kind.COLLECTION in kinds else next(filter(None, kinds))
        lost = "" if kind is Kind.COLLECTION else lost
        yield from holder(kind, lost)
        yield Move(entity.id, holders[kind, lost])


async def _insert(writer: Writer, table: str, rows: Iterable[Record]) -> None:
    for row in rows:
        values: dict[str, Any] = {name: value for name, value in row.items() if value is not None}
        places = ", ".join("?" * len(values))
        await writer.run(
            f"INSERT OR IGNORE INTO {table} ({', '.join(values)}) VALUES ({places})",  # noqa: S608 - names of ours
            tuple(values.values()),
        )
