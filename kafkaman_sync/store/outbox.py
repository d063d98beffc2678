"""The outbox: what to push next, and new op numbers when the old ones cannot be used again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from kafkaman_sync.database import Reader, Writer
from kafkaman_sync.errors import StoreError
from kafkaman_sync.model.changes import Change, hash_change
from kafkaman_sync.store.rows import load_meta, outbox_row, own_change, save_meta

_CHUNK_ROWS: Final = 200


async def outbox_after(
    reader: Reader, op: int, *, changes_max: int, bytes_max: int
) -> list[tuple[int, bytes]]:
    """Return encoded changes behind `op` in op order, within both limits but at least one."""
    # The sizes first: SQLite knows them without reading the values.
    sizes = await reader.fetch(
        "SELECT op, length(change) FROM outbox WHERE op > ? AND verdict IS NULL"
        " ORDER BY op LIMIT ?",
        (op, changes_max),
    )
    if not sizes:
        return []
    last, total = sizes[0]
    for number, size in sizes[1:]:
        total += size
        if total > bytes_max:
            break
        last = number
    rows = await reader.fetch(
        "SELECT op, change FROM outbox WHERE op > ? AND op <= ? AND verdict IS NULL ORDER BY op",
        (op, last),
    )
    return [(number, data) for number, data in rows]


async def drop_outbox(writer: Writer, ops: Iterable[int]) -> None:
    """Take ops out of the outbox; what they covered is shown again."""
    runs = _runs(ops)
    await writer.run_many("DELETE FROM outbox WHERE op BETWEEN ? AND ?", runs)
    await writer.run_many(
        "UPDATE outbox SET covered_by = NULL WHERE covered_by BETWEEN ? AND ?", runs
    )


def _runs(ops: Iterable[int]) -> list[tuple[int, int]]:
    """Return the first and the last of each run of ops without a gap."""
    runs: list[tuple[int, int]] = []
    for op in sorted(ops):
        if runs and op == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], op
        else:
            runs.append((op, op))
    return runs


async def confirmed_op(reader: Reader) -> int:
    """Return the greatest n such that no op up to n is in the outbox."""
    rows = await reader.fetch("SELECT min(op) FROM outbox")
    if rows[0][0] is not None:
        return int(rows[0][0]) - 1
    return int(await load_meta(reader, "last_op") or 0)


async def check_numbers(reader: Reader, last_op: int, last_change: bytes) -> None:
    """Raise StoreError `device.reused` when the server's last op of this device is not ours.

    A store that was copied, or set back to a backup, gives op numbers a second time. To take the
    verdicts of the first ones for its own would be to lose what was edited since.
    """
    given = int(await load_meta(reader, "last_op") or 0)
    rows = await reader.fetch(
        "SELECT change FROM outbox WHERE op = ? AND verdict IS NULL", (last_op,)
    )
    other = bool(rows and last_change) and hash_change(rows[0][0]) != last_change
    if last_op > given or other:
        raise StoreError(
            "The server has changes of this device that this store does not know: it was copied "
            "or restored.",
            code="device.reused",
        )


async def join_on(writer: Writer, last_op: int) -> None:
    """Let the outbox join on to the last op that the server has decided.

    A server that was restored may have forgotten verdicts that moved no head. It would ask for the
    op before the first one for ever, so the outbox goes on under new numbers, behind none.
    """
    rows = await writer.fetch("SELECT change FROM outbox WHERE verdict IS NULL ORDER BY op LIMIT 1")
    if rows and own_change(rows[0][0]).previous > last_op:
        given = int(await load_meta(writer, "last_op") or 0)
        await save_meta(writer, "last_op", await renumber(writer, given))


async def renumber(
    writer: Writer,
    last_op: int,
    previous: int = 0,
    *,
    rebase: Callable[[Change], Change] = lambda change: change,
) -> int:
    """Give every change that waits a new number behind `last_op`; return the last one given.

    Each passes through `rebase`. A change whose verdict is known is never pushed again: it keeps
    its place, before the others, so that none of them names it as the one before.
    """
    await writer.run("UPDATE outbox SET op = -op")
    for decided in (True, False):
        null = "NOT NULL" if decided else "NULL"
        while rows := await writer.fetch(
            "SELECT change, seen, verdict, at, resolves, op FROM outbox"  # noqa: S608 - two words
            f" WHERE op < 0 AND verdict IS {null} ORDER BY op DESC LIMIT ?",
            (_CHUNK_ROWS,),
        ):
            fresh = []
            for data, seen, *kept, _ in rows:
                last_op += 1
                change = rebase(own_change(data))
                change = replace(change, op=last_op, previous=0 if decided else previous)
                previous = previous if decided else last_op
                fresh.append((*outbox_row(change, seen), *kept))
            await writer.run_many("DELETE FROM outbox WHERE op = ?", [(row[-1],) for row in rows])
            await writer.run_many(
                "INSERT INTO outbox (op, workspace, entity, action, parent, position, base,"
                " lowest_base, change, seen, verdict, at, resolves)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                fresh,
            )
    return last_op
