"""A collection is written in the other version on request, and means the same there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kafkaman_sync.formats import Draft, FormatError, parse, render
from kafkaman_sync.formats.collection import SCHEMA_URLS
from kafkaman_sync.formats.dialect import auth_to_lists, auth_to_maps, url_to_parts, url_to_text

JSON = Any
V2_0, V2_1 = "collection.v2.0", "collection.v2.1"

LISTS = {
    "type": "basic",
    "basic": [
        {"key": "username", "value": "u", "type": "string"},
        {"key": "showPassword", "value": False, "type": "boolean"},
        {"key": "n", "value": None, "type": "any"},
    ],
}
MAPS = {"type": "basic", "basic": {"username": "u", "showPassword": False, "n": None}}


def test_auth_parameters_go_from_map_to_list_and_back() -> None:
    assert auth_to_lists(MAPS) == LISTS  # type: ignore[arg-type]
    assert auth_to_maps(LISTS) == MAPS  # type: ignore[arg-type]


@pytest.mark.parametrize("auth", [None, "text", {"type": "noauth"}])
def test_auth_without_parameters_is_the_same_in_both(auth: JSON) -> None:
    assert auth_to_lists(auth) == auth_to_maps(auth) == auth


@pytest.mark.parametrize("url", [None, 5, {"raw": "u"}])
def test_a_url_that_is_no_text_is_not_taken_apart(url: JSON) -> None:
    assert url_to_parts(url) == url


def test_a_hostile_url_is_taken_apart_in_linear_time() -> None:
    parts: JSON = url_to_parts("{{" * 2_000_000)
    assert len(parts["host"][0]) == 4_000_000


def test_list_entries_without_a_key_have_no_place_in_a_map() -> None:
    auth: JSON = {"type": "x", "x": [None, {"value": 1}, {"key": "k"}]}
    assert auth_to_maps(auth) == {"type": "x", "x": {"k": None}}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", {}),
        ("x.test", {"host": ["x", "test"]}),
        (
            "https://x.test:80/a/:id/?q=1&r&s=a=b#top",
            {
                "protocol": "https",
                "host": ["x", "test"],
                "port": "80",
                "path": ["a", ":id", ""],
                "variable": [{"key": "id", "value": ""}],
                "query": [
                    {"key": "q", "value": "1"},
                    {"key": "r", "value": None},
                    {"key": "s", "value": "a=b"},
                ],
                "hash": "top",
            },
        ),
        ("{{base.url}}/{{a/b}}", {"host": ["{{base.url}}"], "path": ["{{a/b}}"]}),
        ("{{p://x?}}.test", {"host": ["{{p://x?}}", "test"]}),
        ("http://u:p@x.test/", {"protocol": "http", "host": ["u:p@x.test"], "path": [""]}),
        ("/path", {"path": ["path"]}),
    ],
)
def test_a_url_is_taken_apart_without_cutting_variables(text: str, parts: JSON) -> None:
    assert url_to_parts(text) == {"raw": text, **parts}


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("u", "u"),
        (None, None),
        ({"raw": "https://x.test/a", "host": ["x", "test"], "query": []}, "https://x.test/a"),
        (
            {
                "protocol": "https",
                "host": ["x", "test"],
                "port": 80,
                "path": ["a", {"type": "any", "value": "b"}],
                "query": [{"key": "q", "value": "1"}, {"key": "r"}, {"value": 2}],
                "hash": "h",
            },
            {},
        ),
        (
            {"host": "x.test", "path": "/a/b", "query": "q"},
            {},
        ),
        (
            {
                "protocol": "https",
                "host": ["x", "test"],
                "port": "80",
                "path": ["a"],
                "query": [{"key": "q", "value": "1"}, {"key": "r", "value": None}],
                "hash": "h",
            },
            "https://x.test:80/a?q=1&r#h",
        ),
        ({"raw": "x.test?q=1", "query": [{"key": "q", "value": "1", "disabled": True}]}, {}),
        ({"raw": "x.test/:a", "variable": [{"key": "a", "value": "1"}]}, {}),
        ({"raw": "x.test", "extra": 1}, {}),
        ({"path": []}, ""),
    ],
)
def test_a_url_becomes_text_only_where_the_text_tells_all(url: JSON, text: JSON) -> None:
    assert url_to_text(url) == (url if text == {} else text)


def test_each_place_with_an_auth_or_url_is_converted(
    collection: Callable[..., bytes], shown: Callable[..., JSON]
) -> None:
    request = {"method": "GET", "auth": LISTS, "url": {"raw": "x.test", "host": ["x", "test"]}}
    item = {"request": request, "response": [{"originalRequest": request}, {"code": 1}]}
    data = collection({"item": [item], "auth": LISTS}, auth=LISTS)
    root = parse(data, filename="x.json").root
    old = shown(root, format=V2_0)
    converted = {"method": "GET", "auth": MAPS, "url": "x.test"}
    assert old["info"]["schema"] == SCHEMA_URLS[V2_0]
    assert old["auth"] == old["item"][0]["auth"] == MAPS
    assert old["item"][0]["item"][0]["request"] == converted
    assert old["item"][0]["item"][0]["response"] == [{"originalRequest": converted}, {"code": 1}]
    again = parse(render(root, format=V2_0), filename="x.json")
    assert again.format == V2_0
    new = shown(again.root, format=V2_1)
    assert new["item"][0]["item"][0]["request"] == {
        **request,
        "url": {"raw": "x.test", "host": ["x", "test"]},
    }
    assert new["info"]["schema"] == SCHEMA_URLS[V2_1]


def test_the_version_it_came_in_is_left_as_it_is(
    collection: Callable[..., bytes], shown: Callable[..., JSON]
) -> None:
    root = parse(collection({"request": {"auth": MAPS}, "response": []}), filename="x.json").root
    assert shown(root, format=V2_1)["item"][0]["request"] == {"auth": MAPS}


@pytest.mark.parametrize("wanted", ["environment", "run", "collection.v1", ""])
def test_a_collection_is_not_written_in_a_format_that_is_none_of_its_own(wanted: str) -> None:
    with pytest.raises(FormatError) as caught:
        render(Draft("collection", {"name": "C"}), format=wanted)
    assert caught.value.code == "format.unknown"
    assert "collection.v2.1" in caught.value.hint
