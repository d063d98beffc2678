"""Every kind of conflict is explained in a sentence, with what each choice would do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kafkaman_sync.device.explaining import THIS_DEVICE, explain, field_of, listed, reason_of
from kafkaman_sync.model.changes import Action, Change, FieldEdit
from kafkaman_sync.model.entities import Kind, Place
from kafkaman_sync.store import ConflictRecord, Named, Standing
from kafkaman_sync.store.standing import ForeignWrite

LIST, SHOP, BOX = "1" * 32, "2" * 32, "3" * 32
SHOP_NAMED = Named(SHOP, Kind.COLLECTION, "Shop")
BOX_NAMED = Named(BOX, Kind.FOLDER, "Box")
LIST_NAMED = Named(LIST, Kind.REQUEST, "List")


def record(
    action: Action = Action.UPDATE, code: str = "refused", refusal: str = "", **more: Any
) -> ConflictRecord:
    names = more.pop("fields", ("url",) if action is Action.UPDATE else ())
    place = Place(BOX, "V") if action in (Action.MOVE, Action.CREATE) else None
    fields = {name: FieldEdit(b"", 0, b"") for name in names}
    change = Change(1, 0, "w", action, LIST, place=place, fields=fields)
    facts: dict[str, Any] = {
        "field": "", "base": None, "mine": None, "theirs": None, "theirs_version": 1,
        "device": "d", "op": 1, "path": ("Shop", "List"),
        "message": "An entity would have too much.",
    }  # fmt: skip
    return ConflictRecord(
        id="c", workspace="w", entity=LIST, kind="request", code=code, refusal=refusal,
        change=change, seen={}, **{**facts, **more},
    )  # fmt: skip


def standing(about: ConflictRecord, **more: Any) -> Standing:
    facts: dict[str, Any] = {
        "workspace": "Team", "present": True, "parent": SHOP_NAMED, "target": None,
        "obstacle": None, "seq": 1, "version": 1,
    }  # fmt: skip
    return Standing(record=about, **{**facts, **more})


def wrote(entity: Named, *fields: str) -> ForeignWrite:
    return ForeignWrite(entity, (entity.name,), dict.fromkeys(fields, b""), 1)


BOTH = record(code="field", field="url")
EDITED = record(code="deleted")
DELETED = record(Action.DELETE, "changed")
MOVED = record(Action.MOVE, "place")
CYCLE = record(Action.MOVE, refusal="move.cycle")
MADE = record(Action.CREATE, refusal="parent.deleted")
RESTORED = record(Action.RESTORE, "place")

CASES = {
    "both": (
        standing(BOTH),
        "edited_by_both",
        'You and Bob both changed url of the request "List".',
        {"mine", "theirs", "both", "value"},
    ),
    "both, of a variable": (
        standing(replace(BOTH, kind="global_variable")),
        "edited_by_both",
        'You and Bob both changed url of the global variable "List".',
        {"mine", "theirs", "value"},
    ),
    "theirs deleted": (
        standing(EDITED, obstacle=LIST_NAMED),
        "theirs_deleted",
        'You changed url of the request "List"; meanwhile Bob deleted it.',
        {"mine", "theirs", "value", "to"},
    ),
    "theirs deleted what it lies in": (
        standing(record(code="deleted", fields=("a", "b")), obstacle=SHOP_NAMED),
        "theirs_deleted",
        (
            'You changed a and b of the request "List"; meanwhile Bob deleted the collection "Shop"'
            " that it lies in."
        ),
        {"mine", "theirs", "to"},
    ),
    "theirs purged": (
        standing(EDITED, present=False),
        "theirs_deleted",
        'You changed url of the request "List"; meanwhile it was deleted, and removed for good.',
        {"mine", "theirs", "value", "to"},
    ),
    "theirs deleted, and back since": (
        standing(EDITED),
        "theirs_deleted",
        (
            'You changed url of the request "List"; Bob had deleted it, and it has been brought'
            " back since."
        ),
        {"mine", "theirs"},
    ),
    "mine deleted": (
        standing(DELETED, foreign=[wrote(LIST_NAMED, "url")]),
        "mine_deleted",
        'You deleted the request "List"; meanwhile Bob changed url of it.',
        {"mine", "theirs"},
    ),
    "mine deleted, theirs moved": (
        standing(DELETED, foreign=[wrote(LIST_NAMED)]),
        "mine_deleted",
        'You deleted the request "List"; meanwhile Bob moved it.',
        {"mine", "theirs"},
    ),
    "mine deleted what it lies in": (
        standing(DELETED, foreign=[wrote(BOX_NAMED, "name")]),
        "mine_deleted",
        'You deleted the request "List"; meanwhile Bob changed name of the folder "Box" in it.',
        {"mine", "theirs"},
    ),
    "mine deleted where theirs moved": (
        standing(DELETED, foreign=[wrote(BOX_NAMED)]),
        "mine_deleted",
        'You deleted the request "List"; meanwhile Bob moved the folder "Box" into it.',
        {"mine", "theirs"},
    ),
    "mine deleted much": (
        standing(DELETED, foreign=[wrote(BOX_NAMED), wrote(LIST_NAMED)]),
        "mine_deleted",
        'You deleted the request "List"; meanwhile Bob changed 2 things in it.',
        {"mine", "theirs"},
    ),
    "mine deleted, theirs gone since": (
        standing(DELETED),
        "mine_deleted",
        'You deleted the request "List"; meanwhile Bob changed it.',
        {"mine", "theirs"},
    ),
    "parent deleted": (
        standing(MADE, obstacle=BOX_NAMED, target=BOX_NAMED, group=[MADE, MADE]),
        "parent_deleted",
        (
            'You created the request "List", with 2 more changes in it; meanwhile Bob deleted the'
            ' folder "Box" that it lies in.'
        ),
        {"mine", "theirs", "to"},
    ),
    "parent deleted, and back since": (
        standing(MADE, target=BOX_NAMED),
        "parent_deleted",
        'You created the request "List"; what it lies in had been deleted, and is back now.',
        {"mine", "theirs", "to"},
    ),
    "parent gone": (
        standing(record(Action.CREATE, refusal="parent_refused"), group=[MADE]),
        "parent_deleted",
        'You created the request "List", with 1 more change in it; what it was to lie in is gone.',
        {"theirs", "to"},
    ),
    "restored into something deleted": (
        standing(RESTORED, obstacle=SHOP_NAMED),
        "parent_deleted",
        (
            'You brought back the request "List"; meanwhile Bob deleted the collection "Shop" that'
            " it lies in."
        ),
        {"mine", "theirs", "to"},
    ),
    "cycle": (
        standing(CYCLE, obstacle=BOX_NAMED, target=BOX_NAMED),
        "move_refused",
        (
            'You moved the request "List" into the folder "Box"; meanwhile Bob moved the folder'
            ' "Box" into the request "List". Neither can lie in the other.'
        ),
        {"mine", "theirs", "to"},
    ),
    "cycle further up": (
        standing(CYCLE, obstacle=SHOP_NAMED, target=BOX_NAMED),
        "move_refused",
        (
            'You moved the request "List" into the folder "Box"; meanwhile Bob moved the collection'
            ' "Shop", which holds it, into the request "List". Neither can lie in the other.'
        ),
        {"mine", "theirs", "to"},
    ),
    "cycle that is none any more": (
        standing(CYCLE, target=BOX_NAMED),
        "move_refused",
        (
            'You moved the request "List" into the folder "Box", which could not be; that has'
            " changed since."
        ),
        {"mine", "theirs", "to"},
    ),
    "moved into something gone": (
        standing(MOVED),
        "move_refused",
        'You moved the request "List", which could not be; its new place is gone.',
        {"theirs", "to"},
    ),
    "moved into something deleted": (
        standing(MOVED, obstacle=BOX_NAMED, target=BOX_NAMED),
        "move_refused",
        (
            'You moved the request "List" into the folder "Box"; meanwhile Bob deleted the folder'
            ' "Box".'
        ),
        {"mine", "theirs", "to"},
    ),
    "moved out of something deleted": (
        standing(MOVED, obstacle=SHOP_NAMED, target=BOX_NAMED),
        "move_refused",
        (
            'You moved the request "List" into the folder "Box"; meanwhile Bob deleted the'
            ' collection "Shop" that it lay in.'
        ),
        {"mine", "theirs", "to"},
    ),
    "moved where it does not fit": (
        standing(record(Action.MOVE, refusal="parent.kind"), target=BOX_NAMED),
        "move_refused",
        (
            'You moved the request "List" into the folder "Box", which the server refused: An'
            " entity would have too much."
        ),
        {"theirs", "to"},
    ),
    "permission": (
        standing(record(Action.DELETE, refusal="permission.denied")),
        "permission_gone",
        'You deleted the request "List", but you may no longer change the workspace "Team".',
        {"mine", "theirs"},
    ),
    "limit": (
        standing(record(refusal="limit.entity")),
        "over_limit",
        'You changed url of the request "List", which is too much. An entity would have too much.',
        {"mine", "theirs", "value"},
    ),
    "depth": (
        standing(record(Action.CREATE, refusal="limit.depth")),
        "over_limit",
        'You created the request "List", which is too much. An entity would have too much.',
        {"mine", "theirs", "to"},
    ),
    "refused": (
        standing(record(Action.CREATE, refusal="entity.exists")),
        "refused",
        'You created the request "List", which the server refused: An entity would have too much.',
        {"mine", "theirs"},
    ),
}


@pytest.mark.parametrize(("case", "reason", "sentence", "choices"), CASES.values(), ids=CASES)
def test_each_kind_has_its_word_its_sentence_and_its_choices(
    case: Standing, reason: str, sentence: str, choices: set[str]
) -> None:
    found = explain(case, "Bob")
    assert (found.reason, found.sentence) == (reason, sentence)
    assert set(found.choices) == choices
    for text in found.choices.values():
        assert text[0].isupper()
        assert text.endswith(".")


def test_a_later_edit_of_ones_own_is_not_another_side() -> None:
    assert explain(standing(BOTH), THIS_DEVICE).sentence == (
        'You and another device both changed url of the request "List"; you have changed it again'
        " since."
    )


def test_every_kind_is_in_the_documentation(root: Any) -> None:
    page = (root / "docs" / "conflicts.md").read_text("utf-8")
    for _, reason, _, _ in CASES.values():
        assert f"| `{reason}` |" in page


def test_an_entity_without_a_name_goes_by_its_id() -> None:
    nameless = replace(record(code="deleted"), path=(), kind="")
    assert explain(standing(nameless, present=False), "Bob").sentence.startswith(
        'You changed url of the entity "11111111"'
    )


def test_many_fields_are_counted() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b and 3 more fields"


def test_the_field_of_a_conflict_is_the_only_one_of_its_change() -> None:
    assert field_of(BOTH) == "url"
    assert field_of(EDITED) == "url"
    assert field_of(record(fields=("a", "b"))) == ""
    assert field_of(MADE) == ""
    assert reason_of(EDITED) == "theirs_deleted"
