"""What verdicts do on the device: ops leave the outbox, conflicts become records or merges.

Rules: docs/protocol.md, "Merge and conflicts on the device".
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kafkaman_sync.database import Writer, json_list
from kafkaman_sync.model.changes import (
    Action,
    Change,
    ConflictCode,
    Disagreement,
    FieldEdit,
    Refusal,
    Verdict,
)
from kafkaman_sync.model.entities import Entity, Field
from kafkaman_sync.model.merge import merge_field
from kafkaman_sync.model.planning import Planned, Scene
from kafkaman_sync.model.values import REMOVED, hash_value
from kafkaman_sync.protocol.records import encode_entity
from kafkaman_sync.store.conflicts import REFUSED, entity_path, insert_conflicts, join_groups
from kafkaman_sync.store.editing import load_chain
from kafkaman_sync.store.facts import ConflictRecord, Received, ViewChange
from kafkaman_sync.store.graves import Graves
from kafkaman_sync.store.ledger import Ledger
from kafkaman_sync.store.outbox import drop_outbox
from kafkaman_sync.store.records import OpenRecords
from kafkaman_sync.store.rows import (
    Held,
    Pending,
    append_outbox,
    load_numbers,
    own_change,
    pack_seen,
    save_meta,
    unpack_seen,
)


def fits(change: Change, verdict: Verdict) -> bool:
    """Tell whether a verdict can be of a change: it disputes fields of that, or names none."""
    return not verdict.disagreements or all(
        part.field in change.fields if part.code is ConflictCode.FIELD else not part.field
        for part in verdict.disagreements
    )


@dataclass(slots=True)
class _Later:
    """A pending change that may hide what arrives, or be built on what conflicts."""

    change: Change
    seen: dict[str, bytes]
    rebased: bool = False


@dataclass(frozen=True, slots=True)
class _Merge:
    """Values that hold both sides, and what theirs were, to be queued as a change.

    `base` is the cursor at which theirs were read: messages that follow in the same transaction
    bring values that were not merged, and must conflict with them.
    """

    workspace: str
    base: int
    entity: str
    merged: dict[str, bytes]
    theirs: dict[str, bytes]
    at: int


@dataclass(slots=True)
class _Outcome:
    """What is to be written."""

    finished: list[int] = field(default_factory=list)
    records: list[ConflictRecord] = field(default_factory=list)
    merges: list[_Merge] = field(default_factory=list)


class Settlement:
    """Finishes the ops of one transaction."""

    def __init__(self, device: str, received: Received, graves: Graves) -> None:
        self._device = device
        self._graves = graves
        self._received = received
        self._expected: dict[str, set[str]] = {}
        self._watched: dict[str, set[str]] = {}
        self._later: dict[str, dict[int, _Later]] = {}
        self.records = OpenRecords()
        self._outcome = _Outcome()
        # When the person made the edit that is being judged.
        self._at = 0

    # Reading

    def expect(self, workspace: str, entity: str) -> None:
        """Say that a change of this entity was not wholly accepted."""
        self._expected.setdefault(workspace, set()).add(entity)

    def watch(self, workspace: str, entities: Iterable[str]) -> None:
        """Say that others have changed these entities."""
        self._watched.setdefault(workspace, set()).update(entities)

    async def load(self, writer: Writer, ledger: Ledger) -> None:
        """Read the pending changes of what was named, and the open records."""
        if ledger.counts.pending:
            # What hides others' values is seen in the view; a conflict may be any op's.
            await self._load_pending(writer, self._watched, "covered_by IS NULL")
            await self._load_pending(writer, self._expected, "TRUE")
        if ledger.counts.conflicts:
            await self.records.load(writer)

    async def _load_pending(
        self, writer: Writer, wanted: Mapping[str, set[str]], condition: str
    ) -> None:
        for workspace, entities in wanted.items():
            if not entities:
                continue
            rows = await writer.fetch(
                "SELECT op, change, seen FROM outbox WHERE workspace = ?"  # noqa: S608 - two words
                f" AND {condition} AND entity IN (SELECT value FROM json_each(?)) ORDER BY op",
                (workspace, json_list(entities)),
            )
            for op, data, seen in rows:
                change = own_change(data)
                later = self._later.setdefault(change.entity, {})
                later[op] = _Later(change, unpack_seen(seen))

    # What a person sees

    def visible(self, entity: str, names: Iterable[str]) -> tuple[str, ...]:
        """Return those fields that no pending change hides."""
        later = self._later.get(entity)
        if not later:
            return tuple(sorted(names))
        hidden = {name for each in later.values() for name in each.change.fields}
        return tuple(sorted(name for name in names if name not in hidden))

    def show_row(self, held: Held, before: Entity | None, after: Entity) -> None:
        """Report what a row that came by state changes in the view."""
        changed = {
            name
            for name, each in after.fields.items()
            if before is None or before.fields.get(name) != each
        }
        fields = self.visible(after.id, changed)
        action = _difference(before, after)
        if action is Action.UPDATE and not fields:
            return
        self._received.changes.append(
            ViewChange(held.id, after.id, after.kind, action, fields, "", 0, after.version)
        )

    # Deciding

    def finish(
        self,
        held: Held,
        pending: Pending,
        change: Change,
        verdict: Verdict,
        confirmed: Entity | None,
    ) -> None:
        """Take an op out of the outbox, and keep what its verdict did not accept."""
        self._outcome.finished.append(change.op)
        later = self._later.get(change.entity, {}).pop(change.op, None) if self._later else None
        if not verdict.disagreements and verdict.refusal is None:
            return
        # An earlier op of the batch may have handed its merge base on.
        seen = later.seen if later else unpack_seen(pending.seen)
        self._at = pending.at
        if verdict.refusal is not None:
            if not (verdict.refusal.code == "entity.exists" and _holds(confirmed, change)):
                whole = Disagreement(ConflictCode.PLACE)
                self._dispute_whole(change, seen, confirmed, whole, verdict.refusal)
            return
        merged: dict[str, bytes] = {}
        theirs: dict[str, bytes] = {}
        for part in verdict.disagreements:
            if part.code is not ConflictCode.FIELD:
                self._dispute_whole(change, seen, confirmed, part)
                continue
            found = self._dispute_field(change, seen, confirmed, part)
            if found is not None:
                merged[part.field], theirs[part.field] = found
        if merged:
            merge = _Merge(held.id, held.cursor, change.entity, merged, theirs, pending.at)
            self._outcome.merges.append(merge)

    def _dispute_field(
        self,
        change: Change,
        seen: Mapping[str, bytes],
        confirmed: Entity | None,
        part: Disagreement,
    ) -> tuple[bytes, bytes] | None:
        """Judge a conflicting field; return (merged, theirs) when a merge must be pushed."""
        mine = change.fields[part.field].value
        base = seen.get(part.field, REMOVED)
        held = confirmed.fields.get(part.field) if confirmed else None
        theirs = held if held and held.version >= part.version else Field(part.theirs, part.version)
        if mine == theirs.value or self._leave_to_later(change, part.field, base):
            return None
        self._show_taken_back(change, confirmed, (part.field,))
        kind = confirmed.kind if confirmed else None
        merged = merge_field(kind, part.field, base, mine, theirs.value)
        if merged is None:
            now = Disagreement(part.code, part.field, theirs.value, theirs.version)
            self._record(change, seen, confirmed, now)
            return None
        return None if merged == theirs.value else (merged, theirs.value)

    def _leave_to_later(self, change: Change, name: str, base: bytes) -> bool:
        """Leave a value to the next pending change built on it, whose merge base it hands on."""
        for op, later in sorted(self._later.get(change.entity, {}).items()):
            if op > change.op and name in later.change.fields:
                later.seen[name] = base
                later.rebased = True
                return True
        return False

    def _dispute_whole(
        self,
        change: Change,
        seen: Mapping[str, bytes],
        confirmed: Entity | None,
        part: Disagreement,
        refusal: Refusal | None = None,
    ) -> None:
        if part.code is ConflictCode.CHANGED and confirmed is not None and confirmed.deleted:
            return
        if change.action is Action.UPDATE:
            kept = {
                name: edit
                for name, edit in change.fields.items()
                if not self._leave_to_later(change, name, seen.get(name, REMOVED))
            }
            if not kept:
                return
            change = replace(change, fields=kept)
        self._show_taken_back(change, confirmed, tuple(sorted(change.fields)))
        self._record(change, seen, confirmed, part, refusal)

    def _show_taken_back(
        self, change: Change, confirmed: Entity | None, fields: tuple[str, ...]
    ) -> None:
        kind = confirmed.kind if confirmed else change.kind
        if kind is None:
            return
        self._received.changes.append(
            ViewChange(
                change.workspace,
                change.entity,
                kind,
                change.action,
                fields,
                self._device,
                change.op,
                0,
            )
        )

    def _record(
        self,
        change: Change,
        seen: Mapping[str, bytes],
        confirmed: Entity | None,
        part: Disagreement,
        refusal: Refusal | None = None,
    ) -> None:
        code = REFUSED if refusal else part.code.value
        kind = confirmed.kind if confirmed else change.kind
        identity = f"{self._device} {change.op} {code} {part.field}".encode()
        fielded = bool(part.field)
        self._outcome.records.append(
            ConflictRecord(
                id=hashlib.blake2b(identity, digest_size=16).hexdigest(),
                workspace=change.workspace,
                entity=change.entity,
                kind=kind.value if kind else "",
                code=code,
                field=part.field,
                base=seen.get(part.field, REMOVED) if fielded else None,
                mine=change.fields[part.field].value if fielded else None,
                theirs=part.theirs if fielded else None,
                theirs_version=part.version,
                device=self._device,
                op=change.op,
                change=change,
                seen=seen,
                refusal=refusal.code if refusal else "",
                message=refusal.message if refusal else "",
                snapshot=encode_entity(confirmed) if confirmed and not fielded else None,
                at=self._at,
            )
        )

    # Writing

    async def save(self, writer: Writer, ledger: Ledger, decided: Collection[int]) -> None:
        """Write what came out; the rows of entities have been written before.

        `decided` are the ops that stay in the outbox with their verdicts.
        """
        outcome = self._outcome
        ledger.settle(outcome.finished, decided)
        await drop_outbox(writer, outcome.finished)
        rebased = [
            (pack_seen(each.seen), op)
            for later in self._later.values()
            for op, each in later.items()
            if each.rebased
        ]
        await writer.run_many("UPDATE outbox SET seen = ? WHERE op = ?", rebased)
        closed = await self.records.save(writer)
        await self._save_merges(writer)
        await self._save_records(writer, ledger.workspaces)
        if rebased or closed or outcome.merges or outcome.records:
            ledger.stale = True

    @property
    def finished(self) -> Sequence[int]:
        """The ops that leave the outbox."""
        return self._outcome.finished

    async def _save_merges(self, writer: Writer) -> None:
        if not self._outcome.merges:
            return
        last_op, previous = await load_numbers(writer)
        for merge in self._outcome.merges:
            last_op += 1
            base = merge.base
            fields = {
                name: FieldEdit(value, base, hash_value(merge.theirs[name]))
                for name, value in merge.merged.items()
            }
            change = Change(
                last_op, previous, merge.workspace, Action.UPDATE, merge.entity, base, fields=fields
            )
            await append_outbox(writer, [Planned(change, merge.theirs)], at=merge.at)
            previous = last_op
        await save_meta(writer, "last_op", last_op)

    async def _save_records(self, writer: Writer, workspaces: Mapping[str, Held]) -> None:
        if not self._outcome.records:
            return
        records: list[ConflictRecord] = []
        scenes: dict[str, Scene] = {}
        for record in self._outcome.records:
            scenes.setdefault(record.workspace, Scene(record.workspace, 0))
        for workspace, scene in scenes.items():
            ids = _entities_of(self._outcome.records, workspace)
            await load_chain(writer, workspaces[workspace], scene, ids, whole=None)
        for record in self._outcome.records:
            path, kind = entity_path(scenes[record.workspace], record.change)
            path = path or self._graves.paths.get((record.workspace, record.entity), ())
            records.append(replace(record, path=path, kind=record.kind or kind))
        await insert_conflicts(writer, await join_groups(writer, records))


def _entities_of(records: Sequence[ConflictRecord], workspace: str) -> set[str]:
    mine = [record for record in records if record.workspace == workspace]
    parents = {record.change.place.parent for record in mine if record.change.place}
    return {record.entity for record in mine} | {parent for parent in parents if parent}


def _difference(before: Entity | None, after: Entity) -> Action:
    """Return the action that best says how a row changed."""
    if before is None:
        return Action.CREATE
    if before.deleted != after.deleted:
        return Action.DELETE if after.deleted else Action.RESTORE
    return Action.MOVE if before.place != after.place else Action.UPDATE


def _holds(confirmed: Entity | None, change: Change) -> bool:
    """Tell whether a create has taken effect already, before its server was restored."""
    return confirmed is not None and all(
        name in confirmed.fields and confirmed.fields[name].value == edit.value
        for name, edit in change.fields.items()
    )
