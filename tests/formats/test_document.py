"""A file's format is told from its content; a stranger is refused with a hint."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kafkaman_sync.formats import Draft, FormatError, Imported, parse, render
from kafkaman_sync.formats.collection import SCHEMA_URLS
from kafkaman_sync.formats.limits import FILE_BYTES_MAX

JSON = Any


def imported(document: JSON, filename: str = "x.json") -> Imported:
    return parse(json.dumps(document).encode(), filename=filename)


def refused(document: JSON) -> FormatError:
    with pytest.raises(FormatError) as caught:
        imported(document)
    return caught.value


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"info": {"schema": SCHEMA_URLS["collection.v2.1"]}, "item": []}, "collection.v2.1"),
        ({"info": {"schema": SCHEMA_URLS["collection.v2.0"]}, "item": []}, "collection.v2.0"),
        ({"info": {"schema": "https://x/collection/json/v2.0.0/"}}, "collection.v2.0"),
        ({"info": {"_postman_id": "i", "name": "C"}}, "collection.v2.1"),
        ({"info": 5, "item": []}, "collection.v2.1"),
        ({"item": [], "requests": []}, "collection.v2.1"),
        ({"collection": {"item": []}}, "collection.v2.1"),
        ({"values": []}, "environment"),
        ({"environment": {"values": []}}, "environment"),
        ([], "globals"),
        ([{"key": "a"}], "globals"),
        ({"run": {"executions": []}}, "run"),
        ({"run": {"stats": {}}}, "run"),
        ({"results": [], "totalPass": 0}, "run"),
    ],
)
def test_a_format_is_told_from_the_content(document: JSON, name: str) -> None:
    assert imported(document).format == name


@pytest.mark.parametrize(
    "document",
    [
        {"id": "i", "name": "C", "order": [], "folders": [], "requests": []},
        {"info": {"schema": "https://schema.getpostman.com/json/collection/v1.0.0/"}, "item": []},
        {"collection": {"requests": [], "name": "C"}},
    ],
)
def test_a_collection_of_version_1_is_refused_with_the_way_to_convert_it(document: JSON) -> None:
    error = refused(document)
    assert error.code == "format.collection_v1"
    assert "postman-collection-transformer" in error.hint


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"openapi": "3.1.0", "info": {"title": "A"}}, "an OpenAPI description"),
        ({"swagger": "2.0"}, "a Swagger description"),
        ({"version": 1, "collections": [], "environments": []}, "a dump of a whole workspace"),
        ({"log": {}}, "an HTTP archive"),
        ({"_type": "export", "resources": []}, "an Insomnia export"),
        ({"clientName": "Thunder Client"}, "a Thunder Client export"),
        ({"b": 1, "a": 2}, "an object with the keys a, b"),
        ({"values": {}}, "an object with the keys values"),
        ({}, "an empty object"),
        ([1], "a list of something else"),
        ([{"a": 1}], "a list of something else"),
        (5, "a single value"),
        (None, "a single value"),
        ({"collection": 5}, "an object with the keys collection"),
    ],
)
def test_another_file_is_refused_with_what_it_is(document: JSON, what: str) -> None:
    error = refused(document)
    assert error.code == "format.unknown"
    assert what in error.message


def test_a_schema_that_nobody_knows_is_reported() -> None:
    found = imported({"info": {"name": "C", "schema": "https://x/v3.0.0/"}, "item": []})
    assert found.format == "collection.v2.1"
    assert found.warnings == (
        "info.schema is unknown (https://x/v3.0.0/); it is read as collection.v2.1.",
    )


@pytest.mark.parametrize(
    "document",
    [
        {"collection": {"info": {"name": "C", "schema": "s"}, "item": []}},
        {"collection": {"item": []}, "m": 1},
    ],
)
def test_an_envelope_is_kept_around_a_collection(
    document: JSON, shown: Callable[..., JSON]
) -> None:
    assert shown(imported(document).root) == document


def test_a_collection_without_a_name_is_called_as_its_file(shown: Callable[..., JSON]) -> None:
    document = {"info": {"schema": SCHEMA_URLS["collection.v2.1"]}, "item": []}
    found = imported(document, "/srv/files/Pets.postman_collection.json")
    assert found.root.fields["name"] == "Pets"
    assert shown(found.root) == document
    assert imported(document, "").root.fields["name"] == "Untitled collection"


def test_the_preset_of_headers_has_no_file_format() -> None:
    with pytest.raises(FormatError) as caught:
        render(Draft("header_preset", {"name": "H"}))
    assert caught.value.code == "format.unknown"


def test_a_file_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert FILE_BYTES_MAX == 256 * 1024 * 1024
    monkeypatch.setattr("kafkaman_sync.formats.FILE_BYTES_MAX", 10)
    with pytest.raises(FormatError) as caught:
        parse(b" " * 11, filename="x")
    assert caught.value.code == "format.too_large"
    assert caught.value.details == {"size": 11, "limit": 10}
