"""A session and a plain model of it, driven together: dicts and sets instead of its cleverness."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kafkaman_sync.engine import rush
from kafkaman_sync.engine.session import (
    Accepted,
    Answer,
    Applied,
    Apply,
    End,
    Enter,
    Phase,
    Session,
    Tell,
)
from kafkaman_sync.errors import WireError
from kafkaman_sync.model.changes import Verdict
from kafkaman_sync.model.limits import (
    PUSH_BYTES_MAX,
    PUSH_CHANGES_MAX,
    WINDOW_BYTES_MAX,
    WINDOW_CHANGES_MAX,
)
from kafkaman_sync.protocol.messages import (
    Checkpoint,
    Entities,
    Events,
    Goodbye,
    Hello,
    Message,
    Notice,
    Reply,
    Resend,
    Verdicts,
    Welcome,
)

STREAMED = Events | Entities | Checkpoint | Verdicts
_PHASES: dict[type, frozenset[Phase]] = {
    **dict.fromkeys((Reply, Notice, Goodbye), frozenset(Phase)),
    **dict.fromkeys(
        (Events, Entities, Checkpoint, Verdicts), frozenset({Phase.CATCHING_UP, Phase.LIVE})
    ),
    Resend: frozenset({Phase.LIVE}),
    Welcome: frozenset({Phase.GREETED}),
}


class Twin:
    """Does to a session and to its model the same, and compares them after each step.

    `outbox` are the changes without verdict, by op. `judge` says what the store makes of an Apply.
    """

    def __init__(self, judge: Callable[[Apply], Applied]) -> None:
        self.session = Session()
        self.outbox: dict[int, bytes] = {}
        self.last_op = 0
        self.ended = False
        """Whether a message was refused: a device closes the connection then."""
        self._judge = judge
        self._phase = Phase.OPEN
        self._sent: dict[int, int] = {}
        self._after = 0
        self._confirmed_op = 0
        self._awaited: set[str] = set()
        self._unproved: set[str] = set()
        self._now = 0.0
        self._last_edit = -rush.PAUSE_SECONDS
        self._rushing = False
        # What is held back, the time of the edit before it, and its changes' bytes.
        self._held: list[tuple[Events, float, int]] = []

    @property
    def sent(self) -> list[int]:
        """The ops on their way that the server has not answered."""
        return list(self._sent)

    def say_hello(self, confirmed_op: int) -> None:
        if self._phase is Phase.OPEN:
            self.session.hello(Hello("token", "d" * 32, "", (), confirmed_op))
            self._phase, self._confirmed_op = Phase.GREETED, confirmed_op
        self.compare()

    def edit(self, size: int, *, later: float = 1.0) -> None:
        """Let a person make a change of so many bytes, so many seconds later."""
        self._now += later
        self.last_op += 1
        self.outbox[self.last_op] = bytes(size)
        self.session.edited(len(self.outbox), self._now)
        close = self._now - self._last_edit < rush.PAUSE_SECONDS
        self._rushing = close and len(self.outbox) >= rush.RUSH_CHANGES_MIN
        self._last_edit = self._now
        self.compare()

    def wait(self, seconds: float) -> None:
        """Let time pass, and what has waited long enough be applied."""
        self._now += seconds
        while self._is_due():
            output = self.session.due(self._now)
            assert output is not None
            taken = self._held[: len(output.messages)]
            expected = [events for events, _, _ in taken]
            assert list(output.messages) == expected, "what was held back comes in order"
            count = sum(len(events.items) for events in expected)
            size = sum(size for _, _, size in taken)
            fits = count <= rush.SETTLED_AT_ONCE and size <= rush.SETTLED_BYTES_AT_ONCE
            assert fits or len(expected) == 1
            del self._held[: len(expected)]
            self._apply(output)
        assert self.session.due(self._now) is None
        self.compare()

    def _is_due(self) -> bool:
        if not self._held:
            return False
        full = self._held_changes > rush.HELD_CHANGES_MAX
        paused = self._now >= self._last_edit + rush.PAUSE_SECONDS
        old = self._now >= self._held[0][1] + rush.HELD_SECONDS_MAX
        return full or old or paused or not self._rushing

    @property
    def _held_changes(self) -> int:
        return sum(len(events.items) for events, _, _ in self._held)

    def push(self) -> None:
        """Push what there is room for."""
        room = self.session.room()
        if room is None:
            return
        waiting = [(op, data) for op, data in self.outbox.items() if op > room.after]
        pushes = self.session.push(waiting)
        sent = [data for push in pushes for data in push.changes]
        ops = [op for op, _ in waiting[: len(sent)]]
        assert sent == [self.outbox[op] for op in ops], "a push goes in op order, without a gap"
        for push in pushes:
            assert push.confirmed_op == self._confirmed_op
            size = sum(map(len, push.changes))
            assert 0 < len(push.changes) <= PUSH_CHANGES_MAX
            assert size <= PUSH_BYTES_MAX or len(push.changes) == 1
        self._sent |= {op: len(self.outbox[op]) for op in ops}
        self._after = ops[-1] if ops else self._after
        assert len(self._sent) <= WINDOW_CHANGES_MAX
        assert sum(self._sent.values()) <= WINDOW_BYTES_MAX or len(self._sent) == 1
        if len(ops) < len(waiting):
            following = self._sent_bytes + len(waiting[len(ops)][1])
            assert len(self._sent) == WINDOW_CHANGES_MAX or following > WINDOW_BYTES_MAX
        self.compare()

    def receive(self, messages: Sequence[Message]) -> None:
        """Let messages arrive together."""
        expected, legal = self._expect(messages)
        try:
            outputs = self.session.received(messages, self._now)
        except WireError as error:
            assert not legal, "what is legal is refused"
            assert error.code == "wire.order"  # noqa: PT017  whether it raises is asserted
            self.ended = True
            return
        assert legal, "what is not legal passes"
        said: list[Message | Accepted] = []
        for output in outputs:
            if isinstance(output, Apply):
                assert output.messages
                said += output.messages
                self._apply(output)
            elif isinstance(output, Enter):
                said.append(output.welcome)
            elif isinstance(output, Accepted):
                said.append(output)
            elif isinstance(output, Answer):
                said.append(output.reply)
            else:
                assert isinstance(output, Tell | End)
                said.append(output.notice if isinstance(output, Tell) else output.goodbye)
        assert said == expected, "everything comes through, in order"
        self.compare()

    def _expect(self, messages: Sequence[Message]) -> tuple[list[Message | Accepted], bool]:
        """Return what the session must pass on, and whether it may all come now."""
        expected: list[Message | Accepted] = []
        waiting = False
        for message in messages:
            if self._phase not in _PHASES.get(type(message), frozenset()):
                return [], False
            if isinstance(message, Resend):
                self._sent = {op: size for op, size in self._sent.items() if op < message.op}
                self._after = min(self._after, message.op - 1)
                continue
            if not waiting and (held := self._hold(message)) is not None:
                expected.append(held)
                continue
            waiting = isinstance(message, STREAMED)
            expected += [events for events, _, _ in self._held]
            self._held.clear()
            expected.append(message)
            if isinstance(message, Welcome):
                self._phase = Phase.CATCHING_UP
                self._awaited = {workspace.id for workspace in message.workspaces}
                self._unproved = set(self._awaited)
            elif isinstance(message, Goodbye):
                self._phase = Phase.ENDED
        return expected, True

    def _hold(self, message: Message) -> Accepted | None:
        """Hold back what only says that own changes on their way were accepted as they are."""
        paused = self._now >= self._last_edit + rush.PAUSE_SECONDS
        if not (
            self._rushing
            and not paused
            and self._phase is Phase.LIVE
            and isinstance(message, Events)
        ):
            return None
        ops: list[int] = []
        for item in message.items:
            if not isinstance(item, Verdict) or item.disagreements or item.refusal:
                return None
            ops.append(item.op)
        if not ops or not self._sent:
            return None
        first, last = min(self._sent), max(self._sent)
        if not (first <= ops[0] <= last and first <= ops[-1] <= last):
            return None
        size = sum(size for op, size in self._sent.items() if op <= ops[-1])
        self._held.append((message, self._last_edit, size))
        self._sent = {op: size for op, size in self._sent.items() if op > ops[-1]}
        return Accepted(ops[-1])

    def _apply(self, apply: Apply) -> None:
        result = self._judge(apply)
        self.session.applied(apply, result)
        op = result.verdict_op
        if op:
            if self._phase is Phase.LIVE:
                self._sent = {sent: size for sent, size in self._sent.items() if sent > op}
                self._after = max(self._after, op)
            self._confirmed_op = max(self._confirmed_op, op)
        equal = dict(result.equal)
        for message in apply.messages:
            if isinstance(message, Verdicts):
                continue
            proves = isinstance(message, Checkpoint) or (
                isinstance(message, Events) and message.digest is not None
            )
            if proves and equal.get(message.workspace):
                self._unproved.discard(message.workspace)
            else:
                self._unproved.add(message.workspace)
            if isinstance(message, Checkpoint):
                self._awaited.discard(message.workspace)
        if self._phase is Phase.CATCHING_UP and not self._awaited:
            self._phase = Phase.LIVE

    @property
    def _sent_bytes(self) -> int:
        return sum(self._sent.values())

    def compare(self) -> None:
        """Fail when the session and the model differ in anything that can be asked."""
        session = self.session
        live = self._phase is Phase.LIVE
        assert session.phase is self._phase
        assert session.pending == len(self.outbox)
        assert session.on_its_way == len(self._sent) + self._held_changes
        assert (session.due_at is not None) == bool(self._held)
        assert session.caught_up == live
        assert session.settled == (live and not self._unproved and not self.outbox)
        progress = session.progress
        assert progress is None or 0 <= progress.done <= progress.total
        room = session.room()
        full = len(self._sent) >= WINDOW_CHANGES_MAX or self._sent_bytes >= WINDOW_BYTES_MAX
        assert (room is None) == (not live or full)
        if room is not None:
            assert room.after == self._after
            assert room.changes_max == WINDOW_CHANGES_MAX - len(self._sent)
            assert room.bytes_max == WINDOW_BYTES_MAX - self._sent_bytes
