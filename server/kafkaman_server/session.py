"""A session: one connection of a device that has said hello.

Two tasks: the reader takes pushes and calls, the writer sends. The session is either in the hub and
hears every commit, or behind, and its writer catches up from the log until it can join. A device
that reads slowly falls behind as soon as its queue is full, so its cost is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from kafkaman_server.calls import Proof
from kafkaman_server.catch_up import End, Start, catch_up, read_end
from kafkaman_server.hub import Decided, News, event_frames
from kafkaman_server.journal import Submission
from kafkaman_server.outgoing import Frame, Outgoing
from kafkaman_server.pushed import read_push
from kafkaman_server.sender import Sender
from kafkaman_server.shared import Shared
from kafkaman_server.stream import OwnStream
from kafkaman_server.window import Window
from kafkaman_sync.errors import WireError
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import (
    Call,
    Checkpoint,
    Goodbye,
    Push,
    Reply,
    Resend,
    Verdicts,
    Welcome,
)

# How long a peer may take to read a goodbye and close: revoking closes within a second.
GOODBYE_SECONDS: Final = 0.7
REPLACED: Final = Goodbye("device.replaced", "This device has connected again.")

_log = structlog.get_logger("session")


class Session:
    """A connected device."""

    # An idle session is most of what a connected device costs.
    __slots__ = (
        "_abort",
        "_connection",
        "_device",
        "_digests",
        "_goodbye",
        "_joined",
        "_lease",
        "_leaving",
        "_missed",
        "_outgoing",
        "_proofs",
        "_queued",
        "_queued_op",
        "_sender",
        "_sent",
        "_sent_op",
        "_shared",
        "_starts",
        "_undecided",
        "account",
    )

    def __init__(
        self,
        connection: ServerConnection,
        shared: Shared,
        welcome: Welcome,
        starts: Sequence[Start],
        confirmed_op: int,
    ) -> None:
        self.account = welcome.account
        self._device = welcome.device
        self._lease = welcome.lease
        self._connection = connection
        self._sender = Sender(connection)
        self._shared = shared
        self._outgoing = Outgoing()
        self._outgoing.put(Frame(encode(welcome), kept=True))
        self._joined = self._leaving = False
        self._goodbye: Goodbye | None = None
        self._abort: asyncio.TimerHandle | None = None
        # Where the device must start, for workspaces in which it is not at a seq of this log yet.
        self._starts = {start.workspace: start for start in starts}
        # Where the device is after all that was sent, and after all that was queued as well.
        self._sent = {start.workspace: start.cursor for start in starts}
        self._queued = dict(self._sent)
        self._sent_op = self._queued_op = confirmed_op
        # Whether a commit answered the session while it was not in the hub.
        self._missed = False
        # The last digest queued for each workspace.
        self._digests: dict[str, bytes] = {}
        self._undecided = Window()
        # Proofs that wait until the device is caught up.
        self._proofs: list[Proof] = []

    @property
    def device(self) -> str:
        """The device that is connected."""
        return self._device

    @property
    def leaving(self) -> bool:
        """Whether it says goodbye."""
        return self._leaving

    async def run(self) -> None:
        """Serve the connection until it ends."""
        hub = self._shared.hub
        older = hub.enter(self)
        if older is not None:
            older.say_goodbye(REPLACED)
        self._shared.journal.drop(self._device)
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write())
                await self._read()
                writer.cancel()
        finally:
            hub.leave(self, self._queued)
            hub.exit(self)
            if self._abort is not None:
                self._abort.cancel()

    # What the journal and the hub tell the session; none of it awaits.

    def settled(self, changes: int, size: int) -> None:
        """Note that a push of so many changes and bytes waits no longer."""
        self._undecided.remove(changes, size)

    def say_goodbye(self, message: Goodbye | None) -> None:
        """Send a goodbye behind what is queued, and close; None closes without one."""
        if self._leaving:
            return
        self._leaving = True
        self._goodbye = message
        self._leave_hub()
        self._undecided.nudge()
        self._outgoing.nudge()
        loop = asyncio.get_running_loop()
        self._abort = loop.call_later(GOODBYE_SECONDS, self._connection.transport.abort)

    def ask_again(self, op: int) -> None:
        """Ask the device to push again from `op` on."""
        self._outgoing.put(Frame(encode(Resend(op)), kept=True))

    def hear(self, news: News) -> None:
        """Take one workspace's part of a commit, in which nothing is the session's own."""
        if not self._joined:
            return
        at = self._queued[news.workspace]
        if news.events[-1][0] <= at:
            return
        frames = news.frames
        if news.events[0][0] <= at:
            behind = [(seq, event) for seq, event in news.events if seq > at]
            frames = event_frames(news.workspace, behind, news.digest)
        self._digests[news.workspace] = news.digest
        self._queue([Frame(data, news.workspace, seq) for seq, data in frames])

    def hear_own(self, decided: Sequence[Decided], digests: Mapping[str, bytes]) -> None:
        """Take a commit that answers some of the session's own changes."""
        if not self._joined:
            self._missed = True
            return
        stream = OwnStream(digests)
        for one in decided:
            own = one.session is self
            if one.event is not None and one.verdict.seq is not None:
                at = self._queued.get(one.workspace)
                if at is not None and one.verdict.seq > at:
                    stream.add_event(one.workspace, one.verdict, one.event, own=own)
                    continue
            if own and one.verdict.op > self._queued_op:
                stream.add_verdict(one.verdict)
        self._digests.update(
            (workspace, digests[workspace]) for workspace in digests if workspace in self._queued
        )
        self._queue(stream.frames())

    def _queue(self, frames: list[Frame]) -> None:
        """Queue live messages, or fall behind when the device has too much unread."""
        waiting = self._outgoing.size
        if waiting and waiting + sum(len(frame.data) for frame in frames) > (
            self._shared.queue_bytes_max
        ):
            self._fall_behind()
            return
        for frame in frames:
            self._outgoing.put(frame)
            if frame.workspace:
                self._queued[frame.workspace] = frame.seq
            self._queued_op = max(self._queued_op, frame.op)

    def _fall_behind(self) -> None:
        _log.info("device reads slowly, it catches up from the log", device=self._device)
        self._leave_hub()
        self._proofs += self._outgoing.drop_stream()
        self._queued = dict(self._sent)
        self._queued_op = self._sent_op
        self._outgoing.nudge()

    def _leave_hub(self) -> None:
        self._joined = False
        self._shared.hub.leave(self, self._queued)

    # The writer.

    async def _write(self) -> None:
        try:
            while not self._leaving:
                if not self._joined:
                    await self._catch_up()
                elif not await self._send_next():
                    await self._outgoing.wait()
            await self._send_all()
            if self._goodbye is not None:
                await self._sender.send(encode(self._goodbye))
            await self._connection.close(reason=self._goodbye.code if self._goodbye else "")
        except ConnectionClosed:
            pass  # the reader meets the same end

    async def _send_all(self) -> None:
        while await self._send_next():
            pass

    async def _send_next(self) -> bool:
        frame = self._outgoing.take()
        if frame is None:
            return False
        await self._sender.send(frame.data)
        self._undecided.nudge()
        if frame.workspace:
            self._sent[frame.workspace] = frame.seq
        self._sent_op = max(self._sent_op, frame.op)
        return True

    async def _catch_up(self) -> None:
        """Bring the device to the head of every workspace, and into the hub."""
        try:
            while not self._joined:
                await self._catch_up_once()
        except _LeavingError:
            pass

    async def _catch_up_once(self) -> None:
        await self._send_all()
        for workspace in self._sent:
            start = self._starts.get(workspace) or Start(workspace, self._sent[workspace])
            await catch_up(
                self._shared.storage,
                start,
                partial(self._send_caught_up, workspace),
                events_max=self._shared.replay_events_max,
            )
        self._missed = False
        end = await self._shared.storage.read(
            partial(
                read_end,
                account=self.account,
                device=self._device,
                workspaces=self._sent,
                op=self._sent_op,
            )
        )
        if self._leaving:
            raise _LeavingError
        # A verdict without an event moves no head: it is in storage, and may not be in `end`.
        behind = any(head > self._sent[workspace] for workspace, (head, _) in end.heads.items())
        if behind or self._missed:
            return
        if not end.complete:
            self._sent_op = end.verdicts[-1].op
            await self._sender.send(encode(Verdicts(end.verdicts)))
            return
        self._queued = dict(self._sent)
        if self._shared.hub.join(self, self._queued):
            self._join(end)

    async def _send_caught_up(self, workspace: str, data: bytes, seq: int | None) -> None:
        await self._send_all()
        if self._leaving:
            raise _LeavingError
        await self._sender.send(data)
        if seq is not None:
            self._sent[workspace] = seq
            self._starts.pop(workspace, None)

    def _join(self, end: End) -> None:
        """Queue the end of the catch-up. Runs in one step with joining the hub."""
        self._joined = True
        last_op = end.verdicts[-1].op if end.verdicts else self._sent_op
        self._queued_op = last_op
        self._outgoing.put(Frame(encode(Verdicts(end.verdicts)), op=last_op))
        for workspace, (head, digest) in end.heads.items():
            self._digests[workspace] = digest
            checkpoint = Checkpoint(workspace, head, digest)
            self._outgoing.put(Frame(encode(checkpoint), workspace, head))
        proofs, self._proofs = self._proofs, []
        for proof in proofs:
            self._reply_proof(proof)

    # The reader.

    async def _read(self) -> None:
        try:
            async for data in self._connection:
                if not self._leaving:
                    await self._receive(data)
        except ConnectionClosed:
            pass
        except WireError as error:
            _log.warning("device broke the protocol", device=self._device, reason=error.message)
            self.say_goodbye(Goodbye("protocol.violation", error.message))
            await self._connection.wait_closed()

    async def _receive(self, data: str | bytes) -> None:
        if isinstance(data, str):
            raise WireError("Messages are binary, not text.")
        message = decode(data)
        if isinstance(message, Push):
            await self._receive_push(message)
        elif isinstance(message, Call):
            await self._receive_call(message)
        else:
            raise WireError("After its hello a device sends calls and pushes only.")

    async def _receive_push(self, push: Push) -> None:
        changes = read_push(push)
        if not changes:
            return
        size = sum(map(len, push.changes))
        # An op that comes again is answered again.
        before = changes[0][0].op - 1
        self._queued_op = min(self._queued_op, before)
        self._sent_op = min(self._sent_op, before)
        self._undecided.add(len(changes), size)
        self._shared.journal.submit(
            Submission(
                session=self,
                account=self.account,
                device=self._device,
                lease=self._lease,
                changes=changes,
                size=size,
                confirmed_op=push.confirmed_op,
            )
        )
        while self._undecided.full and not self._leaving:
            await self._undecided.wait()

    async def _receive_call(self, call: Call) -> None:
        # Who asks and does not read the answers is not heard any more.
        while self._outgoing.size > self._shared.queue_bytes_max and not self._leaving:
            await self._undecided.wait()
        calls = self._shared.calls
        if call.method == "prove":
            proof = await calls.prove(self.account, call)
            if isinstance(proof, Reply):
                self._outgoing.put(Frame(encode(proof), kept=True))
            elif self._joined:
                self._reply_proof(proof)
            else:
                self._proofs.append(proof)
            return
        reply = await calls.answer(self.account, self._device, call)
        self._outgoing.put(Frame(encode(reply), kept=True))
        if call.method == "sign_out" and reply.error is None:
            self.say_goodbye(None)

    def _reply_proof(self, proof: Proof) -> None:
        """Queue a proof where the device is at the seq that it speaks of."""
        workspaces = [
            {
                "id": workspace,
                "seq": self._queued[workspace],
                "digest": self._digests[workspace].hex(),
                "sound": sound,
            }
            for workspace, sound in proof.sound.items()
            if workspace in self._queued
        ]
        reply = Reply(proof.call, result={"workspaces": workspaces})
        self._outgoing.put(Frame(encode(reply), proof=proof))


class _LeavingError(Exception):
    """The session says goodbye: nothing more is caught up."""
