"""Opens a source: what it is, is recognised by its content, never by its name."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from kafkaman_server.storage.schema import APPLICATION_ID as SERVER_ID
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.replay.capture import MAGIC, unreadable
from kafkaman_sync.replay.capture_log import CaptureLog
from kafkaman_sync.replay.daemon_log import DaemonLog, home_of
from kafkaman_sync.replay.line_file import open_lines
from kafkaman_sync.replay.lines import MARK
from kafkaman_sync.replay.records import Credentials
from kafkaman_sync.replay.server_log import ServerLog
from kafkaman_sync.replay.source import ACCOUNTS, Source
from kafkaman_sync.replay.sqlite_file import SqliteFile

_SQLITE_MAGIC: Final = b"SQLite format 3\x00"
_HEAD_BYTES: Final = 100
_SERVER_FILE: Final = "kafkaman.db"
_PACKED: Final = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"PK\x03\x04": ("zip", "unzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ": ("xz", "unxz"),
}


@contextmanager
def open_source(
    text: str, credentials: Credentials | None = None, *, events: bool = False
) -> Iterator[Source]:
    """Open what `text` names, read only. Raises ReplayError with the cause and the next step.

    `credentials` sign in at a server over the wire. With `events`, who has a device's home is given
    what its daemon, if it runs, gets from the server: in the store there is none.
    """
    if is_address(text):
        if credentials is None:
            raise ReplayError(
                "A server over the wire has to know who reads.",
                code="replay.credentials",
                hint="Name yourself with --user, where the command takes it; else copy the log "
                "first: kafkaman replay export ws://... --user NAME -o log.jsonl",
            )
        from kafkaman_sync.replay.wire_log import WireLog  # noqa: PLC0415 - 35 of 190 ms that files are spared

        with WireLog.open(text, credentials) as wire:
            yield wire
        return
    path = Path(text)
    try:
        through_daemon = path.is_socket() or (events and (path / ACCOUNTS).is_dir())
        (path / _SERVER_FILE).is_file()
    except OSError as error:
        raise unreadable(path, error) from error
    if through_daemon:
        home = home_of(path)
        if home is not None:
            with DaemonLog.open(home) as daemon:
                yield daemon
            return
    with _recognise(path) as source:
        yield source


def is_address(text: str) -> bool:
    """Tell whether a source is a server's address."""
    return text.startswith(("ws://", "wss://"))


def _recognise(path: Path) -> AbstractContextManager[Source]:
    inside = path / _SERVER_FILE
    if inside.is_file():
        path = inside
    elif (path / ACCOUNTS).is_dir():
        from kafkaman_sync.replay.device_store import store_of_home  # noqa: PLC0415 - 100 of 255 ms that logs are spared

        path = store_of_home(path) or path
    head = read_head(path)
    if head.startswith(_SQLITE_MAGIC):
        return _database(path)
    if head.startswith(MAGIC):
        return CaptureLog.open(path)
    if head.startswith(MARK):
        return open_lines(path)
    raise _foreign(path, "nothing that a replay could read")


def _database(path: Path) -> AbstractContextManager[Source]:
    # The file's own header may be older than its log: beside a server, only SQLite can tell.
    with SqliteFile.open(path) as file:
        found = file.application_id
    if found == SERVER_ID:
        return ServerLog.open(path)
    from kafkaman_sync.replay.device_store import DeviceStore  # noqa: PLC0415 - 100 of 255 ms that logs are spared

    if DeviceStore.is_written_as(found):
        return DeviceStore.open(path)
    raise _foreign(path, "a database of another program")


def read_head(path: Path) -> bytes:
    """Return the first bytes of a regular file; ReplayError for anything else, or nothing in it."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ReplayError(
                f"{path} is a folder in which there is nothing to replay.",
                code="replay.directory",
                hint="Name a server's data folder, a device's home, or a file.",
            )
        if not stat.S_ISREG(mode):
            raise ReplayError(
                f"{path} is no regular file, and a replay goes back and forth in its source.",
                code="replay.not_a_file",
                hint="Write it to a file first.",
            )
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error
    if not head:
        raise ReplayError(f"{path} is empty.", code="replay.empty", hint="Check the path.")
    for magic, (packed, program) in _PACKED.items():
        if head.startswith(magic):
            raise ReplayError(
                f"{path} is packed with {packed}.",
                code="replay.packed",
                hint=f"Unpack it first: {program} {path}",
            )
    return head


def _foreign(path: Path, what: str) -> ReplayError:
    return ReplayError(
        f"{path} is {what}.",
        code="replay.foreign",
        hint="A replay reads a server's database, a device's store, a capture and JSON lines.",
    )
