"""The rules by which the server decides, one sentence of DESIGN each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_server.decide import Author, Decision, World, decide, purge
from kafkaman_sync.model.changes import Action, Change, ConflictCode, FieldEdit
from kafkaman_sync.model.digest import compute_digest
from kafkaman_sync.model.entities import ROOT, Kind, Place
from kafkaman_sync.model.limits import ENTITY_BYTES_MAX, FIELD_VALUE_BYTES_MAX, TREE_DEPTH_MAX
from kafkaman_sync.model.values import REMOVED, encode_value, hash_value

WORKSPACE = "f" * 32
ANNA = Author("a" * 32, "1" * 32, "owner")
BERT = Author("b" * 32, "2" * 32, "editor")


def entity_id(name: str) -> str:
    return name.encode().hex().ljust(32, "0")


class Log:
    """Feeds changes to decide() in a short notation, counting ops."""

    def __init__(self) -> None:
        self.world = World(WORKSPACE)
        self.op = 0

    def decide(self, author: Author, action: Action, name: str, **parts: Any) -> Decision:
        self.op += 1
        parts.setdefault("base", self.world.head)
        change = replace(Change(self.op, self.op - 1, WORKSPACE, action, entity_id(name)), **parts)
        return decide(self.world, change, author, at=1000)

    def create(
        self, name: str, kind: Kind, parent: str = ROOT, author: Author = ANNA, /, **values: str
    ) -> Decision:
        place = Place(entity_id(parent) if parent else ROOT, "V")
        fields = {field: edit(value) for field, value in values.items()}
        return self.decide(author, Action.CREATE, name, kind=kind, place=place, fields=fields)

    def update(self, author: Author, name: str, /, **fields: FieldEdit) -> Decision:
        return self.decide(author, Action.UPDATE, name, fields=fields)

    def move(self, author: Author, name: str, parent: str) -> Decision:
        place = Place(entity_id(parent) if parent else ROOT, "k")
        return self.decide(author, Action.MOVE, name, place=place)

    def delete(self, author: Author, name: str, base: int | None = None) -> Decision:
        return self.decide(
            author, Action.DELETE, name, base=self.world.head if base is None else base
        )


def edit(value: str, base: int = 0, seen: str | None = None) -> FieldEdit:
    prior = REMOVED if seen is None else encode_value(seen)
    return FieldEdit(encode_value(value), base, hash_value(prior))


@pytest.fixture
def log() -> Log:
    """A collection with a folder, a request in the folder, all by Anna; head 3."""
    log = Log()
    log.create("col", Kind.COLLECTION, name="C")
    log.create("dir", Kind.FOLDER, "col", name="F")
    log.create("req", Kind.REQUEST, "dir", name="R", url="u")
    return log


def codes(decision: Decision) -> list[ConflictCode]:
    return [part.code for part in decision.verdict.disagreements]


def refusal(decision: Decision) -> str | None:
    return decision.verdict.refusal.code if decision.verdict.refusal else None


def test_accepted_changes_get_consecutive_seqs_and_the_digest_follows(log: Log) -> None:
    decision = log.update(BERT, "req", url=edit("v", base=3))
    assert decision.verdict.seq == 4
    assert decision.verdict.event
    assert decision.event is not None
    assert decision.event.at == decision.verdict.at == 1000
    rows = [entry.entity for entry in log.world.entries.values()]
    assert log.world.digest == compute_digest(WORKSPACE, rows)


def test_a_stale_field_conflicts_and_the_rest_of_the_change_is_accepted(log: Log) -> None:
    log.update(ANNA, "req", url=edit("anna", base=3))
    decision = log.update(BERT, "req", url=edit("bert", base=3, seen="u"), name=edit("N", base=3))
    assert decision.verdict.accepted == ("name",)
    (part,) = decision.verdict.disagreements
    assert (part.code, part.field, part.version) == (ConflictCode.FIELD, "url", 4)
    assert part.theirs == encode_value("anna")
    assert decision.event is not None
    assert set(decision.event.fields) == {"name"}


def test_a_change_that_only_conflicts_has_no_event(log: Log) -> None:
    log.update(ANNA, "req", url=edit("anna", base=3))
    decision = log.update(BERT, "req", url=edit("bert", base=3, seen="u"))
    assert decision.verdict.seq is None
    assert decision.event is None
    assert log.world.head == 4


def test_a_stale_base_is_accepted_when_what_the_person_saw_still_stands(log: Log) -> None:
    log.update(ANNA, "req", url=edit("x", base=3))
    log.update(ANNA, "req", url=edit("u", base=4))
    assert log.update(BERT, "req", url=edit("bert", base=3, seen="u")).verdict.accepted == ("url",)


def test_equal_values_never_conflict(log: Log) -> None:
    log.update(ANNA, "req", url=edit("same", base=3))
    decision = log.update(BERT, "req", url=edit("same", base=3, seen="u"))
    assert decision.verdict.accepted == ("url",)


def test_a_new_field_is_accepted_whatever_its_base(log: Log) -> None:
    log.update(ANNA, "req", url=edit("x", base=3))
    assert log.update(BERT, "req", body=edit("b", base=0)).verdict.accepted == ("body",)


def test_the_own_device_is_not_exempt(log: Log) -> None:
    log.update(ANNA, "req", url=edit("one", base=3))
    assert codes(log.update(ANNA, "req", url=edit("two", base=3, seen="u"))) == [ConflictCode.FIELD]


def test_removing_a_field_is_a_write_like_any_other(log: Log) -> None:
    removal = FieldEdit(REMOVED, 3, hash_value(encode_value("u")))
    log.update(ANNA, "req", url=removal)
    entity = log.world.get(entity_id("req"))
    assert entity is not None
    assert "url" not in entity.values
    assert codes(log.update(BERT, "req", url=edit("v", base=3, seen="u"))) == [ConflictCode.FIELD]


@pytest.mark.parametrize("deleted", ["req", "dir", "col"])
def test_updating_what_is_deleted_or_below_it_conflicts(log: Log, deleted: str) -> None:
    log.delete(BERT, deleted)
    decision = log.update(ANNA, "req", url=edit("x", base=3))
    assert codes(decision) == [ConflictCode.DELETED]
    assert decision.verdict.disagreements[0].version == 4


def test_updating_what_is_gone_conflicts_without_a_version(log: Log) -> None:
    decision = log.update(ANNA, "gone", url=edit("x"))
    assert codes(decision) == [ConflictCode.DELETED]
    assert decision.verdict.disagreements[0].version == 0


def test_deleting_flags_only_the_entity_itself(log: Log) -> None:
    assert log.delete(BERT, "col").verdict.event
    folder = log.world.get(entity_id("dir"))
    assert folder is not None
    assert not folder.deleted


@pytest.mark.parametrize("changed", ["req", "dir", "col"])
def test_deleting_what_another_device_changed_since_conflicts(log: Log, changed: str) -> None:
    log.update(BERT, changed, name=edit("new", base=3))
    decision = log.delete(ANNA, "col", base=3)
    assert codes(decision) == [ConflictCode.CHANGED]
    assert decision.verdict.disagreements[0].version == 4


def test_own_changes_since_do_not_stop_a_deletion(log: Log) -> None:
    log.update(ANNA, "req", name=edit("new", base=3))
    log.update(ANNA, "req", name=edit("newer", base=4))
    assert log.delete(ANNA, "col", base=3).verdict.event


def test_anothers_change_counts_even_when_an_own_one_followed(log: Log) -> None:
    log.update(BERT, "req", name=edit("bert", base=3))
    log.update(ANNA, "req", url=edit("anna", base=3))
    assert codes(log.delete(ANNA, "col", base=3)) == [ConflictCode.CHANGED]


def test_what_is_already_deleted_below_does_not_count(log: Log) -> None:
    log.delete(BERT, "req")
    assert log.delete(ANNA, "col", base=3).verdict.event


def test_deleting_the_deleted_or_gone_is_accepted_without_an_event(log: Log) -> None:
    log.delete(ANNA, "req")
    for name in ("req", "gone"):
        verdict = log.delete(BERT, name).verdict
        assert (verdict.seq, verdict.event) == (4, False)


def test_the_last_move_wins(log: Log) -> None:
    log.move(BERT, "req", "col")
    assert log.decide(
        ANNA, Action.MOVE, "req", base=3, place=Place(entity_id("dir"), "z")
    ).verdict.event


def test_a_move_into_itself_or_below_is_refused(log: Log) -> None:
    log.create("sub", Kind.FOLDER, "dir")
    assert refusal(log.move(ANNA, "dir", "dir")) == "move.cycle"
    assert refusal(log.move(ANNA, "dir", "sub")) == "move.cycle"


def test_a_move_to_a_kind_that_does_not_fit_is_refused(log: Log) -> None:
    assert refusal(log.move(ANNA, "dir", "req")) == "move.cycle"
    log.create("other", Kind.REQUEST, "col")
    assert refusal(log.move(ANNA, "dir", "other")) == "parent.kind"
    assert refusal(log.move(ANNA, "dir", ROOT)) == "parent.kind"


def test_a_move_out_of_or_into_something_deleted_conflicts(log: Log) -> None:
    log.create("attic", Kind.COLLECTION)
    log.create("old", Kind.REQUEST, "attic")
    log.delete(ANNA, "attic")
    assert codes(log.move(BERT, "old", "dir")) == [ConflictCode.PLACE]
    assert codes(log.move(BERT, "req", "attic")) == [ConflictCode.PLACE]
    assert codes(log.move(BERT, "req", "gone")) == [ConflictCode.PLACE]
    assert codes(log.move(BERT, "gone", "dir")) == [ConflictCode.DELETED]


def test_a_create_needs_a_parent_that_exists_lives_and_fits(log: Log) -> None:
    assert refusal(log.create("x", Kind.REQUEST, "gone")) == "parent_refused"
    assert refusal(log.create("x", Kind.REQUEST)) == "parent.kind"
    assert refusal(log.create("x", Kind.FOLDER, "req")) == "parent.kind"
    log.delete(ANNA, "col")
    assert refusal(log.create("x", Kind.REQUEST, "dir")) == "parent.deleted"
    assert refusal(log.create("col", Kind.COLLECTION)) == "entity.exists"


def test_what_lies_directly_in_an_entity_is_known_deleted_or_not(log: Log) -> None:
    log.create("box", Kind.COLLECTION)
    log.create("inner", Kind.REQUEST, "box")
    log.create("other", Kind.REQUEST, "box")
    log.delete(ANNA, "other")
    assert log.world.children(entity_id("box")) == {entity_id("inner"), entity_id("other")}
    assert log.world.children(entity_id("inner")) == frozenset()


def test_restoring_brings_back_an_entity_with_what_is_below(log: Log) -> None:
    log.delete(ANNA, "dir")
    assert log.decide(BERT, Action.RESTORE, "dir").verdict.event
    assert log.update(BERT, "req", url=edit("x", base=3)).verdict.accepted == ("url",)
    verdict = log.decide(ANNA, Action.RESTORE, "dir").verdict
    assert (verdict.seq, verdict.event) == (6, False)


def test_restoring_under_a_deleted_parent_needs_another_parent(log: Log) -> None:
    log.delete(ANNA, "req")
    log.delete(ANNA, "dir")
    assert codes(log.decide(ANNA, Action.RESTORE, "req")) == [ConflictCode.PLACE]
    elsewhere = Place(entity_id("col"), "V")
    assert log.decide(ANNA, Action.RESTORE, "req", place=elsewhere).verdict.event
    assert codes(log.decide(ANNA, Action.RESTORE, "gone")) == [ConflictCode.DELETED]


@pytest.mark.parametrize("role", ["", "viewer"])
def test_whoever_may_not_write_is_refused(log: Log, role: str) -> None:
    stranger = replace(BERT, role=role)
    assert refusal(log.update(stranger, "req", url=edit("x", base=3))) == "permission.denied"


def test_a_base_from_the_future_is_refused(log: Log) -> None:
    assert refusal(log.delete(ANNA, "req", base=4)) == "base.unknown"
    assert refusal(log.update(ANNA, "req", url=edit("x", base=4))) == "base.unknown"


def test_an_entity_may_not_grow_over_its_limit(log: Log) -> None:
    large = FieldEdit(b"x" * FIELD_VALUE_BYTES_MAX, 3, hash_value(REMOVED))
    assert ENTITY_BYTES_MAX == 2 * FIELD_VALUE_BYTES_MAX
    assert log.update(ANNA, "req", one=large).verdict.event
    assert refusal(log.update(ANNA, "req", two=large)) == "limit.entity"
    # What is replaced does not count: only a closer look tells that this fits.
    again = FieldEdit(b"y" * FIELD_VALUE_BYTES_MAX, log.world.head, hash_value(REMOVED))
    assert log.update(ANNA, "req", one=again).verdict.event


def test_folders_nest_to_a_limit() -> None:
    log = Log()
    log.create("0", Kind.COLLECTION)
    for depth in range(1, TREE_DEPTH_MAX):
        assert log.create(str(depth), Kind.FOLDER, str(depth - 1)).verdict.event
    deepest = str(TREE_DEPTH_MAX - 1)
    assert refusal(log.create("x", Kind.REQUEST, deepest)) == "limit.depth"
    log.create("req", Kind.REQUEST, "0")
    assert refusal(log.move(ANNA, "req", deepest)) == "limit.depth"


NAMES = [f"e{number}" for number in range(5)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "update", "move", "delete", "restore"]),
        st.sampled_from(NAMES),
        st.sampled_from(["", *NAMES]),
        st.sampled_from([ANNA, BERT]),
        st.integers(0, 6),
    ),
    max_size=30,
)


@given(STEPS)
def test_whatever_is_asked_seqs_are_gapless_and_the_digest_is_that_of_the_rows(
    steps: list[tuple[str, str, str, Author, int]],
) -> None:
    log = Log()
    log.create("e0", Kind.COLLECTION)
    for action, name, parent, author, age in steps:
        base = max(0, log.world.head - age)
        before = log.world.head
        if action == "create":
            kind = Kind.FOLDER if parent else Kind.COLLECTION
            decision = log.create(name, kind, parent, author)
        elif action == "update":
            decision = log.update(author, name, url=edit(parent, base=base))
        elif action == "move":
            decision = log.move(author, name, parent)
        elif action == "delete":
            decision = log.delete(author, name, base)
        else:
            decision = log.decide(author, Action.RESTORE, name)
        assert log.world.head == before + (decision.event is not None)
        for entry in log.world.entries.values():
            assert len(log.world.path_to_root(entry.entity.id)) <= len(NAMES), "a cycle"
    rows = [entry.entity for entry in log.world.entries.values()]
    assert log.world.digest == compute_digest(WORKSPACE, rows)


def test_a_path_ends_where_an_ancestor_is_absent(log: Log) -> None:
    del log.world.entries[entity_id("dir")]
    path = log.world.path_to_root(entity_id("req"))
    assert [entity.id for entity in path] == [entity_id("req")]


def test_a_purge_removes_the_row_and_its_part_of_the_digest(log: Log) -> None:
    before = log.world.digest
    log.create("gone", Kind.REQUEST, "dir", name="G")
    log.delete(ANNA, "gone")
    assert purge(log.world, entity_id("gone"), deleted_upto=4, at=2000) is None
    event = purge(log.world, entity_id("gone"), deleted_upto=5, at=2000)
    assert event is not None
    assert (event.seq, event.action, event.at) == (6, Action.PURGE, 2000)
    assert (event.account, event.device, event.op) == ("", "", 0)
    assert (log.world.head, log.world.digest) == (6, before)
    assert log.world.get(entity_id("gone")) is None
    assert purge(log.world, entity_id("gone"), deleted_upto=9, at=2000) is None
    assert entity_id("gone") not in {each.entity.id for each in log.world.below(entity_id("dir"))}
    assert refusal(log.create("gone", Kind.REQUEST, "dir")) is None


def test_a_purge_needs_no_look_at_what_lies_below(log: Log) -> None:
    log.delete(ANNA, "req")
    loaded = World(WORKSPACE, log.world.head, log.world.digest, dict(log.world.entries))
    event = purge(loaded, entity_id("req"), deleted_upto=4, at=2000)
    assert event is not None
    assert loaded.below(entity_id("dir")) == [loaded.entries[entity_id("dir")]]


def test_what_lies_below_something_deleted_is_purged_with_it(log: Log) -> None:
    log.delete(ANNA, "col")
    for name in ("req", "dir", "col"):
        assert purge(log.world, entity_id(name), deleted_upto=4, at=2000) is not None
    assert log.world.entries == {}
