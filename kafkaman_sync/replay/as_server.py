"""Runs a session again as the server, against the real engine of a device, on a scratch store.

The device gets the recorded frames, each when it has come as far as it had when that was recorded.
What the person had edited is put into its outbox; what its engine pushes by itself, such as merges,
it must push again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from kafkaman_sync.device.account import Account
from kafkaman_sync.device.life import Life
from kafkaman_sync.device.paths import Home
from kafkaman_sync.engine.states import Cause, Facts, Input, State, Transition
from kafkaman_sync.errors import WireError
from kafkaman_sync.model.changes import Change, Verdict
from kafkaman_sync.model.limits import MESSAGE_BYTES_MAX
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import (
    SUBPROTOCOL,
    Checkpoint,
    Events,
    Hello,
    Message,
    Push,
    Reply,
    Verdicts,
)
from kafkaman_sync.protocol.records import decode_change, decode_event
from kafkaman_sync.replay.as_device import ANSWER_SECONDS, Pace
from kafkaman_sync.replay.faults import Faults
from kafkaman_sync.replay.outcome import Difference, shown, told
from kafkaman_sync.replay.resuming import resume
from kafkaman_sync.replay.scratch_home import enter
from kafkaman_sync.replay.script import Script
from kafkaman_sync.replay.session import Talk
from kafkaman_sync.store import Store

_LOOK_SECONDS: Final = 0.005


class _EndedError(Exception):
    """The run is over: with a difference, or because all was played."""

    def __init__(self, difference: Difference | None) -> None:
        super().__init__()
        self.difference = difference


class _CutError(Exception):
    """The connection was broken on purpose."""


class _Witness(Life):
    """A life that remembers its first error: the device may be out of it by the time one looks."""

    failed: Transition | None = None

    def take(
        self, happened: Input, cause: Cause, facts: Facts, *, retry_in: float | None = None
    ) -> None:
        """Let something happen."""
        super().take(happened, cause, facts, retry_in=retry_in)
        if self.state is State.ERROR and self.failed is None:
            self.failed = self.latest


class AsServer:
    """One run of a session against a device's engine."""

    def __init__(self, script: Script, pace: Pace, faults: Faults) -> None:
        self._script = script
        self._values = script.session.values
        self._pace = pace
        self._faults = faults
        self._life = _Witness()
        self._talk = 0
        self._step = 0
        self._began = 0.0
        # What the device has been sent, and what it has pushed.
        self._sent_seqs: dict[str, int] = {}
        self._sent_op = 0
        self._pushed: dict[int, Change] = {}
        self._news = asyncio.Event()
        self._over: asyncio.Future[Difference | None]
        self._account: Account
        self.store: Store

    async def run(self, home: Home) -> Difference | None:
        """Run all of it with the store that lies in `home`; return the first difference."""
        loop = asyncio.get_running_loop()
        self._over, self._began = loop.create_future(), loop.time()
        async with serve(
            self._meet,
            "127.0.0.1",
            0,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            max_size=MESSAGE_BYTES_MAX,
            ping_interval=None,
        ) as server:
            port = server.sockets[0].getsockname()[1]
            await enter(home, self._script, f"ws://127.0.0.1:{port}/")
            account = self._script.session.account
            async with Account.open(home, account, self._life, _nobody, _nobody) as opened:
                assert opened is not None, "it was entered just now"
                self._account, self.store = opened, opened.store
                opened.start(lambda _, why: self._end(self._died(why)))
                return await self._over

    def _died(self, why: BaseException) -> Difference | None:
        done = self._talk >= len(self._script.session.talks)
        return None if done else self._state_difference(type(why).__name__)

    def _end(self, difference: Difference | None) -> None:
        if not self._over.done():
            self._over.set_result(difference)

    # Connections

    async def _meet(self, connection: ServerConnection) -> None:
        talks = self._script.session.talks
        if self._talk >= len(talks) or self._over.done():
            return
        if self._life.failed is not None:
            self._end(self._state_difference(""))
            return
        reading: asyncio.Task[None] | None = None
        try:
            hello = await _hello_from(connection)
            talk = talks[self._talk]
            if self._step:
                for message in resume(self._script, self._talk, self._step, hello):
                    await self._send(connection, message)
            else:
                self._check_hello(hello, talk)
            reading = asyncio.create_task(self._read(connection))
            await self._play(connection, talk, reading)
        except (_CutError, ConnectionClosed):
            connection.transport.abort()
        except _EndedError as ended:
            self._end(ended.difference)
        except (WireError, TimeoutError):
            self._end(self._state_difference("it said nothing that was expected"))
        finally:
            # The device need not wait before it comes again.
            self._account.sync.retry()
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _play(
        self, connection: ServerConnection, talk: Talk, reading: asyncio.Task[None]
    ) -> None:
        while self._step < len(talk.steps):
            step = talk.steps[self._step]
            await self._wait_for_turn(step.at_us)
            if self._pace.before is not None and not step.up:
                await self._pace.before(step)
            if isinstance(step.message, Push):
                await self._expect(step.message, reading)
            elif not step.up and not isinstance(step.message, Reply):
                await self._deliver(connection, step.message)
            self._step += 1
            self._look(reading)
        await self._settle(reading)
        self._check_extra()
        self._talk, self._step = self._talk + 1, 0
        if self._talk == len(self._script.session.talks):
            raise _EndedError(None)
        await connection.close()

    async def _deliver(self, connection: ServerConnection, message: Message) -> None:
        fault = self._faults.draw(twice=False) if isinstance(message, Events) else None
        if fault is not None and fault.delay:
            await asyncio.sleep(fault.delay)
        if fault is not None and fault.cut_before:
            self._note(message)
            self._step += 1
            raise _CutError
        await self._send(connection, self._fitting(message))
        self._note(message)
        if fault is not None and fault.cut_after:
            self._step += 1
            raise _CutError

    async def _send(self, connection: ServerConnection, message: Message) -> None:
        await connection.send(encode(message))

    def _note(self, message: Message) -> None:
        """Remember how far the device comes with a message."""
        if isinstance(message, Events) and message.items:
            self._sent_seqs[message.workspace] = _last_seq(message)
            ops = [item.op for item in message.items if isinstance(item, Verdict)]
            self._sent_op = max([self._sent_op, *ops])
        elif isinstance(message, Checkpoint):
            self._sent_seqs[message.workspace] = message.seq
        elif isinstance(message, Verdicts):
            self._sent_op = max([self._sent_op, *(each.op for each in message.verdicts)])

    def _fitting(self, message: Message) -> Message:
        """Return a message with the digest that fits the redacted rows, where they are redacted."""
        if self._values or not isinstance(message, Events | Checkpoint):
            return message
        if message.digest is None:
            return message
        at = message.seq if isinstance(message, Checkpoint) else _last_seq(message)
        outcome, where = self._script.outcome, message.workspace
        digest = outcome.digests.get((where, at)) or outcome.led_to.get(("digest", where, at))
        if digest is not None:
            return replace(message, digest=digest)
        return message if isinstance(message, Checkpoint) else replace(message, digest=None)

    async def _read(self, connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                message = decode(await connection.recv(decode=False))
                if isinstance(message, Push):
                    for change in map(decode_change, message.changes):
                        self._pushed.setdefault(change.op, change)
                self._tell()
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    # What the device must do

    async def _wait_for_turn(self, at_us: int) -> None:
        if self._pace.speed:
            loop = asyncio.get_running_loop()
            since = (at_us - self._script.session.talks[0].at_us) / 1e6 / self._pace.speed
            await asyncio.sleep(max(0.0, self._began + since - loop.time()))

    async def _expect(self, push: Push, reading: asyncio.Task[None]) -> None:
        """Wait until the device has pushed these changes; what it would not, a person had made."""
        changes = [decode_change(data) for data in push.changes]
        missing = [change for change in changes if change.op not in self._pushed]
        if missing:
            await self._settle(reading)
            waiting = await self._waiting()
            made = [change for change in missing if change.op > waiting]
            if made:
                await self.store.adopt(made)
                self._account.sync.edited(len(made))
        for change in changes:
            await self._until(change.op, reading)
            self._compare(change)

    async def _waiting(self) -> int:
        """Return the last op in the device's outbox or pushed by it, 0 if there is none."""
        found = await self.store.outbox_after(0, changes_max=10_000, bytes_max=MESSAGE_BYTES_MAX)
        return max([*(op for op, _ in found), *self._pushed, 0])

    async def _until(self, op: int, reading: asyncio.Task[None]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                while op not in self._pushed and not reading.done():
                    await self._news.wait()
        if op not in self._pushed:
            self._look(reading)
            raise _EndedError(self._difference(("change", op), "did not come.", None, None))

    def _compare(self, change: Change) -> None:
        was = _change_facts(change, self._values)
        now = _change_facts(self._pushed[change.op], self._values)
        for part, value in was.items():
            if now[part] != value:
                raise _EndedError(
                    self._difference(("change", change.op), f"differs in its {part}.", was, now)
                )

    def _check_hello(self, hello: Hello, talk: Talk) -> None:
        was = {each.workspace: each.cursor for each in talk.hello.positions if each.epoch}
        now = {each.workspace: each.cursor for each in hello.positions if each.epoch}
        for workspace, cursor in was.items():
            if now.get(workspace, 0) != cursor:
                text = f"differs in its position in {workspace[:8]}."
                raise _EndedError(self._difference(("hello", self._talk), text, was, now))

    def _check_extra(self) -> None:
        extra = sorted(self._pushed.keys() - self._script.outcome.pushed.keys())
        if extra:
            now = _change_facts(self._pushed[extra[0]], self._values)
            text = "came, and was not recorded."
            raise _EndedError(self._difference(("change", extra[0]), text, None, now))

    async def _settle(self, reading: asyncio.Task[None]) -> None:
        """Wait until the device has applied all that it was sent."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                while not await self._applied():
                    self._look(reading)
                    await asyncio.sleep(_LOOK_SECONDS)
                return
        text = "is not where it was: it has not applied what it was sent."
        raise _EndedError(self._difference(("state",), text, None, None))

    async def _applied(self) -> bool:
        cursors = {each.id: each.cursor for each in await self.store.workspaces()}
        if any(cursors.get(each, 0) < seq for each, seq in self._sent_seqs.items()):
            return False
        waiting = await self.store.outbox_after(0, changes_max=1, bytes_max=1)
        return not waiting or waiting[0][0] > self._sent_op

    def _look(self, reading: asyncio.Task[None]) -> None:
        """End when the device went into an error, or away."""
        if self._life.failed is not None:
            raise _EndedError(self._state_difference(""))
        if reading.done():
            raise ConnectionClosed(None, None)

    def _state_difference(self, why: str) -> Difference:
        step = self._life.failed or self._life.latest
        now = {"state": step.after.value, "cause": step.cause.code}
        text = f"is {step.after.value}: {why or step.cause.message}"
        return self._difference(("state",), text if text.endswith(".") else f"{text}.", None, now)

    def _difference(self, key: Any, text: str, was: Any, now: Any) -> Difference:
        talk = self._script.session.talks[min(self._talk, len(self._script.session.talks) - 1)]
        at = talk.steps[min(self._step, len(talk.steps) - 1)].at_us if talk.steps else talk.at_us
        seconds = (at - self._script.session.talks[0].at_us) / 1e6
        return Difference(key, f"{told(key)} {text}", shown(was), shown(now), seconds)


async def _hello_from(connection: ServerConnection) -> Hello:
    async with asyncio.timeout(ANSWER_SECONDS):
        hello = decode(await connection.recv(decode=False))
    if not isinstance(hello, Hello):
        raise WireError("The device does not begin with a hello.")
    return hello


def _change_facts(change: Change, values: bool) -> dict[str, Any]:
    """Return what of a change must come out again; of redacted values only who wrote them."""
    edits = change.fields.items()
    return {
        "previous": change.previous,
        "workspace": change.workspace,
        "action": change.action.value,
        "entity": change.entity,
        "base": change.base,
        "kind": None if change.kind is None else change.kind.value,
        "place": None if change.place is None else [change.place.parent, change.place.position],
        "fields": {
            name: [edit.value, edit.base, edit.prior] if values else edit.base
            for name, edit in edits
        },
    }


def _last_seq(message: Events) -> int:
    """Return the seq of the last event of a message."""
    last = message.items[-1]
    return (last.seq or 0) if isinstance(last, Verdict) else decode_event(last).seq


def _nobody(_: object) -> None:
    """Tell nobody: a scratch store has no watchers."""
