"""A server that runs already, for a session that is run again: as devices of their own.

The session's device is one, and the others together are a second. What was recorded is told in
other words there: workspaces by their order, seqs from where their logs are now, ops from one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final

from msgspec.structs import replace as exchange
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from kafkaman_sync.device.link import ask, check_url
from kafkaman_sync.errors import ReplayError, WireError
from kafkaman_sync.model.changes import Action, Change, Event, Verdict
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import (
    Call,
    Checkpoint,
    Entities,
    EpochStart,
    Events,
    Goodbye,
    Hello,
    Message,
    Position,
    Push,
    Reply,
    Resend,
    Verdicts,
    Welcome,
)
from kafkaman_sync.protocol.records import (
    decode_change,
    decode_event,
    encode_change,
    encode_event,
)
from kafkaman_sync.replay.again import change_of
from kafkaman_sync.replay.as_device import ANSWER_SECONDS, dial
from kafkaman_sync.replay.records import Logged
from kafkaman_sync.replay.script import Script
from kafkaman_sync.replay.wire_log import SIGN_OUT_SECONDS_MAX, still_signed_in

_NAMES: Final = ("replay", "replay: the others")


@dataclass(slots=True)
class _SignedIn:
    """A device of the account, and the last welcome that it got."""

    device: str
    token: str
    welcome: Welcome
    op: int = 0


class Against:
    """The server, in the words of the session."""

    def __init__(self, url: str, own: _SignedIn, others: _SignedIn | None, script: Script) -> None:
        self.url = url
        self._own = own
        self._others = others
        self._device = script.session.device
        self._account = script.session.account
        self._talking: ClientConnection | None = None
        recorded = [each.id for each in script.seed.workspaces]
        there = own.welcome.workspaces
        self._there = {was: now.id for was, now in zip(recorded, there, strict=False)}
        self._recorded = {now: was for was, now in self._there.items()}
        self._offsets = {was: now.head for was, now in zip(recorded, there, strict=False)}
        self._epochs: dict[str, tuple[EpochStart, ...]] = {}
        self._shift = min(script.outcome.pushed, default=1) - 1
        self._hear(own.welcome)

    def greeting(self, hello: Hello) -> Hello:
        """Return a hello as this server must hear it."""
        cursors = {each.workspace: each.cursor for each in hello.positions}
        return Hello(
            token=self._own.token,
            device=self._own.device,
            lease=self._own.welcome.lease,
            positions=tuple(self._position(each, cursors.get(each, 0)) for each in self._there),
            confirmed_op=max(hello.confirmed_op - self._shift, 0),
        )

    def _position(self, workspace: str, cursor: int) -> Position:
        seq = cursor + self._offsets[workspace]
        wrote = [each.epoch for each in self._epochs[workspace] if each.first_seq <= max(seq, 1)]
        return Position(self._there[workspace], wrote[-1] if wrote else "", seq)

    def up(self, message: Message) -> Message:
        """Return what the device said as this server must hear it."""
        if not isinstance(message, Push):
            return message
        changes = (decode_change(data) for data in message.changes)
        return Push(
            tuple(encode_change(self._as_there(change)) for change in changes),
            max(message.confirmed_op - self._shift, 0),
        )

    def _as_there(self, change: Change) -> Change:
        offset = self._offsets[change.workspace]
        return replace(
            change,
            op=change.op - self._shift,
            previous=max(change.previous - self._shift, 0),
            workspace=self._there[change.workspace],
            base=change.base + offset,
            fields={
                name: exchange(edit, base=edit.base + offset)
                for name, edit in change.fields.items()
            },
        )

    def down(self, message: Message) -> Message:
        """Return what the server said as it would have been recorded."""
        if isinstance(message, Welcome):
            self._own.welcome = message
            self._hear(message)
            return message
        if isinstance(message, Verdicts):
            return Verdicts(tuple(self._as_recorded(each, "") for each in message.verdicts))
        if isinstance(message, Resend):
            return Resend(message.op + self._shift)
        if not isinstance(message, Events | Entities | Checkpoint):
            return message
        was = self._recorded.get(message.workspace)
        if was is None or isinstance(message, Entities):
            return Verdicts(())
        offset = self._offsets[was]
        if isinstance(message, Checkpoint):
            return Checkpoint(was, max(message.seq - offset, 0), message.digest)
        items = tuple(
            self._as_recorded(item, was)
            if isinstance(item, Verdict)
            else self._event_recorded(item, was, offset)
            for item in message.items
        )
        return Events(was, items, message.digest)

    def _hear(self, welcome: Welcome) -> None:
        self._epochs = {
            self._recorded[each.id]: each.epochs
            for each in welcome.workspaces
            if each.id in self._recorded
        }

    def _as_recorded(self, verdict: Verdict, workspace: str) -> Verdict:
        # Outside its stream a verdict does not say of which workspace it is; mostly there is one.
        offset = self._offsets[workspace or next(iter(self._offsets))]
        return exchange(
            verdict,
            op=verdict.op + self._shift,
            seq=None if verdict.seq is None else verdict.seq - offset,
            disagreements=tuple(
                exchange(each, version=max(each.version - offset, 0))
                for each in verdict.disagreements
            ),
        )

    def _event_recorded(self, data: bytes, workspace: str, offset: int) -> bytes:
        event = decode_event(data)
        own = event.device == self._own.device
        return encode_event(
            replace(
                event,
                workspace=workspace,
                seq=event.seq - offset,
                account=self._account,
                device=self._device if own else event.device,
                op=event.op + self._shift if own else event.op,
            )
        )

    async def inject(self, event: Event) -> None:
        """Let the second device do what led to an event."""
        if event.action is Action.PURGE or self._others is None:
            raise ReplayError(
                f"The event {event.seq} is a purge, which only a server can do.",
                code="replay.purge",
                hint="Run the session on a scratch server: leave out --against.",
            )
        change = change_of(Logged(event))
        assert change is not None
        others = self._others
        others.op += 1
        change = replace(self._as_there(change), op=others.op, previous=others.op - 1)
        if self._talking is None:
            self._talking = await dial(self.url)
            await greet(self._talking, others, self._here(others))
        await self._talking.send(encode(Push((encode_change(change),))))
        await _answered(self._talking, others.op)

    def _here(self, others: _SignedIn) -> tuple[Position, ...]:
        heads = {each.id: each for each in others.welcome.workspaces}
        return tuple(
            Position(now, heads[now].epochs[-1].epoch, heads[now].head)
            for now in self._there.values()
            if heads[now].epochs[-1].first_seq <= heads[now].head
        )

    async def decided_upto(self, op: int) -> None:
        """Do nothing: this device's ops begin with the session."""
        del op

    async def close(self) -> None:
        """Hang up for the second device."""
        if self._talking is not None:
            await self._talking.close()


@asynccontextmanager
async def server_at(url: str, user: str, password: str, script: Script) -> AsyncIterator[Against]:
    """Sign in for a session inside the block, and sign out at its end.

    Raises RefusedError, LinkError, and ReplayError: `replay.not_empty` for a session that does not
    begin with nothing, `replay.still_signed_in` when it could not sign out.
    """
    url = check_url(url)
    if any(workspace.head for workspace in script.seed.workspaces):
        raise ReplayError(
            f"{script.session.label} begins with what was there before, which that server has not.",
            code="replay.not_empty",
            hint="Run it on a scratch server, with --base if need be: leave out --against.",
        )
    async with AsyncExitStack() as stack:
        own = await _sign_in(url, user, password, _NAMES[0], stack)
        others = None
        if script.seed.others:
            others = await _sign_in(url, user, password, _NAMES[1], stack)
        if len(own.welcome.workspaces) < len(script.seed.workspaces):
            raise ReplayError(
                f"The session is about {len(script.seed.workspaces)} workspaces, and the account "
                f"has {len(own.welcome.workspaces)}.",
                code="replay.not_empty",
                hint="Run it on a scratch server: leave out --against.",
            )
        server = Against(url, own, others, script)
        try:
            yield server
        finally:
            await server.close()


async def _sign_in(
    url: str, user: str, password: str, name: str, stack: AsyncExitStack
) -> _SignedIn:
    params = {"user": user, "password": password, "device_name": name, "platform": "replay"}
    result = await ask(url, "sign_in", params)
    nothing = Welcome("", "", "", "", str(result["device"]), 0, ())
    device = _SignedIn(str(result["device"]), str(result["token"]), nothing)
    stack.push_async_callback(_sign_out, url, device, name)
    connection = await dial(url)
    try:
        await greet(connection, device, ())
    finally:
        await connection.close()
    return device


async def greet(
    connection: ClientConnection, device: _SignedIn, positions: tuple[Position, ...]
) -> None:
    """Say hello for a device, and keep the welcome.

    Raises ReplayError `server.refused` (with the `reason`) and `network.silent`.
    """
    hello = Hello(device.token, device.device, device.welcome.lease, positions)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await connection.send(encode(hello))
            message = decode(await connection.recv(decode=False))
    except (ConnectionClosed, TimeoutError) as error:
        raise ReplayError(
            "The server did not answer the device's hello.",
            code="network.silent",
            hint="Try again.",
        ) from error
    if not isinstance(message, Welcome):
        code = message.code if isinstance(message, Goodbye) else "wire.order"
        raise ReplayError(
            f"The server did not welcome the device: {code}.",
            code="server.refused",
            hint="Try again.",
            reason=code,
        )
    device.welcome = message


async def _answered(connection: ClientConnection, op: int) -> None:
    """Wait for the verdict of an op; what does not come tells that there is none."""
    with suppress(ConnectionClosed, TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            await _verdict(connection, op)


async def _verdict(connection: ClientConnection, op: int) -> None:
    while True:
        message = decode(await connection.recv(decode=False))
        items = message.items if isinstance(message, Events) else ()
        verdicts = message.verdicts if isinstance(message, Verdicts) else ()
        if any(isinstance(each, Verdict) and each.op == op for each in (*items, *verdicts)):
            return


async def _sign_out(url: str, device: _SignedIn, name: str) -> None:
    try:
        async with asyncio.timeout(SIGN_OUT_SECONDS_MAX):
            await _leave(url, device)
    except (ReplayError, WireError, ConnectionClosed, TimeoutError) as error:
        reason = error.details.get("reason") if isinstance(error, ReplayError) else ""
        if not str(reason).startswith("device."):  # else somebody has signed it out
            raise still_signed_in(name, device.device) from error


async def _leave(url: str, device: _SignedIn) -> None:
    connection = await dial(url)
    try:
        await greet(connection, device, ())
        await connection.send(encode(Call(1, "sign_out")))
        while not isinstance(decode(await connection.recv(decode=False)), Reply):
            pass
    finally:
        await connection.close()
