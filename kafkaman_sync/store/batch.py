"""One batch of messages in memory: what it touches is read, judged, and written at the end.

Rules: docs/protocol.md, "Exactly once" and "Catching up".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from kafkaman_sync.database import Writer, json_list
from kafkaman_sync.errors import StoreError
from kafkaman_sync.model.apply import accepted_event, apply_event
from kafkaman_sync.model.changes import Action, Change, Event, Verdict
from kafkaman_sync.model.digest import EMPTY_DIGEST
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.protocol.messages import Checkpoint, Entities, Events
from kafkaman_sync.protocol.records import decode_verdict, encode_verdict
from kafkaman_sync.store.copies import Copies
from kafkaman_sync.store.facts import Progress, ViewChange
from kafkaman_sync.store.graves import Graves
from kafkaman_sync.store.rows import (
    PENDING_COLUMNS,
    Held,
    Pending,
    next_copy,
    save_workspace,
)
from kafkaman_sync.store.scope import Decoded, Scope, Step
from kafkaman_sync.store.verdicts import Settlement, fits


class Batch:
    """Messages of one transaction: `load` reads what they touch, `save` writes what came out."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._ledger = scope.ledger
        self._workspaces = scope.ledger.workspaces
        self._before = scope.ledger.copy().workspaces
        identity = scope.ledger.identity
        self._account = identity.account if identity else ""
        self._device = identity.device if identity else ""
        self._run = scope.run
        self._received = scope.received
        self._copies = Copies(scope.confirmed)
        self._touched: set[str] = set()
        self._waiting: dict[int, tuple[Pending, Change]] = {}
        self._decided: dict[int, Verdict] = {}
        self._kept: dict[int, Verdict] = {}
        self._graves = Graves()
        self._settlement = Settlement(self._device, scope.received, self._graves)

    # Reading

    async def load(self, writer: Writer, steps: Sequence[Step]) -> None:
        """Read every row that the messages touch."""
        verdicts = [item for step in steps for item in step.items if isinstance(item, Verdict)]
        await self._load_waiting(writer, [verdict.op for verdict in verdicts])
        for verdict in (*self._decided.values(), *verdicts):
            if (verdict.disagreements or verdict.refusal) and verdict.op in self._waiting:
                change = self._waiting[verdict.op][1]
                self._settlement.expect(change.workspace, change.entity)
        wanted: dict[int, set[str]] = {}
        for step in steps:
            self._collect(step, wanted)
        for pending, _ in self._waiting.values():
            held = self._workspaces[pending.workspace]
            wanted.setdefault(held.copy, set()).add(pending.entity)
        await self._load_rows(writer, wanted)
        await self._settlement.load(writer, self._ledger)

    async def load_decided(self, writer: Writer, held: Held) -> None:
        """Read what a new copy of the workspace may settle."""
        await self._load_waiting(writer, [])
        wanted = {held.copy: await self._settlement.records.entities(writer, held.id)}
        for op, (pending, change) in self._waiting.items():
            if pending.workspace == held.id:
                self._expect(change, self._decided[op])
                wanted[held.copy].add(pending.entity)
        await self._load_rows(writer, wanted)
        await self._settlement.load(writer, self._ledger)
        self._touched = set(wanted[held.copy])
        self._close_fulfilled(held)

    async def _load_waiting(self, writer: Writer, ops: Sequence[int]) -> None:
        found = [pending for op in ops if (pending := self._scope.recent.get(op)) is not None]
        known = {pending.op for pending in found}
        unknown = [op for op in ops if op not in known]
        if self._ledger.decided or (unknown and self._ledger.counts.pending > len(known)):
            rows = await writer.fetch(
                f"SELECT {PENDING_COLUMNS} FROM outbox"  # noqa: S608 - only constants go in
                " WHERE op IN (SELECT value FROM json_each(?)"
                " UNION SELECT op FROM outbox WHERE verdict IS NOT NULL)",
                (json_list(unknown),),
            )
            found += [Pending(*row) for row in rows]
        for pending in sorted(found, key=lambda each: each.op):
            self._waiting[pending.op] = pending, pending.change()
            if pending.verdict is not None:
                # A change may have been numbered anew since.
                self._decided[pending.op] = replace(decode_verdict(pending.verdict), op=pending.op)

    def _expect(self, change: Change, verdict: Verdict) -> None:
        if verdict.disagreements or verdict.refusal:
            self._settlement.expect(change.workspace, change.entity)

    def _collect(self, step: Step, wanted: dict[int, set[str]]) -> None:
        message = step.message
        if isinstance(message, Events):
            held = self._held(message.workspace)
            ids = {item.entity for item in step.items if isinstance(item, Event)}
            wanted.setdefault(held.copy, set()).update(ids)
            self._settlement.watch(held.id, ids)
        elif isinstance(message, Entities):
            held = self._held(message.workspace)
            ids = {item.id for item in step.items if isinstance(item, Entity)}
            ids.update(entity for entity, _ in message.purged)
            wanted.setdefault(self._target(held, message), set()).update(ids)
            if not message.full:
                self._settlement.watch(held.id, ids)

    def _target(self, held: Held, message: Entities) -> int:
        """Return the copy that rows go to; a full state begins one of its own."""
        if not message.full:
            return held.copy
        if held.staged is None:
            held.staged = next_copy(self._workspaces.values())
            held.staged_digest = EMPTY_DIGEST
        return held.staged

    async def _load_rows(self, writer: Writer, wanted: Mapping[int, set[str]]) -> None:
        for copy, ids in wanted.items():
            await self._copies.load(writer, copy, ids)
        if self._ledger.graves:
            waiting = [pending for pending, _ in self._waiting.values()]
            await self._graves.load(writer, {each.entity for each in waiting})

    def _held(self, workspace: str) -> Held:
        held = self._workspaces.get(workspace)
        if held is None:
            raise StoreError(
                "The server sent changes of a workspace that this device does not hold.",
                code="log.broken",
                hint="It connects again by itself.",
            )
        return held

    # Deciding

    def apply(self, step: Step) -> None:
        """Apply one message."""
        message = step.message
        if isinstance(message, Events):
            self._apply_events(message, step.items)
        elif isinstance(message, Entities):
            self._apply_entities(message, step.items)
        elif isinstance(message, Checkpoint):
            self._apply_checkpoint(message)
        else:
            for verdict in message.verdicts:
                self._apply_verdict(verdict)
            for held in self._workspaces.values():
                self._close_fulfilled(held)

    def _apply_events(self, message: Events, items: Sequence[Decoded]) -> None:
        held = self._held(message.workspace)
        last = held.cursor
        for item in items:
            last = self._apply_event(held, item)
        held.digest = self._copies.digest(held.copy, held.digest)
        self.settle(held)
        if message.digest is not None and held.cursor == last and _comparable(held):
            self._note_comparison(held, equal=message.digest == held.digest)

    def _apply_event(self, held: Held, item: Decoded) -> int:
        """Apply an event, or the own change that a verdict stands for; return its seq."""
        assert not isinstance(item, Entity)
        seq = item.seq
        if seq is None:
            raise _broken("A verdict without a place in the log stands among events.")
        if seq > held.cursor:
            if seq > held.cursor + 1:
                raise StoreError(
                    f"Events {held.cursor + 1} to {seq - 1} are missing.",
                    code="log.gap",
                    hint="It connects again by itself.",
                    workspace=held.id,
                )
            event = self._own_event(held, item) if isinstance(item, Verdict) else item
            if event.workspace != held.id:
                raise _broken("An event belongs to another workspace than its message.")
            before = self._copies.rows(held.copy).get(event.entity)
            after = apply_event(before, event)
            held.cursor = seq
            if after is not before:
                self._put(held, before, after)
                if isinstance(item, Event):
                    self._show_event(held, before, after, event)
        if isinstance(item, Verdict):
            self._apply_verdict(item)
        return seq

    def _own_event(self, held: Held, verdict: Verdict) -> Event:
        waiting = self._waiting.get(verdict.op)
        if waiting is None or waiting[1].workspace != held.id:
            raise _broken(f"The server answers op {verdict.op}, which is not in the outbox.")
        try:
            event = accepted_event(waiting[1], verdict, account=self._account, device=self._device)
        except KeyError:
            event = None
        if event is None:
            raise _broken(f"The verdict of op {verdict.op} does not fit its change.")
        return event

    def _apply_entities(self, message: Entities, items: Sequence[Decoded]) -> None:
        held = self._held(message.workspace)
        copy = self._target(held, message)
        rows = self._copies.rows(copy)
        for item in items:
            assert isinstance(item, Entity)
            before = rows.get(item.id)
            if before is None or item.version > before.version:
                self._put(held, before, item, staged=message.full)
                if not message.full:
                    self._settlement.show_row(held, before, item)
        for entity, seq in message.purged:
            before = rows.get(entity)
            if before is not None and before.version < seq:
                self._put(held, before, None, staged=message.full)
        done = self._run.done.get(held.id, 0) + len(items)
        self._run.done[held.id] = done
        self._received.progress.append(Progress(held.id, done, max(done, message.total)))
        if message.full:
            held.staged_digest = self._copies.digest(copy, held.staged_digest or EMPTY_DIGEST)
            return
        held.digest = self._copies.digest(copy, held.digest)
        held.mark = max(held.mark, message.mark)
        if message.through is not None:
            held.cursor, held.mark = max(held.cursor, message.through), 0
            self.settle(held)

    def _put(
        self, held: Held, before: Entity | None, after: Entity | None, *, staged: bool = False
    ) -> None:
        """Replace a row."""
        entity = after or before
        assert entity is not None
        if staged:
            assert held.staged is not None
            self._copies.put(held.staged, held.id, entity.id, after)
            return
        self._copies.put(held.copy, held.id, entity.id, after)
        self._touched.add(entity.id)
        if before is not None and after is None:
            self._graves.add(held.id, before)

    def _show_event(
        self, held: Held, before: Entity | None, after: Entity | None, event: Event
    ) -> None:
        if event.device == self._device:
            return  # an own change that its person has seen since they made it
        entity = after or before
        assert entity is not None
        fields = self._settlement.visible(entity.id, event.fields)
        if event.action is Action.UPDATE and not fields:
            return
        self._received.changes.append(
            ViewChange(
                workspace=held.id,
                entity=entity.id,
                kind=entity.kind,
                action=event.action,
                fields=fields,
                device=event.device,
                op=event.op,
                seq=event.seq,
            )
        )

    def _apply_checkpoint(self, message: Checkpoint) -> None:
        held = self._held(message.workspace)
        if message.seq != held.cursor:
            raise StoreError(
                f"The checkpoint is at {message.seq}, this device at {held.cursor}.",
                code="log.gap",
                hint="It connects again by itself.",
                workspace=held.id,
            )
        equal = _comparable(held) and message.digest == held.digest
        self._received.checkpoints.append((held.id, message.seq, equal))
        self._note_comparison(held, equal=equal)

    def _note_comparison(self, held: Held, *, equal: bool) -> None:
        self._received.compared.append((held.id, equal))
        if not equal:
            self._received.diverged.append((held.id, held.cursor))

    def _apply_verdict(self, verdict: Verdict) -> None:
        """Finish an op, or keep its verdict until the cursor is where it takes effect."""
        if verdict.op <= self._ledger.last_op:
            self._received.verdict_op = max(self._received.verdict_op, verdict.op)
        waiting = self._waiting.get(verdict.op)
        if waiting is None:
            return
        if not fits(waiting[1], verdict):
            raise _broken(f"The verdict of op {verdict.op} does not fit its change.")
        held = self._workspaces[waiting[1].workspace]
        if verdict.seq is not None and verdict.seq > held.cursor:
            self._kept[verdict.op] = self._decided[verdict.op] = verdict
            return
        self._finish(held, verdict)

    def settle(self, held: Held) -> None:
        """Finish ops whose verdicts waited for a seq that the cursor has reached."""
        for verdict in sorted(self._decided.values(), key=lambda each: each.op):
            pending, _ = self._waiting[verdict.op]
            if pending.workspace == held.id and (verdict.seq or 0) <= held.cursor:
                self._finish(held, verdict)
        self._close_fulfilled(held)

    def _close_fulfilled(self, held: Held) -> None:
        settlement, rows = self._settlement, self._copies.rows(held.copy)
        settlement.records.close_fulfilled(held.id, rows, self._touched, settlement.finished)

    def _finish(self, held: Held, verdict: Verdict) -> None:
        if self._decided:
            self._decided.pop(verdict.op, None)
            self._kept.pop(verdict.op, None)
        pending, change = self._waiting.pop(verdict.op)
        entity = change.entity
        confirmed = self._copies.rows(held.copy).get(entity)
        confirmed = confirmed or self._graves.rows.get((held.id, entity))
        self._settlement.finish(held, pending, change, verdict, confirmed)
        self._touched.add(entity)

    # Writing

    async def save(self, writer: Writer) -> None:
        """Write what came out."""
        await self._graves.bury(writer, self._workspaces)
        await self._copies.save(writer)
        await writer.run_many(
            "UPDATE outbox SET verdict = ? WHERE op = ?",
            [(encode_verdict(verdict), op) for op, verdict in self._kept.items()],
        )
        await self._settlement.save(writer, self._ledger, self._decided)
        await self._graves.level(writer, self._ledger)
        self._scope.answered += [*self._settlement.finished, *self._kept]
        self._scope.touched |= self._touched
        for held in self._workspaces.values():
            if held != self._before.get(held.id):
                await save_workspace(writer, held)


def _comparable(held: Held) -> bool:
    """Digests can be compared when the position is known and no catch-up by state is half-way."""
    return held.mark == 0 and bool(held.epochs) and not held.whole


def _broken(message: str) -> StoreError:
    return StoreError(message, code="log.broken", hint="Run `kafkaman reload --full`.")
