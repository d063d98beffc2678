"""The examples of docs/merge.md are true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.model.merging import CLASH, both, merged

PAGE = Path(__file__).resolve().parents[2] / "docs" / "merge.md"
EXAMPLES = [
    json.loads(block)
    for block in re.findall(
        r"^```json\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_true(example: dict[str, Any]) -> None:
    sides = [example["field"], *(example[side] for side in ("base", "mine", "theirs"))]
    found = merged(*sides)
    assert ("conflict" if found is CLASH else found) == example["merged"]
    kept = both(*sides)
    assert ("no" if kept is CLASH else kept) == example.get("both", example["merged"])


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6
