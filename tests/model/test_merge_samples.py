"""Real collections: whatever of them two people edit in different places comes together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from kafkaman_sync.formats import Draft, parse
from kafkaman_sync.model.entities import KINDS
from kafkaman_sync.model.urls import join_url
from tests.model.merging import CLASH, entry, merged

# Two edits of one value, by two people, and a question whether a value has them.
Edits = tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], bool]]


def drafts(draft: Draft) -> Iterator[Draft]:
    yield draft
    for child in draft.children:
        yield from drafts(child)


def test_edits_in_different_places_merge(shared_file: Path) -> None:
    seen = 0
    for draft in drafts(parse(shared_file.read_bytes(), filename=shared_file.name).root):
        for name, value in draft.fields.items():
            for mine, theirs, has_both in edits_of(name, value):
                ours, others = mine(deepcopy(value)), theirs(deepcopy(value))
                found = merged(name, value, ours, others, KINDS[draft.kind])
                assert found is not CLASH, (draft.kind, name, value)
                assert has_both(found), (draft.kind, name, value, found)
                seen += 1
    # Environments have only fields that stay whole.
    assert seen or shared_file.name.startswith("sample")


def edits_of(name: str, value: Any) -> Iterator[Edits]:
    if name in ("header", "variable") and isinstance(value, list):
        yield listed
    if name == "url":
        yield (
            (lambda url: with_parameter(url, "mine")),
            (lambda url: with_parameter(url, "theirs")),
            has_parameters,
        )
    if name == "body" and isinstance(value, dict) and value.get("mode") in value:
        mode = value["mode"]
        if isinstance(value[mode], list):
            yield inside(mode, listed)
        elif is_object(value[mode]):
            yield inside(mode, keyed)
    if name == "description" and isinstance(value, str) and "\n" in value:
        yield lined
    if name == "description" and isinstance(value, dict) and "\n" in value["content"]:
        yield inside("content", lined)


listed: Edits = (
    lambda entries: [entry("mine: 1"), *entries],
    lambda entries: [*entries, entry("theirs: 2")],
    lambda entries: [entries[0], entries[-1]] == [entry("mine: 1"), entry("theirs: 2")],
)
lined: Edits = (
    lambda text: f"mine\n{text}",
    lambda text: f"{text}\ntheirs",
    lambda text: text.startswith("mine\n") and text.endswith("\ntheirs"),
)
keyed: Edits = (
    lambda text: json.dumps({"mine": 1, **json.loads(text)}, indent=2),
    lambda text: json.dumps({**json.loads(text), "theirs": 2}, indent=2),
    lambda text: {"mine": 1, "theirs": 2}.items() <= json.loads(text).items(),
)


def inside(key: str, edits: Edits) -> Edits:
    mine, theirs, has_both = edits
    return (
        lambda value: {**value, key: mine(value[key])},
        lambda value: {**value, key: theirs(value[key])},
        lambda value: has_both(value[key]),
    )


def is_object(text: Any) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def with_parameter(url: Any, name: str) -> Any:
    if isinstance(url, str):
        return f"{url}{'&' if '?' in url else '?'}{name}=1"
    url["query"] = [*(url.get("query") or []), entry(f"{name}: 1")]
    if "raw" in url:
        url["raw"] = join_url(url, disabled=False)
    return url


def has_parameters(url: Any) -> bool:
    text = url if isinstance(url, str) else url.get("raw", join_url(url))
    return "mine=1" in text and "theirs=1" in text
