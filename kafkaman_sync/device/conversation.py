"""One connection's talk: frames to the session, its decisions to the store, the outbox to the link.

Two tasks share it. One receives and applies, in the order of the stream; the other pushes what is
in the outbox, woken by edits, verdicts and the end of the catch-up. Nothing here waits for a timer
but the welcome, and in a rush of edits the word that they were accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import structlog

from kafkaman_sync.device import life as causes
from kafkaman_sync.device.divergence import Divergence
from kafkaman_sync.device.life import Life
from kafkaman_sync.device.link import CALL_SECONDS_MAX, Link
from kafkaman_sync.engine.session import (
    Accepted,
    Answer,
    Applied,
    Apply,
    End,
    Enter,
    Output,
    Session,
)
from kafkaman_sync.engine.states import Facts, Input
from kafkaman_sync.errors import KafkamanError, LinkError, RefusedError, StoreError
from kafkaman_sync.protocol.messages import Goodbye, Hello, Message, Reply, Welcome
from kafkaman_sync.store import Identity, Store, ViewChange

_log: Final = structlog.get_logger(__name__)

WELCOME_SECONDS_MAX: Final = 60.0

Inline = Callable[[Reply], Awaitable[Any]]


class RevokedError(Exception):
    """The server says positively that this device was signed out."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Host(Protocol):
    """What a conversation needs of the sync that holds it."""

    store: Store
    life: Life
    changed: Callable[[Sequence[ViewChange]], None]

    async def welcomed(self) -> None:
        """Take in that a welcome may have changed the workspaces."""


class Conversation:
    """The talk over one link; `talk` ends by an exception only."""

    def __init__(self, host: Host, link: Link, divergence: Divergence) -> None:
        self.link = link
        self.session = Session()
        self.checked: dict[str, tuple[int, bool]] = {}
        self._store = host.store
        self._life = host.life
        self._changed = host.changed
        self._welcomed = host.welcomed
        self._divergence = divergence
        self._conflicts = 0
        self._edits = 0
        self._pushing = asyncio.Event()
        # Held while the store's counts and the session's are brought together.
        self._turn = asyncio.Lock()
        self._doubts: list[tuple[str, int]] = []
        self._calls: dict[int, tuple[asyncio.Future[Any], Inline | None]] = {}

    @property
    def facts(self) -> Facts:
        """What stands beside the state now."""
        progress = None if self.session.settled else self.session.progress
        return Facts(self.session.pending, self._conflicts, progress)

    async def talk(self) -> None:
        """Say hello, catch up, go live.

        Raises why it ended: LinkError, StoreError, RevokedError.
        """
        await self._count()
        await self._greet()
        tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._push())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            # When both have failed, the receiver says why.
            for task in tasks:
                if task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            if not any(isinstance(each, StoreError) or _diverged(each) for each in ended):
                await self._settle()

    def end(self) -> None:
        """Tell everybody who waits for an answer that none will come."""
        for answer, _ in self._calls.values():
            if not answer.done():
                error = LinkError(
                    "The connection broke before the server had answered.",
                    code="link.broken",
                    hint="Try again.",
                )
                answer.set_exception(error)
                answer.exception()  # whoever called may have gone already

    def edited(self, ops: int) -> None:
        """Push at once: an edit of so many ops is in the outbox."""
        self._edits += ops
        self.session.edited(self.session.pending + ops, asyncio.get_running_loop().time())
        self._show()
        self._pushing.set()

    def doubt(self, workspace: str, seq: int) -> None:
        """Note, in an `inline`, that a proof failed: the talk ends, and a rebuild follows."""
        self._doubts.append((workspace, seq))

    async def recount(self) -> None:
        """Bring the counts of pending changes and open conflicts up to date."""
        await self._count()
        self._show()

    async def call(self, method: str, params: dict[str, Any], inline: Inline | None) -> Any:
        """Make a call; return its result, or what `inline` makes of the reply.

        `inline` runs at the reply's place in the stream: everything before it has been applied,
        nothing after it. Raises RefusedError for the server's error.
        """
        call = self.session.call(method, params)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls[call.id] = (answer, inline)
        try:
            await self.link.send(call)
            async with asyncio.timeout(CALL_SECONDS_MAX):
                return await answer
        except TimeoutError:
            raise LinkError(
                f"The server did not answer within {CALL_SECONDS_MAX:g} s.",
                code="link.timeout",
                hint="Try again.",
            ) from None
        finally:
            self._calls.pop(call.id, None)

    async def _count(self) -> None:
        async with self._turn:
            edits = self._edits
            counts = await self._store.counts()
            # Edits that were told of meanwhile may be missing in the count. To count them twice
            # only leads to another count; to miss them would be to call the device in sync.
            self.session.counted(counts.pending + self._edits - edits)
        self._conflicts = counts.conflicts

    async def _greet(self) -> None:
        identity = await self._store.identity()
        assert identity is not None, "only a signed-in store is synced"
        facts = await self._store.hello()
        hello = Hello(
            token=identity.token,
            device=identity.device,
            lease=identity.lease,
            positions=facts.positions,
            confirmed_op=facts.confirmed_op,
            highest_base=facts.highest_base,
        )
        await self.link.send(self.session.hello(hello))

    async def _receive(self) -> None:
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(WELCOME_SECONDS_MAX) as limit:
                while True:
                    messages = await self._arrivals()
                    # The first message is the welcome or a goodbye; after it, silence is allowed.
                    limit.reschedule(None)
                    outputs = self.session.received(messages, now())
                    # What is asked for again, or was accepted, makes room.
                    self._pushing.set()
                    for output in outputs:
                        await self._follow(output)
                    while (due := self.session.due(now())) is not None:
                        await self._apply(due)
        except TimeoutError:
            raise LinkError(
                "The server did not welcome this device in time.", code="network.silent"
            ) from None

    async def _arrivals(self) -> list[Message]:
        """Return what has arrived; nothing when something that was held back is due."""
        try:
            async with asyncio.timeout_at(self.session.due_at):
                return await self.link.receive()
        except TimeoutError:
            return []

    async def _follow(self, output: Output) -> None:
        if isinstance(output, Apply):
            await self._apply(output)
        elif isinstance(output, Enter):
            await self._enter(output.welcome)
        elif isinstance(output, Answer):
            await self._answer(output.reply)
        elif isinstance(output, Accepted):
            self._store.let_go(output.op)
        elif isinstance(output, End):
            raise _ending(output.goodbye)
        else:
            _log.info("notice", code=output.notice.code, message=output.notice.message)

    async def _enter(self, welcome: Welcome) -> None:
        identity = await self._store.identity()
        assert identity is not None
        _check_server(identity, welcome)
        cursors = {state.id: state.cursor for state in await self._store.workspaces()}
        effect = await self._store.welcome(welcome)
        await self._welcomed()
        if effect.forked:
            _log.warning("server restored", forked=[list(fork) for fork in effect.forked])
        self.session.expect(
            {each.id: each.head - cursors.get(each.id, 0) for each in welcome.workspaces}
        )
        self._life.take(Input.WELCOMED, causes.CATCHING_UP, self.facts)

    async def _apply(self, apply: Apply) -> None:
        async with self._turn:
            edits = self._edits
            received = await self._store.receive(apply.messages)
            pending = received.pending + self._edits - edits
            result = Applied(received.verdict_op, received.compared, pending)
            self.session.applied(apply, result)
        self._conflicts = received.conflicts
        self.checked |= {each: (seq, same) for each, seq, same in received.checkpoints}
        self._changed(received.changes)
        if received.diverged:
            raise await self._divergence.error(received.diverged)
        if self.session.caught_up:
            await self._divergence.settle()
        self._show()
        self._life.tell()
        self._pushing.set()

    async def _settle(self) -> None:
        """Apply what was held back; what the store cannot take comes again with the next talk."""
        with suppress(KafkamanError):
            for apply in self.session.release():
                await self._apply(apply)

    async def _answer(self, reply: Reply) -> None:
        answer, inline = self._calls.get(reply.id, (None, None))
        if answer is None or answer.done():
            return
        try:
            if reply.error is not None:
                raise RefusedError.from_dict(dict(reply.error))
            result = dict(reply.result or {}) if inline is None else await inline(reply)
        except KafkamanError as error:
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(result)
        if self._doubts:
            raise await self._divergence.error(self._doubts)

    async def _push(self) -> None:
        while True:
            await self._pushing.wait()
            self._pushing.clear()
            if self.session.room() is None or not self.session.pending:
                continue
            await self._push_all()
            if not self.session.on_its_way:
                # The verdict may have been faster than the word of the edit: count anew.
                await self.recount()

    async def _push_all(self) -> None:
        while (room := self.session.room()) is not None:
            changes = await self._store.outbox_after(
                room.after, changes_max=room.changes_max, bytes_max=room.bytes_max
            )
            again = self.session.room()
            if again is None or again.after != room.after:
                continue  # a verdict or a resend came meanwhile; read from there
            pushes = self.session.push(changes)
            if not pushes:
                return
            for push in pushes:
                try:
                    await self.link.send(push)
                except LinkError:
                    return  # the receiver says why

    def _show(self) -> None:
        """Bring the state machine up to date."""
        session = self.session
        if not self._life.state.online:
            return
        if session.settled:
            self._life.take(Input.SETTLED, causes.EQUAL, self.facts)
            return
        cause = causes.CATCHING_UP if not session.caught_up else causes.RECEIVING
        if session.caught_up and session.pending:
            cause = causes.PENDING
        self._life.take(Input.UNSETTLED, cause, self.facts)


def _check_server(identity: Identity, welcome: Welcome) -> None:
    """Another server, or another account, must not get this store's changes, nor change it."""
    if identity.server and welcome.server != identity.server:
        raise LinkError(
            f"Another server answers at {identity.server_url} than the one of this account.",
            code="server.changed",
            hint="Check the address. Everything on this device is kept; "
            "`kafkaman sign-out` seals what was not synced.",
        )
    if welcome.account != identity.account:
        raise LinkError(
            "The server knows this device as another account's.",
            code="account.changed",
            hint="Run `kafkaman sign-out`, which seals what was not synced, and sign in again.",
        )


def _diverged(ended: object) -> bool:
    return isinstance(ended, LinkError) and ended.code == "diverged"


def _ending(goodbye: Goodbye) -> Exception:
    if goodbye.code == "device.revoked":
        return RevokedError(goodbye.message)
    return LinkError(goodbye.message, code=goodbye.code, retry_after=goodbye.retry_after)
