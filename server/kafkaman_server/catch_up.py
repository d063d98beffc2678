"""Catching up: from where a device is to where the log is.

By events when the gap is small and still in the log, else by state: each row newer than the cursor
once, in order of version, with the purges since. A row that is written meanwhile moves to the end
of that order, so nothing is missed; the read that comes to the end names the seq that the device is
at then. Purges are forgotten with the events: who has been away for longer gets the full state.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from kafkaman_server.storage.interface import Snapshot, Storage
from kafkaman_server.storage.records import EntityChunk, EventChunk, PurgeChunk
from kafkaman_sync.model.changes import Verdict
from kafkaman_sync.model.limits import MESSAGE_BYTES_TARGET
from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import Entities, EpochStart, Events, Position
from kafkaman_sync.protocol.records import decode_verdict, encode_entity

Send = Callable[[bytes, int | None], Awaitable[None]]
"""Sends one message; the number is the seq that the device is at after it, if it is at one."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a catch-up of a workspace starts.

    With `full` the device's copy is replaced, else it has everything up to `cursor`, and when
    `mark` is set, a broken catch-up by state goes on behind it.
    """

    workspace: str
    cursor: int = 0
    mark: int = 0
    full: bool = False


def start_at(position: Position, epochs: Sequence[EpochStart], head: int) -> Start:
    """Return where a device at `position` starts; one that this log cannot know starts anew."""
    if not knows(position, epochs, head):
        return Start(position.workspace, full=True)
    return Start(position.workspace, position.cursor, position.mark)


def knows(position: Position, epochs: Sequence[EpochStart], head: int) -> bool:
    """Tell whether a log with these epochs has ever been at `position`."""
    ends = [*(following.first_seq - 1 for following in epochs[1:]), head]
    # Rows up to the mark are of the epoch's history as well.
    reach = max(position.cursor, position.mark)
    known = zip(epochs, ends, strict=False)
    return any(start.epoch == position.epoch and reach <= end for start, end in known)


async def catch_up(storage: Storage, start: Start, send: Send, *, events_max: int) -> None:
    """Send what brings a device from `start` to a head of the log; nothing if it is there.

    Returns when a read found nothing newer; the next one may find more. Raises StoreError.
    """
    if start.full or start.mark:
        await _send_states(storage, start, send)
        return
    seq = start.cursor
    chunk = await storage.read(partial(_events, workspace=start.workspace, seq=seq))
    if chunk.head - seq > events_max:
        await _send_states(storage, start, send)
        return
    while seq >= chunk.horizon:
        if not chunk.events:
            return
        seq = chunk.last_seq
        digest = chunk.digest if seq == chunk.head else None
        await send(encode(Events(start.workspace, chunk.events, digest)), seq)
        if digest is not None:
            return
        chunk = await storage.read(partial(_events, workspace=start.workspace, seq=seq))
    await _send_states(storage, Start(start.workspace, full=True), send)


@dataclass(frozen=True, slots=True)
class End:
    """What one snapshot says of the end of a catch-up.

    The head and digest of each workspace, and the stored verdicts that the device has not got;
    `complete` when these are all of them.
    """

    heads: Mapping[str, tuple[int, bytes]]
    verdicts: tuple[Verdict, ...]
    complete: bool


async def read_end(
    snapshot: Snapshot, *, account: str, device: str, workspaces: Collection[str], op: int
) -> End:
    """Return the end of a catch-up in these workspaces, for a device with all verdicts up to op."""
    memberships = await snapshot.memberships(account)
    chunk = await snapshot.verdicts_after(device, op, bytes_max=MESSAGE_BYTES_TARGET)
    return End(
        heads={
            one.workspace: (one.head, one.digest)
            for one in memberships
            if one.workspace in workspaces
        },
        verdicts=tuple(map(decode_verdict, chunk.verdicts)),
        complete=chunk.complete,
    )


async def _send_states(storage: Storage, start: Start, send: Send) -> None:
    workspace = start.workspace
    mark = 0 if start.full else max(start.mark, start.cursor)
    total, head = await storage.read(partial(_measure, workspace=workspace, version=mark))
    # What was purged before the first row of a full state is not in it.
    purged_upto = head if start.full else start.cursor
    complete = False
    while not complete:
        chunk, purges = await storage.read(
            partial(_state, start=start, version=mark, purged_upto=purged_upto)
        )
        if not start.full and start.cursor < chunk.horizon:
            await _send_states(storage, Start(workspace, full=True), send)
            return
        complete = chunk.complete and purges.complete
        if chunk.rows:
            mark = chunk.rows[-1][0].version
        if purges.purged:
            purged_upto = purges.purged[-1][1]
        message = Entities(
            workspace,
            rows=tuple(encode_entity(entity, packed) for entity, packed in chunk.rows),
            mark=mark,
            full=start.full,
            total=total,
            purged=purges.purged,
            through=chunk.head if complete else None,
        )
        await send(encode(message), message.through)


async def _events(snapshot: Snapshot, *, workspace: str, seq: int) -> EventChunk:
    return await snapshot.events_after(workspace, seq, bytes_max=MESSAGE_BYTES_TARGET)


async def _state(
    snapshot: Snapshot, *, start: Start, version: int, purged_upto: int
) -> tuple[EntityChunk, PurgeChunk]:
    rows = await snapshot.entities_after(start.workspace, version, bytes_max=MESSAGE_BYTES_TARGET)
    return rows, await snapshot.purges_after(start.workspace, purged_upto)


async def _measure(snapshot: Snapshot, *, workspace: str, version: int) -> tuple[int, int]:
    """Return how many rows are newer than `version`, and the head."""
    return await snapshot.count_after(workspace, version), await snapshot.head(workspace)
