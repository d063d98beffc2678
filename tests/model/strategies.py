"""Values, entities and changes for property tests."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

from kafkaman_sync.model.entities import Entity, Field, Kind, Place
from kafkaman_sync.model.ordering import DIGITS, suffix_from
from kafkaman_sync.model.values import Value, encode_value

numbers = st.one_of(
    st.integers(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.builds(
        Decimal, st.from_regex(r"-?[0-9]{1,40}(\.[0-9]{1,40})?(E-?[0-9]{1,3})?", fullmatch=True)
    ),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(), st.binary(max_size=40))
json_values: st.SearchStrategy[Value] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.text(), inner, max_size=5)
    ),
    max_leaves=20,
)
encoded_values = json_values.map(encode_value)
ids = st.binary(min_size=16, max_size=16).map(bytes.hex)
versions = st.integers(min_value=1, max_value=1000)
suffixes = st.integers(min_value=0, max_value=2**32 - 1).map(suffix_from)
positions = st.builds(
    lambda head, last: head + last,
    st.text(alphabet=DIGITS, max_size=12),
    st.sampled_from(DIGITS[1:]),
)


@st.composite
def entities(draw: st.DrawFn) -> Entity:
    names = draw(st.sets(st.text(min_size=1, max_size=8), max_size=4))
    fields = {name: Field(draw(encoded_values), draw(versions)) for name in names}
    place_version, deleted_version = draw(versions), draw(versions)
    newest = max(place_version, deleted_version, *(each.version for each in fields.values()), 0)
    return Entity(
        id=draw(ids),
        kind=draw(st.sampled_from(list(Kind))),
        place=Place(draw(st.one_of(st.just(""), ids)), draw(positions)),
        place_version=place_version,
        deleted=draw(st.booleans()),
        deleted_version=deleted_version,
        version=newest,
        fields=fields,
    )
