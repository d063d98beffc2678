"""A session against its model, in whatever order hypothesis finds most likely to break it."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from kafkaman_sync.engine import rush
from kafkaman_sync.engine.session import Applied, Apply, Phase
from kafkaman_sync.model.changes import Verdict
from kafkaman_sync.protocol.messages import (
    Checkpoint,
    Entities,
    Events,
    Goodbye,
    Message,
    Notice,
    Reply,
    Resend,
    Verdicts,
    Welcome,
    WorkspaceHead,
)
from tests.engine.twin import Twin

WORKSPACES = ("1" * 32, "2" * 32)
DIGEST = bytes(16)

workspaces = st.sampled_from(WORKSPACES)
heads = st.builds(
    WorkspaceHead, workspaces, st.just("w"), st.just("owner"), st.integers(0, 9), st.just(())
)
welcomes = st.builds(
    Welcome, st.just("s"), st.just("e"), st.just("l"), st.just("a"), st.just("d" * 32),
    st.integers(0, 9), st.lists(heads, max_size=2).map(tuple),
)  # fmt: skip
streamed: st.SearchStrategy[Message] = st.one_of(
    st.builds(Checkpoint, workspaces, st.integers(0, 9), st.just(DIGEST)),
    st.builds(Events, workspaces, st.just((b"event",)), st.none() | st.just(DIGEST)),
    st.builds(Entities, workspaces, st.just((b"row",)), st.integers(0, 9), st.booleans()),
    st.just(Verdicts(())),
)
others: st.SearchStrategy[Message] = st.one_of(
    st.builds(Reply, st.integers(0, 3)), st.just(Notice("code", "message"))
)


class SessionMachine(RuleBasedStateMachine):
    """Rules for what a person, a store and a server do to a session."""

    def __init__(self) -> None:
        super().__init__()
        self.twin = Twin(self._judge)
        self.answers = 0
        self.equal = True

    def _judge(self, apply: Apply) -> Applied:
        ops = list(self.twin.outbox)[: self.answers]
        ops += [
            item.op
            for message in apply.messages
            if isinstance(message, Events)
            for item in message.items
            if isinstance(item, Verdict)
        ]
        for op in ops:
            self.twin.outbox.pop(op, None)
        named = [each.workspace for each in apply.messages if isinstance(each, Checkpoint | Events)]
        equal = [(workspace, self.equal) for workspace in named]
        return Applied(max(ops, default=0), equal, len(self.twin.outbox))

    @rule(confirmed_op=st.integers(0, 3))
    def say_hello(self, confirmed_op: int) -> None:
        self.twin.say_hello(confirmed_op)

    @rule(size=st.sampled_from((1, 1000, 1_100_000, 5_000_000)), count=st.sampled_from((1, 3, 600)),
          later=st.sampled_from((0.0, 0.001, 1.0)))  # fmt: skip
    def edit(self, size: int, count: int, later: float) -> None:
        for _ in range(count if size == 1 else 1):
            self.twin.edit(size, later=later)

    @rule(seconds=st.sampled_from((0.01, rush.PAUSE_SECONDS, rush.HELD_SECONDS_MAX)))
    def wait(self, seconds: float) -> None:
        self.twin.wait(seconds)

    @precondition(lambda self: self.twin.session.phase is Phase.LIVE and self.twin.sent)
    @rule(count=st.integers(1, 700), digest=st.none() | st.just(DIGEST),
          behind=st.lists(streamed | others, max_size=2))  # fmt: skip
    def accept(self, count: int, digest: bytes | None, behind: list[Message]) -> None:
        self.answers = 0
        verdicts = tuple(Verdict(op, seq=op, event=True) for op in self.twin.sent[:count])
        self.twin.receive([Events(WORKSPACES[0], verdicts, digest), *behind])

    @rule()
    def push(self) -> None:
        self.twin.push()

    @precondition(lambda self: not self.twin.ended)
    @rule(message=welcomes)
    def welcome(self, message: Welcome) -> None:
        self.twin.receive([message])

    @precondition(lambda self: self.twin.session.phase in (Phase.CATCHING_UP, Phase.LIVE))
    @rule(messages=st.lists(streamed | others, min_size=1, max_size=4), answers=st.integers(0, 700),
          equal=st.booleans())  # fmt: skip
    def stream(self, messages: list[Message], answers: int, equal: bool) -> None:
        self.answers, self.equal = answers, equal
        self.twin.receive(messages)

    @precondition(lambda self: self.twin.session.phase is Phase.LIVE)
    @rule(back=st.integers(-1, 700))
    def resend(self, back: int) -> None:
        self.twin.receive([Resend(max(0, self.twin.last_op - back))])

    @precondition(lambda self: not self.twin.ended)
    @rule(message=streamed | others | st.just(Goodbye("code", "message")))
    def anything(self, message: Message) -> None:
        self.twin.receive([message])


TestSession = SessionMachine.TestCase
