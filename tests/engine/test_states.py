"""The state table: complete, closed, and what it emits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.engine.states import (
    TABLE,
    Cause,
    Facts,
    Input,
    Progress,
    State,
    StateMachine,
    Transition,
    next_state,
    render_table,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CAUSE = Cause("test.cause", "Because.")

# What cannot happen, and why: this list and the table are everything there is.
IMPOSSIBLE = {
    # Only a connection, or an attempt at one, can do these.
    (State.OFFLINE, Input.UNREACHABLE),
    (State.OFFLINE, Input.WELCOMED),
    (State.OFFLINE, Input.SETTLED),
    (State.OFFLINE, Input.UNSETTLED),
    (State.OFFLINE, Input.DROPPED),
    (State.ERROR, Input.UNREACHABLE),
    (State.ERROR, Input.WELCOMED),
    (State.ERROR, Input.SETTLED),
    (State.ERROR, Input.UNSETTLED),
    (State.ERROR, Input.DROPPED),
    # Nothing is dropped, settled or unsettled before the welcome.
    (State.CONNECTING, Input.SETTLED),
    (State.CONNECTING, Input.UNSETTLED),
    (State.CONNECTING, Input.DROPPED),
    # A standing connection is dropped first.
    (State.SYNCING, Input.ATTEMPT),
    (State.SYNCING, Input.UNREACHABLE),
    (State.SYNCING, Input.WELCOMED),
    (State.IN_SYNC, Input.ATTEMPT),
    (State.IN_SYNC, Input.UNREACHABLE),
    (State.IN_SYNC, Input.WELCOMED),
}


def machine() -> StateMachine:
    return StateMachine(NOON, CAUSE)


def test_every_pair_is_either_in_the_table_or_impossible() -> None:
    pairs = {(state, happened) for state in State for happened in Input}
    assert TABLE.keys() | IMPOSSIBLE == pairs
    assert not TABLE.keys() & IMPOSSIBLE


@pytest.mark.parametrize("pair", sorted(IMPOSSIBLE))
def test_an_impossible_pair_raises(pair: tuple[State, Input]) -> None:
    with pytest.raises(AssertionError, match="cannot happen"):
        next_state(*pair)


def test_every_state_can_be_reached_and_left() -> None:
    assert {state for (state, _), after in TABLE.items() if after is not state} == set(State)
    assert {after for (state, _), after in TABLE.items() if after is not state} == set(State)


@pytest.mark.parametrize("happened", [Input.SIGNED_OUT, Input.SWITCHED_OFF])
@pytest.mark.parametrize("state", State)
def test_signing_out_and_switching_off_lead_offline_from_anywhere(
    state: State, happened: Input
) -> None:
    assert next_state(state, happened) is State.OFFLINE


def test_in_sync_is_entered_from_syncing_only() -> None:
    entries = {state for (state, _), after in TABLE.items() if after is State.IN_SYNC}
    assert entries == {State.SYNCING, State.IN_SYNC}


def test_online_means_syncing_or_in_sync() -> None:
    assert {state for state in State if state.online} == {State.SYNCING, State.IN_SYNC}


def test_a_transition_tells_where_from_where_to_why_and_since_when() -> None:
    later = NOON + timedelta(seconds=5)
    life = machine()
    taken = life.take(Input.ATTEMPT, CAUSE, now=later, facts=Facts(3, 1))
    assert taken == Transition(State.OFFLINE, State.CONNECTING, CAUSE, later, Facts(3, 1))
    assert life.latest == taken
    assert life.state is State.CONNECTING


def test_staying_offline_is_a_step_only_when_the_cause_or_the_retry_differs() -> None:
    life = machine()
    later = NOON + timedelta(hours=1)
    other = Cause("sync.off", "Off.")
    assert life.take(Input.SWITCHED_OFF, CAUSE, now=later, facts=Facts()) is None
    stepped = life.take(Input.SWITCHED_OFF, other, now=later, facts=Facts())
    assert stepped is not None
    assert (stepped.before, stepped.after) == (State.OFFLINE, State.OFFLINE)
    assert stepped.since == NOON, "the state is as old as before"
    assert (
        life.take(Input.SWITCHED_OFF, other, now=later, facts=Facts(), retry_at=later) is not None
    )


def test_edits_while_syncing_are_no_steps() -> None:
    life = machine()
    life.take(Input.ATTEMPT, CAUSE, now=NOON, facts=Facts())
    life.take(Input.WELCOMED, CAUSE, now=NOON, facts=Facts())
    busy = Cause("sync.pending", "Busy.")
    assert life.take(Input.UNSETTLED, busy, now=NOON, facts=Facts(1)) is None
    assert life.take(Input.SETTLED, CAUSE, now=NOON, facts=Facts()) is not None
    assert life.take(Input.SETTLED, busy, now=NOON, facts=Facts()) is None
    assert life.take(Input.UNSETTLED, busy, now=NOON, facts=Facts(1)) is not None


@given(st.lists(st.sampled_from(Input)))
def test_transitions_form_one_unbroken_chain(inputs: list[Input]) -> None:
    life = machine()
    seen = [life.latest]
    for number, happened in enumerate(inputs):
        if (life.state, happened) not in TABLE:
            continue
        cause = Cause(f"cause.{number}", "Step.")
        transition = life.take(happened, cause, now=NOON, facts=Facts())
        if transition is not None:
            seen.append(transition)
    assert all(one.after is two.before for one, two in pairwise(seen))


@pytest.mark.parametrize("progress", [None, Progress(2, 5)])
@pytest.mark.parametrize("retry_at", [None, NOON])
def test_a_transition_survives_the_control_socket(
    progress: Progress | None, retry_at: datetime | None
) -> None:
    transition = Transition(
        State.SYNCING, State.OFFLINE, CAUSE, NOON, Facts(7, 2, progress), retry_at
    )
    assert Transition.from_dict(transition.as_dict()) == transition


def test_the_table_is_rendered_for_the_docs() -> None:
    lines = render_table().splitlines()
    assert len(lines) == 2 + len(State)
    assert lines[0].count("|") == len(Input) + 2
    assert "| SYNCING |" in render_table()
