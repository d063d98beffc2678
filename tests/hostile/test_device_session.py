"""Legal and illegal sequences of messages against a device's session, which is pure.

40,000 of the 50,000 sequences run here; the server's side is in test_server_session. Whatever a
server sends, in any order: the session says what to do about it, or refuses it as `wire.order`.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

import pytest

from kafkaman_sync.engine import rush
from kafkaman_sync.engine.session import Applied, Apply, Phase
from kafkaman_sync.errors import WireError
from kafkaman_sync.model.changes import Verdict
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import (
    Checkpoint,
    Events,
    Goodbye,
    Message,
    Notice,
    Reply,
    Resend,
    Verdicts,
    WorkspaceHead,
)
from tests.engine.twin import Twin
from tests.hostile.frames import frame_of, mutate
from tests.hostile.speech import Speech

PARTS: Final = 8
SEQUENCES: Final = 5_000
STEPS_MAX: Final = 25
# What is sent is taken from so many messages, made once: making them is most of the work.
MESSAGES: Final = 2_000


ONE: Final = "1" * 32
TWO: Final = "2" * 32


class Sequence:
    """One connection to a server that does as it likes."""

    workspaces = tuple(
        tuple(WorkspaceHead(each, "w", "owner", 9, ()) for each in some)
        for some in ((), (ONE,), (ONE, TWO))
    )

    def __init__(self, random: Random, speech: Speech, messages: list[Message]) -> None:
        self.random = random
        self.speech = speech
        self.messages = messages
        self.twin = Twin(self.judge)
        self.steps: list[str] = []

    def judge(self, apply: Apply) -> Applied:
        """Stand for the store: some verdicts, some digests equal, some op that nobody knows."""
        twin, random = self.twin, self.random
        op = 0
        if random.random() < 0.6 and twin.outbox:
            op = random.choice(list(twin.outbox))
        elif random.random() < 0.05:
            op = random.choice((twin.last_op + 7, 2**63 - 1))
        for answered in [each for each in twin.outbox if each <= op]:
            del twin.outbox[answered]
        equal = [
            (message.workspace, random.random() < 0.8)
            for message in apply.messages
            if isinstance(message, Checkpoint | Events)
        ]
        return Applied(op, equal, len(twin.outbox))

    def run(self) -> None:
        for _ in range(self.random.randrange(3, STEPS_MAX)):
            self.step()
            if self.twin.ended:
                return

    def step(self) -> None:
        choice = self.random.random()
        if self.twin.session.phase is Phase.OPEN and choice < 0.7:
            self.steps.append("hello")
            self.twin.say_hello(self.speech.number())
        elif choice < 0.2:
            size = self.random.choice((1, 300, 300, 70_000, 5_000_000))
            later = self.random.choice((0.01, 0.01, 1.0))
            count = self.random.choice((1, 4)) if size == 300 else 1
            self.steps.append(f"{count} edits of {size} after {later} s")
            for _ in range(count):
                self.twin.edit(size, later=later)
        elif choice < 0.35:
            self.steps.append("push")
            self.twin.push()
        elif choice < 0.4:
            self.steps.append("wait")
            self.twin.wait(self.random.choice((0.01, 0.3, 5.0)))
        else:
            messages = [self.message() for _ in range(self.random.choice((1, 1, 2, 4)))]
            self.steps += [encode(message).hex() for message in messages]
            self.twin.receive(messages)

    def message(self) -> Message:
        """Return something that fits, mostly: nonsense alone would never get past the welcome."""
        random, phase = self.random, self.twin.session.phase
        if random.random() < 0.06:
            return random.choice(self.messages)
        if phase is Phase.GREETED:
            return replace(self.speech.welcome(), workspaces=random.choice(self.workspaces))
        if phase in (Phase.CATCHING_UP, Phase.LIVE):
            return self.streamed(live=phase is Phase.LIVE)
        return random.choice((Notice("a", "b"), Reply(1, result={}), Reply(2, error={})))

    def streamed(self, *, live: bool) -> Message:
        random = self.random
        choice = random.random()
        if choice < 0.3 and self.twin.sent:
            return self.accepted()
        if choice < 0.4:
            return replace(self.speech.checkpoint(), workspace=random.choice((ONE, TWO)))
        if choice < 0.6:
            return replace(self.speech.events(), workspace=random.choice((ONE, TWO)))
        if choice < 0.8 or not live:
            return random.choice((Verdicts(()), self.speech.entities()))
        if choice < 0.98:
            return Resend(random.choice([*self.twin.outbox, 0, self.twin.last_op + 1]))
        return Goodbye("server.stopping", "", 1.0)

    def accepted(self) -> Events:
        """Return what accepts own changes, some of which may never have been made."""
        ops = [*self.twin.sent[: self.random.randrange(1, 4)], self.twin.last_op + 1]
        some = ops if self.random.random() < 0.1 else ops[:-1]
        return Events(ONE, tuple(Verdict(op, seq=op, event=True) for op in some), bytes(16))


def mutated(random: Random, count: int) -> list[Message]:
    """Return legal messages, a third of them what is left of mutated frames."""
    speech = Speech(random)
    messages = [speech.message() for _ in range(count)]
    frames = [frame_of(encode(message)) for message in messages]
    while len(messages) < count * 3 // 2:
        try:
            messages.append(decode(mutate(random, random.choice(frames), frames)))
        except WireError:
            continue
    return messages


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.timeout(1200)  # with a large effort
def test_whatever_a_server_sends_is_followed_or_refused(
    part: int, effort: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rush, "RUSH_CHANGES_MIN", 2)
    random = Random(f"device {part}")
    speech = Speech(random)
    messages = mutated(random, MESSAGES)
    live = refused = 0
    for number in range(int(SEQUENCES * effort)):
        sequence = Sequence(random, speech, messages)
        try:
            sequence.run()
        except Exception as error:  # noqa: BLE001  any error is the find
            steps = "\n".join(sequence.steps)
            pytest.fail(f"{error!r}\nseed: part {part}, sequence {number}\nsteps:\n{steps}")
        live += sequence.twin.session.caught_up
        refused += sequence.twin.ended
    # Sequences that all end early, or never, would test little.
    assert live > SEQUENCES * effort / 20
    assert refused > SEQUENCES * effort / 20


def test_a_server_that_asks_again_for_ever_gets_the_same_and_no_more() -> None:
    twin = Twin(lambda apply: Applied(0, [(ONE, True)], len(twin.outbox)))
    twin.say_hello(0)
    welcome = Speech(Random(0)).welcome()
    twin.receive([replace(welcome, workspaces=()), Checkpoint(ONE, 0, bytes(16))])
    for _ in range(10):
        twin.edit(1000)
    for op in (1, 5, 11, 2**63 - 1, 0) * 40:
        twin.push()
        twin.receive([Resend(op)])
    assert twin.session.on_its_way <= 10


def test_a_second_welcome_and_what_only_devices_say_are_refused() -> None:
    speech = Speech(Random(0))
    for message in (speech.welcome(), speech.call(), speech.hello(), speech.push()):
        twin = Twin(lambda apply: Applied(0, [], 0))
        twin.say_hello(0)
        twin.receive([speech.welcome()])
        assert not twin.ended
        twin.receive([message])
        assert twin.ended
