"""Apply what the server sends: rows, cursor, verdicts and conflicts, in one transaction.

A batch is planned in memory: one read brings every row that it touches, pure rules decide, a few
writes keep the outcome. Rules: docs/protocol.md, "Exactly once" and "Catching up".
"""

from __future__ import annotations

from collections.abc import Sequence

from kafkaman_sync.database import Writer
from kafkaman_sync.model.digest import EMPTY_DIGEST
from kafkaman_sync.protocol.messages import Entities, Events, Verdicts
from kafkaman_sync.protocol.records import (
    decode_entity,
    decode_event,
)
from kafkaman_sync.store.batch import Batch
from kafkaman_sync.store.facts import Received
from kafkaman_sync.store.forks import queue_forgotten
from kafkaman_sync.store.graves import Graves
from kafkaman_sync.store.ledger import Recent, recount
from kafkaman_sync.store.rows import save_workspace
from kafkaman_sync.store.scope import Decoded, Incoming, Scope, Step


async def receive(writer: Writer, messages: Sequence[Incoming], scope: Scope) -> Received:
    """Apply a batch of messages in order; the counts in the result are the caller's."""
    steps: list[Step] = []
    for message in messages:
        steps.append(Step(message, _decode(message)))
        if isinstance(message, Entities) and message.full and message.through is not None:
            await _apply(writer, steps, scope)
            await _swap(writer, message.workspace, message.through, scope)
            steps = []
    await _apply(writer, steps, scope)
    return scope.received


def _decode(message: Incoming) -> list[Decoded]:
    if isinstance(message, Events):
        return [decode_event(item) if isinstance(item, bytes) else item for item in message.items]
    if isinstance(message, Entities):
        return [decode_entity(row) for row in message.rows]
    return list(message.verdicts) if isinstance(message, Verdicts) else []


async def _apply(writer: Writer, steps: Sequence[Step], scope: Scope) -> None:
    if steps:
        batch = Batch(scope)
        await batch.load(writer, steps)
        for step in steps:
            batch.apply(step)
        await batch.save(writer)


async def _swap(writer: Writer, workspace: str, through: int, scope: Scope) -> None:
    """Let a workspace's staged copy take the place of the one it holds."""
    held = scope.ledger.workspaces[workspace]
    assert held.staged is not None
    old, held.copy, held.staged = held.copy, held.staged, None
    held.digest, held.staged_digest = held.staged_digest or EMPTY_DIGEST, None
    held.cursor, held.mark, held.whole = through, 0, False
    held.epochs = scope.run.epochs.get(held.id, held.epochs)
    if held.fork is not None:
        await queue_forgotten(writer, held, old)
        held.fork = None
        # The outbox has grown, and has new numbers.
        scope.ledger.stale = True
        scope.recent = Recent()
        await recount(writer, scope.ledger)
    scope.confirmed.clear()  # the number of a copy that is gone may be given once more
    graves = Graves()
    await graves.bury_replaced(writer, held, old)
    await graves.level(writer, scope.ledger)
    await writer.run("DELETE FROM entities WHERE copy = ?", (old,))
    await save_workspace(writer, held)
    scope.received.replaced.append(held.id)
    # Verdicts that waited for this seq, and records that the new state settles.
    batch = Batch(scope)
    await batch.load_decided(writer, held)
    batch.settle(held)
    await batch.save(writer)
