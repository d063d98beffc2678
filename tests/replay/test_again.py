"""An event and its basis give back the change, which the real rules accept again."""

from __future__ import annotations

from hypothesis import given

from kafkaman_server.decide import Author, World, decide
from kafkaman_sync.model.changes import Action, Basis, Change, Event, basis_of
from kafkaman_sync.replay.again import change_of
from kafkaman_sync.replay.records import Logged
from tests.protocol.samples import changes


def logged(change: Change, basis: Basis | None) -> Logged:
    values = {name: edit.value for name, edit in change.fields.items()}
    return Logged(
        Event(
            change.workspace, 7, change.action, change.entity, "a", "d", change.op, 0,
            change.kind, change.place, values,
        ),
        basis,
    )  # fmt: skip


@given(changes())
def test_a_change_that_was_accepted_whole_comes_back(change: Change) -> None:
    again = change_of(logged(change, basis_of(change, sorted(change.fields))))
    assert again is not None
    if change.action is Action.UPDATE:
        assert again == change
    else:
        assert (again.op, again.previous, again.base) == (change.op, change.previous, change.base)
        assert (again.kind, again.place) == (change.kind, change.place)


@given(changes().filter(lambda change: change.action is Action.CREATE))
def test_without_a_basis_it_is_taken_to_have_seen_all_before(change: Change) -> None:
    again = change_of(logged(change, None))
    assert again is not None
    assert again.base == 6
    world = World(change.workspace, head=6)
    decided = decide(world, again, Author("a", "d", "owner"), at=0)
    assert decided.verdict.disagreements == ()


def test_a_purge_was_no_change() -> None:
    assert change_of(Logged(Event("w" * 32, 3, Action.PURGE, "e" * 32, "", "", 0, 0))) is None
