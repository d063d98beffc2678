"""Bugs planted into the real code, one at a time, at the places where such bugs would live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

from kafkaman_server.hub import Outcome
from kafkaman_server.journal import Journal
from kafkaman_server.storage.sqlite_writes import SqliteTransaction
from kafkaman_server.stream import OwnStream
from kafkaman_sync.engine.session import Session
from kafkaman_sync.model.digest import row_hash
from kafkaman_sync.model.merge import merge_field
from kafkaman_sync.store import Store, copies, outbox, receiving, seal, verdicts
from kafkaman_sync.store.facts import EditResult
from kafkaman_sync.store.rows import write_entities
from kafkaman_sync.store.verdicts import Settlement
from tests.simulation.witness import ATTEMPT

Bug = Callable[[], Any]


def _instead(target: Any, name: str, value: Any) -> Any:
    return patch.object(target, name, value)


async def _nothing(*_arguments: Any, **_options: Any) -> None:
    pass


def edit_returns_before_its_commit() -> Any:
    real = Store.edit

    async def edit(store: Store, workspace: str, edits: Any) -> EditResult:
        planned, attempt = asyncio.Event(), ATTEMPT.get()
        if attempt is not None:
            ATTEMPT.set(replace(attempt, noted=lambda _: planned.set()))
        running = asyncio.create_task(real(store, workspace, edits))
        running.add_done_callback(lambda _: planned.set())
        await planned.wait()
        if running.done():
            return await running
        seen = ATTEMPT.get()
        if attempt is not None and seen is not None:
            attempt.edits, attempt.seen = seen.edits, seen.seen
        return EditResult([], len(edits))

    return _instead(Store, "edit", edit)


def server_answers_before_its_commit() -> Any:
    real = Journal._decide

    async def decide(journal: Journal, *arguments: Any) -> Outcome:
        journal._hub.publish(await real(journal, *arguments))
        return Outcome()

    return _instead(Journal, "_decide", decide)


@contextmanager
def server_keeps_no_verdicts() -> Iterator[None]:
    """Decide what comes again again; tell nobody what was decided before."""
    decide_first, write_all = Journal._decide_one, SqliteTransaction.write

    def decide_one(journal: Journal, draft: Any, one: Any, change: Any, data: bytes) -> None:
        device = draft.devices[one.device]
        if change.op <= draft.commit.last_ops.get(one.device, device.last_op):
            draft.devices[one.device] = replace(device, last_op=change.op - 1)
            draft.commit.last_ops.pop(one.device, None)
        decide_first(journal, draft, one, change, data)

    async def write(transaction: SqliteTransaction, commit: Any) -> None:
        await write_all(transaction, replace(commit, verdicts=[]))

    with (
        _instead(Journal, "_decide_one", decide_one),
        _instead(SqliteTransaction, "write", write),
    ):
        yield


@contextmanager
def server_forgets_its_epochs() -> Iterator[None]:
    """Leave the epochs out, when a device is greeted and when something is written."""
    real = SqliteTransaction._write_log

    async def write_log(transaction: SqliteTransaction, commit: Any) -> None:
        commit = replace(commit, begun=frozenset(commit.heads))
        await real(transaction, commit)

    first = SqliteTransaction.begin_epoch

    async def begin_epoch(transaction: SqliteTransaction, epoch: str, account: str) -> None:
        if not await transaction.epochs(account):
            await first(transaction, epoch, account)

    with (
        _instead(SqliteTransaction, "_write_log", write_log),
        _instead(SqliteTransaction, "begin_epoch", begin_epoch),
    ):
        yield


def stub_of_an_own_change_gets_lost() -> Any:
    real = OwnStream.add_event

    def add_event(
        stream: OwnStream, workspace: str, verdict: Any, event: Any, *, own: bool
    ) -> None:
        if not own:
            real(stream, workspace, verdict, event, own=own)

    return _instead(OwnStream, "add_event", add_event)


def cursor_runs_ahead_of_the_rows() -> Any:
    async def write(writer: Any, copy: int, rows: list[Any]) -> None:
        await write_entities(writer, copy, rows[:-1])

    return _instead(copies, "write_entities", write)


def digest_ignores_deletions() -> Any:
    def hash_alive(workspace: str, entity: Any, packed: bytes) -> int:
        return 0 if entity.deleted else row_hash(workspace, entity, packed)

    return _instead(copies, "row_hash", hash_alive)


def merge_takes_theirs_for_its_base() -> Any:
    def merge(kind: Any, name: str, base: bytes, mine: bytes, theirs: bytes) -> bytes | None:
        del base
        return merge_field(kind, name, theirs, mine, theirs)

    return _instead(verdicts, "merge_field", merge)


def what_comes_behind_a_rush_overtakes_it() -> Any:
    return _instead(Session, "release", lambda _: [])


def verdict_removes_the_op_behind() -> Any:
    real = Settlement.finish

    def finish(settlement: Settlement, *arguments: Any) -> None:
        real(settlement, *arguments)
        settlement._outcome.finished.append(settlement._outcome.finished.pop() + 1)

    return _instead(Settlement, "finish", finish)


def conflict_is_not_recorded() -> Any:
    return _instead(verdicts, "insert_conflicts", _nothing)


def copied_outbox_keeps_its_numbers() -> Any:
    async def renumber(writer: Any, last_op: int, *_: Any, **__: Any) -> int:
        rows = await writer.fetch("SELECT max(op) FROM outbox")
        return max(last_op, rows[0][0] or 0)

    return _instead(outbox, "renumber", renumber)


def numbers_given_twice_are_not_noticed() -> Any:
    return _instead(outbox, "check_numbers", _nothing)


def what_a_restored_server_forgot_is_not_queued() -> Any:
    return _instead(receiving, "queue_forgotten", _nothing)


def seal_leaves_the_outbox_out() -> Any:
    return _instead(seal, "describe", lambda *_: [])


BUGS: Final[tuple[Bug, ...]] = (
    edit_returns_before_its_commit,
    server_answers_before_its_commit,
    server_keeps_no_verdicts,
    server_forgets_its_epochs,
    stub_of_an_own_change_gets_lost,
    cursor_runs_ahead_of_the_rows,
    digest_ignores_deletions,
    merge_takes_theirs_for_its_base,
    what_comes_behind_a_rush_overtakes_it,
    verdict_removes_the_op_behind,
    conflict_is_not_recorded,
    copied_outbox_keeps_its_numbers,
    numbers_given_twice_are_not_noticed,
    what_a_restored_server_forgot_is_not_queued,
    seal_leaves_the_outbox_out,
)
