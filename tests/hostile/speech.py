"""Legal messages and records of every kind, made from a seed; far faster than strategies."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from kafkaman_sync.model.changes import (
    Action,
    Change,
    ConflictCode,
    Disagreement,
    Event,
    FieldEdit,
    Refusal,
    Verdict,
)
from kafkaman_sync.model.entities import ROOT, Entity, Field, Kind, Place
from kafkaman_sync.model.limits import INTEGER_MAX
from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import (
    Call,
    Checkpoint,
    Entities,
    EpochStart,
    Events,
    Goodbye,
    Hello,
    Message,
    Notice,
    Position,
    Push,
    Reply,
    Resend,
    Verdicts,
    Welcome,
    WorkspaceHead,
)
from kafkaman_sync.protocol.records import (
    encode_change,
    encode_entity,
    encode_event,
    encode_verdict,
)

_ACTIONS: Final = tuple(action for action in Action if action is not Action.PURGE)
_KINDS: Final = tuple(Kind)
_CODES: Final = tuple(ConflictCode)
_TEXTS: Final = ("", "a", "name", "grüße", "\U0001f600", "x" * 40, "e" * 32)
_NAMES: Final = ("name", "url", "body", "c.ß", "n" * 128)
_POSITIONS: Final = ("V", "V1x", "a0Z", "00001")
_PLAIN: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    2**64 - 1,
    1.5,
    "text",
    b"bytes",
    [1, ["a"]],
    {"a": {"b": []}},
)


class Speech:
    """A source of legal messages and records."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self._ids = [random.randbytes(16).hex() for _ in range(6)]

    def message(self) -> Message:
        """Return a message of any type, with anything legal in it."""
        return self.random.choice(_MAKERS)(self)

    def record(self) -> bytes:
        """Return an encoded change, event, row or verdict."""
        return self.random.choice(_RECORDS)(self)

    # Parts

    def id(self) -> str:
        return self.random.choice(self._ids)

    def number(self) -> int:
        choose = self.random.random()
        if choose < 0.6:
            return self.random.randrange(12)
        return self.random.choice((127, 128, 65536, 2**32, INTEGER_MAX - 1, INTEGER_MAX))

    def text(self) -> str:
        return self.random.choice(_TEXTS)

    def value(self) -> bytes:
        return self.random.choice((b"", b"\xa1a", b"\xc0", bytes(40)))

    def some(self, make: Callable[[], Any], most: int = 3) -> tuple[Any, ...]:
        return tuple(make() for _ in range(self.random.randrange(most + 1)))

    def named(self, make: Callable[[], Any]) -> dict[str, Any]:
        return {name: make() for name in self.random.sample(_NAMES, self.random.randrange(4))}

    def place(self) -> Place:
        parent = ROOT if self.random.random() < 0.5 else self.id()
        return Place(parent, self.random.choice(_POSITIONS))

    def plain(self) -> dict[str, Any]:
        return self.named(lambda: self.random.choice(_PLAIN))

    # Records

    def change(self) -> Change:
        action = self.random.choice(_ACTIONS)
        op = max(1, self.number())
        placed = action in (Action.CREATE, Action.MOVE) or (
            action is Action.RESTORE and self.random.random() < 0.5
        )
        fields = self.named(lambda: FieldEdit(self.value(), self.number(), bytes(16)))
        if action is Action.UPDATE:
            fields = fields or {"name": FieldEdit(b"\xa1a", 0, bytes(16))}
        return Change(
            op=op,
            previous=self.random.randrange(min(op, 12)),
            workspace=self.id(),
            action=action,
            entity=self.id(),
            base=self.number(),
            kind=self.random.choice(_KINDS) if action is Action.CREATE else None,
            place=self.place() if placed else None,
            fields=fields if action in (Action.CREATE, Action.UPDATE) else {},
        )

    def event(self) -> Event:
        return Event(
            workspace=self.id(),
            seq=self.number(),
            action=self.random.choice(tuple(Action)),
            entity=self.id(),
            account=self.id(),
            device=self.id(),
            op=self.number(),
            at=self.number(),
            kind=self.random.choice((None, *_KINDS)),
            place=self.random.choice((None, self.place())),
            fields=self.named(self.value),
        )

    def entity(self) -> Entity:
        return Entity(
            id=self.id(),
            kind=self.random.choice(_KINDS),
            place=self.place(),
            place_version=self.number(),
            deleted=self.random.random() < 0.3,
            deleted_version=self.number(),
            version=self.number(),
            fields=self.named(lambda: Field(self.value(), self.number())),
        )

    def verdict(self) -> Verdict:
        seq = self.random.choice((None, self.number()))
        return Verdict(
            op=self.number(),
            seq=seq,
            event=seq is not None and self.random.random() < 0.7,
            at=self.number(),
            accepted=self.some(lambda: self.random.choice(_NAMES), 2),
            disagreements=self.some(self._disagreement, 2),
            refusal=self.random.choice((None, Refusal("limit.depth", self.text()))),
        )

    def _disagreement(self) -> Disagreement:
        name = self.random.choice(("", *_NAMES))
        return Disagreement(self.random.choice(_CODES), name, self.value(), self.number())

    # Messages

    def call(self) -> Call:
        names = ("sign_up", "sign_in", "register", "devices", "prove", "ping", "nonsense")
        return Call(self.number(), self.random.choice(names), self.plain())

    def hello(self) -> Hello:
        positions = self.some(
            lambda: Position(self.id(), self.text(), self.number(), self.number())
        )
        bases = {self.id(): self.number()} if self.random.random() < 0.5 else {}
        return Hello(self.text(), self.id(), self.text(), positions, self.number(), bases)

    def push(self) -> Push:
        return Push(self.some(lambda: encode_change(self.change())), self.number())

    def welcome(self) -> Welcome:
        heads = self.some(
            lambda: WorkspaceHead(
                self.id(), self.text(), "owner", self.number(),
                self.some(lambda: EpochStart(self.text(), self.number())),
            )
        )  # fmt: skip
        return Welcome(
            server=self.text(), epoch=self.text(), lease=self.text(), account=self.text(),
            device=self.id(), last_op=self.number(), workspaces=heads, limits={"devices": 3},
        )  # fmt: skip

    def events(self) -> Events:
        items = self.some(lambda: self.random.choice((encode_event(self.event()), self.verdict())))
        return Events(self.id(), items, self.random.choice((None, bytes(16))))

    def entities(self) -> Entities:
        return Entities(
            workspace=self.id(),
            rows=self.some(lambda: encode_entity(self.entity())),
            mark=self.number(),
            full=self.random.random() < 0.5,
            total=self.number(),
            purged=self.some(lambda: (self.id(), self.number())),
            through=self.random.choice((None, self.number())),
        )

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.id(), self.number(), bytes(16))

    def verdicts(self) -> Verdicts:
        return Verdicts(self.some(self.verdict))

    def reply(self) -> Reply:
        if self.random.random() < 0.5:
            return Reply(self.number(), result=self.plain())
        return Reply(self.number(), error={"code": "auth.failed", "message": self.text()})


_MAKERS: Final[tuple[Callable[[Speech], Message], ...]] = (
    Speech.call,
    Speech.hello,
    Speech.push,
    Speech.welcome,
    Speech.events,
    Speech.entities,
    Speech.checkpoint,
    Speech.verdicts,
    lambda speech: Resend(speech.number()),
    Speech.reply,
    lambda speech: Notice(speech.text(), speech.text(), speech.plain()),
    lambda speech: Goodbye(speech.text(), speech.text(), 1.5),
)
_RECORDS: Final[tuple[Callable[[Speech], bytes], ...]] = (
    lambda speech: encode_change(speech.change()),
    lambda speech: encode_event(speech.event()),
    lambda speech: encode_entity(speech.entity()),
    lambda speech: encode_verdict(speech.verdict()),
)


def legal_frames(random: Random, count: int) -> list[bytes]:
    """Return encoded messages, every type among them, and every kind of record."""
    speech = Speech(random)
    frames = [encode(_MAKERS[index % len(_MAKERS)](speech)) for index in range(count)]
    return frames + [_RECORDS[index % len(_RECORDS)](speech) for index in range(count // 4)]
