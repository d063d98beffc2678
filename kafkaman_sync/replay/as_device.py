"""Runs a session again as the device, against a server; finds the first fact that differs.

The stream is the order in which the server decided. So before a push is sent, everything that was
decided before it is waited for, and what other devices did is done in its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from kafkaman_sync.errors import ModelError, ReplayError, WireError
from kafkaman_sync.model.changes import Event
from kafkaman_sync.model.limits import MESSAGE_BYTES_MAX
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import (
    SUBPROTOCOL,
    Call,
    Checkpoint,
    Goodbye,
    Hello,
    Message,
    Position,
    Push,
    Welcome,
)
from kafkaman_sync.protocol.records import decode_change
from kafkaman_sync.replay.faults import Faults
from kafkaman_sync.replay.outcome import (
    Difference,
    Key,
    Outcome,
    Rules,
    differs,
    first_extra,
)
from kafkaman_sync.replay.script import Script
from kafkaman_sync.replay.session import Step, Talk

ANSWER_SECONDS: Final = 5.0
"""How long an answer that was recorded may take to come again."""
# Calls that change nothing; the others would sign somebody in or out.
_ASKED: Final = frozenset(
    {"prove", "ping", "workspaces", "devices", "history", "entity_at", "writes"}
)


class Server(Protocol):
    """The server that a session is run against, in the words of the session."""

    url: str

    def greeting(self, hello: Hello) -> Hello:
        """Return a hello as this server must hear it."""
        ...

    def up(self, message: Message) -> Message:
        """Return what the device said as this server must hear it."""
        ...

    def down(self, message: Message) -> Message:
        """Return what the server said as it would have been recorded."""
        ...

    async def inject(self, event: Event) -> None:
        """Let another device do what led to an event."""
        ...

    async def decided_upto(self, op: int) -> None:
        """Let the device's ops up to this one be decided, of which the session does not tell."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast: `speed` times the original (0: as fast as the answers come).

    `before` is asked before each message of the device.
    """

    speed: float = 0.0
    before: Callable[[Step], Awaitable[None]] | None = None


class _FoundError(Exception):
    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.message)
        self.difference = difference


class AsDevice:
    """One run of a session against a server."""

    def __init__(
        self, script: Script, server: Server, rules: Rules, pace: Pace, faults: Faults
    ) -> None:
        session = script.session
        self._script = script
        self._server = server
        self._rules = rules
        self._pace = pace
        self._faults = faults
        self.now = Outcome(session.device, session.account)
        for workspace in script.seed.workspaces:
            self.now.begin(workspace.id, workspace.rows.values())
        self.skipped: list[str] = []
        """The calls that were not made again."""
        self._began = 0.0
        self._reached = 0
        self._injected: set[Key] = set()
        self._unasked: set[Key] = set()
        self._pushes: list[Push] = []
        self._welcome: Welcome | None = None
        self._awaited: set[str] = set()
        self._ended = ""
        self._news = asyncio.Event()
        self._connection: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None

    async def run(self) -> Difference | None:
        """Run all of it; return the first difference, None when there is none."""
        self._began = asyncio.get_running_loop().time()
        try:
            for number, talk in enumerate(self._script.session.talks):
                await self._run_talk(number, talk)
        except _FoundError as found:
            return found.difference
        finally:
            await self._hang_up()
        return first_extra(self._script.outcome, self.now)

    async def _run_talk(self, number: int, talk: Talk) -> None:
        self.now.talk = number
        await self._inject_before(number, talk)
        await self._dial(talk, first=number == 0)
        if any(isinstance(step.message, Checkpoint) for step in talk.steps):
            # What others do now would come by state, were it done before the catch-up's end.
            await self._catch_up()
        marks = self._script.marks[number]
        for step, mark in zip(talk.steps, marks, strict=True):
            if not step.up:
                continue
            await self._wait_for_turn(step)
            if isinstance(step.message, Push):
                await self._reach(self._turn_of(step.message, mark))
                await self._push(step.message, talk)
            elif isinstance(step.message, Call):
                await self._call(step.message)
        await self._reach(marks[-1] if marks else self._reached)
        await self._hang_up()

    # Other devices

    async def _inject_before(self, number: int, talk: Talk) -> None:
        """Let others do before the hello what the catch-up brought."""
        script = self._script
        first = self._reached
        for key in script.outcome.order[first : script.caught_up[number]]:
            await self._inject(key)
        if number == 0 and talk.welcome is not None:
            await self._server.decided_upto(talk.welcome.last_op)

    async def _inject(self, key: Key) -> None:
        if key[0] != "event" or key in self._injected:
            return
        event = self._script.outcome.events[key[1], key[2]]
        own = event.device == self._script.session.device
        if own and event.op in self._script.outcome.pushed:
            return
        self._injected.add(key)
        await self._server.inject(event)

    # The connection

    async def _dial(self, talk: Talk, *, first: bool) -> None:
        await self._hang_up()
        self._ended = ""
        self._connection = await dial(self._server.url)
        hello = talk.hello if first else self._hello_now(talk)
        if self._welcome is not None:
            hello = replace(hello, lease=self._welcome.lease)
        self._awaited = {each.id for each in self._script.session.welcome.workspaces}
        await self._connection.send(encode(self._server.greeting(hello)))
        self._reading = asyncio.create_task(self._read(self._connection))

    def _hello_now(self, talk: Talk) -> Hello:
        """Return the hello of a device that is where this one is now."""
        welcome = self._welcome
        epochs = {} if welcome is None else {each.id: each.epochs for each in welcome.workspaces}
        recorded = {each.workspace: each.cursor for each in talk.hello.positions}
        positions = []
        for workspace, cursor in self.now.cursors.items():
            at = min(cursor, recorded.get(workspace, cursor))
            wrote = [
                each.epoch for each in epochs.get(workspace, ()) if each.first_seq <= max(at, 1)
            ]
            positions.append(Position(workspace, wrote[-1] if wrote else "", at))
        return replace(
            talk.hello, positions=tuple(positions), confirmed_op=self._confirmed_op(talk)
        )

    def _confirmed_op(self, talk: Talk) -> int:
        waiting = self._waiting()
        if not waiting:
            return talk.hello.confirmed_op
        return min(talk.hello.confirmed_op, min(waiting) - 1)

    def _waiting(self) -> list[int]:
        """Return the ops that were pushed and have no verdict."""
        return [op for op in self.now.pushed if ("verdict", op) not in self.now.facts]

    async def _read(self, connection: ClientConnection) -> None:
        try:
            async for frame in connection:
                data = frame.encode() if isinstance(frame, str) else frame
                self._take(self._server.down(decode(data)))
        except (WireError, ModelError) as error:
            self._ended = error.message
        except ConnectionClosed:
            pass
        self._ended = self._ended or "the connection was closed"
        self._tell()

    def _take(self, message: Message) -> None:
        if isinstance(message, Welcome):
            self._welcome = message
        elif isinstance(message, Goodbye):
            self._ended = f"the server said {message.code}"
        elif isinstance(message, Checkpoint):
            self._awaited.discard(message.workspace)
        self.now.came(message)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _catch_up(self) -> None:
        await self._until(lambda: not self._awaited)

    async def _until(self, reached: Callable[[], bool]) -> None:
        """Wait until something holds, for as long as an answer may take."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                while not reached() and not self._ended:
                    await self._news.wait()

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        reading, self._reading = self._reading, None
        if connection is not None:
            await connection.close()
        if reading is not None:
            await reading

    # Going on

    async def _wait_for_turn(self, step: Step) -> None:
        pace = self._pace
        if pace.speed:
            loop = asyncio.get_running_loop()
            since = (step.at_us - self._script.session.talks[0].at_us) / 1e6 / pace.speed
            await asyncio.sleep(max(0.0, self._began + since - loop.time()))
        if pace.before is not None:
            await pace.before(step)

    def _turn_of(self, push: Push, mark: int) -> int:
        """Return how many facts come before the first verdict of a push."""
        ops = [decode_change(data).op for data in push.changes]
        found = [self._script.decided[op] for op in ops if op in self._script.decided]
        return min(found, default=mark)

    async def _reach(self, upto: int) -> None:
        """Wait until so many of the recorded facts have come, and compare each."""
        recorded = self._script.outcome
        while self._reached < upto:
            key = recorded.order[self._reached]
            await self._inject(key)
            await self._await(key)
            self._reached += 1
            if key in self._unasked:
                continue
            found = differs(key, recorded, self.now, self._rules)
            if found is not None:
                raise _FoundError(self._dated(found, self._reached - 1))

    def _dated(self, found: Difference, index: int) -> Difference:
        began = self._script.session.talks[0].at_us
        seconds = (self._script.outcome.times[index] - began) / 1e6
        message = found.message
        if found.now is None and self._ended:
            message = f"{message[:-1]}: {self._ended}."
        return replace(found, message=message, seconds=seconds)

    async def _await(self, key: Key) -> None:
        if key[0] == "digest" or key in self._unasked:
            return
        if key[0] == "row" and not self._rules.whole:
            return
        await self._until(lambda: key in self.now.facts)

    async def _push(self, push: Push, talk: Talk) -> None:
        fault = self._faults.draw()
        self._pushes.append(push)
        self.now.sent(push)
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.cut_before:
            await self._again(talk)
            return
        await self._send(self._server.up(push))
        if fault.twice:
            await self._send(self._server.up(push))
        if fault.cut_after:
            await self._again(talk)

    async def _again(self, talk: Talk) -> None:
        """Break the connection, connect anew, and push what has no verdict."""
        if self._connection is not None:
            self._connection.transport.abort()
        here = replace(
            talk.hello,
            positions=tuple(Position(each, "", at) for each, at in self.now.cursors.items()),
        )
        await self._dial(Talk(talk.connection, talk.at_us, here), first=False)
        await self._catch_up()
        waiting = set(self._waiting())
        for push in self._pushes:
            if waiting & {decode_change(data).op for data in push.changes}:
                await self._send(self._server.up(push))

    async def _call(self, call: Call) -> None:
        if call.method in _ASKED:
            await self._send(self._server.up(call))
            return
        self._unasked.add(("answer", self.now.talk, call.id))
        self.skipped.append(call.method)

    async def _send(self, message: Message) -> None:
        if self._connection is None:
            return
        with suppress(ConnectionClosed):  # the reader knows how it ended
            await self._connection.send(encode(message))


async def dial(url: str) -> ClientConnection:
    """Connect to a server. Raises ReplayError `network.unreachable`."""
    try:
        return await connect(
            url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            proxy=None,
            max_size=MESSAGE_BYTES_MAX,
            ping_interval=None,
        )
    except (OSError, WebSocketException) as error:
        raise ReplayError(
            f"The server at {url} cannot be reached.",
            code="network.unreachable",
            hint="Check the address, and whether the server runs.",
        ) from error
