"""A file's bytes become text, whatever editor saved them."""

from __future__ import annotations

import codecs

import pytest

from kafkaman_sync.formats import FormatError, parse
from kafkaman_sync.formats.encoding import decode

TEXT = '[{"key": "é😀"}]'


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
    ],
)
def test_utf_8_and_utf_16_are_read_with_and_without_a_mark(data: bytes) -> None:
    assert decode(data) == TEXT
    assert parse(data, filename="x").format == "globals"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_half_a_surrogate_pair_in_utf_16_is_kept(encoding: str) -> None:
    assert decode('["\ud83d"]'.encode(encoding, "surrogatepass")) == '["\ud83d"]'


@pytest.mark.parametrize(
    "data",
    [TEXT.encode("utf-32"), TEXT.encode("utf-32-le"), TEXT.encode("utf-32-be")],
)
def test_utf_32_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        decode(data)
    assert caught.value.code == "format.encoding"
    assert "UTF-32" in caught.value.message


@pytest.mark.parametrize(
    ("data", "offset", "line"),
    [
        ('["\n\né"]'.encode("latin-1"), 4, 3),
        (codecs.BOM_UTF8 + b'\n"\xff"', 5, 2),
        (b'["\xed\xa0\x80"]', 2, 1),
        (codecs.BOM_UTF16_LE + "[\n".encode("utf-16-le") + b"\x00", 6, 2),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_their_place(
    data: bytes, offset: int, line: int
) -> None:
    with pytest.raises(FormatError) as caught:
        decode(data)
    assert caught.value.code == "format.encoding"
    assert caught.value.details == {"offset": offset, "line": line}


@pytest.mark.parametrize("magic", [b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf"])
def test_an_archive_is_recognised(magic: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        decode(magic + bytes(100))
    assert caught.value.code == "format.not_json"
    assert "archive" in caught.value.message
