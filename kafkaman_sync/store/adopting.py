"""Changes that were made before, put into the outbox under their numbers: for replays."""

from __future__ import annotations

from collections.abc import Sequence

from kafkaman_sync.database import Writer
from kafkaman_sync.model.changes import Change
from kafkaman_sync.model.planning import Planned
from kafkaman_sync.model.values import hash_value
from kafkaman_sync.store import reads
from kafkaman_sync.store.rows import append_outbox, load_meta, save_meta


async def adopt(writer: Writer, changes: Sequence[Change], *, at: int) -> None:
    """Put changes into the outbox as they are, in op order.

    What the person saw is what the view shows, where the change's prior says that they saw that.
    """
    last_op = int(await load_meta(writer, "last_op") or 0)
    for change in changes:
        planned = Planned(change, await _seen(writer, change))
        await append_outbox(writer, [planned], at=at)
    await save_meta(writer, "last_op", max([last_op, *(change.op for change in changes)]))


async def restart_at(writer: Writer, op: int) -> None:
    """Let the next op be the one behind `op`, or behind the outbox's last."""
    rows = await writer.fetch("SELECT max(op) FROM outbox")
    await save_meta(writer, "last_op", max(op, rows[0][0] or 0))


async def _seen(writer: Writer, change: Change) -> dict[str, bytes]:
    if not change.fields or change.kind is not None:
        return {}
    answers = await writer.fetch_all(*reads.showing(change.workspace, change.entity))
    shown = reads.shown(change.workspace, change.entity, answers, deleted=True)
    if shown is None:
        return {}
    return {
        name: shown.fields[name]
        for name, edit in change.fields.items()
        if name in shown.fields and hash_value(shown.fields[name]) == edit.prior
    }
