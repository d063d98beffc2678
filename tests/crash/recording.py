"""A database while it is worked with: what each commit made of it, and its files at some moments.

The files are read as SQLite documents them: https://www.sqlite.org/walformat.html. How many frames
the log has stands in the shared memory only: in the file old frames may lie behind the new ones.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WAL_HEADER_BYTES: Final = 32
FRAME_HEADER_BYTES: Final = 24
# Moments are taken when the log has grown to so many frames; after the last one it begins anew.
MOMENTS_AT: Final = (60, 250, 850)

Content = Mapping[str, bytes]
"""A fingerprint of each table."""


def content_of(connection: sqlite3.Connection) -> Content:
    """Return what a database holds."""
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    ).fetchall()
    return {
        name: hashlib.blake2b(
            repr(connection.execute(f"SELECT * FROM {name}").fetchall()).encode()
        ).digest()
        for (name,) in tables
    }


@dataclass(frozen=True)
class Moment:
    """The files at a moment, and the content after each commit whose frames are in the log only.

    `contents` goes by the number of frames up to and with the commit; 0 is what the main file
    holds. `older` is the log as it was some time before it began anew, empty if it had not.
    """

    database: bytes
    wal: bytes
    older: bytes
    page_bytes: int
    frames: int
    contents: Mapping[int, Content]

    def end(self, frame: int) -> int:
        """Return the offset of the end of a frame; of the header's for 0."""
        return WAL_HEADER_BYTES + frame * (FRAME_HEADER_BYTES + self.page_bytes)

    def commits(self) -> list[int]:
        """Return the frames that end a commit."""
        return [frame for frame in range(1, self.frames + 1) if self._header(frame)[1]]

    def page(self, frame: int) -> tuple[int, bytes]:
        """Return the number (from 1) and the bytes of the page in a frame."""
        number, _ = self._header(frame)
        return number, self.wal[self.end(frame) - self.page_bytes : self.end(frame)]

    def _header(self, frame: int) -> tuple[int, int]:
        number, pages = struct.unpack_from(">II", self.wal, self.end(frame - 1))
        return number, pages

    def after(self, frames: int) -> Content | None:
        """Return what the first frames make of the database; None when that was not noted."""
        last = max((each for each in self.commits() if each <= frames), default=0)
        return self.contents.get(last)


class Recorder:
    """Notes what a database holds; made by `recorder` only."""

    def __init__(self, path: Path, handles: tuple[int, int, int]) -> None:
        self.moments: list[Moment] = []
        self._path = path
        self._main, self._wal, self._shm = handles
        self._reader = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        self._salts = b""
        self._contents: dict[int, Content] = {}
        self._last: Content = {}
        self._older = b""

    def note(self) -> None:
        """Note what the database holds, right after a commit has returned."""
        page, frames, salts = self._index()
        content = content_of(self._reader)
        if salts != self._salts:
            self._contents = {0: self._last} if self._salts else {}
            self._older = self.moments[-1].wal if self.moments else b""
            self._salts = salts
        due = [at for at in MOMENTS_AT if max(self._contents, default=0) < at <= frames]
        self._contents[frames] = self._last = content
        if due:
            self.moments.append(
                Moment(
                    database=_read(self._main),
                    wal=_read(self._wal),
                    older=self._older,
                    page_bytes=page,
                    frames=frames,
                    contents=dict(self._contents),
                )
            )
        if MOMENTS_AT[-1] in due:
            self._copy_back()

    def close(self) -> None:
        """Let go of the database."""
        self._reader.close()

    def _copy_back(self) -> None:
        """Copy the log into the main file, as SQLite does from time to time by itself."""
        with closing(sqlite3.connect(self._path)) as database:
            ((busy, frames, copied),) = database.execute("PRAGMA wal_checkpoint").fetchall()
        assert not busy
        assert copied == frames, "the next commit begins the log anew"

    def _index(self) -> tuple[int, int, bytes]:
        """Return the size of a page, the frames in the log, and its salts."""
        index = os.pread(self._shm, 48, 0)
        (page,) = struct.unpack_from("=H", index, 14)
        (frames,) = struct.unpack_from("=I", index, 16)
        return page, frames, index[32:40]


@contextmanager
def recorder(path: Path) -> Iterator[Recorder]:
    """Follow an open database."""
    # Kept open: closing a file of a database drops the locks that this process has on it.
    files = (path, Path(f"{path}-wal"), Path(f"{path}-shm"))
    handles = tuple(os.open(file, os.O_RDONLY) for file in files)
    made = Recorder(path, (handles[0], handles[1], handles[2]))
    try:
        yield made
    finally:
        made.close()
        for handle in handles:
            os.close(handle)


def _read(handle: int) -> bytes:
    return os.pread(handle, os.fstat(handle).st_size, 0)
