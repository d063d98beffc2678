"""Environments and globals come in every shape that clients write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import simplejson

from kafkaman_sync.formats import Draft, FormatError, Imported, parse, render

JSON = Any
Shown = Callable[..., JSON]


def imported(document: JSON, filename: str = "x.json") -> Imported:
    return parse(simplejson.dumps(document).encode(), filename=filename)


def test_an_environment_has_its_variables_as_children() -> None:
    found = imported(
        {
            "name": "E",
            "values": [{"key": "a", "value": "1", "enabled": False, "x": 2}],
            "_postman_variable_scope": "environment",
        }
    )
    variable: JSON = {"key": "a", "value": "1", "enabled": False, "extra": {"x": 2}}
    assert found.root == Draft(
        "environment",
        {"name": "E", "scope": "environment"},
        (Draft("environment_variable", variable),),
    )
    assert found.format == "environment"
    assert found.counts == {"environment": 1, "environment_variable": 1}


@pytest.mark.parametrize(
    ("document", "filename", "name"),
    [
        ([{"key": "a"}], "work.postman_globals.json", "work"),
        ([{"key": "a"}], "", "Globals"),
        ({"values": [{"key": "a"}]}, "dir/my.postman_globals.json", "my"),
        ({"values": [{"key": "a"}], "name": "N", "_postman_variable_scope": "globals"}, "x", "N"),
        (
            {"values": [{"key": "a"}], "name": None, "_postman_variable_scope": "globals"},
            r"C:\w.json",
            "w",
        ),
    ],
)
def test_globals_of_each_shape_are_an_environment_with_that_scope(
    document: JSON, filename: str, name: str, shown: Shown
) -> None:
    found = imported(document, filename)
    assert found.format == "globals"
    assert found.root.kind == "environment"
    assert (found.root.fields["name"], found.root.fields["scope"]) == (name, "globals")
    assert [child.kind for child in found.root.children] == ["global_variable"]
    assert shown(found.root) == document


def test_an_empty_list_is_globals_without_variables(shown: Shown) -> None:
    found = imported([])
    assert found.counts == {"environment": 1}
    assert shown(found.root) == []


def test_variables_may_be_added_to_a_list(shown: Shown) -> None:
    root = imported([]).root
    root = replace(root, children=(Draft("global_variable", {"key": "k", "value": "v"}),))
    assert shown(root) == [{"key": "k", "value": "v"}]


def test_a_list_that_gets_a_name_becomes_an_object(shown: Shown) -> None:
    root = imported([{"key": "a"}]).root
    assert shown(replace(root, fields={**root.fields, "name": "New"})) == {
        "name": "New",
        "values": [{"key": "a"}],
        "_postman_variable_scope": "globals",
    }


def test_a_new_name_is_written_where_the_file_had_none(shown: Shown) -> None:
    root = imported({"values": []}, "dev.postman_environment.json").root
    assert root.fields["name"] == "dev"
    assert shown(root) == {"values": []}
    assert shown(replace(root, fields={**root.fields, "name": "New"})) == {
        "name": "New",
        "values": [],
    }


def test_a_new_scope_is_written_where_the_file_had_none(shown: Shown) -> None:
    root = imported({"name": "E", "values": []}).root
    assert "_postman_variable_scope" not in shown(root)
    assert shown(replace(root, fields={**root.fields, "scope": "globals"})) == {
        "name": "E",
        "values": [],
        "_postman_variable_scope": "globals",
    }


def test_entries_that_are_no_objects_are_kept_and_reported(shown: Shown) -> None:
    found = imported({"name": "E", "values": [None]})
    assert found.warnings == ("values[0] is not an object; it is kept as it is.",)
    assert shown(found.root)["values"] == [None]
    assert imported([{"key": 1}, 5]).warnings == ("[1] is not an object; it is kept as it is.",)


@pytest.mark.parametrize(("kind", "scope"), [("environment", "environment"), ("global", "globals")])
def test_what_is_made_by_hand_is_written_with_its_scope(
    kind: str, scope: str, shown: Shown
) -> None:
    variable = Draft(f"{kind}_variable", {"key": "k", "value": "v"})
    assert shown(Draft("environment", {"name": "E"}, (variable,))) == {
        "name": "E",
        "values": [{"key": "k", "value": "v"}],
        "_postman_variable_scope": scope,
    }
    assert shown(variable)["_postman_variable_scope"] == scope
    assert shown(variable)["values"] == [{"key": "k", "value": "v"}]


def test_an_environment_is_written_as_globals_on_request(shown: Shown) -> None:
    root = imported({"name": "E", "values": [{"key": "a"}]}).root
    assert shown(root, format="globals")["_postman_variable_scope"] == "globals"
    assert "_postman_variable_scope" not in shown(root, format="environment")


def test_an_envelope_of_the_vendors_api_is_kept(shown: Shown) -> None:
    document = {"environment": {"name": "E", "values": []}, "meta": 1}
    root = imported(document).root
    assert root.fields["name"] == "E"
    assert shown(root) == document


def test_a_kind_that_has_no_place_in_an_environment_is_refused() -> None:
    with pytest.raises(FormatError) as caught:
        render(Draft("environment", {"name": "E"}, (Draft("request", {}),)))
    assert caught.value.code == "format.invalid"
    with pytest.raises(FormatError):
        render(Draft("environment", {"name": "E"}), format="run")
