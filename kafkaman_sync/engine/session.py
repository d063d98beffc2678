"""The device's side of one connection, without the connection: messages in, things to do out.

The shell does, in order, what `received` returns, and tells the session what came of it. The
session knows how far the catch-up is, what may be pushed, and whether anything is left unproved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from kafkaman_sync.engine.outbox import Encoded, Room, Window
from kafkaman_sync.engine.rush import Rush
from kafkaman_sync.engine.states import Progress
from kafkaman_sync.errors import WireError
from kafkaman_sync.model.changes import Verdict
from kafkaman_sync.protocol.messages import (
    Call,
    Checkpoint,
    Entities,
    Events,
    Goodbye,
    Hello,
    Message,
    Notice,
    Push,
    Reply,
    Resend,
    Verdicts,
    Welcome,
)

Streamed = Events | Entities | Checkpoint | Verdicts
"""The messages that change the store, in the order of the stream."""


class Phase(Enum):
    """How far a connection is."""

    OPEN = auto()  # connected; calls may be made
    GREETED = auto()  # hello sent
    CATCHING_UP = auto()  # welcomed, until every workspace had its checkpoint
    LIVE = auto()
    ENDED = auto()  # the server said goodbye


@dataclass(frozen=True, slots=True)
class Apply:
    """Give these to the store, in one transaction, in this order; then call `applied`."""

    messages: tuple[Streamed, ...]


@dataclass(frozen=True, slots=True)
class Enter:
    """The server welcomed us: let the store take the welcome in before anything that follows."""

    welcome: Welcome


@dataclass(frozen=True, slots=True)
class Answer:
    """Hand the reply to whoever called, before anything that follows is applied."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Tell:
    """A notice for people."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class End:
    """The server closes; nothing follows."""

    goodbye: Goodbye


@dataclass(frozen=True, slots=True)
class Accepted:
    """The changes up to `op` were accepted, and are settled when the rush of edits is over."""

    op: int


Output = Apply | Enter | Answer | Tell | End | Accepted


@dataclass(frozen=True, slots=True)
class Applied:
    """What the store made of an `Apply`.

    `verdict_op` is the greatest op that got its verdict (0: none did). `equal` says of each
    workspace whose digest was compared whether it was equal, the last comparison last. `pending`
    is the number of changes left in the outbox.
    """

    verdict_op: int
    equal: Sequence[tuple[str, bool]]
    pending: int


class Session:
    """One connection's state. `pending` is the number of changes in the outbox at its start."""

    def __init__(self, pending: int = 0) -> None:
        self.phase = Phase.OPEN
        self.pending = pending
        self._window = Window()
        self._rush = Rush()
        self._confirmed_op = 0
        self._calls = 0
        # Workspaces of which something was applied, or is due, that no digest has proved yet.
        self._unproved: set[str] = set()
        self._awaited: set[str] = set()
        self._expected: dict[str, int] = {}
        self._arrived: dict[str, int] = {}
        self._most_pending = pending

    # What we say.

    def call(self, method: str, params: Mapping[str, Any]) -> Call:
        """Return a call with an id of its own."""
        self._calls += 1
        return Call(self._calls, method, params)

    def hello(self, hello: Hello) -> Hello:
        """Begin to sync; `confirmed_op` of `hello` counts from now on."""
        assert self.phase is Phase.OPEN, "hello is said once"
        self.phase = Phase.GREETED
        self._confirmed_op = hello.confirmed_op
        return hello

    def room(self) -> Room | None:
        """Return which changes may be pushed now, None for none."""
        return self._window.room() if self.phase is Phase.LIVE else None

    def push(self, changes: Sequence[Encoded]) -> list[Push]:
        """Return the pushes for what the outbox holds after `room().after`."""
        return self._window.send(changes, confirmed_op=self._confirmed_op)

    # What happens to us.

    def edited(self, pending: int, now: float) -> None:
        """Note that an edit at `now`, in seconds, made the outbox hold `pending` changes."""
        self.counted(pending)
        self._rush.edited(pending, now)

    def counted(self, pending: int) -> None:
        """Note that the outbox holds `pending` changes."""
        self.pending = pending
        self._most_pending = max(self._most_pending, pending)

    def received(self, messages: Iterable[Message], now: float) -> list[Output]:
        """Return what to do about messages, in order; neighbours in the stream are applied at once.

        Acceptances may wait in a rush of edits, see `due`; `now` is in seconds. Raises WireError
        `wire.order` for a message that cannot come now.
        """
        outputs: list[Output] = []
        waiting: list[Streamed] = []
        for message in messages:
            if isinstance(message, Events | Entities | Checkpoint | Verdicts):
                self._check(message, Phase.CATCHING_UP, Phase.LIVE)
                if not waiting and (accepted := self._hold(message, now)):
                    outputs.append(accepted)
                    continue
                outputs += self.release()
                waiting.append(message)
                continue
            if isinstance(message, Resend):
                self._check(message, Phase.LIVE)
                self._window.resend(message.op)
                continue
            outputs += self.release()
            if waiting:
                outputs.append(Apply(tuple(waiting)))
                waiting = []
            outputs.append(self._interpret(message))
        if waiting:
            outputs.append(Apply(tuple(waiting)))
        return outputs

    @property
    def due_at(self) -> float | None:
        """When `due` has something to do if nothing else happens; None while nothing is held."""
        return self._rush.due

    def due(self, now: float) -> Apply | None:
        """Return what has waited long enough, one transaction's worth; ask again until None.

        An edit in the meantime lets the rest wait again.
        """
        due = self._rush.due
        return None if due is None or due > now else Apply(self._rush.take())

    def release(self) -> list[Apply]:
        """Return all that waits: something else comes, or the connection ends."""
        released: list[Apply] = []
        while self._rush:
            released.append(Apply(self._rush.take()))
        return released

    def applied(self, apply: Apply, result: Applied) -> None:
        """Note what the store made of `apply`."""
        self.counted(result.pending)
        if result.verdict_op:
            # A verdict that was caught up with says nothing of the ops before it: those of a store
            # that was set back may wait still, when another copy of it has confirmed theirs. Pushed
            # again, they are answered `device.reused`.
            if self.phase is Phase.LIVE:
                self._window.answered(result.verdict_op)
            self._confirmed_op = max(self._confirmed_op, result.verdict_op)
        equal = dict(result.equal)
        for message in apply.messages:
            if not isinstance(message, Verdicts):
                self._count(message, equal)
        if self.phase is Phase.CATCHING_UP and not self._awaited:
            self.phase = Phase.LIVE
        if self.settled:
            self._expected.clear()
            self._arrived.clear()
            self._most_pending = 0

    # How it is.

    @property
    def on_its_way(self) -> int:
        """How many changes were pushed on this connection and are not settled."""
        return len(self._window) + len(self._rush)

    @property
    def caught_up(self) -> bool:
        """Whether every workspace had its checkpoint on this connection."""
        return self.phase is Phase.LIVE

    @property
    def settled(self) -> bool:
        """Whether the device is in sync: caught up, all proved equal, and nothing to push."""
        return self.caught_up and not self._unproved and not self.pending

    @property
    def progress(self) -> Progress | None:
        """How far the way to `settled` is; None when there is nothing to count."""
        total = sum(self._expected.values()) + self._most_pending
        if not total:
            return None
        arrived = sum(
            min(self._arrived.get(workspace, 0), expected)
            for workspace, expected in self._expected.items()
        )
        return Progress(arrived + self._most_pending - self.pending, total)

    def _hold(self, message: Streamed, now: float) -> Accepted | None:
        """Hold a message back that only says that own changes were accepted, in a rush of edits."""
        if not (isinstance(message, Events) and self.phase is Phase.LIVE and self._rush.lasts(now)):
            return None
        whole = [item for item in message.items if isinstance(item, Verdict) and _whole(item)]
        if not whole or len(whole) < len(message.items):
            return None
        first, last = whole[0].op, whole[-1].op
        if not (self._window.awaits(first) and self._window.awaits(last)):
            return None
        # There is room for others now, though the outbox still has these.
        names = sum(len(verdict.accepted) for verdict in whole)
        self._rush.hold(message, size=self._window.answered(last), names=names)
        return Accepted(last)

    def _interpret(self, message: Message) -> Output:
        if isinstance(message, Reply):
            return Answer(message)
        if isinstance(message, Welcome):
            self._check(message, Phase.GREETED)
            return self._enter(message)
        if isinstance(message, Notice):
            return Tell(message)
        if isinstance(message, Goodbye):
            self.phase = Phase.ENDED
            return End(message)
        raise WireError(
            f"The server sent a {type(message).__name__.lower()}, which only devices send.",
            code="wire.order",
        )

    def _enter(self, welcome: Welcome) -> Enter:
        self.phase = Phase.CATCHING_UP
        self._awaited = {workspace.id for workspace in welcome.workspaces}
        self._unproved = set(self._awaited)
        return Enter(welcome)

    def expect(self, gaps: Mapping[str, int]) -> None:
        """Note how many events each workspace is behind, for the progress."""
        self._expected = {workspace: gap for workspace, gap in gaps.items() if gap > 0}

    def _count(self, message: Events | Entities | Checkpoint, equal: Mapping[str, bool]) -> None:
        """Note a message of a workspace that was applied."""
        workspace = message.workspace
        if isinstance(message, Entities):
            # Catch-up by state costs rows, not events: what it counts replaces the gap.
            self._expected[workspace] = max(message.total, len(message.rows))
            self._arrive(workspace, len(message.rows))
        elif isinstance(message, Events):
            self._arrive(workspace, len(message.items))
        else:
            self._awaited.discard(workspace)
        closes = not isinstance(message, Entities) and message.digest is not None
        if closes and equal.get(workspace):
            self._unproved.discard(workspace)
        else:
            self._unproved.add(workspace)

    def _arrive(self, workspace: str, count: int) -> None:
        self._arrived[workspace] = self._arrived.get(workspace, 0) + count

    def _check(self, message: Message, *phases: Phase) -> None:
        if self.phase not in phases:
            raise WireError(
                f"The server sent a {type(message).__name__.lower()} out of order.",
                code="wire.order",
            )


def _whole(verdict: Verdict) -> bool:
    """Tell whether a change was accepted without a dispute."""
    return not verdict.disagreements and verdict.refusal is None
