"""Records of a recording pass as bytes, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.errors import WireError
from kafkaman_sync.protocol.recording import (
    Recorded,
    Sort,
    decode_recorded,
    decode_records,
    encode_recorded,
    encode_records,
    pack_facts,
)

records = st.builds(
    Recorded,
    st.sampled_from(Sort),
    st.integers(0, 2**62),
    st.integers(0, 2**62),
    st.integers(0, 2**31),
    st.binary(max_size=60),
)


@given(records)
def test_a_record_comes_back(record: Recorded) -> None:
    assert decode_recorded(encode_recorded(record)) == record


@given(st.lists(records, max_size=5))
def test_records_come_back(several: list[Recorded]) -> None:
    assert decode_records(encode_records(several)) == several


@given(st.binary(max_size=40))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_recorded(data)
    with pytest.raises(WireError):
        decode_records(b"\xc1" + data)


def test_facts_come_back_and_nonsense_says_nothing() -> None:
    assert Recorded(Sort.STATE, 0, 0, 0, pack_facts({"to": "IN_SYNC"})).facts == {"to": "IN_SYNC"}
    assert Recorded(Sort.STATE, 0, 0, 0, b"\xc1").facts == {}
    assert Recorded(Sort.STATE, 0, 0, 0, b"\x01").facts == {}
