"""What would have come out: the real rules over another order of what people really did."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import Action, ConflictCode
from kafkaman_sync.model.entities import Kind, Place
from kafkaman_sync.model.values import encode_value, read_value
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.order import Edit, Move, Skip, Swap
from kafkaman_sync.replay.otherwise import EntityDifference, Obstacle, Outcome, Word
from kafkaman_sync.replay.source import choose_log
from kafkaman_sync.replay.what_if import what_if
from tests.replay.logs import LogFile, id_of


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    """A collection (1) with a folder (2), a request (3) and its first address (4)."""
    log = LogFile(tmp_path / "kafkaman.db")
    collection = log.create(Kind.COLLECTION, {"name": "API"})
    log.create(Kind.FOLDER, {"name": "Users"}, parent=collection)
    log.create(Kind.REQUEST, {"name": "Ping"}, parent=collection)
    log.update(PING, {"url": "first"})
    return log


API, USERS, PING = id_of(1), id_of(2), id_of(3)


def outcome(log: LogFile, *edits: Edit, first: int | None = None) -> Outcome:
    path = log.save()
    before = path.read_bytes()
    with open_source(str(path)) as source:
        found = what_if(source, choose_log(source, None), edits, first=first)
    assert path.read_bytes() == before, "a what-if writes nothing"
    assert (found.changes_count, found.entities_count) == (len(found.changes), len(found.entities))
    return found


def verdicts(outcome: Outcome) -> dict[int, tuple[Word, Word]]:
    return {each.seq: (each.was.word, each.then.word) for each in outcome.changes}


def fields(entities: Iterable[EntityDifference], entity: str) -> dict[str, list[object]]:
    (found,) = [each for each in entities if each.id == entity]
    return {
        each.name: [None if side is None else read_value(side) for side in (each.was, each.then)]
        for each in found.fields
    }


def write(log: LogFile, value: str, *, by: str, base: int, seen: str | None = None) -> None:
    priors = {} if seen is None else {"url": encode_value(seen)}
    log.push(
        Action.UPDATE, PING, by=by, fields={"url": encode_value(value)}, base=base, priors=priors
    )


def test_in_the_real_order_all_comes_out_as_it_did(log: LogFile) -> None:
    write(log, "second", by="phone", base=4, seen="first")
    write(log, "lost", by="laptop", base=4, seen="first")
    found = outcome(log, first=1)
    assert (found.decided, found.head, found.head_then) == (6, 5, 5)
    assert (found.changes, found.entities, found.notes) == ([], [], [])


def test_what_depends_on_a_skipped_creation_is_refused_or_in_conflict(log: LogFile) -> None:
    log.create(Kind.REQUEST, {"name": "Pong"}, parent=USERS)
    log.move(PING, USERS)
    found = outcome(log, Skip(2))
    assert verdicts(found) == {
        5: (Word.ACCEPTED, Word.REFUSED),
        6: (Word.ACCEPTED, Word.CONFLICT),
    }
    refusal = found.changes[0].then.refusal
    assert refusal is not None
    assert refusal.code == "parent_refused"
    assert found.changes[0].name == "Pong"
    assert found.head_then == 3
    gone = {each.id for each in found.entities if each.then is None}
    assert gone == {USERS, id_of(4)}
    (moved,) = [each for each in found.entities if each.id == PING]
    assert moved.was is not None
    assert moved.then is not None
    assert (moved.was.place.parent, moved.then.place.parent) == (USERS, API)


def test_of_two_who_wrote_at_once_the_first_to_come_wins(log: LogFile) -> None:
    write(log, "of the phone", by="phone", base=4)
    log.update(PING, {"method": "GET"})
    log.push(
        Action.UPDATE, PING, by="tablet", base=5, fields={"url": encode_value("of the tablet")}
    )
    found = outcome(log, Swap(5, 7))
    assert verdicts(found) == {5: (Word.ACCEPTED, Word.CONFLICT)}
    (lost,) = found.changes
    assert lost.then.obstacles == (Obstacle(ConflictCode.FIELD, "url", 7),)
    assert (lost.device, lost.op, lost.seq_then) == (log.writer("phone").author.device, 1, None)
    assert found.entities == [], "the tablet's value stands, as it does"


def test_a_base_still_covers_what_had_been_seen_when_something_unseen_comes_before_it(
    log: LogFile,
) -> None:
    log.update(PING, {"url": "second"}, by="phone")  # 5
    write(log, "third", by="laptop", base=5, seen="other")  # 6: has seen 5, whatever the prior
    log.update(API, {"name": "More"}, by="tablet")  # 7
    found = outcome(log, Move(7, 5))
    assert found.changes == []
    assert found.entities == []


def test_what_had_not_been_seen_is_not_overwritten_however_early_it_comes(log: LogFile) -> None:
    log.update(API, {"name": "More"}, by="phone")  # 5
    log.update(API, {"name": "Most"}, by="phone")  # 6
    write(log, "of the laptop", by="laptop", base=6, seen="first")  # 7
    log.update(PING, {"url": "of the tablet"}, by="tablet")  # 8
    found = outcome(log, Move(8, 5))
    assert verdicts(found) == {7: (Word.ACCEPTED, Word.CONFLICT)}
    assert found.entities == []


def test_a_deletion_covers_what_its_person_had_seen_below(log: LogFile) -> None:
    log.update(PING, {"url": "second"}, by="phone")  # 5
    log.delete(API)  # 6, in full view
    log.create(Kind.ENVIRONMENT, {"name": "E"}, by="tablet")  # 7
    assert outcome(log, Move(7, 5)).changes == []
    found = outcome(log, Move(6, 5))
    # The laptop had seen 5, which only comes now: what it writes to is deleted.
    assert verdicts(found) == {5: (Word.ACCEPTED, Word.CONFLICT)}
    log.update(id_of(4), {"name": "F"}, by="phone")  # 8
    assert outcome(log, Skip(7)).changes[0].then.word is Word.CONFLICT


def test_a_deletion_conflicts_with_what_its_person_had_not_seen(log: LogFile) -> None:
    log.delete(API)  # 5
    log.restore(API)  # 6
    log.update(PING, {"url": "second"}, by="phone")  # 7
    found = outcome(log, Move(7, 5))
    assert verdicts(found) == {5: (Word.ACCEPTED, Word.CONFLICT), 6: (Word.ACCEPTED, Word.NOTHING)}
    assert found.changes[0].then.obstacles == (Obstacle(ConflictCode.CHANGED, "", 7),)


def test_what_lost_is_accepted_without_the_winner_though_its_value_is_not_known(
    log: LogFile,
) -> None:
    write(log, "winner", by="phone", base=4)  # 5
    write(log, "loser", by="laptop", base=4, seen="first")
    found = outcome(log, Skip(5))
    assert verdicts(found) == {5: (Word.CONFLICT, Word.ACCEPTED)}
    assert found.changes[0].seq_then == 5
    was, then = fields(found.entities, PING)["url"]
    assert was == "winner"
    assert then == found.entities[0].fields[0].then, "no value that could be read"
    assert len(found.notes) == 1
    assert "not in the log" in found.notes[0]


def test_the_fields_that_lost_are_judged_with_those_that_won(log: LogFile) -> None:
    log.update(PING, {"url": "winner"}, by="phone")  # 5
    both = {"url": encode_value("loser"), "method": encode_value("PUT")}
    log.push(Action.UPDATE, PING, base=4, fields=both, priors={"url": encode_value("first")})  # 6
    assert outcome(log, first=5).changes == []
    found = outcome(log, Skip(5))
    assert verdicts(found) == {6: (Word.PARTLY, Word.ACCEPTED)}
    assert found.changes[0].was.accepted == ("method",)
    assert found.changes[0].then.accepted == ("method", "url")


def test_who_lost_goes_on_from_what_they_had_written(log: LogFile) -> None:
    write(log, "winner", by="phone", base=4)  # 5
    write(log, "loser", by="laptop", base=4, seen="first")
    write(log, "loser and more", by="laptop", base=4, seen="loser")
    found = outcome(log, Skip(5))
    assert [each.then.word for each in found.changes] == [Word.ACCEPTED, Word.ACCEPTED]
    write(log, "of the tablet", by="tablet", base=4, seen="first")
    still = outcome(log, Skip(5))
    assert still.changes == found.changes, "it was, and is, in conflict"


def test_the_same_value_never_conflicts_known_or_not(log: LogFile) -> None:
    write(log, "winner", by="phone", base=4)  # 5
    write(log, "loser", by="laptop", base=4, seen="first")
    log.update(API, {"name": "x"}, by="phone")  # 6
    write(log, "loser", by="tablet", base=4, seen="first")
    found = outcome(log, Skip(5))
    assert [each.then.word for each in found.changes] == [Word.ACCEPTED, Word.ACCEPTED]


def test_a_value_that_is_known_later_is_shown_as_what_it_is(log: LogFile) -> None:
    write(log, "winner", by="phone", base=4)  # 5
    write(log, "loser", by="laptop", base=4, seen="first")
    log.update(PING, {"url": "loser"}, by="tablet")  # 6
    found = outcome(log, Skip(5))
    assert [each.then.word for each in found.changes] == [Word.ACCEPTED]
    assert found.entities == [], "it ends with the same value, known by then"


def test_what_was_refused_as_a_whole_may_be_accepted(log: LogFile) -> None:
    log.delete(USERS)  # 5
    log.push(
        Action.CREATE, id_of(9), by="phone", kind=Kind.REQUEST, place=Place(USERS, "k"),
        fields={"name": encode_value("New")}, base=4,
    )  # fmt: skip
    log.push(Action.MOVE, PING, by="phone", place=Place(USERS, "k"), base=4)
    found = outcome(log, Skip(5))
    assert [(each.was.word, each.then.word) for each in found.changes] == [
        (Word.REFUSED, Word.ACCEPTED),
        (Word.CONFLICT, Word.ACCEPTED),
    ]
    assert found.head_then == 6


def test_what_the_log_does_not_tell_enough_about_stays_refused(log: LogFile) -> None:
    log.update(API, {"name": "More"})  # 5
    write(log, "from the future", by="phone", base=99)
    found = outcome(log, Skip(5))
    assert found.changes == []


def test_a_purge_is_decided_by_its_rule(log: LogFile) -> None:
    log.delete(API)  # 5
    for entity in (PING, USERS, API):
        log.purge(entity)  # 6, 7, 8
    assert outcome(log, first=1).changes == []
    found = outcome(log, Skip(5))
    assert verdicts(found) == dict.fromkeys((6, 7, 8), (Word.PURGED, Word.KEPT))
    assert {each.id for each in found.entities} == {API, USERS, PING}
    assert all(each.was is None for each in found.entities)
    # What lies below is not left without what it lies in.
    assert verdicts(outcome(log, Skip(6))) == {8: (Word.PURGED, Word.KEPT)}
    assert outcome(log, Skip(3)).changes[-1].then.word is Word.NOTHING


def test_what_was_deleted_later_was_not_old_enough_to_purge(log: LogFile) -> None:
    log.delete(USERS)  # 5
    log.purge(USERS)  # 6
    log.delete(PING)  # 7
    found = outcome(log, Move(6, 5))
    assert verdicts(found) == {6: (Word.PURGED, Word.KEPT)}
    assert outcome(log, Move(6, 8)).changes == []


def test_ops_of_a_device_in_another_order_are_told(log: LogFile) -> None:
    assert outcome(log, Swap(3, 4)).notes[0].startswith("Changes of one device come in another")
    log.update(PING, {"url": "second"}, by="phone")
    assert outcome(log, Swap(4, 5)).notes == []


def test_where_events_are_missing_nothing_is_decided(log: LogFile) -> None:
    for value in ("second", "third", "fourth"):
        log.update(PING, {"url": value}, by="phone")
    before = log.head - 2
    del log.events[before]
    with pytest.raises(ReplayError) as caught:
        outcome(log, Skip(before))
    assert (caught.value.code, caught.value.details["seq"]) == ("replay.gap", before + 1)


def test_it_begins_at_the_horizon_and_after_what_the_bases_hold(log: LogFile) -> None:
    log.update(PING, {"url": "second"}, by="phone")
    log.fold(3)
    assert verdicts(outcome(log, Skip(4), first=4)) == {}
    assert fields(outcome(log, Skip(5)).entities, PING) == {"url": ["second", "first"]}
    for edits, first in (([Skip(3)], None), ([], 3), ([], 7), ([Skip(9)], None)):
        with pytest.raises(ReplayError) as caught:
            outcome(log, *edits, first=first)
        assert caught.value.code == "replay.order"


def test_a_log_without_bases_is_taken_to_have_been_written_in_full_view(log: LogFile) -> None:
    log.update(PING, {"url": "second"}, by="phone")
    log.events = [(seq, entity, body, None, digest) for seq, entity, body, _, digest in log.events]
    found = outcome(log, Skip(4))
    assert found.changes == []
    assert found.notes[0].startswith("1 changes are from before")


def test_it_can_be_ended_early(log: LogFile) -> None:
    for number in range(600):
        log.update(PING, {"url": str(number)})

    def told(count: int) -> None:
        raise KeyboardInterrupt(count)

    with open_source(str(log.save())) as source, pytest.raises(KeyboardInterrupt):
        what_if(source, choose_log(source, None), [Skip(4)], told=told)


def test_more_than_memory_should_hold_goes_by_the_file_on_the_side(
    log: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kafkaman_sync.replay.aside._ENTRIES_MAX", 2)
    for number in range(20):
        log.create(Kind.REQUEST, {"name": str(number)}, parent=API)
    log.delete(USERS, by="phone")
    log.delete(API, by="phone")
    log.restore(API)
    assert outcome(log, first=1).changes == []
    found = outcome(log, Skip(log.head - 1), Skip(5))
    assert verdicts(found) == {log.head: (Word.ACCEPTED, Word.NOTHING)}
    assert [each.id for each in found.entities] == [id_of(4)]
