"""Merging URLs: as text, in parts, and in parts with their text."""

from __future__ import annotations

from typing import Any

import pytest

from kafkaman_sync.formats.dialect import url_to_parts
from kafkaman_sync.model.urls import join_url
from tests.model.merging import CLASH, both, conflicts, entries, entry, merged, shown


def parts(text: str, **others: Any) -> dict[str, Any]:
    """A URL in parts, as clients write it."""
    found = url_to_parts(text)
    assert isinstance(found, dict)
    return {**found, **others}


FORMS = pytest.mark.parametrize("form", [str, parts], ids=["text", "parts"])
BASE = "https://api.example.com/v1/pets/:id?limit=10&sort=name"


@FORMS
@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        (
            "/v2/pets/:id?limit=10&sort=name",
            "/v1/pets/:id?limit=20&sort=name",
            "/v2/pets/:id?limit=20&sort=name",
        ),
        (
            "/v1/pets/:id?limit=10&sort=name&a=1",
            "/v1/pets/:id?limit=10&sort=name&b=2",
            "/v1/pets/:id?limit=10&sort=name&a=1&b=2",
        ),
        ("/v1/pets/:id?sort=name", "/v1/pets/:id?limit=10", "/v1/pets/:id"),
        (
            "/v1/pets/:id/toys?limit=10&sort=name",
            "/v2/pets/:id?limit=10&sort=name",
            "/v2/pets/:id/toys?limit=10&sort=name",
        ),
        (
            "/v1/pets/:id?limit=10&sort=name#top",
            "/v1/pets/:id?limit={{n}}&sort=name",
            "/v1/pets/:id?limit={{n}}&sort=name#top",
        ),
    ],
)
def test_path_and_query_merge_piece_by_piece(
    form: Any, mine: str, theirs: str, expected: str
) -> None:
    origin = "https://api.example.com"
    found = merged("url", form(BASE), form(origin + mine), form(origin + theirs))
    if form is str:
        assert found == origin + expected
    else:
        assert found["raw"] == join_url(found) == origin + expected


@FORMS
def test_protocol_and_host_merge_with_what_follows(form: Any) -> None:
    mine = BASE.replace("https://api.example.com", "http://localhost:8080")
    theirs = BASE.replace("limit=10", "limit=50")
    found = merged("url", form(BASE), form(mine), form(theirs))
    text = found if form is str else found["raw"]
    assert text == "http://localhost:8080/v1/pets/:id?limit=50&sort=name"


@FORMS
@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ("api.example.com", "test.example.org"),
        ("localhost", "example.com:8443"),
        ("{{base}}", "{{other}}"),
    ],
)
def test_host_and_port_belong_together(form: Any, mine: str, theirs: str) -> None:
    base, *sides = (f"https://{host}/x" for host in ("example.com", mine, theirs))
    assert conflicts("url", form(base), *map(form, sides))
    assert both("url", form(base), *map(form, sides)) is CLASH


@FORMS
def test_one_parameter_changed_by_both(form: Any) -> None:
    mine, theirs = BASE.replace("10", "1"), BASE.replace("10", "2")
    assert conflicts("url", form(BASE), form(mine), form(theirs))
    found = both("url", form(BASE), form(mine), form(theirs))
    text = found if form is str else found["raw"]
    assert text == BASE.replace("limit=10", "limit=2&limit=1")


@FORMS
def test_two_paths_are_never_kept_as_one(form: Any) -> None:
    mine, theirs = BASE.replace("pets", "cats"), BASE.replace("pets", "dogs")
    assert conflicts("url", form(BASE), form(mine), form(theirs))
    assert both("url", form(BASE), form(mine), form(theirs)) is CLASH


@pytest.mark.parametrize("base", ["https://h//x", "//h/x", "https://h:/x"])
def test_a_text_that_cannot_be_taken_apart_in_one_way_stays_whole(base: str) -> None:
    assert conflicts("url", base, f"{base}?a=1", f"{base}?b=2")


def test_texts_whose_merge_would_be_taken_apart_otherwise_clash() -> None:
    assert conflicts("url", "h/x/y/z", "h/{{x/y/z", "h/x/y/z}}")


def test_a_url_that_was_not_there_stays_whole() -> None:
    assert conflicts("url", None, "https://a/?x=1", "https://a/?y=1")
    assert conflicts("url", 1, "https://a/?x=1", ["https://a/?y=1"])


def test_path_variables_merge_by_name() -> None:
    base = parts("{{base}}/pets/:id/toys/:toy")
    mine = {**base, "variable": [entry("id: 7"), base["variable"][1]]}
    theirs = {**base, "variable": [base["variable"][0], entry("toy: 9", description="which")]}
    found = merged("url", base, mine, theirs)
    assert found == {**base, "variable": [mine["variable"][0], theirs["variable"][1]]}
    assert conflicts("url", base, mine, {**base, "variable": [entry("id: 8"), entry("toy: ")]})
    assert both("url", base, mine, {**base, "variable": [entry("id: 8"), entry("toy: ")]}) is CLASH


def test_a_described_parameter_while_the_path_changes() -> None:
    base = parts("{{base}}/pets?limit=10")
    mine = {**base, "query": [entry("limit: 10", description="at most")]}
    theirs = parts("{{base}}/cats?limit=10")
    assert merged("url", base, mine, theirs) == {**theirs, "query": mine["query"]}


def test_a_text_without_parameters_that_are_switched_off() -> None:
    base = parts("{{base}}/pets?a=1&b=2")
    mine = parts("{{base}}/pets?b=2", query=[entry("a: 1", disabled=True), entry("b: 2")])
    theirs = parts("{{base}}/pets?a=1&b=2&c=3")
    found = merged("url", base, mine, theirs)
    assert found["raw"] == "{{base}}/pets?b=2&c=3"
    assert found["query"] == [entry("a: 1", disabled=True), *entries("b: 2", "c: 3")]


def test_a_text_with_parameters_that_are_switched_off() -> None:
    off = [entry("a: 1", disabled=True)]
    base = parts("{{base}}/pets?a=1", query=off)
    mine = parts("{{base}}/cats?a=1", query=off)
    theirs = parts("{{base}}/pets?a=1&b=2", query=[*off, entry("b: 2")])
    assert merged("url", base, mine, theirs)["raw"] == "{{base}}/cats?a=1&b=2"


def test_parts_without_a_text_stay_without() -> None:
    base, mine, theirs = (
        {"host": ["{{base}}"], "path": ["v1", "pets"], "query": entries(*query)}
        for query in ((), ("a: 1",), ("b: 2",))
    )
    found = merged("url", base, mine, theirs)
    assert "raw" not in found
    assert shown(found["query"]) == ["a: 1", "b: 2"]


ODD = {"raw": "see the wiki", "host": ["h"], "query": entries("a: 1")}


def test_a_text_of_its_own_stays_with_the_parts_of_its_side() -> None:
    described = {**ODD, "query": [entry("a: 1", description="why")]}
    assert merged("url", ODD, {**ODD, "host": ["i"]}, described) == {**described, "host": ["i"]}
    mine = {**ODD, "raw": "see the new wiki"}
    assert merged("url", ODD, mine, described) == {**described, "raw": mine["raw"]}


def test_a_text_of_its_own_clashes_with_other_parts() -> None:
    mine = {**ODD, "raw": "see the new wiki"}
    assert conflicts("url", ODD, mine, {**ODD, "query": entries("a: 1", "b: 2")})
    assert conflicts("url", ODD, mine, {**ODD, "raw": "see the old wiki"})
    assert conflicts("url", ODD, {**ODD, "query": entries("a: 2")}, {**ODD, "host": ["i"]})


def test_a_text_is_made_where_one_side_removed_it() -> None:
    base = parts("{{base}}/pets?a=1")
    mine = {key: value for key, value in base.items() if key != "raw"}
    theirs = parts("{{base}}/cats?a=1")
    assert merged("url", base, {**mine, "query": []}, theirs)["raw"] == "{{base}}/cats"


def test_nothing_but_a_text_among_the_parts() -> None:
    base, mine, theirs = (
        {"raw": f"{{{{base}}}}/pets?{query}"} for query in ("a=1", "a=2", "a=1&b=2")
    )
    assert merged("url", base, mine, theirs) == {"raw": "{{base}}/pets?a=2&b=2"}
    assert conflicts("url", base, {"raw": 1}, {"raw": 2})


def test_text_on_one_side_and_parts_on_the_other() -> None:
    base, theirs = parts(BASE), parts(BASE.replace("limit=10", "limit=20"))
    found = merged("url", base, BASE.replace("v1", "v2"), theirs)
    expected = BASE.replace("v1", "v2").replace("limit=10", "limit=20")
    assert found["raw"] == join_url(found) == expected


def test_both_turned_parts_into_text() -> None:
    mine, theirs = BASE.replace("v1", "v2"), BASE.replace("limit=10", "limit=20")
    expected = mine.replace("limit=10", "limit=20")
    assert merged("url", parts(BASE), mine, theirs) == expected


def test_a_path_may_be_one_text() -> None:
    base, mine, theirs = ({"host": "h", "path": path} for path in ("/a/b", "/x/b", "/a/b/c"))
    assert merged("url", base, mine, theirs) == {"host": "h", "path": "/x/b/c"}


def test_a_path_of_typed_segments_stays_whole() -> None:
    base, mine, theirs = (
        {"path": [{"type": "string", "value": value}]} for value in ("a", "b", "c")
    )
    assert conflicts("url", base, mine, theirs)
