"""The device's store: one SQLite file per account, and one for the Scratch Pad."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from kafkaman_sync.database import Database, Reader, Writer
from kafkaman_sync.errors import ModelError, StoreError
from kafkaman_sync.model.changes import Change
from kafkaman_sync.model.digest import EMPTY_DIGEST, compute_digest
from kafkaman_sync.model.edits import Create, Edit
from kafkaman_sync.model.rules import not_found
from kafkaman_sync.model.view import ViewEntity
from kafkaman_sync.protocol.messages import Position, Welcome
from kafkaman_sync.store import adopting, editing, outbox, reads, stages
from kafkaman_sync.store.editing import Edited
from kafkaman_sync.store.facts import (
    SCRATCH_PAD,
    SCRATCH_PAD_NAME,
    Counts,
    EditResult,
    HelloFacts,
    Identity,
    Received,
    WelcomeEffect,
    WorkspaceState,
)
from kafkaman_sync.store.forks import drop_staged, greet
from kafkaman_sync.store.identity import check_welcome, load_identity, save_identity
from kafkaman_sync.store.ledger import Ledger, load_ledger, recount
from kafkaman_sync.store.receiving import receive
from kafkaman_sync.store.rows import (
    ENTITY_COLUMNS,
    Held,
    entity_from_row,
    load_workspace,
    load_workspaces,
    save_meta,
    save_workspace,
)
from kafkaman_sync.store.schema import APPLICATION_ID, MIGRATIONS
from kafkaman_sync.store.scope import Incoming, Run, Scope
from kafkaman_sync.store.sealing import Sealing
from kafkaman_sync.store.trash import Trash

_FOUND_MAX: Final = 20


class Store(Sealing, Trash):
    """One account's data on this device; made by `Store.open` only.

    Every method is one transaction or one snapshot, safe to call from several tasks at once.
    """

    def __init__(
        self,
        database: Database,
        *,
        local: bool,
        entropy: Callable[[int], bytes],
        clock: Callable[[], float],
    ) -> None:
        super().__init__(database, local=local, entropy=entropy, clock=clock)
        self._run = Run()
        self._stages: dict[int, stages.Stage] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path,
        *,
        local: bool = False,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        clock: Callable[[], float] = time.time,
    ) -> AsyncIterator[Store]:
        """Open the store at `path`, made new if it is missing; `local` for the Scratch Pad.

        `clock` gives seconds since 1970, for people: nothing is decided by it.
        Raises StoreError: `store.damaged` when the last stop was unclean and SQLite finds damage,
        else what Database.open raises.
        """
        opening = Database.open(path, application_id=APPLICATION_ID, migrations=MIGRATIONS)
        async with opening as database:
            store = cls(database, local=local, entropy=entropy, clock=clock)
            await store._begin(path)
            yield store
            # Not reached when the work ended in an error: the next start looks closely then.
            if not store.doubted:
                with suppress(StoreError):
                    await store._books.transact(lambda writer: save_meta(writer, "running", 0))

    async def _begin(self, path: Path) -> None:
        rows = await self._database.fetch("SELECT value FROM meta WHERE key = 'running'")
        if rows and rows[0][0]:
            found = await self._database.fetch("PRAGMA integrity_check(1)")
            if found[0][0] != "ok":
                raise StoreError(
                    f"The database {path} is damaged.",
                    code="store.damaged",
                    hint="Keep the file; what is on the server can be fetched again.",
                    path=str(path),
                )
        await self._books.transact(self._start)

    async def _start(self, writer: Writer) -> None:
        await save_meta(writer, "running", 1)
        await writer.run("DELETE FROM stages")
        if self._local and not await load_workspaces(writer):
            scratch_pad = Held(
                SCRATCH_PAD, SCRATCH_PAD_NAME, "owner", 0, 0, EMPTY_DIGEST, (), 1, None, None, None
            )
            await save_workspace(writer, scratch_pad)

    # Who and where

    async def identity(self) -> Identity | None:
        """Return whose store this is; None before a sign-in."""
        return await self._database.read(load_identity)

    async def save_identity(self, identity: Identity) -> None:
        """Keep whose store this is."""
        await self._books.transact(lambda writer: save_identity(writer, identity))

    async def save_lease(self, lease: str) -> None:
        """Keep the lease that the next hello shows."""

        async def work(writer: Writer) -> None:
            identity = await load_identity(writer)
            assert identity is not None
            await save_identity(writer, replace(identity, lease=lease))

        await self._books.transact(work)

    async def register(self, device: str, token: str) -> None:
        """Become another device, whose ops begin at 1: this store was a copy of another's."""

        async def work(writer: Writer) -> None:
            identity = await load_identity(writer)
            assert identity is not None
            await save_identity(writer, replace(identity, device=device, token=token, lease=""))
            await save_meta(writer, "last_op", await outbox.renumber(writer, 0))

        await self._books.transact(work)

    async def workspaces(self) -> list[WorkspaceState]:
        """Return the workspaces that the device holds, in the order of their ids."""
        ledger = self._books.ledger
        held = ledger.workspaces if ledger else await self._database.read(load_workspaces)
        return [each.state() for each in held.values()]

    async def welcome(self, message: Welcome) -> WelcomeEffect:
        """Take over what a welcome says: the lease, the workspaces and roles, the epochs.

        Ops get new numbers when the server has forgotten the verdict of the one before them.

        Raises StoreError `server.other` when it comes from a server, or greets a device, that this
        store does not belong to, and `device.reused` when the server has decided ops under this
        device's id that this store never gave; nothing is changed then.
        """

        async def work(writer: Writer) -> WelcomeEffect:
            identity = await load_identity(writer)
            if identity is not None:
                check_welcome(identity, message)
                await outbox.check_numbers(writer, message.last_op, message.last_change)
                fresh = replace(identity, server=message.server, lease=message.lease)
                await save_identity(writer, fresh)
            effect = await greet(writer, message, running)
            await outbox.join_on(writer, message.last_op)
            return effect

        running = dict(self._run.epochs)
        effect = await self._books.transact(work)
        self._run.epochs = running
        self._run.done.clear()
        return effect

    async def hello(self) -> HelloFacts:
        """Return what the next hello says of this store."""

        async def work(reader: Reader) -> HelloFacts:
            held = await load_workspaces(reader)
            bases = await reader.fetch("SELECT workspace, max(base) FROM outbox GROUP BY workspace")
            return HelloFacts(
                positions=tuple(_position(each.state()) for each in held.values() if each.role),
                confirmed_op=await outbox.confirmed_op(reader),
                highest_base=dict(bases),
            )

        return await self._database.read(work)

    async def drop_position(self, workspace: str | None = None) -> None:
        """Make the next hello ask for the full state; what is held stays readable until then."""

        async def work(writer: Writer) -> None:
            workspaces = await load_workspaces(writer)
            for held in workspaces.values():
                if workspace in (None, held.id):
                    held.whole = True
                    if held.staged is not None:
                        await drop_staged(writer, held)
                    await save_workspace(writer, held)

        await self._books.transact(work)

    # Edits

    async def edit(self, workspace: str, edits: Sequence[Edit]) -> EditResult:
        """Make edits, all or none; they are on the disk when this returns.

        Raises ModelError for an edit that breaks a rule or a limit.
        """
        self.check_staying()

        async def work(writer: Writer, ledger: Ledger) -> Edited:
            return await editing.edit(
                writer,
                ledger,
                workspace,
                edits,
                local=self._local,
                suffix=self._suffix,
                at=self._now(),
            )

        return (await self._books.proceed(work, self._note_edited)).result

    def _note_edited(self, edited: Edited) -> None:
        if edited.queued:
            self._books.recent.add(edited.queued)
            self._books.confirmed.add(edited.copy, edited.read)

    async def adopt(self, changes: Sequence[Change]) -> None:
        """Put changes into the outbox that were made before, under their numbers: for replays."""
        await self._books.transact(lambda writer: adopting.adopt(writer, changes, at=self._now()))

    async def restart_at(self, op: int) -> None:
        """Let the next op be the one behind `op`, or behind the outbox's last: for replays."""
        await self._books.transact(lambda writer: adopting.restart_at(writer, op))

    async def stage_begin(self, workspace: str) -> int:
        """Begin an import that takes effect as a whole; return its number."""
        stage = await self._books.transact(
            lambda writer: stages.begin(writer, workspace, self._suffix)
        )
        self._stages[stage.id] = stage
        return stage.id

    async def stage(self, stage_id: int, creates: Sequence[Create]) -> None:
        """Add creates to an import, parents before children, each behind its earlier siblings.

        When this raises, the import must be dropped.
        """
        stage = self._stage(stage_id)
        await self._books.transact(lambda writer: stages.add(writer, stage, creates))

    async def stage_commit(self, stage_id: int) -> int:
        """Let an import take effect; return the number of its changes."""
        self.check_staying()
        stage = self._stage(stage_id)
        count = await self._books.transact(
            lambda writer: stages.commit(writer, stage, local=self._local, at=self._now())
        )
        # Whoever began it may have gone, and let go of it, meanwhile.
        self._stages.pop(stage_id, None)
        return count

    async def stage_drop(self, stage_id: int) -> None:
        """Forget an import; one that is not there is no error."""
        stage = self._stages.get(stage_id)
        if stage is not None:
            await self._books.transact(lambda writer: stages.drop(writer, stage))
            self._stages.pop(stage_id, None)

    def _stage(self, stage_id: int) -> stages.Stage:
        stage = self._stages.get(stage_id)
        if stage is None:
            raise ModelError("There is no such import.", code="import.unknown")
        return stage

    # Sync

    async def receive(self, messages: Sequence[Incoming]) -> Received:
        """Apply messages in order, in one transaction.

        Raises StoreError `log.gap` when events are missing, `log.broken` when the log does not fit
        what is held; nothing of the batch is kept then.
        """
        books, run = self._books, Run(self._run.epochs, dict(self._run.done))

        async def work(writer: Writer, ledger: Ledger) -> Scope:
            scope = Scope(ledger, books.recent, books.confirmed, run, Received())
            received = await receive(writer, messages, scope)
            if ledger.stale:
                await recount(writer, ledger)
            received.pending, received.conflicts = ledger.counts.pending, ledger.counts.conflicts
            return scope

        def note(scope: Scope) -> None:
            books.recent.drop(scope.answered)
            books.confirmed.drop(scope.touched)

        scope = await books.proceed(work, note)
        self._run = run
        return scope.received

    def let_go(self, op: int) -> None:
        """Keep nothing in memory of the changes up to `op`: they are not settled soon."""
        self._books.recent.let_go(op)

    async def outbox_after(
        self, op: int, *, changes_max: int, bytes_max: int
    ) -> list[tuple[int, bytes]]:
        """Return encoded changes behind `op`, in op order, within both limits but at least one."""
        recent = self._books.recent.after(op, changes_max=changes_max, bytes_max=bytes_max)
        if recent is not None:
            return recent
        return await self._database.read(
            lambda reader: outbox.outbox_after(
                reader, op, changes_max=changes_max, bytes_max=bytes_max
            )
        )

    async def counts(self) -> Counts:
        """Return how much waits: changes for a verdict, conflicts for a person."""
        if self._books.ledger is not None:
            return self._books.ledger.counts
        return (await self._database.read(load_ledger)).counts

    async def digest_from_rows(self, workspace: str) -> tuple[int, bytes]:
        """Return the cursor and the digest computed anew from the confirmed rows."""

        async def work(reader: Reader) -> tuple[int, bytes]:
            held = await load_workspace(reader, workspace)
            rows = await reader.fetch(
                f"SELECT {ENTITY_COLUMNS} FROM entities WHERE copy = ?",  # noqa: S608 - only constants go in
                (held.copy,),
            )
            digest = await asyncio.to_thread(
                lambda: compute_digest(workspace, map(entity_from_row, rows))
            )
            return held.cursor, digest

        return await self._database.read(work)

    # Reads

    async def show(
        self, workspace: str | None, entity: str, *, deleted: bool = False
    ) -> ViewEntity:
        """Return an entity as the person sees it; with `deleted` also one that is hidden.

        Without a workspace all are searched. Raises ModelError `entity.not_found`.
        """
        held = await self.workspaces() if workspace is None else ()
        for each in [workspace] if workspace is not None else [state.id for state in held]:
            answers = await self._database.fetch_all(*reads.showing(each, entity))
            found = reads.shown(each, entity, answers, deleted=deleted)
            if found is not None:
                return found
        raise not_found(entity)

    async def children(
        self, workspace: str, parent: str, *, with_fields: bool = False
    ) -> list[ViewEntity]:
        """Return what lies directly in `parent` (ROOT: the workspace), in order."""
        return await self._database.read(
            lambda reader: reads.children(reader, workspace, parent, with_fields=with_fields)
        )

    async def subtree(
        self, workspace: str, entity: str, *, with_fields: bool = False
    ) -> list[ViewEntity]:
        """Return an entity with all below it (ROOT: all there is), depth first, in order."""
        return await self._database.read(
            lambda reader: reads.subtree(reader, workspace, entity, with_fields=with_fields)
        )

    async def find(self, workspace: str | None, prefix: str) -> list[str]:
        """Return the ids that begin with `prefix`, at most 20."""
        return await self._database.read(
            lambda reader: reads.find(reader, workspace, prefix, most=_FOUND_MAX)
        )


def _position(state: WorkspaceState) -> Position:
    if not state.epoch:
        return Position(state.id)
    return Position(state.id, state.epoch, state.cursor, state.mark)
