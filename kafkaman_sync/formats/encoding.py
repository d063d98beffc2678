"""From a file's bytes to its text: UTF-8 and UTF-16, with or without a byte order mark (RFC 8259
section 8.1 asks for UTF-8; editors on Windows write the others).
"""

from __future__ import annotations

import codecs
from typing import Final

from kafkaman_sync.errors import FormatError

_MARKS: Final = (  # the longer marks first: UTF-16's is how UTF-32's begins
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ARCHIVES: Final = ((b"PK\x03\x04", "ZIP"), (b"\x1f\x8b", "gzip"), (b"7z\xbc\xaf", "7z"))


def decode(data: bytes) -> str:
    """Decode a JSON file's bytes; raises `format.encoding` with the place of the first bad byte.

    In UTF-16, half a surrogate pair is kept as it is: JSON can spell it, so we can export it.
    """
    for magic, name in _ARCHIVES:
        if data.startswith(magic):
            raise FormatError(
                f"This is a {name} archive, not a JSON file.",
                code="format.not_json",
                hint="Unpack it, and import the JSON files inside.",
            )
    encoding, start = _encoding(data)
    errors = "strict" if encoding == "utf-8" else "surrogatepass"
    try:
        return data[start:].decode(encoding, errors) if start else data.decode(encoding, errors)
    except UnicodeDecodeError as error:
        offset = start + error.start
        before = data[start:offset].decode(encoding, "replace")
        line = before.count("\n") + 1
        raise FormatError(
            f"The file is not valid {encoding.upper()}: byte {offset} (line {line}) is not text.",
            code="format.encoding",
            hint="Save it as UTF-8, and import again.",
            offset=offset,
            line=line,
        ) from error


def _encoding(data: bytes) -> tuple[str, int]:
    """Tell the encoding, and how many bytes its mark takes."""
    encoding, start = "utf-8", 0
    for mark, name in _MARKS:
        if data.startswith(mark):
            encoding, start = name, len(mark)
            break
    else:
        # JSON begins with an ASCII character, so zeros among the first bytes tell the width.
        zeros = tuple(byte == 0 for byte in data[:4])
        if zeros[:3] == (True, True, True) or zeros[1:] == (True, True, True):
            encoding = "utf-32"
        elif zeros[:2] == (True, False):
            encoding = "utf-16-be"
        elif zeros[:2] == (False, True):
            encoding = "utf-16-le"
    if encoding == "utf-32":
        raise FormatError(
            "The file is UTF-32 text; UTF-8 and UTF-16 can be read.",
            code="format.encoding",
            hint="Save it as UTF-8, and import again.",
        )
    return encoding, start
