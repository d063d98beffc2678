"""Catching up: from where a device is to where the log is.

By events when the gap is small, else by state: each row newer than the cursor once, in order of
version. A row that is written meanwhile moves to the end of that order, so nothing is missed; the
read that comes to the end names the seq that the device is at then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from kafkaman_server.storage.interface import Snapshot, Storage
from kafkaman_server.storage.records import EntityChunk, EventChunk
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
    whole = Start(position.workspace, full=True)
    ends = [*(following.first_seq - 1 for following in epochs[1:]), head]
    for start, end in zip(epochs, ends, strict=True):
        if start.epoch == position.epoch:
            # Rows up to the mark are of the epoch's history as well.
            if max(position.cursor, position.mark) > end:
                return whole
            return Start(position.workspace, position.cursor, position.mark)
    return whole


async def catch_up(storage: Storage, start: Start, send: Send, *, events_max: int) -> None:
    """Send what brings a device from `start` to a head of the log; nothing if it is there.

    Returns when a read found nothing newer; the next one may find more. Raises StoreError.
    """
    if start.full or start.mark:
        await _send_states(storage, start, send)
        return
    chunk = await storage.read(partial(_events, workspace=start.workspace, seq=start.cursor))
    if chunk.head - start.cursor > events_max:
        await _send_states(storage, start, send)
        return
    while chunk.events:
        seq = chunk.last_seq
        digest = chunk.digest if seq == chunk.head else None
        await send(encode(Events(start.workspace, chunk.events, digest)), seq)
        if digest is not None:
            return
        chunk = await storage.read(partial(_events, workspace=start.workspace, seq=seq))


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
    total = await storage.read(partial(_count, workspace=workspace, version=mark))
    complete = False
    while not complete:
        chunk = await storage.read(partial(_rows, workspace=workspace, version=mark))
        complete = chunk.complete
        if chunk.rows:
            mark = chunk.rows[-1][0].version
        message = Entities(
            workspace,
            rows=tuple(encode_entity(entity, packed) for entity, packed in chunk.rows),
            mark=mark,
            full=start.full,
            total=total,
            through=chunk.head if complete else None,
        )
        await send(encode(message), message.through)


async def _events(snapshot: Snapshot, *, workspace: str, seq: int) -> EventChunk:
    return await snapshot.events_after(workspace, seq, bytes_max=MESSAGE_BYTES_TARGET)


async def _rows(snapshot: Snapshot, *, workspace: str, version: int) -> EntityChunk:
    return await snapshot.entities_after(workspace, version, bytes_max=MESSAGE_BYTES_TARGET)


async def _count(snapshot: Snapshot, *, workspace: str, version: int) -> int:
    return await snapshot.count_after(workspace, version)
