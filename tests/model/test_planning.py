"""From a person's edits to changes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.changes import Action, Change, FieldEdit
from kafkaman_sync.model.edits import Create, Delete, Edit, Move, Restore, Update
from kafkaman_sync.model.entities import ROOT, Entity, Field, Kind, Place
from kafkaman_sync.model.limits import (
    ENTITY_BYTES_MAX,
    FIELD_VALUE_BYTES_MAX,
    POSITION_BYTES_SOFT,
    TREE_DEPTH_MAX,
)
from kafkaman_sync.model.ordering import suffix_from
from kafkaman_sync.model.planning import CrowdedError, Planned, Scene, hidden_base, plan
from kafkaman_sync.model.values import REMOVED, hash_value
from kafkaman_sync.model.view import ViewEntity, sibling_order

WORKSPACE = "a" * 32
CURSOR = 20


def id_of(number: int) -> str:
    return f"{number:032x}"


COLLECTION, FOLDER, REQUEST, OTHER, NEW = map(id_of, range(1, 6))


def shown(
    entity: str, kind: Kind, parent: str, position: str = "V00001", **fields: bytes
) -> ViewEntity:
    return ViewEntity(entity, WORKSPACE, kind, parent, position, 9, fields)


def scene(*more: ViewEntity, complete: bool = True) -> Scene:
    entities = [
        shown(COLLECTION, Kind.COLLECTION, ROOT),
        shown(FOLDER, Kind.FOLDER, COLLECTION, "V00001"),
        shown(REQUEST, Kind.REQUEST, COLLECTION, "V00002", name=b"\x01", gone=REMOVED),
        shown(OTHER, Kind.REQUEST, COLLECTION, "V00003"),
        *more,
    ]
    made = Scene(WORKSPACE, CURSOR, {each.id: each for each in entities})
    for each in entities:
        made.ends[each.parent] = max(each.position, made.ends.get(each.parent, ""))
    if complete:
        made.complete = {ROOT, COLLECTION, FOLDER}
    return made


def suffixes() -> Callable[[], str]:
    numbers = count()
    return lambda: suffix_from(next(numbers))


def planned(edits: list[Edit], of: Scene | None = None) -> list[Planned]:
    return plan(of or scene(), edits, last_op=5, previous=3, suffix=suffixes())


def only(edit: Edit, of: Scene | None = None) -> Change:
    (found,) = planned([edit], of)
    return found.change


def code_of(edit: Edit, of: Scene | None = None) -> str:
    with pytest.raises(ModelError) as caught:
        planned([edit], of)
    return caught.value.code


def order(of: Scene, parent: str = COLLECTION) -> list[str]:
    siblings = [each for each in of.entities.values() if each.parent == parent]
    return [each.id for each in sorted(siblings, key=sibling_order) if not each.deleted]


# Numbers, bases and priors


def test_changes_are_numbered_in_order_each_naming_the_one_before() -> None:
    found = planned([Update(REQUEST, {"a": b"\x01"}), Delete(OTHER), Delete(FOLDER)])
    assert [(each.change.op, each.change.previous) for each in found] == [(6, 3), (7, 6), (8, 7)]


def test_an_update_is_based_on_the_cursor_and_on_what_the_person_saw() -> None:
    (found,) = planned([Update(REQUEST, {"name": b"\x02", "url": b"\x03"})])
    assert found.change.fields == {
        "name": FieldEdit(b"\x02", CURSOR, hash_value(b"\x01")),
        "url": FieldEdit(b"\x03", CURSOR, hash_value(REMOVED)),
    }
    assert found.seen == {"name": b"\x01", "url": REMOVED}


def test_an_edit_on_top_of_an_own_pending_one_inherits_its_base() -> None:
    stage = scene()
    pending = {"name": FieldEdit(b"\x05", 11, hash_value(b"\x01"))}
    stage.add_pending(Change(3, 0, WORKSPACE, Action.UPDATE, REQUEST, 11, fields=pending))
    change = only(Update(REQUEST, {"name": b"\x06"}), stage)
    assert change.fields == {"name": FieldEdit(b"\x06", 11, hash_value(b"\x05"))}
    assert change.base == CURSOR


def test_a_pending_change_of_what_is_absent_is_passed_over() -> None:
    stage = scene()
    stage.add_pending(Change(3, 0, WORKSPACE, Action.DELETE, NEW, 11))
    assert NEW not in stage.entities


def test_edits_of_one_batch_build_on_each_other() -> None:
    found = planned([Update(REQUEST, {"name": b"\x02"}), Update(REQUEST, {"name": b"\x03"})])
    assert found[1].change.fields["name"].prior == hash_value(b"\x02")
    assert found[1].seen == {"name": b"\x02"}


def test_an_edit_equal_to_what_is_shown_makes_no_op() -> None:
    assert planned([Update(REQUEST, {"name": b"\x01", "gone": REMOVED, "never": REMOVED})]) == []
    assert set(only(Update(REQUEST, {"name": b"\x01", "url": b"\x02"})).fields) == {"url"}


def test_a_create_carries_what_exists_of_its_fields() -> None:
    change = only(Create(NEW, Kind.FOLDER, FOLDER, {"name": b"\x01", "no": REMOVED}))
    assert change.kind is Kind.FOLDER
    assert change.place is not None
    assert change.place.parent == FOLDER
    assert change.fields == {"name": FieldEdit(b"\x01", CURSOR, hash_value(REMOVED))}


def test_a_delete_is_based_no_later_than_a_pending_edit_below_that_hides_a_newer_value() -> None:
    stage = scene()
    stage.hiding = {REQUEST: 12, FOLDER: 15}
    assert only(Delete(FOLDER), stage).base == 15
    assert only(Delete(COLLECTION), stage).base == 12
    assert only(Delete(OTHER), scene()).base == CURSOR


def test_deleting_twice_makes_one_op() -> None:
    assert len(planned([Delete(REQUEST), Delete(REQUEST)])) == 1


def row(**fields: Field) -> Entity:
    return Entity(REQUEST, Kind.REQUEST, Place(COLLECTION, "V"), 1, False, 1, 15, fields)


def pending(value: bytes, base: int, saw: bytes) -> Change:
    edit = FieldEdit(value, base, hash_value(saw))
    return Change(1, 0, WORKSPACE, Action.UPDATE, REQUEST, base, fields={"name": edit})


def test_a_newer_value_of_another_device_is_hidden_by_a_pending_edit() -> None:
    entity = row(name=Field(b"\x09", 15))
    assert hidden_base(entity, [pending(b"\x02", 10, b"\x01")]) == 10
    chain = [pending(b"\x02", 12, b"\x01"), pending(b"\x03", 11, b"\x02")]
    assert hidden_base(entity, chain) == 11


def test_a_value_that_the_person_knows_is_not_hidden() -> None:
    assert hidden_base(row(), [pending(b"\x02", 10, REMOVED)]) is None
    assert hidden_base(row(name=Field(b"\x01", 10)), [pending(b"\x02", 10, b"\x01")]) is None
    assert hidden_base(row(name=Field(b"\x02", 15)), [pending(b"\x02", 10, b"\x01")]) is None
    assert hidden_base(row(name=Field(b"\x01", 15)), [pending(b"\x02", 10, b"\x01")]) is None


# Rules


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (Create("no id", Kind.FOLDER, FOLDER), "model.invalid"),
        (Create(REQUEST, Kind.FOLDER, FOLDER), "entity.exists"),
        (Create(NEW, Kind.FOLDER, ROOT), "parent.kind"),
        (Create(NEW, Kind.FOLDER, REQUEST), "parent.kind"),
        (Create(NEW, Kind.FOLDER, id_of(99)), "entity.not_found"),
        (Create(NEW, Kind.FOLDER, FOLDER, position="0"), "model.invalid"),
        (Create(NEW, Kind.FOLDER, FOLDER, {"": b"\x01"}), "limit.field_name"),
        (Create(NEW, Kind.FOLDER, FOLDER, before=REQUEST), "order.not_sibling"),
        (Update(NEW, {"name": b"\x01"}), "entity.not_found"),
        (Update(REQUEST, {"n": bytes(FIELD_VALUE_BYTES_MAX + 1)}), "limit.field"),
        (Move(NEW, FOLDER), "entity.not_found"),
        (Move(FOLDER, FOLDER), "move.cycle"),
        (Move(FOLDER, ROOT), "parent.kind"),
        (Move(REQUEST, COLLECTION, before=REQUEST), "order.not_sibling"),
        (Move(REQUEST, FOLDER, after=OTHER), "order.not_sibling"),
        (Move(REQUEST, before=NEW), "entity.not_found"),
        (Delete(NEW), "entity.not_found"),
        (Restore(NEW), "entity.not_found"),
    ],
)
def test_an_edit_that_breaks_a_rule_is_refused_by_name(edit: Edit, code: str) -> None:
    assert code_of(edit) == code


def test_an_entity_over_its_limit_is_refused() -> None:
    half = bytes(ENTITY_BYTES_MAX // 2)
    full = scene(shown(NEW, Kind.REQUEST, FOLDER, a=half))
    assert code_of(Update(NEW, {"b": half}), full) == "limit.entity"
    assert code_of(Create(id_of(9), Kind.REQUEST, FOLDER, {"a": half, "b": half})) == "limit.entity"


def test_a_folder_cannot_move_into_what_is_below_it() -> None:
    inner = scene(shown(NEW, Kind.FOLDER, FOLDER))
    assert code_of(Move(FOLDER, NEW), inner) == "move.cycle"


def test_folders_nest_to_the_limit_and_no_deeper() -> None:
    chain = [shown(id_of(100), Kind.FOLDER, COLLECTION)]
    chain += [
        shown(id_of(100 + number), Kind.FOLDER, id_of(99 + number))
        for number in range(1, TREE_DEPTH_MAX)
    ]
    deep = scene(*chain)
    last = 100 + TREE_DEPTH_MAX - 2
    assert len(planned([Create(NEW, Kind.FOLDER, id_of(last - 1))], deep)) == 1
    assert code_of(Create(id_of(50), Kind.FOLDER, id_of(last)), deep) == "limit.depth"


def test_what_is_deleted_or_below_is_not_edited() -> None:
    gone = scene(shown(NEW, Kind.REQUEST, FOLDER))
    planned([Delete(FOLDER)], gone)
    for edit in (
        Update(NEW, {"a": b"\x01"}),
        Delete(NEW),
        Move(NEW, COLLECTION),
        Update(FOLDER, {}),
    ):
        assert code_of(edit, gone) == "entity.deleted"
    assert code_of(Create(id_of(50), Kind.REQUEST, FOLDER), gone) == "entity.deleted"


# Restore


def test_a_restore_brings_back_what_is_deleted() -> None:
    gone = scene()
    planned([Delete(REQUEST)], gone)
    assert only(Restore(REQUEST), gone).place is None
    assert planned([Restore(REQUEST)], gone) == []


def test_a_restore_may_name_another_parent() -> None:
    gone = scene(shown(NEW, Kind.REQUEST, FOLDER))
    planned([Delete(FOLDER)], gone)
    assert code_of(Restore(NEW), gone) == "entity.deleted"
    change = only(Restore(NEW, COLLECTION), gone)
    assert change.place is not None
    assert change.place.parent == COLLECTION


def test_a_restore_below_something_deleted_is_refused() -> None:
    gone = scene(shown(NEW, Kind.REQUEST, FOLDER))
    planned([Delete(NEW), Delete(FOLDER)], gone)
    assert code_of(Restore(NEW), gone) == "entity.deleted"


# Order


def test_new_entities_go_behind_their_siblings() -> None:
    stage = scene()
    planned(
        [Create(NEW, Kind.REQUEST, COLLECTION), Create(id_of(6), Kind.REQUEST, COLLECTION)], stage
    )
    assert order(stage) == [FOLDER, REQUEST, OTHER, NEW, id_of(6)]


def test_the_workspace_itself_has_children_too() -> None:
    stage = scene()
    planned([Create(NEW, Kind.COLLECTION, ROOT)], stage)
    assert order(stage, ROOT) == [COLLECTION, NEW]


def test_a_copy_may_bring_its_position() -> None:
    stage = scene()
    planned([Create(NEW, Kind.REQUEST, COLLECTION, position="V00001V")], stage)
    assert order(stage) == [FOLDER, NEW, REQUEST, OTHER]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (Create(NEW, Kind.REQUEST, COLLECTION, before=FOLDER), [NEW, FOLDER, REQUEST, OTHER]),
        (Create(NEW, Kind.REQUEST, COLLECTION, after=FOLDER), [FOLDER, NEW, REQUEST, OTHER]),
        (Create(NEW, Kind.REQUEST, COLLECTION, after=OTHER), [FOLDER, REQUEST, OTHER, NEW]),
        (Move(OTHER, before=REQUEST), [FOLDER, OTHER, REQUEST]),
        (Move(OTHER, COLLECTION, before=FOLDER), [OTHER, FOLDER, REQUEST]),
        (Move(FOLDER, after=OTHER), [REQUEST, OTHER, FOLDER]),
    ],
)
def test_an_entity_goes_beside_the_sibling_that_is_named(edit: Edit, expected: list[str]) -> None:
    stage = scene()
    planned([edit], stage)
    assert order(stage) == expected


@pytest.mark.parametrize(
    "edit",
    [
        Move(REQUEST),
        Move(REQUEST, COLLECTION),
        Move(REQUEST, after=FOLDER),
        Move(REQUEST, before=OTHER),
        Move(FOLDER, before=REQUEST),
        Move(OTHER, after=REQUEST),
    ],
)
def test_a_move_to_where_it_is_makes_no_op(edit: Edit) -> None:
    assert planned([edit]) == []


def test_siblings_that_are_not_known_are_asked_for() -> None:
    with pytest.raises(CrowdedError) as caught:
        planned([Move(OTHER, before=REQUEST)], scene(complete=False))
    assert caught.value.parent == COLLECTION


def test_siblings_without_room_are_spaced_anew() -> None:
    twin = shown(NEW, Kind.REQUEST, COLLECTION, "V00002")
    stage = scene(twin)
    before = order(stage)
    found = planned([Move(OTHER, after=REQUEST)], stage)
    assert order(stage) == [FOLDER, REQUEST, OTHER, NEW]
    assert before == [FOLDER, REQUEST, NEW, OTHER]
    assert {each.change.action for each in found} == {Action.MOVE}
    assert len(found) == 4


def test_positions_that_grow_long_make_the_siblings_spaced_anew() -> None:
    long = "V00001" + "0" * POSITION_BYTES_SOFT + "1"
    stage = scene(shown(NEW, Kind.REQUEST, COLLECTION, long))
    planned([Move(OTHER, before=NEW)], stage)
    assert order(stage) == [FOLDER, OTHER, NEW, REQUEST]
    assert (
        max(len(each.position) for each in stage.entities.values() if each.parent == COLLECTION)
        < POSITION_BYTES_SOFT
    )


def test_behind_the_very_last_position_the_siblings_are_spaced_anew() -> None:
    stage = scene(shown(NEW, Kind.REQUEST, COLLECTION, "z" * POSITION_BYTES_SOFT))
    planned(
        [Create(id_of(6), Kind.REQUEST, COLLECTION), Create(id_of(7), Kind.REQUEST, COLLECTION)],
        stage,
    )
    assert order(stage) == [FOLDER, REQUEST, OTHER, NEW, id_of(6), id_of(7)]
