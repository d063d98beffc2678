"""A welcome, and what follows when the server behind it was restored from a backup.

Rules: docs/protocol.md, "Restored servers, cloned devices".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from kafkaman_sync.database import Reader, Writer
from kafkaman_sync.model.changes import Action, Change, FieldEdit
from kafkaman_sync.model.digest import EMPTY_DIGEST
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.planning import Planned
from kafkaman_sync.model.values import REMOVED, hash_value
from kafkaman_sync.protocol.messages import EpochStart, Welcome, WorkspaceHead
from kafkaman_sync.protocol.records import decode_verdict
from kafkaman_sync.store.facts import WelcomeEffect
from kafkaman_sync.store.outbox import renumber
from kafkaman_sync.store.rows import (
    ENTITY_COLUMNS,
    Held,
    append_outbox,
    entity_from_row,
    load_entities,
    load_numbers,
    load_workspaces,
    next_copy,
    save_meta,
    save_workspace,
)


def find_fork(epochs: Sequence[EpochStart], reach: int, head: WorkspaceHead) -> int | None:
    """Return the last seq that a device's history, up to `reach`, shares with the server's.

    It is `reach` when the server knows all that the device holds. None: no epoch is shared, and
    the server's list begins too late to tell why.
    """
    ends = _ends(head.epochs, head.head)
    own = _ends([start for start in epochs if start.first_seq <= reach], reach)
    for epoch, end in reversed(own.items()):
        if epoch in ends:
            return min(end, ends[epoch])
    if head.epochs and head.epochs[0].first_seq > 1:
        return None
    return 0


def _ends(epochs: Sequence[EpochStart], last: int) -> dict[str, int]:
    """Return the last seq of each epoch."""
    following = [start.first_seq - 1 for start in epochs[1:]] + [last]
    return {start.epoch: end for start, end in zip(epochs, following, strict=False)}


async def greet(
    writer: Writer, message: Welcome, running: dict[str, tuple[EpochStart, ...]]
) -> WelcomeEffect:
    """Take over the server's list of workspaces; `running` gets its epochs.

    A workspace whose position the server does not know loses it, so that the next hello asks for
    the full state. What the device holds stays readable until that has come.
    """
    workspaces = await load_workspaces(writer)
    added: list[str] = []
    forked: list[tuple[str, int]] = []
    for head in message.workspaces:
        running[head.id] = head.epochs
        held = workspaces.get(head.id)
        if held is None:
            held = Held(
                head.id, head.name, head.role, 0, 0, EMPTY_DIGEST, (),
                next_copy(workspaces.values()), None, None, None,
            )  # fmt: skip
            workspaces[head.id] = held
            added.append(head.id)
        held.name, held.role = head.name, head.role
        if held.staged is not None:
            await drop_staged(writer, held)
        await _forget_verdicts(writer, held, head)
        fork = _compare(held, head)
        if fork is not None:
            forked.append((held.id, fork))
    listed = {head.id for head in message.workspaces}
    vanished = [held for held in workspaces.values() if held.id not in listed and held.role]
    for held in vanished:
        held.role = ""
    for held in workspaces.values():
        await save_workspace(writer, held)
    return WelcomeEffect(tuple(added), tuple(held.id for held in vanished), tuple(forked))


def _compare(held: Held, head: WorkspaceHead) -> int | None:
    """Take over the server's epochs if the position is known there; return a fork if it forked."""
    if not held.epochs:
        return held.fork
    # Rows of a catch-up that broke off are as new as its mark, and may be what was forgotten.
    reach = max(held.cursor, held.mark) if held.fork is None else held.fork
    fork = find_fork(held.epochs, reach, head)
    if fork == reach and held.fork is None:
        held.epochs = head.epochs
        return None
    held.whole = True
    if fork is None:
        return held.fork
    # The server may be restored again, from an older backup, before its state has come.
    held.fork, held.epochs, held.mark = fork, held.history(fork), 0
    # Edits until then are based on what both sides know.
    held.cursor = min(held.cursor, fork)
    return fork


async def drop_staged(writer: Writer, held: Held) -> None:
    """Drop a full state that never came to its end."""
    await writer.run("DELETE FROM entities WHERE copy = ?", (held.staged,))
    held.staged, held.staged_digest = None, None


async def queue_forgotten(writer: Writer, held: Held, old: int) -> None:
    """Queue what the server forgot, before all that waits; `held` has the server's state by now.

    `old` is the copy with what the device had. Every value there that is newer than the fork
    becomes a change based on the fork.
    """
    assert held.fork is not None
    last_op, _ = await load_numbers(writer)
    forgotten = await load_newer(writer, old, held.fork)
    now = await load_entities(writer, held.copy, forgotten.keys())
    planned: list[Planned] = []
    for change, seen in _forgotten(held.id, held.fork, forgotten, now):
        last_op += 1
        previous = planned[-1].change.op if planned else 0
        planned.append(Planned(replace(change, op=last_op, previous=previous), seen))

    def rebase(change: Change) -> Change:
        return _based_at_most(change, held.fork or 0) if change.workspace == held.id else change

    previous = planned[-1].change.op if planned else 0
    last_op = await renumber(writer, last_op, previous, rebase=rebase)
    await append_outbox(writer, planned)
    await save_meta(writer, "last_op", last_op)


async def load_newer(reader: Reader, copy: int, fork: int) -> dict[str, Entity]:
    """Return the rows of a copy that are newer than a fork."""
    rows = await reader.fetch(
        f"SELECT {ENTITY_COLUMNS} FROM entities WHERE copy = ? AND version > ?",  # noqa: S608 - only constants go in
        (copy, fork),
    )
    return {row[0]: entity_from_row(row) for row in rows}


async def _forget_verdicts(writer: Writer, held: Held, head: WorkspaceHead) -> None:
    """Drop the kept acceptances that the server forgot: it must decide again."""
    rows = await writer.fetch(
        "SELECT op, verdict FROM outbox WHERE workspace = ? AND verdict IS NOT NULL", (held.id,)
    )
    seqs = {op: decode_verdict(data).seq or 0 for op, data in rows}
    known = find_fork(held.epochs, max(seqs.values(), default=0), head) or 0
    forgotten = [(op,) for op, seq in seqs.items() if seq > known]
    await writer.run_many("UPDATE outbox SET verdict = NULL WHERE op = ?", forgotten)


def _forgotten(
    workspace: str, fork: int, forgotten: Mapping[str, Entity], now: Mapping[str, Entity]
) -> list[tuple[Change, dict[str, bytes]]]:
    """Return the changes that make up for a fork: creates (parents first), then the others."""
    found: list[tuple[Change, dict[str, bytes]]] = []
    deletes: list[tuple[Change, dict[str, bytes]]] = []
    for entity in _parents_first(forgotten):
        there = now.get(entity.id)
        changes = _missing(workspace, fork, entity) if there is None else []
        if there is not None:
            changes = _outdated(workspace, fork, entity, there)
        for change, seen in changes:
            # What lies below something deleted must come before its deletion.
            (deletes if change.action is Action.DELETE else found).append((change, seen))
    return found + deletes


def _parents_first(entities: Mapping[str, Entity]) -> list[Entity]:
    ordered: dict[str, Entity] = {}
    for entity in entities.values():
        path: list[Entity] = []
        here: Entity | None = entity
        while here is not None and here.id not in ordered and here not in path:
            path.append(here)
            here = entities.get(here.place.parent)
        for each in reversed(path):
            ordered[each.id] = each
    return list(ordered.values())


def _missing(workspace: str, fork: int, entity: Entity) -> list[tuple[Change, dict[str, bytes]]]:
    fields = {
        name: FieldEdit(value, fork, hash_value(REMOVED)) for name, value in entity.values.items()
    }
    create = Change(
        0, 0, workspace, Action.CREATE, entity.id, fork, entity.kind, entity.place, fields
    )
    if not entity.deleted:
        return [(create, {})]
    return [(create, {}), (Change(0, 0, workspace, Action.DELETE, entity.id, fork), {})]


def _outdated(
    workspace: str, fork: int, entity: Entity, there: Entity
) -> list[tuple[Change, dict[str, bytes]]]:
    """Return what is newer than the fork here, and not the same there."""
    found: list[tuple[Change, dict[str, bytes]]] = []
    flag = entity.deleted_version > fork and entity.deleted != there.deleted
    brought_back = there.deleted_version <= fork or _was_restored(entity)
    if flag and not entity.deleted and brought_back:
        found.append((Change(0, 0, workspace, Action.RESTORE, entity.id, fork), {}))
    fields: dict[str, FieldEdit] = {}
    seen: dict[str, bytes] = {}
    for name, field in entity.fields.items():
        held = there.fields.get(name)
        value = held.value if held else REMOVED
        if field.version <= fork or field.value == value:
            continue
        # What the server still knows from before the fork is what was overwritten here.
        known = held is None or held.version <= fork
        fields[name] = FieldEdit(field.value, fork, hash_value(value if known else field.value))
        seen[name] = value if known else REMOVED
    if fields:
        update = Change(0, 0, workspace, Action.UPDATE, entity.id, fork, fields=fields)
        found.append((update, seen))
    moved = entity.place_version > fork and entity.place != there.place
    if moved and there.place_version <= fork:
        move = Change(0, 0, workspace, Action.MOVE, entity.id, fork, place=entity.place)
        found.append((move, {}))
    if flag and entity.deleted:
        found.append((Change(0, 0, workspace, Action.DELETE, entity.id, fork), {}))
    return found


def _was_restored(entity: Entity) -> bool:
    """Tell whether a person brought it back; what was never deleted must not undo a deletion."""
    oldest = min([entity.place_version, *(field.version for field in entity.fields.values())])
    return entity.deleted_version > oldest


def _based_at_most(change: Change, seq: int) -> Change:
    """Return a change whose bases the restored server knows."""
    return replace(
        change,
        base=min(change.base, seq),
        fields={
            name: FieldEdit(edit.value, min(edit.base, seq), edit.prior)
            for name, edit in change.fields.items()
        },
    )
