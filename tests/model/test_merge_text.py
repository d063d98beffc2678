"""Merging text by line."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.model.merge.lines import Hunk, differences, merge_lines
from kafkaman_sync.model.merge.parts import ClashError, Manner
from tests.model.merging import CLASH, both, conflicts, merged

POEM = "one\ntwo\nthree\nfour\nfive\n"


def test_each_changes_other_lines() -> None:
    mine, theirs = POEM.replace("one", "1"), POEM.replace("four\n", "four\nfour and a half\n")
    expected = "1\ntwo\nthree\nfour\nfour and a half\nfive\n"
    assert merged("description", POEM, mine, theirs) == expected


def test_both_change_one_line() -> None:
    mine, theirs = POEM.replace("three", "3"), POEM.replace("three", "III")
    assert conflicts("description", POEM, mine, theirs)
    assert both("description", POEM, mine, theirs) == POEM.replace("three", "III\n3")


def test_changes_side_by_side_touch() -> None:
    mine, theirs = POEM.replace("two", "2"), POEM.replace("three", "3")
    assert conflicts("description", POEM, mine, theirs)
    assert both("description", POEM, mine, theirs) == "one\ntwo\n3\n2\nthree\nfour\nfive\n"


def test_both_change_a_line_alike_and_others_apart() -> None:
    mine = POEM.replace("two", "2").replace("five", "5")
    theirs = POEM.replace("two", "2").replace("four\n", "")
    assert conflicts("description", POEM, mine, theirs)
    theirs = POEM.replace("two", "2").replace("one", "1")
    assert conflicts("description", POEM, mine, theirs)
    theirs = f"zero\n{POEM.replace('two', '2')}"
    assert merged("description", POEM, mine, theirs) == f"zero\n{mine}"


def test_both_add_at_the_end() -> None:
    mine, theirs = f"{POEM}mine\n", f"{POEM}theirs\n"
    assert conflicts("description", POEM, mine, theirs)
    assert both("description", POEM, mine, theirs) == f"{POEM}theirs\nmine\n"


def test_a_piece_that_one_removed_and_the_other_changed() -> None:
    mine, theirs = POEM.replace("three\n", ""), POEM.replace("three", "3")
    assert conflicts("description", POEM, mine, theirs)
    assert both("description", POEM, mine, theirs) == theirs
    assert both("description", POEM, theirs, mine) == theirs


def test_a_description_of_one_line() -> None:
    assert conflicts("description", "a", "b", "c")
    assert both("description", "a", "b", "c") == "c\nb"
    assert both("description", None, "b", "c") == "c\nb"


def test_descriptions_with_a_type_merge_their_content() -> None:
    base, mine, theirs = (
        {"content": text, "type": "text/plain"}
        for text in (POEM, POEM.replace("one", "1"), POEM.replace("five", "5"))
    )
    theirs["type"] = "text/markdown"
    expected = {"content": POEM.replace("one", "1").replace("five", "5"), "type": "text/markdown"}
    assert merged("description", base, mine, theirs) == expected
    assert conflicts("description", POEM, mine, POEM.replace("one", "I"))


def test_other_ends_of_lines_are_other_lines() -> None:
    windows = POEM.replace("\n", "\r\n")
    theirs = windows.replace("four", "4")
    assert merged("description", windows, windows.replace("one", "1"), theirs) == theirs.replace(
        "one", "1"
    )
    assert conflicts("description", POEM, windows, POEM.replace("one", "1"))


def test_a_missing_last_end_of_line_is_a_change() -> None:
    mine, theirs = POEM.removesuffix("\n"), POEM.replace("one", "1")
    assert merged("description", POEM, mine, theirs) == theirs.removesuffix("\n")


def test_what_belongs_together_is_not_torn_apart() -> None:
    base = "def a() {\n  one();\n}\n\ndef b() {\n  two();\n}\n"
    mine = base.replace("def b", "def new() {\n  three();\n}\n\ndef b")
    (hunk,) = differences(base.split("\n"), mine.split("\n"))
    assert mine.split("\n")[hunk.start : hunk.end] == ["def new() {", "  three();", "}", ""]


def test_lines_that_all_occur_often_are_found_by_length() -> None:
    base, side = ["a", "b", "a", "b", "c", "c"], ["b", "a", "b", "c", "c", "c", "a"]
    hunks = differences(base, side)
    assert hunks[0] == Hunk(0, 1, 0, 0)


@given(
    st.lists(st.sampled_from("abcde"), max_size=12), st.lists(st.sampled_from("abcde"), max_size=12)
)
def test_differences_tell_all(base: list[str], side: list[str]) -> None:
    rebuilt: list[str] = []
    done = 0
    for hunk in differences(base, side):
        assert hunk.base_start > done or hunk.base_start == done == 0
        rebuilt += base[done : hunk.base_start]
        assert len(rebuilt) == hunk.start
        rebuilt += side[hunk.start : hunk.end]
        done = hunk.base_end
    assert rebuilt + base[done:] == side


@pytest.mark.parametrize(
    ("base", "side"),
    [
        (["a", "b"] * 20_000, ["b", "a", "a"] * 13_000),
        (["x"] * 50_000, [*["x"] * 20_000, "y", *["x"] * 29_000]),
        ([f"{n}" for n in range(30_000)], [f"{n}" for n in reversed(range(30_000))]),
        (
            [f"{n % 9}" if n % 2 else f"u{n}" for n in range(30_000)],
            [f"{n % 7}" if n % 2 else f"u{n}" for n in range(30_000)],
        ),
    ],
    ids=["two lines", "one line", "reversed", "every other line"],
)
def test_tangled_texts_end_soon(base: list[str], side: list[str]) -> None:
    before = process_time()
    assert differences(base, side)
    assert process_time() - before < 20


def test_beyond_the_allowed_steps_the_rest_counts_as_changed() -> None:
    base, side = ["a", "b"] * 1000, ["b", "a", "a"] * 700
    mine = [*base, "end"]
    assert merge_lines(Manner(), base, mine, base) == mine
    with pytest.raises(ClashError):
        merge_lines(Manner(), base, mine, side)


def test_half_a_line_is_no_line() -> None:
    assert both("name", "a\nb", "a\nc", "a\nd") == "a\nd\nc"
    assert both("name", "a", "b", "c\nd") == "c\nd\nb"
    assert both("name", "a", "b", "c") is CLASH
