"""A collection's parts become entities with the format's own words for their fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from kafkaman_sync.formats import Draft, FormatError, parse, render, title
from kafkaman_sync.formats.collection import SCHEMA_URLS
from kafkaman_sync.formats.limits import ENTITY_LEVELS_MAX

JSON = Any
Make = Callable[..., bytes]
Shown = Callable[..., JSON]
Same = Callable[[bytes, bytes], bool]


def root_of(data: bytes) -> Draft:
    return parse(data, filename="x.json").root


def every(root: Draft) -> Iterator[Draft]:
    """All entities of a tree; not recursive, as trees may be deep."""
    pending = [root]
    while pending:
        draft = pending.pop()
        yield draft
        pending.extend(draft.children)


def edited(draft: Draft, **fields: JSON) -> Draft:
    return replace(draft, fields={**draft.fields, **fields})


REQUEST: JSON = {
    "name": "R",
    "request": {"method": "GET", "url": "https://x.test", "header": [], "description": "d"},
    "response": [{"name": "S", "code": 200, "status": "OK", "body": "{}", "header": []}],
}


def test_a_natural_collection_has_the_formats_fields_and_no_notes(collection: Make) -> None:
    root = root_of(collection({"name": "F", "description": "f", "item": [REQUEST]}, variable=[]))
    assert root == Draft(
        "collection",
        {"name": "C", "variable": []},
        (
            Draft(
                "folder",
                {"name": "F", "description": "f"},
                (
                    Draft(
                        "request",
                        {
                            "name": "R",
                            "description": "d",
                            "method": "GET",
                            "url": "https://x.test",
                            "header": [],
                        },
                        (Draft("response", REQUEST["response"][0]),),
                    ),
                ),
            ),
        ),
    )


def test_entities_are_counted_by_kind(collection: Make) -> None:
    found = parse(collection({"name": "F", "item": [REQUEST, REQUEST]}), filename="x.json")
    assert found.format == "collection.v2.1"
    assert found.counts == {"collection": 1, "folder": 1, "request": 2, "response": 2}


def test_unknown_keys_stay_with_their_level(collection: Make) -> None:
    (request,) = root_of(
        collection({"name": "R", "a": 1, "request": {"url": "u", "a": 2}, "response": []}, a=3)
    ).children
    assert request.fields["extra"] == {"a": 1}
    assert request.fields["request_extra"] == {"a": 2}


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ({"item": []}, "folder"),
        ({"item": [], "request": {}}, "folder"),
        ({"item": None}, "folder"),
        ({"item": None, "request": {}}, "request"),
        ({"request": None}, "request"),
        ({}, "request"),
        (None, "request"),
        ("text", "request"),
    ],
)
def test_what_an_item_is_follows_from_its_keys(
    collection: Make, item: JSON, kind: str, strictly_same: Same
) -> None:
    data = collection(item)
    root = root_of(data)
    assert root.children[0].kind == kind
    assert strictly_same(render(root), data)


def test_an_element_that_is_no_object_is_kept_and_reported(collection: Make) -> None:
    data = collection({"item": [5, {"request": "u", "response": [None]}]})
    assert parse(data, filename="x.json").warnings == (
        "item[0].item[0] is not an object; it is kept as it is.",
        "item[0].item[1].response[0] is not an object; it is kept as it is.",
    )


def test_an_edit_of_an_element_that_was_no_object_makes_it_one(
    collection: Make, shown: Shown
) -> None:
    root = root_of(collection(5))
    root = replace(root, children=(edited(root.children[0], name="N"),))
    assert shown(root)["item"][0]["name"] == "N"


@pytest.mark.parametrize(
    "request_", [{"url": "u"}, {}, None, "u", 5, {"description": "r"}, {"name": "R"}, "absent"]
)
def test_edits_show_whatever_shape_the_request_had(
    collection: Make, shown: Shown, request_: JSON
) -> None:
    item = {"name": "R", "request": request_, "description": "i"}
    if request_ == "absent":
        del item["request"]
    root = root_of(collection(item))
    fields = {"name": "N", "method": "PUT", "url": "v", "header": [{"key": "k"}]}
    exported = shown(replace(root, children=(edited(root.children[0], **fields),)))["item"][0]
    assert exported["name"] == "N"
    assert exported["request"].items() >= {"method": "PUT", "url": "v"}.items()
    assert exported["request"]["header"] == [{"key": "k"}]
    assert exported["request"].get("name", "N") == "N"


def test_a_bare_request_stays_bare_when_its_url_changes(collection: Make, shown: Shown) -> None:
    root = root_of(collection({"name": "R", "request": "u"}))
    bare = root.children[0]
    assert bare.fields["url"] == "u"
    assert shown(replace(root, children=(edited(bare, url="v"),)))["item"][0]["request"] == "v"
    parts = edited(bare, url={"raw": "v"})
    assert shown(replace(root, children=(parts,)))["item"][0]["request"] == {"url": {"raw": "v"}}


def test_a_removed_field_is_not_exported(collection: Make, shown: Shown) -> None:
    root = root_of(collection(REQUEST))
    fields = {k: v for k, v in root.children[0].fields.items() if k != "description"}
    exported = shown(replace(root, children=(Draft("request", fields),)))["item"][0]
    assert "description" not in exported["request"]
    assert exported["response"] == []


def test_an_alias_is_written_back_with_the_new_value(collection: Make, shown: Shown) -> None:
    root = root_of(collection(REQUEST, variables=[{"key": "a"}]))
    assert root.fields["variable"] == [{"key": "a"}]
    exported = shown(edited(root, variable=[]))
    assert exported["variables"] == []
    assert "variable" not in exported


def test_two_spellings_with_different_values_are_both_kept(collection: Make) -> None:
    root = root_of(collection(variable=[{"key": "a"}], variables=[]))
    assert root.fields["variable"] == [{"key": "a"}]
    assert root.fields["extra"] == {"variables": []}


def test_children_are_added_removed_and_reordered(collection: Make, shown: Shown) -> None:
    root = root_of(collection({"name": "a", "item": []}, {"name": "b", "item": []}))
    first, second = root.children
    new = Draft("request", {"name": "n", "url": "u"})
    exported = shown(replace(root, children=(new, second, first)))
    assert [item["name"] for item in exported["item"]] == ["n", "b", "a"]
    assert shown(replace(root, children=()))["item"] == []


def test_a_list_appears_where_the_file_had_none(shown: Shown) -> None:
    root = root_of(b'{"info": {"name": "C", "schema": "https://x/v2.1.0/"}}')
    assert "item" not in shown(root)
    folder = Draft("folder", {"name": "F"})
    assert shown(replace(root, children=(folder,)))["item"] == [{"name": "F", "item": []}]


def test_what_was_no_list_gives_way_to_children(collection: Make, shown: Shown) -> None:
    root = root_of(collection({"name": "R", "request": {}, "response": "none"}))
    assert shown(root)["item"][0]["response"] == "none"
    request = replace(root.children[0], children=(Draft("response", {"code": 204}),))
    assert shown(replace(root, children=(request,)))["item"][0]["response"] == [{"code": 204}]


def test_a_folder_moved_to_another_collection_is_exported_there(
    collection: Make, shown: Shown
) -> None:
    folder = root_of(collection({"name": "F", "x": 1, "item": [REQUEST]})).children[0]
    other = root_of(collection())
    assert shown(replace(other, children=(folder,)))["item"] == [
        {"name": "F", "x": 1, "item": [REQUEST]}
    ]


@pytest.mark.parametrize("source", [5, {"at": 3, "absent": {"item": 1}}, {"at": {"url": ["x"]}}])
def test_damaged_notes_never_stop_an_export(shown: Shown, source: JSON) -> None:
    request = Draft("request", {"name": "R", "url": "u", "source": source, "extra": "text"})
    root = Draft("collection", {"name": "C", "source": source, "info_extra": None}, (request,))
    exported = shown(root)
    assert exported["info"]["name"] == "C"
    assert exported["item"][0] == {"name": "R", "request": {"url": "u"}, "response": []}


def test_what_is_made_by_hand_is_a_document_by_the_schema(shown: Shown) -> None:
    root = Draft(
        "collection", {"name": "C"}, (Draft("folder", {"name": "F"}, (Draft("request", {}),)),)
    )
    assert shown(root) == {
        "info": {"name": "C", "schema": SCHEMA_URLS["collection.v2.1"]},
        "item": [{"name": "F", "item": [{"request": {}, "response": []}]}],
    }


def test_a_collection_without_a_name_gets_one_as_the_schema_demands_it(shown: Shown) -> None:
    assert shown(Draft("collection", {}))["info"]["name"] == "Untitled collection"


def test_keys_come_in_the_usual_order(collection: Make) -> None:
    written = json.loads(render(root_of(collection({"item": [REQUEST]}, auth=None, event=[]))))
    assert list(written) == ["info", "item", "auth", "event"]
    item = written["item"][0]["item"][0]
    assert list(item) == ["name", "request", "response"]
    assert list(item["request"]) == ["method", "header", "url", "description"]


@pytest.mark.parametrize("levels", [200, 500])
def test_hundreds_of_folders_in_each_other_are_kept(levels: int, strictly_same: Same) -> None:
    data = b'{"info":{"name":"C","schema":"s"},"item":['
    data += b'{"name":"f","item":[' * levels + json.dumps(REQUEST).encode() + b"]}" * levels
    data += b"]}"
    found = parse(data, filename="x.json")
    assert found.counts["folder"] == levels
    written = render(found.root)
    again = parse(written, filename="x.json")
    assert again.counts == found.counts
    pairs = zip(every(found.root), every(again.root), strict=True)
    assert all((one.kind, one.fields) == (other.kind, other.fields) for one, other in pairs)
    if levels == 200:
        assert strictly_same(data, written)


def test_folders_beyond_the_limit_are_refused() -> None:
    levels = ENTITY_LEVELS_MAX + 1
    data = b'{"info":{"schema":"s"},"item":[' + b'{"item":[' * levels + b"]}" * levels + b"]}"
    with pytest.raises(FormatError) as caught:
        parse(data, filename="x.json")
    assert caught.value.code == "format.too_deep"


def test_a_folder_or_request_is_exported_in_a_collection_of_its_own(
    collection: Make, shown: Shown
) -> None:
    folder = root_of(collection({"name": "F", "item": [REQUEST]})).children[0]
    exported = shown(folder)
    assert exported["info"]["name"] == "F"
    assert exported["item"] == [{"name": "F", "item": [REQUEST]}]
    assert shown(folder.children[0])["item"] == [REQUEST]


@pytest.mark.parametrize(
    ("original", "request_"),
    [
        ({"method": "PUT", "url": "u", "x": 1}, {"method": "PUT", "url": "u", "x": 1}),
        ("u", {"url": "u"}),
        (None, {}),
    ],
)
def test_a_response_is_exported_below_the_request_that_it_answers(
    shown: Shown, original: JSON, request_: JSON
) -> None:
    response = Draft("response", {"name": "S", "originalRequest": original})
    assert shown(response)["item"] == [
        {"name": "S", "request": request_, "response": [{"name": "S", "originalRequest": original}]}
    ]


def test_a_kind_that_has_no_place_in_a_collection_is_refused() -> None:
    with pytest.raises(FormatError) as caught:
        render(Draft("collection", {"name": "C"}, (Draft("environment", {}),)))
    assert caught.value.code == "format.invalid"


@pytest.mark.parametrize(
    ("draft", "text"),
    [
        (Draft("folder", {"name": "F"}), "F"),
        (Draft("folder", {"name": ""}), "Untitled folder"),
        (Draft("request", {"method": "GET", "url": "u"}), "GET u"),
        (Draft("request", {"url": {"raw": "u"}}), "u"),
        (Draft("response", {"code": 200, "status": "OK"}), "200 OK"),
        (Draft("environment_variable", {"key": "k", "name": "n"}), "k"),
        (Draft("header_preset", {}), "Untitled header preset"),
    ],
)
def test_a_title_is_what_a_person_knows_the_entity_by(draft: Draft, text: str) -> None:
    assert title(draft) == text
