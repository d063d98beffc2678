"""The view: confirmed rows with pending changes over them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.model.changes import Action, Change, FieldEdit
from kafkaman_sync.model.entities import ROOT, Entity, Field, Kind, Place
from kafkaman_sync.model.values import REMOVED
from kafkaman_sync.model.view import Tree, ViewEntity, confirmed_view, lay_over

WORKSPACE = "a" * 32
ROW = Entity(
    id="1" * 32,
    kind=Kind.REQUEST,
    place=Place("2" * 32, "V1"),
    place_version=3,
    deleted=False,
    deleted_version=3,
    version=7,
    fields={"name": Field(b"\x01", 7), "gone": Field(REMOVED, 5)},
)
SHOWN = confirmed_view(WORKSPACE, ROW)


def change(action: Action, **parts: object) -> Change:
    return Change(4, 0, WORKSPACE, action, ROW.id, 7, **parts)  # type: ignore[arg-type] # by name


def edits(**values: bytes) -> dict[str, FieldEdit]:
    return {name: FieldEdit(value, 7, bytes(16)) for name, value in values.items()}


def entity(
    id_: str, parent: str = ROOT, position: str = "V", *, deleted: bool = False
) -> ViewEntity:
    return ViewEntity(id_, WORKSPACE, Kind.FOLDER, parent, position, 1, {}, deleted)


def test_a_row_without_pending_changes_is_shown_as_confirmed() -> None:
    assert SHOWN.without_removed() == ViewEntity(
        ROW.id, WORKSPACE, Kind.REQUEST, "2" * 32, "V1", 7, {"name": b"\x01"}
    )
    bare = entity("x")
    assert bare.without_removed() is bare


def test_a_pending_update_covers_its_fields_only() -> None:
    laid = lay_over(SHOWN, change(Action.UPDATE, fields=edits(url=b"\x02", name=REMOVED)))
    assert laid is not None
    assert laid.pending
    assert laid.without_removed().fields == {"url": b"\x02"}
    assert laid.version == 7


def test_a_pending_move_changes_the_place() -> None:
    laid = lay_over(SHOWN, change(Action.MOVE, place=Place(ROOT, "W1")))
    assert laid is not None
    assert (laid.parent, laid.position, laid.deleted) == (ROOT, "W1", False)


def test_pending_deletes_and_restores_set_the_flag() -> None:
    deleted = lay_over(SHOWN, change(Action.DELETE))
    assert deleted is not None
    assert deleted.deleted
    restored = lay_over(deleted, change(Action.RESTORE))
    assert restored is not None
    assert (restored.deleted, restored.parent) == (False, "2" * 32)
    elsewhere = lay_over(deleted, change(Action.RESTORE, place=Place(ROOT, "W1")))
    assert elsewhere is not None
    assert (elsewhere.deleted, elsewhere.parent) == (False, ROOT)


def test_a_pending_create_is_shown_until_its_row_has_come() -> None:
    create = change(
        Action.CREATE, kind=Kind.REQUEST, place=Place(ROOT, "W1"), fields=edits(name=b"\x05")
    )
    created = lay_over(None, create)
    assert created is not None
    assert (created.version, created.fields, created.pending) == (0, {"name": b"\x05"}, True)
    arrived = lay_over(SHOWN, create)
    assert arrived is not None
    assert arrived.fields == SHOWN.fields
    assert arrived.pending


def test_a_change_of_what_is_absent_shows_nothing() -> None:
    assert lay_over(None, change(Action.UPDATE, fields=edits(name=b"\x05"))) is None
    assert lay_over(None, change(Action.DELETE)) is None


def test_siblings_are_ordered_by_position_and_then_by_id() -> None:
    tree = Tree([entity("c", position="V"), entity("a", position="W"), entity("b", position="V")])
    assert [each.id for each in tree.children(ROOT)] == ["b", "c", "a"]


def test_parents_come_before_children_and_deleted_ones_hide_theirs() -> None:
    tree = Tree(
        [
            entity("d", "b"),
            entity("a"),
            entity("b", "a", "1"),
            entity("c", "a", "2", deleted=True),
            entity("e", "c"),
        ]
    )
    assert [each.id for each in tree.below(ROOT)] == ["a", "b", "d"]
    assert tree.hidden("e")
    assert tree.hidden("c")
    assert not tree.hidden("d")
    assert not tree.hidden("nowhere")
    assert [each.id for each in tree.above("d")] == ["b", "a"]


def test_what_has_no_parent_is_kept_and_not_shown() -> None:
    tree = Tree([entity("a", "nowhere"), entity("b", "a")])
    assert tree.below(ROOT) == []
    assert [each.id for each in tree.below("a")] == ["b"]
    assert tree.get("a") is not None
    assert tree.get("nowhere") is None
    assert [each.id for each in tree.above("b")] == ["a"]


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["", *"abcdef"])))
def test_no_arrangement_of_parents_makes_it_loop(parents: dict[str, str]) -> None:
    tree = Tree([entity(id_, parent) for id_, parent in parents.items()])
    for start in [ROOT, *parents]:
        below = [each.id for each in tree.below(start)]
        assert len(below) == len(set(below))
        assert len(tree.above(start)) <= len(parents)
        assert not tree.hidden(start)


def test_the_trash_is_what_is_deleted_in_nothing_deleted() -> None:
    tree = Tree(
        [
            entity("shown"),
            entity("box", "shown", deleted=True),
            entity("in it", "box"),
            entity("deleted before", "box", deleted=True),
            entity("alone", deleted=True),
        ]
    )
    assert {each.id for each in tree.trashed()} == {"box", "alone"}
