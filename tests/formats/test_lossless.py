"""What is imported and exported again is the same JSON."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import simplejson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kafkaman_sync.formats import Draft, FormatError, Imported, parse, render

JSON = Any
Same = Callable[[bytes, bytes], bool]
Stored = Callable[[Draft], Draft]

fixtures_are_pure = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

# --- odd documents -------------------------------------------------------------------------

texts = st.text(st.characters(), max_size=6) | st.sampled_from(
    ["", "\ud800", "x\udfff", "\ufeff", "\0", "é", "e\u0301", "\u2028", "😀"]
)
numbers = (
    st.integers()
    | st.sampled_from([2**63, -(2**63) - 1, 2**64, 10**30, 123456789012345678901234567890])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([-0.0, 1e22, 5e-324])
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.sampled_from([Decimal("1e400"), Decimal("-1.10"), Decimal("0.1000000000000000000001")])
)
scalars = st.none() | st.booleans() | numbers | texts
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
own_words = dict.fromkeys(("extra", "source", "request_extra", "literal", "at"), anything)


def objects(**keys: st.SearchStrategy[JSON]) -> st.SearchStrategy[JSON]:
    """Objects with any of these keys, now and then a wrong-typed value, and unknown keys."""
    known = {key: values | anything for key, values in keys.items()}
    members = st.fixed_dictionaries({}, optional={**own_words, **known})

    @st.composite
    def made(draw: st.DrawFn) -> JSON:
        return {**draw(st.dictionaries(texts, anything, max_size=1)), **draw(members)}

    return made()


names = st.sampled_from(["a", "b", "GET"]) | texts
keyed = st.lists(objects(key=names, value=texts, disabled=st.booleans()), max_size=2)
urls = names | objects(raw=texts, host=st.lists(texts, max_size=2), query=keyed, variable=keyed)
auths = objects(type=st.just("basic"), basic=keyed)
requests = names | objects(
    name=names,
    description=names,
    method=names,
    url=urls,
    header=keyed | texts,
    auth=auths,
    id=names,
)
responses = objects(id=names, name=names, code=numbers, originalRequest=requests, body=texts)
common = {
    "name": names,
    "id": names,
    "_postman_id": names,
    "description": names,
    "event": st.lists(anything, max_size=2),
    "variable": keyed,
    "variables": keyed,
    "auth": auths,
}
leaves = objects(
    **common, request=requests | st.none(), response=st.none() | st.lists(responses, max_size=2)
)
items = st.recursive(
    leaves | anything,
    lambda inner: objects(**common, item=st.lists(inner, max_size=3), request=requests),
    max_leaves=5,
)
schemas = st.sampled_from(
    [
        "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
        "https://schema.getpostman.com/json/collection/v2.0.0/collection.json",
        "https://schema.getpostman.com/collection/json/v2.1.0/draft-07/collection.json",
        "https://schema.getpostman.com/json/collection/v9.9.9/collection.json",
    ]
)
infos = objects(
    name=names, schema=schemas, description=names, version=names, _postman_id=names, id=names
)
collections = st.builds(
    lambda found, listed: {**found, "item": listed},
    objects(**common, info=infos),
    st.lists(items, max_size=3),
)
variables = objects(key=names, value=texts, type=names, enabled=st.booleans(), description=names)
variable_lists = st.lists(variables | anything, max_size=3)
environments = st.builds(
    lambda found, listed: {**found, "values": listed},
    objects(
        name=names, id=names, _postman_variable_scope=st.sampled_from(["globals", "environment"])
    ),
    variable_lists,
)
global_lists = st.builds(lambda listed, one: [*listed, {"key": one}], variable_lists, anything)
buffers = st.lists(st.integers(0, 255) | anything, max_size=4)
streams = st.builds(lambda data: {"type": "Buffer", "data": data}, buffers)
executions = objects(response=objects(stream=streams), item=anything)
runs = st.builds(
    lambda found, run, listed: {**found, "run": {**run, "executions": listed}},
    objects(collection=objects(info=infos), environment=environments, globals=anything),
    objects(stats=anything, timings=objects(started=numbers), failures=st.lists(anything)),
    st.lists(executions | anything, max_size=3) | anything,
)
app_runs = st.builds(
    lambda found, listed: {**found, "results": listed, "totalPass": 1},
    objects(name=names, startedAt=names, collection=objects(requests=keyed)),
    st.lists(anything, max_size=3),
)
wrapped = st.builds(
    lambda document, rest: {**rest, "collection": document},
    collections,
    st.dictionaries(st.sampled_from(["meta", "status", "source"]), anything, max_size=2),
)
documents = collections | environments | global_lists | runs | app_runs | wrapped
filenames = st.sampled_from(["", "x.json", "b.postman_globals.json", "a/C.postman_collection.json"])


def as_file(document: JSON) -> bytes:
    return simplejson.dumps(document, use_decimal=True).encode()


# --- properties ------------------------------------------------------------------------------


@fixtures_are_pure
@given(document=documents, filename=filenames)
def test_any_document_comes_out_as_it_went_in(
    document: JSON, filename: str, strictly_same: Same, stored: Stored
) -> None:
    data = as_file(document)
    try:
        root = parse(data, filename=filename).root
    except FormatError as error:
        # An info.schema of version 1, or an object that says it is something else.
        assert error.code in ("format.unknown", "format.collection_v1")  # noqa: PT017
        return
    assert strictly_same(data, render(root))
    assert strictly_same(data, render(stored(root)))


@given(document=collections | wrapped, version=st.sampled_from(["v2.0", "v2.1"]))
def test_any_collection_converts_to_both_versions(document: JSON, version: str) -> None:
    root = parse(as_file(document), filename="x.json").root
    converted = parse(render(root, format=f"collection.{version}"), filename="x.json")
    assert converted.counts == parse(render(root), filename="x.json").counts


@given(data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | anything.map(as_file))
def test_any_bytes_are_imported_or_refused(data: bytes) -> None:
    try:
        answer: Imported | FormatError = parse(data, filename="x")
    except FormatError as error:
        answer = error
    if isinstance(answer, FormatError):
        assert answer.code.startswith("format.")
        assert answer.message.endswith(".")
    else:
        assert render(answer.root)


# --- real files ------------------------------------------------------------------------------


def test_a_shared_file_comes_out_as_it_went_in(
    shared_file: Path, strictly_same: Same, stored: Stored
) -> None:
    data = shared_file.read_bytes()
    found = parse(data, filename=shared_file.name)
    assert strictly_same(data, render(found.root))
    assert strictly_same(data, render(stored(found.root)))
    assert found.warnings == ()


@pytest.mark.parametrize("version", ["collection.v2.0", "collection.v2.1"])
def test_a_shared_collection_converts_to_both_versions(
    shared_file: Path, version: str, strictly_same: Same
) -> None:
    found = parse(shared_file.read_bytes(), filename=shared_file.name)
    if found.root.kind != "collection":
        return
    converted = render(found.root, format=version)
    again = parse(converted, filename="x.json")
    assert again.format == version
    assert again.counts == found.counts
    assert strictly_same(render(again.root), converted)
