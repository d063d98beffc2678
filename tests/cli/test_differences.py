"""How a value's change is shown to a person."""

from __future__ import annotations

from typing import Any

import pytest

from kafkaman_sync.cli.differences import LINES_MAX, difference


def item(key: str, value: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "value": value, **more}


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (["a"], ["b"], "a  ->  b"),
        ([], ["a"], "a"),
        (["a"], [], "a  removed"),
        ([""], [None], '""  ->  null'),
        (["a\x1b"], [1.5], "a\\x1b  ->  1.5"),
        ([[1]], [[1, 2]], "[1]  ->  [1, 2]"),
        (
            ["one\ntwo"],
            ["one\n2"],
            "@@ -1,2 +1,2 @@\n one\n-two\n+2",
        ),
        (
            [[item("A", "1"), item("B", "2")]],
            [[item("A", "x"), item("C", "3")]],
            "  A: 1  ->  x\n- B: 2\n+ C: 3",
        ),
        (
            [[item("A", "1"), item("A", "2")]],
            [[item("A", "2"), item("A", "1")]],
            "  A: 1  ->  2\n  A: 2  ->  1",
        ),
        (
            [[item("A", "1"), item("B", "2")]],
            [[item("B", "2"), item("A", "1")]],
            "  in another order",
        ),
        (
            [[item("A", "1")]],
            [[item("A", "1", enabled=False)]],
            '  A: 1  ->  {"value": "1", "enabled": false}',
        ),
        ([], [[{"name": "q", "in": "query"}]], '+ q: {"in": "query"}'),
        ([[item("A", "1")]], [[]], '[{"key": "A", "value": "1"}]  ->  []'),
        ([[{"key": 1}]], [[{"key": 2}]], '[{"key": 1}]  ->  [{"key": 2}]'),
    ],
)
def test_a_change_is_shown_as_short_as_it_can_be(
    before: list[Any], after: list[Any], shown: str
) -> None:
    assert difference(before, after).plain == shown


def test_a_long_change_is_cut_with_a_word_on_where_the_rest_is() -> None:
    after = "\n".join(str(number) for number in range(100))
    lines = difference([], [after]).plain.split("\n")
    assert len(lines) == LINES_MAX + 1
    assert lines[-1] == f"... {101 - LINES_MAX} lines more: --json shows all"
