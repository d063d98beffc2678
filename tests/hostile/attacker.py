"""Somebody with an account who says to a server what no device of ours would."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final

from kafkaman_sync.errors import WireError
from kafkaman_sync.model.changes import Action, Change, FieldEdit, Verdict
from kafkaman_sync.model.entities import ROOT, Kind, Place
from kafkaman_sync.model.limits import INTEGER_MAX, PUSH_CHANGES_MAX
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import (
    Call,
    Checkpoint,
    Events,
    Hello,
    Message,
    Position,
    Push,
    Reply,
    Resend,
    Verdicts,
    Welcome,
)
from kafkaman_sync.protocol.records import decode_change, encode_change
from tests.hostile.frames import frame_of, mutate
from tests.hostile.peers import Peer, Site
from tests.hostile.speech import Speech

PASSWORD: Final = "correct horse battery"
# What a connection may end with; `server.failed` is what it never may.
GOODBYES: Final = {"protocol.violation", "device.unknown", "device.revoked", "device.reused",
                   "lease.stale", "device.replaced"}  # fmt: skip


@dataclass
class Identity:
    """A device that the server knows."""

    account: str
    device: str
    token: str
    lease: str = ""
    last_op: int = 0
    workspace: str = ""
    epoch: str = ""
    head: int = 0


async def sign_up(site: Site, name: str) -> Identity:
    facts = await Peer(site).ask(
        Call(1, "sign_up", {"email": f"{name}@example.org", "username": name,
                            "password": PASSWORD})
    )  # fmt: skip
    return Identity(facts["account"], facts["device"], facts["token"])


def honest_change(workspace: str, op: int, entity: str) -> Change:
    """Return a change that nobody can object to."""
    return Change(
        op=op,
        previous=op - 1,
        workspace=workspace,
        action=Action.CREATE,
        entity=entity,
        kind=Kind.COLLECTION,
        place=Place(ROOT, "V"),
        fields={"name": FieldEdit(b"\xa1a", 0, bytes(16))},
    )


async def sign_in(site: Site, name: str) -> Identity:
    facts = await Peer(site).ask(Call(1, "sign_in", {"user": name, "password": PASSWORD}))
    return Identity(facts["account"], facts["device"], facts["token"])


@dataclass
class Due:
    """What the server still owes an answer to."""

    calls: Counter[int] = field(default_factory=Counter)
    ops: set[int] = field(default_factory=set)
    hello: bool = False
    illegal: bool = False
    """Whether something was said that must end the connection."""

    def note(self, frame: bytes | str, *, greeted: bool) -> None:
        """Note a frame that is about to be sent."""
        try:
            assert isinstance(frame, bytes)
            message = decode(frame)
            if isinstance(message, Call):
                self.calls[message.id] += 1
            elif isinstance(message, Push) and greeted:
                ops = [decode_change(change).op for change in message.changes]
                self.ops.update(ops)
                self.illegal |= sorted(ops) != ops
            elif isinstance(message, Hello) and not greeted:
                self.hello = True
            else:
                self.illegal = True
        except (WireError, AssertionError):
            self.illegal = True

    def answered(self, said: list[Message]) -> bool:
        """Take answers into account; tell whether nothing is owed any more."""
        for message in said:
            if isinstance(message, Reply):
                self.calls[message.id] -= 1
            elif isinstance(message, Resend):
                self.ops = {op for op in self.ops if op < message.op}
            elif isinstance(message, Welcome):
                self.hello = False
            elif isinstance(message, Events | Verdicts):
                items = message.items if isinstance(message, Events) else message.verdicts
                self.ops -= {item.op for item in items if isinstance(item, Verdict)}
        return not (self.ops or self.hello or self.illegal or any(self.calls.values()))


class Attack:
    """One connection: what is said, drawn from a seed, and what is owed for it."""

    def __init__(
        self, peer: Peer, random: Random, identity: Identity, victim: Identity, entities: list[str]
    ) -> None:
        self.peer = peer
        self.random = random
        self.identity = identity
        self.victim = victim
        self.entities = entities
        self.due = Due()
        self.sent: list[bytes | str] = []
        self.greeted = False
        self.gone = False
        """Whether it hung up before everything was answered."""
        self._speech = Speech(random)
        self._heard = 0
        self._op = identity.last_op

    async def run(self) -> None:
        await self.peer.run(self._frames())
        self._hear()

    def trace(self) -> str:
        """Return what was said and heard, to find out what went wrong."""
        frames = [one if isinstance(one, str) else one.hex() for one in self.sent]
        return "\n".join(("sent:", *frames, "heard:", *map(repr, self.peer.said)))

    def _hear(self) -> bool:
        fresh = self.peer.said[self._heard :]
        self._heard = len(self.peer.said)
        for message in fresh:
            if isinstance(message, Welcome):
                self.identity.lease = message.lease
                held = message.workspaces[0]
                self.identity.workspace, self.identity.head = held.id, held.head
                self.identity.epoch = message.epoch
                self._op = message.last_op
        return self.due.answered(fresh)

    async def _frames(self) -> AsyncIterator[bytes | str]:
        for _ in range(self.random.randrange(4)):
            yield self._say(self._before_hello())
        if self.random.random() < 0.6:
            yield self._say(encode(self._hello()))
            self.greeted = True
            await self.peer.until(lambda: bool(self.peer.said))
            self._hear()
            for _ in range(self.random.randrange(1, 8)):
                if self.random.random() < 0.2:
                    await self.peer.until(self._live)
                yield self._say(self._after_hello())
        if self.random.random() < 0.1:
            self.gone = True
            return
        await self.peer.until(self._hear)

    def _live(self) -> bool:
        return any(isinstance(message, Checkpoint) for message in self.peer.said)

    def _say(self, frame: bytes | str) -> bytes | str:
        self.due.note(frame, greeted=self.greeted)
        self.sent.append(frame)
        return frame

    # What may be said before the hello, and instead of it.

    def _before_hello(self) -> bytes | str:
        choice = self.random.random()
        if choice < 0.85:
            return encode(self._anonymous_call())
        return self._nonsense(encode(self._anonymous_call()))

    def _anonymous_call(self) -> Call:
        device = self.random.choice((self.victim.device, "0" * 32, "x"))
        params = self.random.choice(
            (
                {"user": "victim", "password": "a guess"},
                {"user": "a\x00b'; --", "password": ""},
                {"token": "guess", "device": device},
                {"email": "victim@example.org", "username": "victim", "password": PASSWORD},
                {"user": 7, "password": None},
                self._speech.plain(),
            )
        )
        names = ("sign_in", "sign_up", "register", "ping", "devices", "prove", "")
        return Call(self._speech.number(), self.random.choice(names), params)

    def _nonsense(self, basis: bytes) -> bytes | str:
        choice = self.random.random()
        if choice < 0.1:
            return self.random.choice(("", "text", "\U0001f600"))
        if choice < 0.3:
            return encode(self._speech.message())
        frame = frame_of(basis)
        return mutate(self.random, frame, [frame, frame_of(encode(self._speech.message()))])

    def _hello(self) -> Hello:
        me, random = self.identity, self.random
        workspace = random.choice((me.workspace or "0" * 32, self.victim.workspace, "0" * 32))
        place = random.choice(
            (Position(workspace), Position(workspace, "nonsense", 3),
             Position(workspace, "", INTEGER_MAX, INTEGER_MAX), Position(workspace, "", 1, 5))
        )  # fmt: skip
        if random.random() < 0.7:
            place = Position(me.workspace or "0" * 32, me.epoch, me.head)
        hello = Hello(me.token, me.device, me.lease, (place,) * random.choice((0, 1, 1, 1, 2)))
        choice = random.random()
        if choice < 0.05:
            return replace(hello, token=random.choice((self.victim.token[:-1], "")))
        if choice < 0.1:
            return replace(hello, device=self.victim.device)
        if choice < 0.13:
            return replace(hello, lease="stale")
        if choice < 0.2:
            bases = {workspace: INTEGER_MAX, "nonsense": 0}
            return replace(hello, confirmed_op=INTEGER_MAX, highest_base=bases)
        return hello

    # What may be said after it.

    def _after_hello(self) -> bytes | str:
        choice = self.random.random()
        if choice < 0.45:
            return encode(self._push())
        if choice < 0.9:
            return encode(self._call())
        if choice < 0.91:
            return encode(self._hello())
        return self._nonsense(encode(self._push() if choice < 0.96 else self._call()))

    def _call(self) -> Call:
        names = ("devices", "workspaces", "ping", "prove", "devices_sign_out", "history",
                 "entity_at", "writes", "nonsense", "sign_in", "")  # fmt: skip
        params: dict[str, Any] = self.random.choice(
            (
                {},
                {"device": self.victim.device},
                {"workspaces": [self.victim.workspace]},
                {"workspaces": [[], {}, None, 7]},
                {"workspace": self.victim.workspace, "entity": "0" * 32, "seqs": [1, 2]},
                {"workspace": self.identity.workspace, "entity": self._entity(), "limit": 2**64 - 1,
                 "before": -1, "seq": 1.5, "seqs": [INTEGER_MAX, -1, True], "field": 3},
                self._speech.plain(),
            )
        )  # fmt: skip
        return Call(self._speech.number(), self.random.choice(names), params)

    def _entity(self) -> str:
        return self.random.choice((*self.entities[-5:], "0" * 32, self.random.randbytes(16).hex()))

    def _push(self) -> Push:
        count = self.random.choice((0, 1, 1, 1, 2, 5))
        changes = [self._change() for _ in range(count)]
        if self.random.random() < 0.02:
            changes = [self._change() for _ in range(PUSH_CHANGES_MAX)]
        if self.random.random() < 0.1:
            self.random.shuffle(changes)
        if self.random.random() < 0.1:
            changes = changes + changes
        confirmed = self.random.choice((0, self._op, INTEGER_MAX))
        return Push(tuple(map(encode_change, changes[:PUSH_CHANGES_MAX])), confirmed)

    def _change(self) -> Change:
        """Return a change that is all right but for at most one thing."""
        random = self.random
        self._op += 1
        change = honest_change(self.identity.workspace, self._op, random.randbytes(16).hex())
        self.entities.append(change.entity)
        if random.random() < 0.4:
            return change
        return random.choice(_FLAWS)(self, change)


_FLAWS: Final[tuple[Callable[[Attack, Change], Change], ...]] = (
    lambda attack, change: replace(change, workspace=attack.victim.workspace or "0" * 32),
    lambda attack, change: replace(change, workspace=attack.random.randbytes(16).hex()),
    lambda attack, change: replace(change, op=change.op + 7, previous=change.op + 6),
    lambda attack, change: replace(change, op=max(1, change.op - 3), previous=0),
    lambda attack, change: replace(change, previous=0),
    lambda attack, change: replace(change, base=INTEGER_MAX),
    lambda attack, change: replace(change, entity=attack._entity()),
    lambda attack, change: replace(change, place=Place(attack._entity(), "V")),
    lambda attack, change: replace(change, place=Place(change.entity, "V")),
    lambda attack, change: replace(change, kind=Kind.REQUEST, place=Place(ROOT, "V")),
    lambda attack, change: replace(
        change, action=Action.MOVE, kind=None, fields={}, entity=attack._entity(),
        place=Place(attack._entity(), "V"),
    ),
    lambda attack, change: replace(
        change, action=Action.DELETE, kind=None, place=None, fields={}, entity=attack._entity()
    ),
    lambda attack, change: replace(
        change, action=Action.RESTORE, kind=None, fields={}, entity=attack._entity()
    ),
    lambda attack, change: replace(
        change, action=Action.UPDATE, kind=None, place=None, entity=attack._entity(),
        fields={"n" * 128: FieldEdit(b"\xc1", 0, bytes(16)), "name": FieldEdit(b"", 0, bytes(16))},
    ),
)  # fmt: skip
