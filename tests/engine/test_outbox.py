"""The window over the outbox."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.engine.outbox import Encoded, Room, Window
from kafkaman_sync.model.limits import (
    MIB,
    PUSH_BYTES_MAX,
    PUSH_CHANGES_MAX,
    WINDOW_BYTES_MAX,
    WINDOW_CHANGES_MAX,
)
from kafkaman_sync.protocol.messages import Push


def small(first: int, last: int) -> list[Encoded]:
    return [(op, b"change %d" % op) for op in range(first, last + 1)]


def flatten(pushes: list[Push]) -> list[bytes]:
    return [data for push in pushes for data in push.changes]


def test_edits_made_close_together_go_out_in_one_push() -> None:
    window = Window()
    (push,) = window.send(small(1, 7), confirmed_op=0)
    assert push.changes == tuple(data for _, data in small(1, 7))
    assert len(window) == 7


def test_a_push_holds_at_most_so_many_changes() -> None:
    pushes = Window().send(small(1, PUSH_CHANGES_MAX + 1), confirmed_op=9)
    assert [len(push.changes) for push in pushes] == [PUSH_CHANGES_MAX, 1]
    assert all(push.confirmed_op == 9 for push in pushes)


def test_a_push_holds_at_most_so_many_bytes() -> None:
    large = b"x" * (PUSH_BYTES_MAX // 2 + 1)
    pushes = Window().send([(1, large), (2, large), (3, b"small")], confirmed_op=0)
    assert [len(push.changes) for push in pushes] == [1, 2]


def test_a_full_window_has_no_room_until_a_verdict_comes() -> None:
    window = Window()
    pushes = window.send(small(1, WINDOW_CHANGES_MAX + 50), confirmed_op=0)
    assert len(flatten(pushes)) == WINDOW_CHANGES_MAX
    assert window.room() is None
    window.answered(10)
    assert window.room() == Room(
        WINDOW_CHANGES_MAX, 10, WINDOW_BYTES_MAX - sum(len(d) for _, d in small(11, 2000))
    )


def test_a_change_larger_than_the_window_goes_alone() -> None:
    window = Window()
    huge = b"x" * (WINDOW_BYTES_MAX + MIB)
    assert len(flatten(window.send([(1, huge), (2, b"next")], confirmed_op=0))) == 1
    assert window.room() is None
    window.answered(1)
    assert flatten(window.send([(2, b"next")], confirmed_op=1)) == [b"next"]


def test_a_large_change_waits_until_nothing_else_is_on_its_way() -> None:
    window = Window()
    window.send([(1, b"first")], confirmed_op=0)
    assert window.send([(2, b"x" * WINDOW_BYTES_MAX)], confirmed_op=0) == []
    window.answered(1)
    assert len(window.send([(2, b"x" * WINDOW_BYTES_MAX)], confirmed_op=0)) == 1


def test_what_the_server_forgot_is_sent_again_from_there() -> None:
    window = Window()
    window.send(small(1, 9), confirmed_op=0)
    window.resend(4)
    room = window.room()
    assert room is not None
    assert room.after == 3
    assert len(window) == 3
    assert flatten(window.send(small(4, 9), confirmed_op=3)) == [d for _, d in small(4, 9)]


def test_an_answer_to_what_a_resend_took_back_moves_the_window_on() -> None:
    window = Window()
    window.send(small(1, 9), confirmed_op=0)
    window.resend(4)
    window.answered(5)
    room = window.room()
    assert room is not None
    assert room.after == 5


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.integers(1, 700)),
            st.tuples(st.just("answer"), st.integers(1, 700)),
            st.tuples(st.just("resend"), st.integers(0, 700)),
        ),
        max_size=40,
    )
)
def test_whatever_happens_every_op_goes_out_in_order_within_the_window(
    steps: list[tuple[str, int]],
) -> None:
    window, answered, next_op = Window(), 0, 1
    for what, amount in steps:
        room = window.room()
        if what == "send" and room is not None:
            assert room.after == next_op - 1
            sent = flatten(window.send(small(next_op, next_op + amount), confirmed_op=answered))
            assert sent == [data for _, data in small(next_op, next_op + len(sent) - 1)]
            next_op += len(sent)
        elif what == "answer":
            answered = min(answered + amount, next_op - 1)
            window.answered(answered)
        elif what == "resend":
            next_op = min(next_op, answered + 1 + amount)
            window.resend(next_op)
        assert len(window) == next_op - 1 - answered <= WINDOW_CHANGES_MAX
