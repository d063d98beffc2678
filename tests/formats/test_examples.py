"""The examples that the demo imports are files as we would write them ourselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafkaman_sync.formats import parse, render


@pytest.mark.parametrize("name", ["collection", "environment"])
def test_an_example_is_written_back_byte_for_byte(root: Path, name: str) -> None:
    data = (root / f"scripts/examples/weather.postman_{name}.json").read_bytes()
    found = parse(data, filename="x.json")
    assert render(found.root) == data
    assert "source" not in found.root.fields
    assert found.warnings == ()


def test_the_example_collection_shows_each_kind_of_entity(root: Path) -> None:
    data = (root / "scripts/examples/weather.postman_collection.json").read_bytes()
    counts = parse(data, filename="x.json").counts
    assert 12 <= counts["request"] <= 20
    assert counts["folder"] > 3
    assert counts["response"] > 3
