"""Stepping through a log, both ways, and what each place shows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import ROOT, Kind, Place
from kafkaman_sync.model.values import encode_value, read_value
from kafkaman_sync.replay.branches import BELOW_MAX
from kafkaman_sync.replay.expression import parse_expression
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.source import choose_log
from kafkaman_sync.replay.stepping import Step, Stepper
from tests.replay.logs import BEGAN_AT, LogFile, id_of

API, USERS, PING, VARIABLE = (id_of(number) for number in range(1, 5))


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    """1..3: a tree; 4: an address; 5: a move; 6: a deletion; 7: a restoration; 8: a name."""
    log = LogFile(tmp_path / "kafkaman.db")
    log.create(Kind.COLLECTION, {"name": "API"})
    log.create(Kind.FOLDER, {"name": "Users"}, parent=API)
    log.create(Kind.REQUEST, {"name": "Ping"}, parent=API)
    log.update(PING, {"url": "first"}, by="phone")
    log.move(PING, USERS)
    log.delete(USERS)
    log.restore(USERS)
    log.update(API, {"name": "The API"}, by="phone")
    return log


@pytest.fixture
def stepper(log: LogFile) -> Iterator[Stepper]:
    with open_stepper(log.save()) as stepper:
        yield stepper


class open_stepper:  # noqa: N801 - used as a function
    def __init__(self, path: Path) -> None:
        self._opening = open_source(str(path))

    def __enter__(self) -> Stepper:
        source = self._opening.__enter__()
        self._stepper = Stepper(source, choose_log(source, None), source.names())
        return self._stepper

    def __exit__(self, *error: object) -> None:
        self._stepper.close()
        self._opening.__exit__(None, None, None)


def last(steps: Iterator[Step | None]) -> Step:
    *pieces, found = steps
    assert pieces == [None] * len(pieces)
    assert found is not None
    return found


def url(step: Step) -> list[object]:
    return [
        None
        if side is None
        else read_value(side.fields["url"].value)
        if "url" in side.fields
        else ""
        for side in (step.before, step.after)
    ]


def tree(stepper: Stepper, *opened: str) -> list[tuple[int, str, bool, bool]]:
    while stepper.branches.read(3):
        pass
    return [
        (branch.level, branch.node.name, branch.node.deleted, branch.has_below)
        for branch in stepper.branches.visible(stepper.at, set(opened), 100)
    ]


def test_it_begins_at_the_end_and_steps_to_the_beginning_and_back(stepper: Stepper) -> None:
    assert stepper.at == 8
    assert stepper.here().seq == 8
    back = [last(stepper.steps(backward=True)).seq for _ in range(9)]
    assert back == [7, 6, 5, 4, 3, 2, 1, 0, 0]
    forward = [last(stepper.steps(backward=False)).seq for _ in range(9)]
    assert forward == [1, 2, 3, 4, 5, 6, 7, 8, 8]


def test_each_place_has_the_state_before_and_after_its_event(stepper: Stepper) -> None:
    assert url(stepper.step(4)) == ["", "first"]
    created = stepper.step(3)
    assert (created.before, created.after is not None) == (None, True)
    moved = stepper.step(5)
    assert [side and side.place.parent for side in (moved.before, moved.after)] == [API, USERS]
    beginning = stepper.jump(0)
    assert (beginning.entry, beginning.before, beginning.fault) == (None, None, "")


def test_it_jumps_to_a_seq_or_a_time(stepper: Stepper) -> None:
    assert stepper.jump(3).seq == 3
    assert stepper.jump_to_time(BEGAN_AT + 5500).seq == 5
    assert stepper.jump_to_time(0).seq == 0
    with pytest.raises(ReplayError) as caught:
        stepper.jump(9)
    assert caught.value.code == "replay.future"
    assert stepper.at == 0


def test_it_runs_to_where_an_expression_holds_both_ways(stepper: Stepper) -> None:
    phone = parse_expression("device == phone")
    stepper.jump(0)
    assert [last(stepper.run(phone, backward=False)).seq for _ in range(3)] == [4, 8, 8]
    assert [last(stepper.run(phone, backward=True)).seq for _ in range(2)] == [4, 4]
    state = parse_expression('before.name == "API" and after.name == "The API"')
    assert last(stepper.run(state, backward=False)).seq == 8
    stepper.jump(0)
    assert last(stepper.run(phone, backward=True)).seq == 0


def test_looking_for_it_can_be_stopped_between_two_pieces(
    stepper: Stepper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kafkaman_sync.replay.stepping.SEARCHED_AT_ONCE", 2)
    stepper.jump(0)
    run = stepper.run(parse_expression("seq == 8"), backward=False)
    assert [next(run), next(run)] == [None, None]
    assert stepper.at == 0
    assert last(stepper.run(parse_expression("seq == 7"), backward=False)).seq == 7


def test_a_filter_holds_of_what_is_listed_and_stepped_through(stepper: Stepper) -> None:
    stepper.filter_by(parse_expression("action in (create, delete)"))
    assert str(stepper.filtering) == 'action in ("create", "delete")'
    assert last(stepper.steps(backward=True)).seq == 6
    assert last(stepper.steps(backward=True)).seq == 3
    assert [each.seq for each in stepper.around(1, 5)] == [2, 3, 6]
    stepper.jump(8)
    assert [each.seq for each in stepper.around(9, 9)] == [1, 2, 3, 6]
    assert last(stepper.steps(backward=False)).seq == 8
    stepper.filter_by(None)
    assert [each.seq for each in stepper.around(2, 5)] == [6, 7, 8]
    assert stepper.around(0, 0)[0].described.name == "The API"


def test_the_tree_is_there_at_every_place(stepper: Stepper) -> None:
    assert tree(stepper, API, USERS) == [
        (0, "The API", False, True), (1, "Users", False, True), (2, "Ping", False, False),
    ]  # fmt: skip
    assert tree(stepper) == [(0, "The API", False, True)]
    stepper.jump(6)
    assert tree(stepper, API)[1] == (1, "Users", True, True)
    assert [node.name for node in stepper.branches.path(PING, 6)] == ["API", "Users"]
    stepper.jump(4)
    assert tree(stepper, API) == [
        (0, "API", False, True), (1, "Users", False, False), (1, "Ping", False, False),
    ]  # fmt: skip
    stepper.jump(0)
    assert tree(stepper, API) == []


def test_the_tree_follows_purges_restored_places_keys_and_the_horizon(log: LogFile) -> None:
    log.create(Kind.GLOBAL_VARIABLE, {"key": "host", "name": "not this"})
    log.remove_field(API, "name")
    log.update(API, {"key": "by key"})
    log.delete(USERS)
    log.purge(PING)
    log.restore(USERS, Place(API, "k"))
    log.fold(4)
    with open_stepper(log.save()) as stepper:
        assert tree(stepper, API) == [
            (0, "by key", False, True), (1, "Users", False, False), (0, "host", False, False),
        ]  # fmt: skip
        assert stepper.branches.node(PING, stepper.at) is None
        stepper.jump(4)
        assert tree(stepper, API)[2] == (1, "Ping", False, False)
        assert last(stepper.steps(backward=True)).seq == 4, "the horizon is the end"
        with pytest.raises(ReplayError):
            stepper.jump(3)


def test_a_name_that_is_no_unicode_text_is_shown_without_what_is_none(log: LogFile) -> None:
    log.create(Kind.ENVIRONMENT, {"name": "Dev \ud83d"})
    log.update(API, {"name": "\udc00 API"})
    with open_stepper(log.save()) as stepper:
        names = [name for _, name, _, _ in tree(stepper)]
        assert names == ["? API", "Dev ?"]


def test_of_very_many_in_one_place_the_first_are_listed(log: LogFile) -> None:
    for _ in range(BELOW_MAX + 5):
        log.create(Kind.REQUEST, {"name": "r"}, parent=USERS)
    with open_stepper(log.save()) as stepper:
        tree(stepper)
        shown = stepper.branches.visible(stepper.at, {API, USERS}, 5000)
        assert len(shown) == 2 + BELOW_MAX
        assert shown[-1].more == 6
        assert stepper.branches.visible(stepper.at, {API, USERS}, 7)[6].more == 0


def test_what_was_not_accepted_is_shown_at_its_place(log: LogFile) -> None:
    fields = {"url": encode_value("late"), "method": encode_value("GET")}
    priors = {"url": encode_value("never seen")}
    log.push(Action.UPDATE, PING, by="tablet", base=3, fields=fields, priors=priors)
    log.push(Action.CREATE, API, by="tablet", kind=Kind.COLLECTION, place=Place(ROOT, "V"))
    with open_stepper(log.save()) as stepper:
        step = stepper.here()
        assert step.lost is not None
        assert [each.field for each in step.lost.disagreements] == ["url"]
        assert [each.refusal and each.refusal.code for each in step.refused] == ["entity.exists"]
        assert stepper.step(8).refused == ()


def test_gaps_forged_events_and_bytes_that_are_none_are_stepped_over(log: LogFile) -> None:
    log.events = [row for row in log.events if row[0] not in (3, 6)]
    path = log.save()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE events SET body = x'c1' WHERE seq = 2")
    with open_stepper(path) as stepper:
        assert stepper.jump(3).fault == "The log has no event here."
        assert "cannot be read" in stepper.step(2).fault
        broken = stepper.step(4)
        assert "not there" in broken.fault
        assert [each.seq for each in stepper.around(9, 9)] == [1, 2, 3, 4, 5, 6, 7, 8]
        assert [each.entry is None for each in stepper.around(9, 0)] == [False, False, True]
        assert tree(stepper, API) == [(0, "API", False, False)]


def test_what_was_looked_at_is_held_in_bounded_memory(
    stepper: Stepper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kafkaman_sync.replay.stepping._KEPT_BYTES_MAX", 4000)
    for seq in (1, 2, 3, 4, 5):
        stepper.step(seq)
    assert stepper.step(5) is stepper.step(5)
    assert len(stepper._kept) < 4


@pytest.mark.parametrize("held", [0, 2000, 48 * 2**20])
def test_states_are_followed_however_few_are_held(
    log: LogFile, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr("kafkaman_sync.replay.tracking._HELD_BYTES_MAX", held)
    log.purge(PING)
    log.delete(USERS)
    log.purge(PING)
    with open_stepper(log.save()) as stepper:
        tracker = stepper.tracker()
        for seq in range(1, log.head + 1):
            step = stepper.step(seq)
            assert step.entry is not None
            assert step.entry.logged is not None
            assert tracker.around(step.entry.logged.event) == (step.before, step.after)
