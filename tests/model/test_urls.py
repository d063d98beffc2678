"""URLs as text and in parts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.model.urls import join_url, parse_url

Parts = dict[str, Any]

names = st.sampled_from(["api", "{{host}}", "{{a/b?c}}"])
pieces = st.sampled_from(["api", "{{host}}", "{{a/b?c}}", ":id", "v1", "x y", "%2F"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{{baseUrl}}",
        "https://api.example.com/",
        "https://api.example.com:{{port}}/v1/pets/:id?limit=10&tag=&flag&q=a=b#top",
        "{{url?with=odd/name}}/path",
        "ada:secret@example.com/x",
        "/only/a/path",
        "?a=1",
        "https://h?",
        "https://h#",
    ],
)
def test_a_url_comes_back_from_its_parts(text: str) -> None:
    assert join_url(parse_url(text)) == text


@given(
    st.lists(names, min_size=1, max_size=3),
    st.lists(pieces, min_size=1, max_size=4),
    st.lists(st.tuples(pieces, st.none() | pieces), max_size=3),
)
def test_parts_come_back_from_their_url(
    host: list[str], path: list[str], query: list[tuple[str, str | None]]
) -> None:
    parts: Parts = {"protocol": "https", "host": host, "path": path}
    if query:
        parts["query"] = [{"key": key, "value": value} for key, value in query]
    assert parse_url(join_url(parts)) == parts


def test_parameters_that_are_switched_off_can_be_left_out() -> None:
    parts: Parts = {
        "host": "{{base}}",
        "query": [{"key": "a", "value": "1"}, {"key": "b", "value": "2", "disabled": True}],
    }
    assert join_url(parts) == "{{base}}?a=1&b=2"
    assert join_url(parts, disabled=False) == "{{base}}?a=1"


def test_what_is_no_part_of_a_url_is_left_out_of_its_text() -> None:
    parts: Parts = {
        "host": 1,
        "path": [{"type": "string", "value": "a"}],
        "query": [None, {"value": 3}],
    }
    assert join_url(parts) == "/a?=3"
