"""Values of a request's fields, as people write them, and what two people make of one."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from kafkaman_sync.formats.dialect import url_to_parts
from kafkaman_sync.model.values import decode_value, encode_value
from tests.model.merging import raw
from tests.model.strategies import json_values

words = st.sampled_from(["a", "b", "c", "Accept", "accept", "{{token}}", "é"])
lines = st.lists(
    st.sampled_from(["", "}", "a();", "b();", "if (x) {", "y = 1;", "// é"]), max_size=8
)
texts = lines.map("\n".join)
entries = st.fixed_dictionaries(
    {"key": words, "value": words},
    optional={"disabled": st.booleans(), "description": texts, "type": st.just("text")},
)
plain_lists = st.lists(
    st.fixed_dictionaries({"key": st.sampled_from("abcdefgh"), "value": words}),
    max_size=5,
    unique_by=lambda entry: str(entry["key"]),
)
entry_lists = st.lists(entries, max_size=5)
events = st.lists(
    st.fixed_dictionaries(
        {
            "listen": st.sampled_from(["test", "prerequest"]),
            "script": st.fixed_dictionaries({"exec": lines | texts, "type": st.just("js")}),
        }
    ),
    max_size=2,
    unique_by=lambda event: str(event["listen"]),
)
url_texts = st.builds(
    lambda host, path, query: (
        f"https://{host}/{'/'.join(path)}{'?' * bool(query)}{'&'.join(query)}"
    ),
    st.sampled_from(["{{host}}", "api.example.com", "localhost:80"]),
    st.lists(st.sampled_from(["v1", "v2", "pets", ":id"]), max_size=4),
    st.lists(st.builds("{}={}".format, words, words), max_size=4),
)
urls = url_texts | url_texts.map(url_to_parts)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
json_texts = st.builds(
    lambda value, indent: json.dumps(value, indent=indent),
    st.dictionaries(words, documents, max_size=5),
    st.sampled_from([None, 2]),
)
bodies = (
    st.builds(raw, json_texts | texts)
    | entry_lists.map(lambda fields: {"mode": "urlencoded", "urlencoded": fields})
    | entry_lists.map(lambda fields: {"mode": "formdata", "formdata": fields})
    | st.builds(
        lambda query, variables: {
            "mode": "graphql",
            "graphql": {"query": query, "variables": variables},
        },
        texts,
        json_texts,
    )
)
auths = st.builds(
    lambda kind, fields: {"type": kind, kind: fields},
    st.sampled_from(["basic", "bearer"]),
    st.lists(entries, max_size=3, unique_by=lambda entry: str(entry["key"])),
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "header": entry_lists,
    "variable": entry_lists,
    "url": urls,
    "body": bodies,
    "auth": auths,
    "event": events,
    "description": texts,
    "extra": json_values,
}


@st.composite
def edited(draw: st.DrawFn, value: Any, others: st.SearchStrategy[Any]) -> Any:
    """What a person makes of a value: the parts of it changed, or something else in its place."""
    if draw(st.integers(0, 5)) == 0:
        return value
    if isinstance(value, list) and value:
        kept = [each for each in value if draw(st.integers(0, 3))]
        more = draw(others)
        if isinstance(more, list):
            place = draw(st.integers(0, len(kept)))
            kept[place:place] = more[: draw(st.integers(0, 2))]
        return draw(st.permutations(kept)) if draw(st.integers(0, 4)) == 0 else kept
    if isinstance(value, dict) and value:
        more = draw(others)
        found = dict(value)
        for key in draw(st.lists(st.sampled_from(sorted(value)), max_size=2)):
            part = more.get(key, value[key]) if isinstance(more, dict) else value[key]
            found[key] = draw(edited(value[key], st.just(part)))
        return found
    if isinstance(value, str) and "\n" in value:
        return "\n".join(draw(edited(value.split("\n"), others.map(lambda other: [str(other)]))))
    return draw(others)


@st.composite
def disagreements(
    draw: st.DrawFn, fields: dict[str, st.SearchStrategy[Any]] = FIELDS
) -> tuple[str, Any, Any, Any]:
    """A field's name, what it was, and what two people made of it."""
    name = draw(st.sampled_from(sorted(fields)))
    base = draw(fields[name])
    sides = (base, draw(edited(base, fields[name])), draw(edited(base, fields[name])))
    known, mine, theirs = (decode_value(encode_value(side)) for side in sides)
    return name, known, mine, theirs
