"""What a person edits when a conflict opens in an editor, and what comes back."""

from __future__ import annotations

from typing import Any

import pytest

from kafkaman_sync.cli.conflict_text import SCISSORS, compose, edited_value, is_empty, is_text
from kafkaman_sync.client import Conflict
from kafkaman_sync.errors import UsageError
from kafkaman_sync.model.values import Value


def conflict(mine: Value, theirs: Value, base: Value = None) -> Conflict:
    return Conflict("1", "w", "e", "request", "List", "field", "body", base, mine, theirs)


def above(text: str) -> str:
    return text.split(f"\n{SCISSORS}", maxsplit=1)[0]


def refusal(text: str, about: Conflict) -> UsageError:
    with pytest.raises(UsageError) as caught:
        edited_value(text, about)
    return caught.value


def test_what_one_side_changed_stands_and_what_both_did_is_between_markers() -> None:
    text = compose(conflict("A\nb\nmine\nd\ne", "a\nb\ntheirs\nd\nE", "a\nb\nc\nd\ne"))
    assert above(text).split("\n") == [
        "A", "b", "<<<<<<< mine", "mine", "||||||| base", "c", "=======", "theirs",
        ">>>>>>> theirs", "d", "E",
    ]  # fmt: skip
    assert "the text of body" in text


def test_what_both_changed_alike_needs_no_markers() -> None:
    text = compose(conflict("x\nb\nmine", "x\nb\ntheirs", "a\nb\nc"))
    assert above(text).split("\n")[:3] == ["x", "b", "<<<<<<< mine"]


@pytest.mark.parametrize(
    "value", ["", "one", "one\n", "\n\n", "# a comment\n", "ä\t€", "a\r\nb", "\ufeffa"]
)
def test_a_text_comes_back_as_it_was_written(value: str) -> None:
    about = conflict(value, value + "!")
    assert edited_value(f"{value}\n{SCISSORS}\n# notes\n", about) == value


def test_without_the_scissors_the_last_line_s_end_is_not_part_of_the_text() -> None:
    assert edited_value("one\ntwo\n", conflict("1", "2")) == "one\ntwo"


def test_json_is_edited_line_by_line_and_read_again() -> None:
    about = conflict({"a": 1, "b": [True]}, {"a": 2, "b": [True]}, {"a": 0, "b": [True]})
    assert not is_text(about)
    text = above(compose(about))
    marked = '<<<<<<< mine\n  "a": 1,\n||||||| base\n  "a": 0,\n=======\n  "a": 2,\n>>>>>>> theirs'
    assert f'{{\n{marked}\n  "b"' in text
    assert edited_value('{"a": 3}\n' + SCISSORS, about) == {"a": 3}


def test_text_that_no_file_can_hold_is_json() -> None:
    about = conflict("a\ud800", "b")
    text = compose(about)
    text.encode()
    assert '"a\\ud800"' in text
    assert edited_value('"b\\ud800"', about) == "b\ud800"


@pytest.mark.parametrize(
    ("mine", "theirs", "text"),
    [("a", None, True), (None, "a", True), ("a", 1, False), (None, None, False), ([], "a", False)],
)
def test_what_is_text_on_one_side_only_is_json(mine: Value, theirs: Value, text: bool) -> None:
    assert is_text(conflict(mine, theirs)) is text


def test_what_is_missing_on_a_side_has_no_lines() -> None:
    text = above(compose(conflict(None, "a", "b")))
    assert text == "<<<<<<< mine\n||||||| base\nb\n=======\na\n>>>>>>> theirs"


@pytest.mark.parametrize("marker", ["<<<<<<< mine", "||||||| base", ">>>>>>> theirs"])
def test_markers_that_are_left_are_pointed_out(marker: str) -> None:
    error = refusal(f"a\n{marker}\nb", conflict("a", "b"))
    assert (error.code, error.details["line"]) == ("conflict.markers", 2)


def test_what_is_not_json_is_explained_with_its_place() -> None:
    error = refusal('{"a": }', conflict({"a": 1}, {"a": 2}))
    assert error.code == "usage.json"
    assert (error.details["line"], error.details["column"]) == (1, 7)


@pytest.mark.parametrize(("text", "empty"), [("", True), ("\n \n", True), ("a", False)])
def test_a_text_without_anything_is_empty(text: str, empty: bool) -> None:
    for notes in ("", f"\n{SCISSORS}\n# notes"):
        assert is_empty(text + notes) is empty


def test_the_text_names_what_it_is_about() -> None:
    about: Any = conflict({"a": 1}, {"a": 2})
    assert "the JSON of body, request List" in compose(about)
