"""A rush of edits: what the server has accepted waits until they pause, and no longer."""

from __future__ import annotations

from typing import Final

import pytest
from msgspec.structs import replace

from kafkaman_sync.engine.rush import (
    HELD_CHANGES_MAX,
    HELD_NAMES_MAX,
    HELD_SECONDS_MAX,
    PAUSE_SECONDS,
    RUSH_CHANGES_MIN,
    SETTLED_AT_ONCE,
    SETTLED_BYTES_AT_ONCE,
)
from kafkaman_sync.engine.session import Accepted, Answer, Applied, Apply, Output, Session
from kafkaman_sync.model.changes import ConflictCode, Disagreement, Refusal, Verdict
from kafkaman_sync.model.limits import ENTITY_FIELDS_MAX, PUSH_CHANGES_MAX, WINDOW_CHANGES_MAX
from kafkaman_sync.protocol.messages import Checkpoint, Events, Message, Reply, Resend, Verdicts
from tests.engine.test_session import ONE, live

GAP: Final = PAUSE_SECONDS / 2
CALL: Final = PUSH_CHANGES_MAX


class Writer:
    """Somebody who writes `CALL` changes at a time, and what the session does about it."""

    def __init__(self, size: int = 1) -> None:
        self.session: Session = live()
        self.now = 0.0
        self.last_op = 0
        self.settled = 0
        self.size = size

    @property
    def pending(self) -> int:
        return self.last_op - self.settled

    def write(self, *, later: float = GAP, count: int = CALL) -> Events:
        """Make so many changes and push them; return what accepts them."""
        first = self.last_op + 1
        self.now += later
        self.last_op += count
        self.session.edited(self.pending, self.now)
        self.session.push([(op, bytes(self.size)) for op in range(first, self.last_op + 1)])
        return accepted(first, self.last_op)

    def receive(self, *messages: Message) -> list[Output]:
        """Let messages arrive together."""
        return self.session.received(messages, self.now)

    def rush(self, calls: int) -> list[Events]:
        """Write in a rush; what accepts each call comes before the next one."""
        held: list[Events] = []
        for _ in range(calls):
            held.append(self.write())
            assert self.receive(held[-1]) == [Accepted(self.last_op)], "it waits"
        return held

    def settle_due(self, *, later: float = 0.0) -> list[Message]:
        """Apply what is due so many seconds later; return what it says."""
        due = self.session.due(self.now + later)
        return [] if due is None else self.settle([due])

    def settle(self, outputs: list[Output] | list[Apply]) -> list[Message]:
        """Apply outputs; return what they say."""
        said: list[Message] = []
        for output in outputs:
            if isinstance(output, Accepted):
                continue
            assert isinstance(output, Apply)
            ops = accepted_by(output)
            self.settled += len(ops)
            self.session.applied(output, Applied(max(ops, default=0), (), self.pending))
            said += output.messages
        return said


def accepted_by(apply: Apply) -> list[int]:
    """Return the ops that an Apply answers."""
    return [
        item.op
        for message in apply.messages
        if isinstance(message, Events)
        for item in message.items
        if isinstance(item, Verdict)
    ]


def accepted(first: int, last: int) -> Events:
    return Events(ONE, tuple(Verdict(op, seq=op, event=True) for op in range(first, last + 1)))


@pytest.fixture
def writer() -> Writer:
    writer = Writer()
    writer.settle(writer.receive(writer.write()))
    return writer


def test_what_accepts_a_lone_edit_is_applied_at_once() -> None:
    writer = Writer()
    for later in (0.0, PAUSE_SECONDS, 10.0):
        events = writer.write(later=later)
        assert writer.receive(events) == [Apply((events,))]
        writer.settle([Apply((events,))])


def test_few_changes_are_settled_at_once_however_fast_they_come() -> None:
    writer = Writer()
    while writer.pending < RUSH_CHANGES_MIN - 1:
        events = writer.write(later=0.001, count=1)
        assert writer.receive(events) == [Apply((events,))]


def test_in_a_rush_what_is_accepted_makes_room_and_waits_for_a_pause(writer: Writer) -> None:
    session = writer.session
    held = writer.rush(WINDOW_CHANGES_MAX // CALL + 2)
    room = session.room()
    assert room is not None
    assert room.changes_max == WINDOW_CHANGES_MAX
    assert session.on_its_way == session.pending == len(held) * CALL
    assert not session.settled
    assert session.due_at == writer.now + PAUSE_SECONDS
    assert session.due(writer.now + PAUSE_SECONDS - 0.001) is None
    said: list[Message] = []
    while (due := session.due(writer.now + PAUSE_SECONDS)) is not None:
        assert len(accepted_by(due)) == SETTLED_AT_ONCE
        said += writer.settle([due])
    assert said == held
    assert session.release() == []
    assert session.on_its_way == session.pending == 0


def test_confirmed_op_waits_with_what_is_held(writer: Writer) -> None:
    writer.rush(1)
    (push,) = writer.session.push([(writer.last_op + 1, b"next")])
    assert push.confirmed_op == CALL
    writer.settle(writer.session.release())
    (push,) = writer.session.push([(writer.last_op + 2, b"next")])
    assert push.confirmed_op == 2 * CALL


def test_an_edit_after_the_pause_is_no_part_of_the_rush(writer: Writer) -> None:
    writer.rush(1)
    writer.write(later=PAUSE_SECONDS)
    assert writer.session.due(writer.now) is not None


def test_a_rush_that_goes_on_is_settled_bit_by_bit(writer: Writer) -> None:
    first, *_ = writer.rush(1)
    until = writer.now + HELD_SECONDS_MAX
    while writer.now + GAP < until:
        assert writer.session.due(writer.now) is None
        writer.write(count=1)
    writer.write(count=1)
    assert writer.settle_due() == [first]


def test_as_much_is_held_as_the_limit_says(writer: Writer) -> None:
    held = writer.rush(HELD_CHANGES_MAX // CALL)
    assert writer.session.due(writer.now) is None
    held += writer.rush(1)
    said = writer.settle_due()
    assert said == held[: SETTLED_AT_ONCE // CALL]
    assert writer.session.due(writer.now) is None


def test_however_much_comes_at_once_no_more_is_held_than_the_limit_says(writer: Writer) -> None:
    for _ in range(HELD_CHANGES_MAX // WINDOW_CHANGES_MAX + 3):
        writer.receive(*[writer.write(later=0.001) for _ in range(WINDOW_CHANGES_MAX // CALL)])
        while writer.settle_due():
            pass
        assert writer.session.on_its_way <= HELD_CHANGES_MAX
    assert writer.settled > 0


def test_as_many_names_of_fields_are_held_as_the_limit_says(writer: Writer) -> None:
    names = tuple(f"field {number}" for number in range(ENTITY_FIELDS_MAX))
    writer.rush(1)
    while (writer.session.due_at or 0.0) > writer.now:
        events = writer.write(count=1, later=0.001)
        verdicts = [item for item in events.items if isinstance(item, Verdict)]
        many = Events(ONE, tuple(replace(verdict, accepted=names) for verdict in verdicts))
        assert writer.receive(many) == [Accepted(writer.last_op)]
    held = (writer.session.on_its_way - CALL) * len(names)
    assert HELD_NAMES_MAX < held <= HELD_NAMES_MAX + len(names)


def test_what_is_accepted_after_the_pause_is_applied_at_once(writer: Writer) -> None:
    events = writer.write()
    writer.now += PAUSE_SECONDS
    assert writer.receive(events) == [Apply((events,))]


def test_one_transaction_settles_no_more_bytes_than_the_window_has() -> None:
    writer = Writer(size=SETTLED_BYTES_AT_ONCE // (2 * CALL) + 1)
    writer.settle(writer.receive(writer.write()))
    held = writer.rush(3)
    for events in held:
        assert writer.settle_due(later=PAUSE_SECONDS) == [events]


def test_what_is_larger_than_a_transaction_should_be_is_taken_alone(writer: Writer) -> None:
    events = writer.write(count=SETTLED_AT_ONCE + 1)
    assert writer.receive(events) == [Accepted(writer.last_op)]
    writer.rush(1)
    assert writer.settle_due(later=PAUSE_SECONDS) == [events]


@pytest.mark.parametrize(
    "other",
    [
        Events(ONE, (b"of another device",)),
        Verdicts((Verdict(9, seq=9),)),
        Checkpoint(ONE, 9, bytes(16)),
        Events(ONE, (Verdict(600, refusal=Refusal("code", "message")),)),
        Events(
            ONE, (Verdict(600, seq=9, disagreements=(Disagreement(ConflictCode.PLACE),)),)
        ),
        Events(ONE, (Verdict(501, seq=9), b"of another device")),
        accepted(1, 2),
        accepted(CALL + 1, 10 * CALL),
        Events(ONE, ()),
    ],
    ids=lambda other: type(other).__name__,
)  # fmt: skip
def test_whatever_else_comes_is_applied_behind_what_was_held(
    writer: Writer, other: Message
) -> None:
    held = writer.rush(3)
    outputs = writer.receive(other, writer.write())
    assert writer.settle(outputs)[: len(held) + 1] == [*held, other]
    assert writer.session.due_at is None, "what follows it in the same batch goes with it"


def test_an_answer_comes_behind_what_was_held(writer: Writer) -> None:
    held, reply = writer.rush(2), Reply(1, result={})
    *applies, answer = writer.receive(reply)
    assert answer == Answer(reply)
    assert writer.settle(applies) == held


def test_what_is_asked_for_again_leaves_what_was_held(writer: Writer) -> None:
    writer.rush(2)
    events = writer.write()
    first = events.items[0]
    assert isinstance(first, Verdict)
    assert writer.receive(Resend(first.op)) == []
    room = writer.session.room()
    assert room is not None
    assert room.after == first.op - 1
    assert writer.session.due_at is not None
