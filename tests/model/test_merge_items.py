"""Merging lists of headers, parameters, variables, scripts and auth parameters."""

from __future__ import annotations

from typing import Any

import pytest

from kafkaman_sync.model.values import Value
from tests.model.merging import CLASH, GONE, both, conflicts, entries, entry, merged, shown

BASE = entries("Accept: */*", "X-Trace: 1", "User-Agent: us")


def test_two_people_add_different_headers() -> None:
    mine, theirs = [*BASE, entry("X-Mine: 1")], [*BASE, entry("X-Theirs: 2")]
    assert shown(merged("header", BASE, mine, theirs)) == [*shown(mine), "X-Theirs: 2"]


@pytest.mark.parametrize("nothing", [GONE, None, []])
def test_two_people_give_a_request_its_first_headers(nothing: Any) -> None:
    found = merged("header", nothing, entries("A: 1"), entries("B: 2"))
    assert shown(found) == ["A: 1", "B: 2"]


def test_both_add_the_same_header() -> None:
    added = [*BASE, entry("X-New: 1")]
    mine, theirs = [entry("X-Mine: 0"), *added], [*added, entry("X-Theirs: 3")]
    assert shown(merged("header", BASE, mine, theirs)) == [*shown(mine), "X-Theirs: 3"]


def test_both_add_a_header_of_one_name_with_different_values() -> None:
    mine, theirs = [*BASE, entry("X-New: 1")], [*BASE, entry("X-New: 2")]
    assert conflicts("header", BASE, mine, theirs)
    assert shown(both("header", BASE, mine, theirs)) == [*shown(BASE), "X-New: 2", "X-New: 1"]


def test_both_add_a_header_that_one_of_them_describes() -> None:
    mine = [*BASE, entry("X-New: 1", description="why")]
    assert merged("header", BASE, mine, [*BASE, entry("X-New: 1")]) == mine


def test_header_names_are_the_same_in_any_case() -> None:
    mine, theirs = entries("accept: */*"), [entry("Accept: */*", disabled=True)]
    assert merged("header", entries("Accept: */*"), mine, theirs) == [
        entry("accept: */*", disabled=True)
    ]
    assert conflicts("header", [], entries("accept: a"), entries("Accept: b"))


def test_one_switches_a_header_off_while_the_other_changes_its_value() -> None:
    mine = [BASE[0], entry("X-Trace: 1", disabled=True), BASE[2]]
    theirs = [BASE[0], entry("X-Trace: 7"), BASE[2]]
    assert merged("header", BASE, mine, theirs) == [
        BASE[0],
        entry("X-Trace: 7", disabled=True),
        BASE[2],
    ]


def test_both_change_one_header_s_value() -> None:
    mine, theirs = entries("A: mine", "B: 1"), entries("A: theirs", "B: 1")
    base = entries("A: 0", "B: 1")
    assert conflicts("header", base, mine, theirs)
    assert shown(both("header", base, mine, theirs)) == ["A: theirs", "A: mine", "B: 1"]


def test_a_header_that_one_removed_and_nobody_touched_is_gone() -> None:
    mine, theirs = [BASE[0], BASE[2]], [*BASE, entry("X-New: 1")]
    assert shown(merged("header", BASE, mine, theirs)) == [*shown(mine), "X-New: 1"]


def test_a_header_that_one_removed_and_the_other_changed() -> None:
    mine, theirs = BASE[1:], [entry("Accept: text/html"), *BASE[1:]]
    assert conflicts("header", BASE, mine, theirs)
    assert both("header", BASE, mine, theirs) == theirs
    assert both("header", BASE, theirs, mine) == theirs


def test_additions_stay_beside_their_neighbours() -> None:
    first, second, third = BASE
    mine = [first, entry("M1: 1"), entry("M2: 2"), second, third]
    theirs = [entry("T0: 0"), first, second, entry("T2: 2"), third]
    expected = ["T0: 0", "Accept: */*", "M1: 1", "M2: 2", "X-Trace: 1", "T2: 2", "User-Agent: us"]
    assert shown(merged("header", BASE, mine, theirs)) == expected


def test_one_sorts_the_headers_while_the_other_edits_and_adds() -> None:
    base = entries("C: 3", "A: 1", "B: 2")
    mine, theirs = entries("A: 1", "B: 2", "C: 3"), entries("C: 3", "A: 9", "D: 4", "B: 2")
    assert shown(merged("header", base, mine, theirs)) == ["A: 9", "D: 4", "B: 2", "C: 3"]


def test_both_move_headers() -> None:
    base = entries("A: 1", "B: 2", "C: 3", "D: 4", "E: 5")
    mine = entries("E: 5", "A: 1", "B: 2", "C: 3", "D: 4")
    theirs = entries("A: 1", "C: 3", "D: 4", "B: 2", "E: 5")
    assert shown(merged("header", base, mine, theirs)) == ["E: 5", "A: 1", "C: 3", "D: 4", "B: 2"]


def test_both_move_one_header_to_different_places() -> None:
    base = entries("A: 1", "B: 2", "C: 3", "D: 4", "E: 5")
    mine = entries("E: 5", "A: 1", "B: 2", "C: 3", "D: 4")
    theirs = entries("A: 1", "B: 2", "E: 5", "C: 3", "D: 4")
    assert merged("header", base, mine, theirs) == mine


def test_repeated_parameters_are_told_apart() -> None:
    base = entries("tag: a", "tag: b", "tag: c")
    mine, theirs = entries("tag: b", "tag: c"), entries("tag: a", "tag: b")
    url = {"host": ["{{base}}"]}
    found = merged("url", {**url, "query": base}, {**url, "query": mine}, {**url, "query": theirs})
    assert shown(found["query"]) == ["tag: b"]


def test_of_repeated_parameters_each_changes_another() -> None:
    base = entries("tag: a", "tag: b", "tag: c")
    mine, theirs = (
        entries("tag: A", "tag: b", "tag: c"),
        entries("tag: a", "tag: b", "tag: C", "n: 1"),
    )
    assert shown(merged("header", base, mine, theirs)) == ["tag: A", "tag: b", "tag: C", "n: 1"]


def test_of_repeated_headers_each_removes_what_the_other_kept() -> None:
    base, mine, theirs = entries("A: 1", "A: 2"), entries("A: 1"), entries("A: 2")
    assert conflicts("header", base, mine, theirs)


def test_the_same_header_added_twice_stays_twice() -> None:
    twice = entries("Set-Cookie: a", "Set-Cookie: a")
    mine, theirs = [*twice, entry("M: 1")], [*twice, entry("T: 1")]
    assert shown(merged("header", [], mine, theirs)) == [*shown(twice), "M: 1", "T: 1"]


def test_headers_that_are_no_maps_are_known_by_what_they_are() -> None:
    mine, theirs = ["A: 1", "B: 2", None], ["A: 1", "C: 3"]
    assert merged("header", ["A: 1"], mine, theirs) == ["A: 1", "B: 2", None, "C: 3"]


def test_headers_as_one_text_merge_by_line() -> None:
    base = "A: 1\nB: 2\nC: 3"
    assert merged("header", base, "A: 9\nB: 2\nC: 3", f"{base}\nD: 4") == "A: 9\nB: 2\nC: 3\nD: 4"


def test_a_header_without_a_name_is_a_header_too() -> None:
    mine, theirs = [{"key": "", "value": ""}], entries("A: 1")
    assert merged("header", [], mine, theirs) == [*mine, *theirs]


@pytest.mark.parametrize("name", ["variable", "cookie"])
def test_variables_and_cookies_merge_by_name(name: str) -> None:
    key = "key" if name == "variable" else "name"
    base = [{key: "a", "value": "1"}, {key: "b", "value": "2"}]
    mine = [{key: "a", "value": "9"}, base[1]]
    theirs = [base[0], {key: "b", "value": "8"}, {key: "c", "value": "3"}]
    assert merged(name, base, mine, theirs) == [mine[0], *theirs[1:]]


def test_variables_may_be_known_by_their_id() -> None:
    base = [{"id": "versionUserAgent", "type": "string", "value": "1"}]
    mine = [{**base[0], "value": "2"}]
    theirs = [{**base[0], "type": "any"}, entry("baseUrl: x")]
    assert merged("variable", base, mine, theirs) == [{**mine[0], "type": "any"}, theirs[1]]


def event(listen: str, *lines: str, **others: Value) -> dict[str, Any]:
    return {"listen": listen, "script": {"type": "text/javascript", "exec": list(lines)}, **others}


def test_scripts_merge_by_line() -> None:
    base = [event("test", "a();", "b();", "c();", "d();")]
    mine = [event("test", "A();", "b();", "c();", "d();")]
    theirs = [event("test", "a();", "b();", "c();", "d();", "e();"), event("prerequest", "p();")]
    assert merged("event", base, mine, theirs) == [
        event("test", "A();", "b();", "c();", "d();", "e();"),
        event("prerequest", "p();"),
    ]


def test_scripts_changed_in_the_same_line() -> None:
    base, mine, theirs = ([event("test", "a();", line, "c();")] for line in ("0", "mine", "theirs"))
    assert conflicts("event", base, mine, theirs)
    assert both("event", base, mine, theirs) == [event("test", "a();", "theirs", "mine", "c();")]


def test_an_event_is_never_kept_twice() -> None:
    mine, theirs = [event("test", "a();", id="1")], [event("test", "a();", id="2")]
    assert both("event", [event("test", "a();", id="0")], mine, theirs) is CLASH


def script(lines: Any) -> list[dict[str, Any]]:
    return [{"listen": "test", "script": {"exec": lines}}]


def test_a_script_may_be_one_text() -> None:
    base, mine, theirs = "a\nb\nc\nd", "A\nb\nc\nd", "a\nb\nc\nd\ne"
    expected = "A\nb\nc\nd\ne"
    assert merged("event", script(base), script(mine), script(theirs)) == script(expected)
    found = merged("event", script(base), script(mine), script(theirs.split("\n")))
    assert found == script(expected.split("\n"))


def test_a_script_with_something_else_than_lines_stays_whole() -> None:
    mine, theirs = script([None, "b", "c"]), script(["a", "b", "C"])
    assert conflicts("event", script(["a", "b", "c"]), mine, theirs)
    assert conflicts("event", script(["a"]), script(1), script({"a": 1}))


def auth(**parameters: str) -> dict[str, Any]:
    return {
        "type": "basic",
        "basic": [
            {"key": key, "value": value, "type": "string"} for key, value in parameters.items()
        ],
    }


def test_auth_parameters_merge_by_name() -> None:
    base = auth(username="ada", password="old")
    mine, theirs = auth(username="bob", password="old"), auth(username="ada", password="new")
    assert merged("auth", base, mine, theirs) == auth(username="bob", password="new")


def test_auth_parameters_of_version_2_0_merge_by_name() -> None:
    base, mine, theirs = (
        {"type": "digest", "digest": {"username": user, "realm": realm}}
        for user, realm in (("ada", "a"), ("bob", "a"), ("ada", "b"))
    )
    assert merged("auth", base, mine, theirs) == {
        "type": "digest",
        "digest": {"username": "bob", "realm": "b"},
    }


def test_another_type_of_auth_clashes_with_other_parameters() -> None:
    base = auth(username="ada", password="old")
    mine = {**base, "type": "bearer", "bearer": [{"key": "token", "value": "t"}]}
    theirs = auth(username="ada", password="new")
    assert conflicts("auth", base, mine, theirs)
    assert both("auth", base, mine, theirs) is CLASH


def test_an_auth_parameter_is_never_kept_twice() -> None:
    assert both("auth", auth(token="0"), auth(token="1"), auth(token="2")) is CLASH


def test_no_auth_against_other_parameters() -> None:
    assert conflicts("auth", auth(token="0"), {"type": "noauth"}, auth(token="1"))
    assert conflicts("auth", auth(token="0"), None, auth(token="1"))
