"""The part of a store that lets no work go: seals, what was rescued, and the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Final

from kafkaman_sync.database import Writer, json_list
from kafkaman_sync.faults import file_error
from kafkaman_sync.model.changes import Action, Change, ConflictCode, FieldEdit
from kafkaman_sync.model.planning import Scene
from kafkaman_sync.model.values import REMOVED, hash_value
from kafkaman_sync.store import editing, seal
from kafkaman_sync.store.archive import Archive, Sealable, write_archive
from kafkaman_sync.store.conflicts import entity_path, insert_conflicts
from kafkaman_sync.store.disputes import Disputes
from kafkaman_sync.store.facts import ConflictRecord, Identity, SealSummary, ViewChange
from kafkaman_sync.store.identity import load_identity
from kafkaman_sync.store.ledger import load_ledger
from kafkaman_sync.store.rescue import Rescued, refill, refill_local
from kafkaman_sync.store.restoring import (
    Dispute,
    Restoration,
    plan_restoration,
    touched,
    wishes_of,
)
from kafkaman_sync.store.rows import (
    Held,
    load_entities,
    load_meta,
    load_workspace,
    load_workspaces,
    save_meta,
)

_SEALED: Final = "sealed "


@dataclass(slots=True)
class Restored:
    """What restoring an archive did, and how many ops and new conflicts that made."""

    plan: Restoration
    ops: int = 0
    conflicts: int = 0
    changes: list[ViewChange] = field(default_factory=list)


class Sealing(Disputes):
    """What every store can do to keep unacknowledged work."""

    doubted = False
    """Whether something said that the file is damaged: the next one to open it looks closely."""

    async def seal(
        self,
        directory: Path,
        reason: str,
        *,
        only: Collection[str] | None = None,
        whole: bool = False,
    ) -> SealSummary | None:
        """Write all that is unacknowledged or in dispute to an archive; None if there is nothing.

        `only` names the workspaces that are meant; `whole` takes all in them that is shown. Edits
        that are being made are waited for. The archive is on the disk when this returns. Nothing is
        removed from the store.
        """
        identity = await self._database.read(load_identity)
        sealable = await self._books.transact(
            lambda writer: seal.collect(writer, only, whole=whole)
        )
        return await seal_away(directory, sealable, identity, reason)

    async def seal_lost(self, directory: Path) -> list[tuple[str, SealSummary]]:
        """Seal the work in workspaces that the server does not list any more, each once.

        A workspace goes from this device when it is sealed and nothing of it waits for a verdict.
        Returns (name of the workspace, its archive) for what was sealed now.
        """
        found: list[tuple[str, SealSummary]] = []
        for held in (await self._database.read(load_workspaces)).values():
            if held.role:
                await self._mark_sealed(held, sealed=False)
                continue
            if not await self._is_sealed(held):
                summary = await self.seal(directory, "access_lost", only={held.id})
                await self._mark_sealed(held, sealed=True)
                if summary is not None:
                    found.append((held.name, summary))
            await self._books.transact(partial(_drop, held))
        return found

    async def _is_sealed(self, held: Held) -> bool:
        key = _SEALED + held.id
        return bool(await self._database.read(lambda reader: load_meta(reader, key)))

    async def _mark_sealed(self, held: Held, *, sealed: bool) -> None:
        key = _SEALED + held.id
        if sealed:
            await self._books.transact(lambda writer: save_meta(writer, key, 1))
        elif await self._is_sealed(held):
            await self._books.transact(lambda writer: _forget(writer, key))

    async def restore(
        self, archive: Archive, workspace: str, *, deletes: bool, today: date
    ) -> Restored:
        """Make the edits of an archive again in a workspace, all or none; see `restoring`.

        Raises ModelError for what breaks a rule of the model or a limit.
        """
        self.check_staying()
        ids = touched(archive, workspace, wishes_of(archive))

        async def work(writer: Writer) -> Restored:
            held = await load_workspace(writer, workspace)
            editing.check_writable(held)
            scene = Scene(held.id, held.cursor)
            await editing.load_chain(writer, held, scene, ids, whole=None)
            plan = plan_restoration(
                archive, scene, deletes=deletes, copies=self._local, today=today
            )
            edited = await editing.edit(
                writer,
                await load_ledger(writer),
                workspace,
                plan.edits,
                local=self._local,
                suffix=self._suffix,
                at=self._now(),
            )
            restored = Restored(plan, edited.result.ops, changes=edited.result.changes)
            restored.conflicts = await self._dispute(writer, held, scene, plan)
            return restored

        return await self._books.transact(work)

    async def _dispute(self, writer: Writer, held: Held, scene: Scene, plan: Restoration) -> int:
        """Keep what others had changed meanwhile as conflicts; return how many are new."""
        if not plan.disputes:
            return 0
        rows = await writer.fetch(
            "SELECT id FROM conflicts WHERE id IN (SELECT value FROM json_each(?))",
            (json_list(each.id for each in plan.disputes),),
        )
        known = {row[0] for row in rows}
        plan.already += [each.wish.name for each in plan.disputes if each.id in known]
        new = [each for each in plan.disputes if each.id not in known]
        identity = await load_identity(writer)
        device = identity.device if identity else ""
        entities = await load_entities(writer, held.copy, {each.entity.id for each in new})
        records = []
        for each in new:
            entity = entities.get(each.entity.id)
            confirmed = entity.fields.get(each.field) if entity else None
            record = _record(each, scene, device, self._now())
            if confirmed is not None:
                record = replace(record, theirs_version=confirmed.version)
            records.append(record)
        await insert_conflicts(writer, records)
        return len(records)

    async def refill(self, rescued: Rescued, origin: str, *, today: date) -> None:
        """Put what was rescued from a damaged store into this new one, once for each origin."""

        async def work(writer: Writer) -> None:
            if await load_meta(writer, "origin") == origin:
                return
            if self._local:
                await refill_local(writer, rescued, self._pen(), today)
            else:
                await refill(writer, rescued)
            await save_meta(writer, "origin", origin)

        await self._books.transact(work)


async def seal_away(
    directory: Path, sealable: Sealable, identity: Identity | None, reason: str
) -> SealSummary | None:
    """Write an archive; None if there is nothing to write. Raises StoreError `seal.failed`."""
    if not sealable.changes and not sealable.conflicts:
        return None
    at = datetime.now(UTC)
    try:
        path = await asyncio.to_thread(write_archive, directory, sealable, identity, reason, at)
    except OSError as error:
        fault = file_error(error, directory)
        fault.message = f"The archive of unsynced work cannot be written: {error.strerror}."
        fault.hint = "Nothing was removed. Free some space or check the folder, and try again."
        fault.details["cause"], fault.code = fault.code, "seal.failed"
        raise fault from error
    return sealable.summary(path)


def _record(dispute: Dispute, scene: Scene, device: str, at: int) -> ConflictRecord:
    wish, name = dispute.wish, dispute.field
    edit = FieldEdit(dispute.mine, 0, hash_value(dispute.seen))
    op = max(wish.op, 1)  # what had been confirmed was archived without one
    change = Change(op, 0, scene.workspace, Action.UPDATE, dispute.entity.id, fields={name: edit})
    path, kind = entity_path(scene, change)
    return ConflictRecord(
        id=dispute.id,
        workspace=scene.workspace,
        entity=dispute.entity.id,
        kind=kind,
        code=ConflictCode.FIELD.value,
        field=name,
        base=dispute.seen,
        mine=dispute.mine,
        theirs=dispute.entity.fields.get(name, REMOVED),
        theirs_version=0,
        device=device,
        op=op,
        change=change,
        seen={name: dispute.seen},
        path=path,
        at=at,
    )


async def _forget(writer: Writer, key: str) -> None:
    await writer.run("DELETE FROM meta WHERE key = ?", (key,))


async def _drop(held: Held, writer: Writer) -> None:
    """Delete a workspace that was lost and sealed, unless a change of it waits for its verdict."""
    rows = await writer.fetch("SELECT 1 FROM outbox WHERE workspace = ? LIMIT 1", (held.id,))
    if rows:
        return
    for copy in (held.copy, held.staged):
        await writer.run("DELETE FROM entities WHERE copy = ?", (copy,))
    await writer.run("DELETE FROM conflicts WHERE workspace = ?", (held.id,))
    await writer.run("DELETE FROM workspaces WHERE id = ?", (held.id,))
    await _forget(writer, _SEALED + held.id)
