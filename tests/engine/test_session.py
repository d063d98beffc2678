"""One connection's session, driven by messages."""

from __future__ import annotations

import pytest

from kafkaman_sync.engine.session import (
    Answer,
    Applied,
    Apply,
    End,
    Enter,
    Phase,
    Session,
    Tell,
)
from kafkaman_sync.engine.states import Progress
from kafkaman_sync.errors import WireError
from kafkaman_sync.model.changes import Verdict
from kafkaman_sync.protocol.messages import (
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
    WorkspaceHead,
)

ONE, TWO = "1" * 32, "2" * 32
DIGEST = bytes(16)


def hello(confirmed_op: int = 0) -> Hello:
    return Hello("token", "d" * 32, "", (), confirmed_op)


def welcome(*workspaces: str) -> Welcome:
    heads = tuple(WorkspaceHead(each, each[0], "owner", 9, ()) for each in workspaces)
    return Welcome("server", "epoch", "lease", "account", "d" * 32, 0, heads)


def greeted(*workspaces: str, pending: int = 0) -> Session:
    session = Session(pending)
    session.hello(hello())
    session.received([welcome(*workspaces)], 0.0)
    return session


def apply(session: Session, *messages: Message, pending: int = 0, verdict_op: int = 0) -> None:
    """Give messages to the session and let the store find every digest equal."""
    for output in session.received(messages, 0.0):
        assert isinstance(output, Apply)
        equal = [
            (each.workspace, True)
            for each in output.messages
            if isinstance(each, Checkpoint)
            or (isinstance(each, Events) and each.digest is not None)
        ]
        session.applied(output, Applied(verdict_op, equal, pending))


def ready(session: Session) -> tuple[bool, bool]:
    """Whether it is caught up, and whether it is settled."""
    return session.caught_up, session.settled


def live(pending: int = 0) -> Session:
    session = greeted(ONE, pending=pending)
    apply(session, Verdicts(()), Checkpoint(ONE, 9, DIGEST), pending=pending)
    return session


def test_hello_comes_first_and_the_welcome_is_entered() -> None:
    session = Session()
    assert session.hello(hello()) == hello()
    assert session.received([welcome(ONE)], 0.0) == [Enter(welcome(ONE))]
    assert session.phase is Phase.CATCHING_UP


def test_hello_is_said_once() -> None:
    session = greeted(ONE)
    with pytest.raises(AssertionError):
        session.hello(hello())


def test_neighbours_in_the_stream_are_applied_in_one_transaction() -> None:
    events, checkpoint = Events(ONE, (b"event",)), Checkpoint(ONE, 1, DIGEST)
    reply, verdicts = Reply(1, {}), Verdicts(())
    outputs = greeted(ONE).received([events, verdicts, reply, checkpoint], 0.0)
    assert outputs == [Apply((events, verdicts)), Answer(reply), Apply((checkpoint,))]


def test_it_is_caught_up_when_every_workspace_had_its_checkpoint() -> None:
    session = greeted(ONE, TWO)
    apply(session, Verdicts(()), Checkpoint(ONE, 9, DIGEST))
    assert ready(session) == (False, False)
    apply(session, Checkpoint(TWO, 9, DIGEST))
    assert ready(session) == (True, True)


def test_nothing_is_pushed_before_the_catch_up_has_ended() -> None:
    session = greeted(ONE, pending=1)
    assert session.room() is None
    apply(session, Verdicts(()), Checkpoint(ONE, 9, DIGEST), pending=1)
    assert session.room() is not None


def test_a_verdict_that_was_caught_up_with_holds_no_older_op_back() -> None:
    session = greeted(ONE, pending=2)
    apply(session, Verdicts((Verdict(9),)), pending=2, verdict_op=9)
    apply(session, Checkpoint(ONE, 9, DIGEST), pending=2)
    room = session.room()
    assert room is not None
    assert room.after == 0


def test_a_digest_that_was_not_found_equal_settles_nothing() -> None:
    session = greeted(ONE)
    (output,) = session.received([Checkpoint(ONE, 9, DIGEST)], 0.0)
    assert isinstance(output, Apply)
    session.applied(output, Applied(0, [(ONE, False)], 0))
    assert ready(session) == (True, False)


def test_events_without_a_digest_unsettle_until_the_commits_last_message() -> None:
    session = live()
    apply(session, Events(ONE, (b"one",)))
    assert ready(session) == (True, False)
    apply(session, Events(ONE, (b"two",), DIGEST))
    assert ready(session) == (True, True)


def test_a_digest_that_was_not_compared_proves_nothing() -> None:
    session = live()
    (output,) = session.received([Events(ONE, (b"one",), DIGEST)], 0.0)
    assert isinstance(output, Apply)
    session.applied(output, Applied(0, [], 0))
    assert ready(session) == (True, False)


def test_catching_up_again_in_the_middle_unsettles_until_its_checkpoint() -> None:
    session = live()
    apply(session, Entities(ONE, (b"row",), mark=3, total=2))
    assert ready(session) == (True, False)
    apply(session, Entities(ONE, (b"row",), mark=4, total=2, through=12))
    assert ready(session) == (True, False)
    apply(session, Verdicts(()), Checkpoint(ONE, 12, DIGEST))
    assert ready(session) == (True, True)


def test_an_edit_unsettles_until_its_verdict() -> None:
    session = live()
    session.edited(1, 0.0)
    assert ready(session) == (True, False)
    assert session.push([(1, b"change")]) == [Push((b"change",), 0)]
    assert session.on_its_way == 1
    apply(session, Events(ONE, (Verdict(1, seq=10, event=True),), DIGEST), verdict_op=1)
    assert ready(session) == (True, True)
    session.edited(1, 0.0)
    assert session.push([(2, b"next")]) == [Push((b"next",), 1)]


def test_confirmed_op_starts_at_what_hello_said() -> None:
    session = Session(1)
    session.hello(hello(confirmed_op=41))
    session.received([welcome(ONE)], 0.0)
    apply(session, Verdicts(()), Checkpoint(ONE, 9, DIGEST), pending=1)
    assert session.push([(42, b"change")]) == [Push((b"change",), 41)]


def test_a_resend_rewinds_the_window() -> None:
    session = live(pending=3)
    session.push([(1, b"a"), (2, b"b"), (3, b"c")])
    assert session.received([Resend(2)], 0.0) == []
    room = session.room()
    assert room is not None
    assert room.after == 1


def test_progress_counts_rows_events_and_pushes() -> None:
    session = greeted(ONE, TWO, pending=4)
    session.expect({ONE: 10, TWO: 0})
    assert session.progress == Progress(0, 14)
    apply(session, Events(ONE, (b"e",) * 3), pending=4)
    assert session.progress == Progress(3, 14)
    apply(session, Events(ONE, (b"e",) * 9), pending=1)
    assert session.progress == Progress(13, 14), "more than was expected counts as all"


def test_catch_up_by_state_counts_its_rows_instead_of_events() -> None:
    session = greeted(ONE)
    session.expect({ONE: 50_000})
    apply(session, Entities(ONE, (b"row",) * 250, mark=1, full=True, total=1000))
    assert session.progress == Progress(250, 1000)


def test_settling_begins_the_count_anew() -> None:
    session = greeted(ONE)
    session.expect({ONE: 3})
    apply(session, Events(ONE, (b"e",) * 3), Verdicts(()), Checkpoint(ONE, 3, DIGEST))
    assert ready(session) == (True, True)
    assert session.progress is None


def test_notices_and_goodbyes_are_passed_on() -> None:
    session = live()
    notice, goodbye = Notice("quota.near", "Nearly full."), Goodbye("server.stopping", "Bye.")
    assert session.received([notice, goodbye], 0.0) == [Tell(notice), End(goodbye)]
    assert session.phase is Phase.ENDED
    assert session.room() is None


def test_a_refused_hello_is_a_goodbye_without_a_welcome() -> None:
    session = Session()
    session.hello(hello())
    goodbye = Goodbye("device.unknown", "Unknown.")
    assert session.received([goodbye], 0.0) == [End(goodbye)]


def test_calls_have_ids_of_their_own() -> None:
    session = live()
    assert [session.call("ping", {}).id for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(
    "message",
    [Events(ONE, ()), Checkpoint(ONE, 1, DIGEST), Verdicts(()), Resend(1)],
    ids=lambda message: type(message).__name__,
)
def test_the_stream_cannot_begin_before_the_welcome(message: Message) -> None:
    session = Session()
    session.hello(hello())
    with pytest.raises(WireError) as caught:
        session.received([message], 0.0)
    assert caught.value.code == "wire.order"


def test_a_second_welcome_is_out_of_order() -> None:
    with pytest.raises(WireError):
        live().received([welcome(ONE)], 0.0)


def test_a_server_does_not_send_what_devices_send() -> None:
    with pytest.raises(WireError):
        live().received([Push(())], 0.0)
