"""Files of other API clients, read into drafts and written from them; pure, and nothing lost.

What is imported and exported again is the same JSON (order of keys aside), unknown keys included;
`docs/formats.md` has the mapping, `limits` the limits.
"""

from __future__ import annotations

from dataclasses import dataclass

from kafkaman_sync.errors import FormatError
from kafkaman_sync.formats.document import FORMATS, read_document, render_document
from kafkaman_sync.formats.draft import Draft, Value, title
from kafkaman_sync.formats.encoding import decode
from kafkaman_sync.formats.limits import FILE_BYTES_MAX, check
from kafkaman_sync.formats.reader import read
from kafkaman_sync.formats.warnings import Warnings
from kafkaman_sync.formats.writer import write

__all__ = [
    "FORMATS",
    "Draft",
    "FormatError",
    "Imported",
    "Value",
    "parse",
    "render",
    "render_document",
    "title",
]


@dataclass(frozen=True, slots=True)
class Imported:
    """A file that was read: its format, its tree, how many entities of each kind it holds, and
    sentences about what a person may want to look at.
    """

    format: str
    root: Draft
    counts: dict[str, int]
    warnings: tuple[str, ...]


def parse(data: bytes, *, filename: str) -> Imported:
    """Read a file of any known format; all of it, or FormatError with the cause and the place.

    The name only helps: it names a root that has none, and tells globals from an environment.
    """
    if len(data) > FILE_BYTES_MAX:
        raise FormatError(
            f"The file has {len(data) / 1e6:.0f} MB; the limit is {FILE_BYTES_MAX / 1e6:.0f} MB.",
            code="format.too_large",
            hint="Split it into several files.",
            size=len(data),
            limit=FILE_BYTES_MAX,
        )
    warnings = Warnings()
    document = read(decode(data), warnings)
    found, root = read_document(document, filename, warnings)
    counts = check(root)
    return Imported(found, root, counts, warnings.texts())


def render(root: Draft, *, format: str | None = None) -> bytes:
    """Write a file: in the format that the draft came in, or the natural one of its kind.

    A folder, request, response or variable gets a file of its own around it. Raises FormatError
    (`format.unknown`) where the kind cannot be written in the format.
    """
    return write(render_document(root, format=format))
