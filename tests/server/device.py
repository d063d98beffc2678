"""A device for the server's tests: speaks the protocol on a real socket, and keeps what it saw."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from kafkaman_sync.errors import RefusedError
from kafkaman_sync.model.apply import accepted_event, apply_event
from kafkaman_sync.model.changes import Action, Change, FieldEdit, Verdict
from kafkaman_sync.model.digest import compute_digest
from kafkaman_sync.model.entities import ROOT, Entity, Kind, Place
from kafkaman_sync.model.limits import MESSAGE_BYTES_MAX
from kafkaman_sync.model.values import Value, encode_value, hash_value
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import (
    SUBPROTOCOL,
    Call,
    Checkpoint,
    Entities,
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
from kafkaman_sync.protocol.records import decode_entity, decode_event, encode_change

PASSWORD = "correct horse battery"


async def until(condition: Callable[[], bool]) -> None:
    """Let the server's tasks run until a condition of its insides holds."""
    while not condition():  # noqa: ASYNC110 - no event tells what only a test looks at
        await asyncio.sleep(0)


@asynccontextmanager
async def dial(url: str) -> AsyncIterator[ClientConnection]:
    async with connect(
        url,
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        compression=None,
        max_size=MESSAGE_BYTES_MAX,
        proxy=None,
        ping_interval=None,
        close_timeout=2,
    ) as connection:
        yield connection


async def call_once(url: str, method: str, **params: Any) -> dict[str, Any]:
    """Make a call before any hello; RefusedError for an error."""
    async with dial(url) as connection:
        await connection.send(encode(Call(1, method, params)))
        return result_of(decode(await receive(connection)))


async def receive(connection: ClientConnection) -> bytes:
    data = await connection.recv()
    assert isinstance(data, bytes)
    return data


def result_of(reply: Message) -> dict[str, Any]:
    assert isinstance(reply, Reply), reply
    if reply.error is not None:
        raise RefusedError.from_dict(dict(reply.error))
    return dict(reply.result or {})


async def sign_up(url: str, name: str = "ann") -> Device:
    result = await call_once(
        url,
        "sign_up",
        email=f"{name}@example.org",
        username=name,
        password=PASSWORD,
        device_name=f"{name}-1",
        platform="test",
    )
    return Device(url, result["account"], result["device"], result["token"])


async def sign_in(url: str, user: str = "ann", **params: Any) -> Device:
    result = await call_once(
        url, "sign_in", user=user, password=PASSWORD, device_name="more", platform="test", **params
    )
    return Device(url, result["account"], result["device"], result["token"])


@dataclass
class Device:
    """One device: its identity, its confirmed copy, its outbox, all in memory."""

    url: str
    account: str
    id: str
    token: str
    lease: str = ""
    welcome: Welcome | None = None
    epochs: dict[str, str] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    rows: dict[str, dict[str, Entity]] = field(default_factory=dict)
    staged: dict[str, dict[str, Entity]] = field(default_factory=dict)
    outbox: dict[int, tuple[Change, bytes]] = field(default_factory=dict)
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    last_op: int = 0
    log: list[Message] = field(default_factory=list)
    goodbye: Goodbye | None = None
    resends: list[int] = field(default_factory=list)
    _calls: int = 0

    # Connecting

    @asynccontextmanager
    async def connected(self, *, keep_lease: bool = True) -> AsyncIterator[ClientConnection]:
        """Connect and say hello; yields after the welcome."""
        async with dial(self.url) as connection:
            await self.greet(connection, keep_lease=keep_lease)
            yield connection

    @asynccontextmanager
    async def live(self) -> AsyncIterator[ClientConnection]:
        """Connect and catch up."""
        async with self.connected() as connection:
            await self.catch_up(connection)
            yield connection

    def hello(self) -> Hello:
        positions = tuple(
            Position(
                workspace,
                self.epochs.get(workspace, ""),
                self.cursors.get(workspace, 0),
                self.marks.get(workspace, 0),
            )
            for workspace in self.cursors
        )
        return Hello(self.token, self.id, self.lease, positions, self.confirmed_op)

    @property
    def confirmed_op(self) -> int:
        return min(self.outbox) - 1 if self.outbox else self.last_op

    async def greet(self, connection: ClientConnection, *, keep_lease: bool = True) -> None:
        await connection.send(encode(self.hello()))
        message = await self.take(connection)
        if isinstance(message, Welcome):
            self.welcome = message
            if keep_lease:
                self.lease = message.lease
        else:
            assert isinstance(message, Goodbye), message

    async def catch_up(self, connection: ClientConnection) -> None:
        """Take messages up to the last workspace's checkpoint."""
        assert self.welcome is not None, self.goodbye
        missing = {workspace.id for workspace in self.welcome.workspaces}
        while missing:
            message = await self.take(connection)
            if isinstance(message, Checkpoint):
                missing.discard(message.workspace)

    @property
    def workspace(self) -> str:
        """The personal workspace."""
        assert self.welcome is not None
        return self.welcome.workspaces[0].id

    # Receiving

    async def take(self, connection: ClientConnection) -> Message:
        """Receive one message and apply it."""
        message = decode(await receive(connection))
        self.log.append(message)
        if isinstance(message, Events):
            self._apply_events(message)
        elif isinstance(message, Entities):
            self._apply_entities(message)
        elif isinstance(message, Checkpoint):
            assert message.seq == self.cursors.get(message.workspace, 0)
            self.check(message.workspace, message.digest)
            self._adopt_epoch(message.workspace)
        elif isinstance(message, Verdicts):
            for verdict in message.verdicts:
                self._settle(verdict)
        elif isinstance(message, Resend):
            self.resends.append(message.op)
        elif isinstance(message, Goodbye):
            self.goodbye = message
        return message

    async def take_until_settled(self, connection: ClientConnection) -> None:
        while self.outbox:
            await self.take(connection)

    async def take_until(self, connection: ClientConnection, workspace: str, seq: int) -> None:
        while self.cursors.get(workspace, 0) < seq:
            await self.take(connection)

    async def take_goodbye(self, connection: ClientConnection) -> Goodbye:
        while self.goodbye is None:
            await self.take(connection)
        return self.goodbye

    async def ask(self, connection: ClientConnection, method: str, **params: Any) -> dict[str, Any]:
        self._calls += 1
        await connection.send(encode(Call(self._calls, method, params)))
        while True:
            message = await self.take(connection)
            if isinstance(message, Reply) and message.id == self._calls:
                return result_of(message)

    def check(self, workspace: str, digest: bytes) -> None:
        rows = self.rows.get(workspace, {})
        assert compute_digest(workspace, rows.values()) == digest

    def _adopt_epoch(self, workspace: str) -> None:
        assert self.welcome is not None
        cursor = self.cursors.setdefault(workspace, 0)
        for head in self.welcome.workspaces:
            if head.id == workspace:
                started = [one.epoch for one in head.epochs if one.first_seq <= max(cursor, 1)]
                self.epochs[workspace] = started[-1] if started else head.epochs[-1].epoch

    def _apply_events(self, message: Events) -> None:
        rows = self.rows.setdefault(message.workspace, {})
        for item in message.items:
            if isinstance(item, Verdict):
                change, _ = self.outbox[item.op]
                event = accepted_event(change, item, account=self.account, device=self.id)
                assert event is not None
                self._settle(item)
            else:
                event = decode_event(item)
            assert event.seq == self.cursors.get(message.workspace, 0) + 1, "a gap or a repetition"
            self.cursors[message.workspace] = event.seq
            row = apply_event(rows.get(event.entity), event)
            if row is None:
                rows.pop(event.entity, None)
            else:
                rows[event.entity] = row
        if message.digest is not None:
            self.check(message.workspace, message.digest)
            self._adopt_epoch(message.workspace)

    def _apply_entities(self, message: Entities) -> None:
        workspace = message.workspace
        target = self.staged if message.full else self.rows
        rows = target.setdefault(workspace, {})
        for data in message.rows:
            entity = decode_entity(data)
            rows[entity.id] = entity
        for gone, seq in message.purged:
            if gone in rows and rows[gone].version < seq:
                del rows[gone]
        self.marks[workspace] = 0 if message.full else message.mark
        if message.through is not None:
            if message.full:
                self.rows[workspace] = self.staged.pop(workspace)
            self.marks[workspace] = 0
            self.cursors[workspace] = message.through

    def _settle(self, verdict: Verdict) -> None:
        assert verdict.op not in self.verdicts or self.verdicts[verdict.op] == verdict
        if verdict.op in self.outbox:
            assert verdict.op == min(self.outbox), "verdicts come in op order"
        self.outbox.pop(verdict.op, None)
        self.verdicts[verdict.op] = verdict

    # Editing

    def add(
        self,
        action: Action,
        entity: str,
        *,
        workspace: str = "",
        kind: Kind | None = None,
        place: Place | None = None,
        fields: Mapping[str, Value] | None = None,
        base: int | None = None,
        prior: Value = None,
    ) -> int:
        """Put a change into the outbox; return its op."""
        workspace = workspace or self.workspace
        at = self.cursors.get(workspace, 0) if base is None else base
        op = self.last_op + 1
        change = Change(
            op=op,
            previous=self.last_op,
            workspace=workspace,
            action=action,
            entity=entity,
            base=at,
            kind=kind,
            place=place,
            fields={
                name: FieldEdit(encode_value(value), at, hash_value(encode_value(prior)))
                for name, value in (fields or {}).items()
            },
        )
        self.last_op = op
        self.outbox[op] = (change, encode_change(change))
        return op

    def create(self, name: str = "c", *, workspace: str = "", size: int = 0, parent: str = ROOT,
               kind: Kind = Kind.COLLECTION, entity: str = "") -> str:  # fmt: skip
        """Put the creation of an entity into the outbox; return its id."""
        entity = entity or secrets.token_hex(16)
        fields: dict[str, Value] = {"name": name}
        if size:
            fields["description"] = "x" * size
        self.add(
            Action.CREATE,
            entity,
            workspace=workspace,
            kind=kind,
            place=Place(parent, "V"),
            fields=fields,
        )
        return entity

    async def push(self, connection: ClientConnection, ops: Sequence[int] | None = None) -> None:
        """Send changes of the outbox, all of them if none is named, in pushes of 500."""
        chosen = list(self.outbox) if ops is None else ops
        for index in range(0, len(chosen), 500):
            encoded = tuple(self.outbox[op][1] for op in chosen[index : index + 500])
            await connection.send(encode(Push(encoded, self.confirmed_op)))

    async def flush(self, connection: ClientConnection) -> None:
        await self.push(connection)
        await self.take_until_settled(connection)
