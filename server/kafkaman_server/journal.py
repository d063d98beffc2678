"""The journal: the one writer of the log, and the hot path.

    gather -> load -> decide -> commit -> answer and fan out

It takes every waiting push, up to a bound, whosever they are, decides their changes in order and
commits them together. Nothing is answered or fanned out before the commit. It holds no state but
its queue: whatever it judges by is read inside the transaction, so a failed commit leaves nothing
to forget. A commit that failed closes the connections whose pushes were in it; the others go on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import structlog

from kafkaman_server.decide import Author, World, decide
from kafkaman_server.hub import REVOKED, UNKNOWN, Decided, Hub, Listener, Outcome
from kafkaman_server.purging import Piece, purge_piece
from kafkaman_server.storage.interface import Storage, Transaction
from kafkaman_server.storage.records import Commit, Device, StoredVerdict, TooLargeError, Touched
from kafkaman_sync.errors import KafkamanError, StoreError
from kafkaman_sync.model.changes import (
    Action,
    Change,
    Verdict,
    basis_of,
    dispute_of,
    hash_change,
)
from kafkaman_sync.model.limits import MIB
from kafkaman_sync.protocol.messages import Goodbye
from kafkaman_sync.protocol.records import (
    decode_verdict,
    encode_basis,
    encode_dispute,
    encode_event,
    encode_verdict,
)

# What one commit takes: enough to spread the cost of the sync, small enough to stay quick.
COMMIT_CHANGES_MAX: Final = 2000
COMMIT_BYTES_MAX: Final = 8 * MIB
# What one commit loads: a few tiny changes may touch very large entities.
LOAD_BYTES_MAX: Final = 64 * MIB
# Changes decided between two looks at the sockets.
_DECIDED_AT_ONCE: Final = 200
_RETRY_AFTER_SECONDS: Final = 5.0
# Confirmed verdicts are dropped once in so many ops, to spare the other commits the statement.
_PRUNE_EVERY: Final = 256
# Faults of the disk meet every commit alike: there is no culprit to look for.
_COMMON_FAULTS: Final = frozenset(
    {"store.full", "store.io", "store.readonly", "store.locked", "store.unreachable",
     "store.damaged"}
)  # fmt: skip

_log = structlog.get_logger("journal")


@dataclass(frozen=True, slots=True)
class Submission:
    """The changes of one push, with their encoded bytes, and the session that waits for them."""

    session: Listener
    account: str
    device: str
    lease: str
    changes: tuple[tuple[Change, bytes], ...]
    size: int
    confirmed_op: int


@dataclass(slots=True)
class _Draft:
    """A commit as it is made: what to write, and what to tell whom."""

    commit: Commit
    worlds: dict[str, World]
    roles: dict[tuple[str, str], str]
    devices: dict[str, Device]
    stored: dict[tuple[str, int], StoredVerdict]
    outcome: Outcome = field(default_factory=Outcome)
    void: set[str] = field(default_factory=set)
    """Devices of which nothing more is decided in this commit."""


class Journal:
    """Decides and commits what sessions submit, in order of arrival."""

    def __init__(self, storage: Storage, hub: Hub, *, epoch: str, clock: Callable[[], int]) -> None:
        self._storage = storage
        self._hub = hub
        self._epoch = epoch
        self.clock = clock
        self._waiting: deque[Submission] = deque()
        # What is being committed or waits for its turn to be, and the sessions dropped from it.
        self._gathered: list[Submission] = []
        self._dropped: list[Listener] = []
        # Pieces of a purge, each with who waits for it.
        self._purges: deque[tuple[Piece, asyncio.Future[None]]] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        # Workspaces in which a commit of this run has recorded the epoch.
        self._begun: frozenset[str] = frozenset()
        self.failing = ""
        """The code of the fault that the last commit met, empty when it went well."""

    def submit(self, submission: Submission) -> None:
        """Queue a push; its session is told when it is decided or has failed."""
        self._waiting.append(submission)
        self._idle.clear()
        self._wake.set()

    def drop(self, device: str) -> None:
        """Forget what a device has submitted and is not being decided yet.

        In a transaction of its own nothing is being decided: what is not dropped is in storage.
        """
        self._waiting = deque(one for one in self._waiting if one.device != device)
        self._dropped += [one.session for one in self._gathered if one.device == device]

    async def purge(self, piece: Piece) -> None:
        """Purge a piece; it takes its turn between the devices' pushes. Raises StoreError."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._purges.append((piece, done))
        self._wake.set()
        await done

    async def drain(self) -> None:
        """Return when all that was submitted is decided or has failed."""
        await self._idle.wait()

    async def run(self) -> None:
        """Work until cancelled; what is being committed then is finished first."""
        while True:
            await self._wake.wait()
            batch = self._gather()
            if batch:
                await self._commit(batch)
            else:
                self._idle.set()
            if self._purges:
                await self._purge(*self._purges.popleft())
            elif not batch:
                self._wake.clear()

    def _gather(self) -> list[Submission]:
        batch: list[Submission] = []
        changes = size = 0
        while self._waiting:
            following = self._waiting[0]
            changes += len(following.changes)
            size += following.size
            if batch and (changes > COMMIT_CHANGES_MAX or size > COMMIT_BYTES_MAX):
                break
            batch.append(self._waiting.popleft())
        self._gathered, self._dropped = batch, []
        return batch

    async def _commit(self, batch: list[Submission]) -> None:
        try:
            outcome = await self._storage.transact(partial(self._decide, batch))
        except TooLargeError:
            for part in _halves(batch):
                await self._commit(part)
            return
        except Exception as error:  # noqa: BLE001 - the edge of a task that must outlive any batch
            await self._recover(batch, error)
            return
        self.failing = ""
        self._begun |= outcome.digests.keys()
        self._hub.publish(outcome)
        for one in batch:
            one.session.settled(len(one.changes), one.size)

    async def _purge(self, piece: Piece, done: asyncio.Future[None]) -> None:
        commit = Commit(self._epoch, begun=self._begun)
        work = partial(purge_piece, commit=commit, piece=piece, at=self.clock())
        try:
            news = await self._storage.transact(work)
        except Exception as error:  # noqa: BLE001 - as in _commit; who asked for it is told
            if not done.done():
                done.set_exception(error)
            return
        if news is not None:
            self._begun |= {piece.workspace}
            self._hub.announce(news)
        if not done.done():
            done.set_result(None)

    async def _recover(self, batch: list[Submission], error: Exception) -> None:
        """After a failed commit: find whose pushes fail, and close their connections."""
        sessions = {id(one.session): one.session for one in batch}
        code = error.code if isinstance(error, KafkamanError) else "internal.error"
        if len(sessions) > 1 and code not in _COMMON_FAULTS:
            _log.warning("commit failed, trying its pushes one device at a time", code=code)
            for session in sessions.values():
                await self._commit([one for one in batch if one.session is session])
            return
        self.failing = code
        if isinstance(error, StoreError):
            _log.error("commit failed", code=code, reason=error.message, hint=error.hint)
        else:
            _log.error("commit failed", code=code, exc_info=error)
        message = (
            "The server could not store the changes; nothing is lost, they will be sent again."
        )
        for session in sessions.values():
            self.drop(session.device)
            session.say_goodbye(Goodbye("server.failed", message, _RETRY_AFTER_SECONDS))

    async def _decide(self, batch: list[Submission], transaction: Transaction) -> Outcome:
        draft = await self._load(batch, transaction)
        count = 0
        for one in batch:
            device = draft.devices.get(one.device)
            if one.session.leaving or one.session in self._dropped:
                continue
            if device is None or not device.signed_in:
                draft.outcome.goodbyes.append((one.session, _not_signed_in(device)))
                continue
            for change, data in one.changes:
                if one.device in draft.void:
                    break
                self._decide_one(draft, one, change, data)
                count += 1
                if count % _DECIDED_AT_ONCE == 0:
                    await asyncio.sleep(0)  # lets the sockets have their turn
        await transaction.write(draft.commit)
        for workspace, world in draft.worlds.items():
            if workspace in draft.commit.heads:
                draft.outcome.digests[workspace] = world.digest
        return draft.outcome

    async def _load(self, batch: list[Submission], transaction: Transaction) -> _Draft:
        touched, pairs = _touched(batch)
        devices = await transaction.devices({one.device for one in batch})
        old = {
            (one.device, change.op)
            for one in batch
            for change, _ in one.changes
            if one.device in devices and change.op <= devices[one.device].last_op
        }
        return _Draft(
            commit=Commit(self._epoch, begun=self._begun),
            devices=devices,
            roles=dict(await transaction.roles(pairs)),
            worlds=await transaction.worlds(touched, bytes_max=LOAD_BYTES_MAX),
            stored=await transaction.stored_verdicts(old) if old else {},
        )

    def _decide_one(self, draft: _Draft, one: Submission, change: Change, data: bytes) -> None:
        """Decide one change into the draft, or find that the rest of the device's is void."""
        device = one.device
        last_op = draft.commit.last_ops.get(device, draft.devices[device].last_op)
        fingerprint = hash_change(data)
        if change.op <= last_op:
            known = draft.stored.get((device, change.op))
            if known is None or known.change_hash != fingerprint:
                draft.outcome.goodbyes.append((one.session, _REUSED))
                draft.void.add(device)
                return
            verdict = decode_verdict(known.body)
            draft.outcome.decided.append(Decided(one.session, change.workspace, verdict, None))
            return
        if change.previous > last_op:
            draft.outcome.resends[one.session] = last_op + 1
            draft.void.add(device)
            return
        verdict, event = self._judge(draft, one, change)
        stored = StoredVerdict(device, change.op, fingerprint, encode_verdict(verdict))
        draft.stored[device, change.op] = stored
        draft.commit.verdicts.append(stored)
        draft.commit.last_ops[device] = change.op
        draft.commit.leases[device] = one.lease
        draft.outcome.decided.append(Decided(one.session, change.workspace, verdict, event))
        if change.op % _PRUNE_EVERY == 0:
            draft.commit.confirmed_ops[device] = min(one.confirmed_op, last_op)

    def _judge(
        self, draft: _Draft, one: Submission, change: Change
    ) -> tuple[Verdict, bytes | None]:
        workspace = change.workspace
        world = draft.worlds.get(workspace) or World(workspace)
        role = draft.roles.get((one.account, workspace), "")
        decision = decide(world, change, Author(one.account, one.device, role), at=self.clock())
        commit, verdict = draft.commit, decision.verdict
        if verdict.disagreements or verdict.refusal is not None:
            self._note_dispute(draft, one, change, verdict)
        if decision.event is None:
            return verdict, None
        event = encode_event(decision.event)
        basis = encode_basis(basis_of(change, verdict.accepted))
        commit.events.append((workspace, decision.event.seq, change.entity, event, basis))
        commit.entries.setdefault(workspace, {})[change.entity] = world.entries[change.entity]
        commit.heads[workspace] = (world.head, world.digest)
        return verdict, event

    def _note_dispute(
        self, draft: _Draft, one: Submission, change: Change, verdict: Verdict
    ) -> None:
        world = draft.worlds.get(change.workspace)
        if world is None:
            return  # there is no such workspace, and no log of it
        dispute = dispute_of(
            change, verdict, account=one.account, device=one.device, head=world.head
        )
        if dispute is not None:
            draft.commit.disputes.append(
                (change.workspace, dispute.seq, change.entity, encode_dispute(dispute))
            )


def _touched(batch: list[Submission]) -> tuple[dict[str, Touched], set[tuple[str, str]]]:
    """Return what the changes touch, by workspace, and the (account, workspace) pairs of them."""
    touched: dict[str, Touched] = {}
    pairs: set[tuple[str, str]] = set()
    deletes = any(change.action is Action.DELETE for one in batch for change, _ in one.changes)
    for one in batch:
        for change, _ in one.changes:
            pairs.add((one.account, change.workspace))
            part = touched.get(change.workspace)
            if part is None:
                part = touched[change.workspace] = Touched()
            part.targets.add(change.entity)
            if change.place is not None:
                part.parents.add(change.place.parent)
            # What is moved or restored matters to a deletion only.
            if deletes and change.action in (Action.DELETE, Action.MOVE, Action.RESTORE):
                part.subtrees.add(change.entity)
    return touched, pairs


def _halves(batch: list[Submission]) -> list[list[Submission]]:
    """Split a batch, or the changes of its only submission."""
    if len(batch) > 1:
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]
    (whole,) = batch
    middle = len(whole.changes) // 2
    # The size counts once, when the last part is settled.
    return [
        [replace(whole, changes=whole.changes[:middle], size=0)],
        [replace(whole, changes=whole.changes[middle:])],
    ]


def _not_signed_in(device: Device | None) -> Goodbye | None:
    """Return the goodbye for a device that may not sync, which says exactly why.

    None when a copy of its store has taken its place: its next hello tells which of them it is.
    """
    if device is None:
        return UNKNOWN
    return REVOKED if device.revoked_at is not None else None


_REUSED: Final = Goodbye(
    "device.reused",
    "An op number of this device stands for another change already: its store was copied or "
    "restored.",
)
