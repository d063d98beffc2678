"""Run reports of newman and of the app are kept whole, in fields of a bounded size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import simplejson

from kafkaman_sync.formats import Draft, FormatError, parse, render
from kafkaman_sync.formats.limits import CHUNK_BYTES, encoded_bytes

JSON = Any
Shown = Callable[..., JSON]

EXECUTION = {
    "cursor": {"position": 0, "iteration": 0},
    "item": {"name": "a"},
    "request": {"method": "GET", "url": {"host": ["x"]}},
    "response": {"code": 200, "stream": {"type": "Buffer", "data": [123, 0, 255]}},
    "assertions": [{"assertion": "ok", "skipped": False}],
}
REPORT: JSON = {
    "collection": {"info": {"name": "C"}, "item": []},
    "environment": {"values": []},
    "globals": {"values": []},
    "run": {
        "stats": {"requests": {"total": 1}},
        "timings": {"started": 1_700_000_000_123, "responseAverage": 6.4},
        "executions": [EXECUTION],
        "transfers": {"responseTotal": 3},
        "failures": [{"at": "assertion:1", "error": {"name": "E"}}],
        "error": None,
    },
}
APP: JSON = {
    "id": "i",
    "name": "C",
    "startedAt": "2023-09-14T10:22:22.726Z",
    "collection_id": "c",
    "totalPass": 8,
    "results": [{"name": "r", "allTests": [{"ok": True}]}],
    "collection": {"requests": [{"id": "i", "method": "POST"}]},
}


def run_of(document: JSON, filename: str = "x.json") -> Draft:
    found = parse(simplejson.dumps(document).encode(), filename=filename)
    assert found.format == "run"
    assert found.counts == {"collection_run": 1}
    return found.root


def without(document: JSON, *path: str) -> JSON:
    """A copy that lacks one key."""
    key, *rest = path
    copy = dict(document)
    if rest:
        copy[key] = without(copy[key], *rest)
    else:
        del copy[key]
    return copy


def test_a_report_has_its_parts_as_fields(shown: Shown) -> None:
    run = run_of(REPORT)
    assert run.fields["name"] == "C 2023-11-14 22:13:20"
    assert list(run.fields) == [
        *("collection", "environment", "globals", "stats", "timings", "transfers", "error"),
        *("executions.0000", "failures.0000", "name"),
    ]
    assert shown(run) == REPORT


def test_a_responses_content_stays_a_list_of_numbers() -> None:
    executions: JSON = run_of(REPORT).fields["executions.0000"]
    assert executions[0]["response"]["stream"]["data"] == [123, 0, 255]


@pytest.mark.parametrize(
    "data", ["[]", "[256]", "[-1]", "[true]", "[1.0]", '["1"]', '"text"', "null"]
)
def test_a_content_that_is_no_list_of_bytes_is_kept_as_it_is(data: str) -> None:
    text = (
        '{"run":{"executions":[{"response":{"stream":{"type":"Buffer","data":%s}}}],"failures":[]}}'
    )
    document = (text % data).encode()
    written = render(parse(document, filename="x").root)
    assert b"".join(written.split()) == document


def test_long_lists_go_on_in_further_fields(shown: Shown) -> None:
    executions = [{"n": n, "body": "x" * 300_000} for n in range(20)]
    document = {"run": {"executions": executions, "failures": executions[:5]}}
    run = run_of(document)
    chunks = [name for name in run.fields if name.startswith("executions.")]
    assert chunks == [f"executions.{n:04}" for n in range(7)]
    assert "failures.0001" in run.fields
    assert all(encoded_bytes(value) <= CHUNK_BYTES + 5 for value in run.fields.values())
    assert shown(run) == document


def test_a_report_too_large_for_one_entity_is_refused() -> None:
    document = {"run": {"executions": [{"body": "x" * 1_000_000}] * 18}}
    with pytest.raises(FormatError) as caught:
        run_of(document)
    assert caught.value.code == "format.too_large"
    assert "the collection_run itself" in caught.value.message


@pytest.mark.parametrize(
    "path",
    [
        ["collection"],
        ["collection", "info"],
        ["run", "executions"],
        ["run", "failures"],
        ["run", "stats"],
        ["run", "timings"],
    ],
)
def test_a_report_may_lack_any_part(path: list[str], shown: Shown) -> None:
    document = without(REPORT, *path)
    assert shown(run_of(document)) == document


@pytest.mark.parametrize("odd", [None, {}, "text", 0])
def test_a_part_that_is_no_list_is_kept_as_it_is(odd: JSON, shown: Shown) -> None:
    document = {"run": {"stats": {}, "executions": odd, "failures": []}, "extra": odd}
    run = run_of(document)
    assert shown(run) == document
    chunk: JSON = {"executions.0000": [{"n": 1}]}
    assert shown(replace(run, fields={**run.fields, **chunk}))["run"]["executions"] == [{"n": 1}]


def test_the_apps_run_is_kept_with_its_own_name(shown: Shown) -> None:
    run = run_of(APP)
    assert run.fields["name"] == "C 2023-09-14T10:22:22.726Z"
    assert run.fields["results.0000"] == APP["results"]
    assert shown(run) == APP
    assert shown(replace(run, fields={**run.fields, "name": "N"}))["name"] == "N"


@pytest.mark.parametrize("key", ["name", "startedAt", "collection"])
def test_the_apps_run_may_lack_any_part(key: str, shown: Shown) -> None:
    document = without(APP, key)
    assert shown(run_of(document)) == document


@pytest.mark.parametrize(
    ("filename", "name"), [("night.json", "night"), ("", "Untitled collection run")]
)
def test_a_run_that_tells_no_name_gets_one(filename: str, name: str) -> None:
    assert run_of({"run": {"stats": {}}}, filename).fields["name"] == name
    assert run_of(without(without(APP, "name"), "startedAt"), filename).fields["name"] == name


def test_a_start_beyond_the_calendar_is_left_out_of_the_name() -> None:
    run = {"stats": {}, "timings": {"started": 10**18}}
    report = {"collection": {"info": {"name": "C"}}, "run": run}
    assert run_of(report).fields["name"] == "C"


def test_a_run_made_by_hand_is_written_as_a_report(shown: Shown) -> None:
    run = Draft("collection_run", {"name": "R", "stats": {}, "executions.0000": 5})
    assert shown(run) == {"run": {"stats": {}, "executions": [5], "failures": []}}
    with pytest.raises(FormatError):
        render(run, format="environment")
