"""JSON lines read back, each checked before it is believed; what is wrong is named by its line."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import KINDS, is_id
from kafkaman_sync.model.limits import INTEGER_MAX, ROW_BYTES_MAX
from kafkaman_sync.replay.lines import HASH_BYTES, MARK, VERSION, words_of
from kafkaman_sync.replay.reading import read_entry
from kafkaman_sync.replay.records import Log

# A record in base64, and its words beside it.
LINE_BYTES_MAX: Final = ROW_BYTES_MAX * 3 // 2
_SORTS: Final = frozenset(
    {"account", "device", "workspace", "base", "event", "gap", "row", "dispute", "end"}
)

Json = dict[str, Any]


class LineReader:
    """Reads one file from its beginning to its end."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self.number = 0
        self._log: Log | None = None
        self._expected = 1

    def records(self) -> Iterator[tuple[str, Json]]:
        """Yield (sort, record) of each line but the first and the last; bytes are decoded.

        Raises ReplayError `lines.damaged`, `lines.cut_off`, `lines.gap` and `replay.newer`.
        """
        digest = hashlib.blake2b(digest_size=HASH_BYTES)
        first = self._line()
        self._check_header(first)
        digest.update(first)
        while True:
            before = digest.hexdigest()
            line = self._line()
            digest.update(line)
            sort, record = self._read(line)
            if sort == "end":
                self._check_end(record, before)
                return
            yield sort, self._checked(sort, record)

    def _line(self) -> bytes:
        line = self._file.readline(LINE_BYTES_MAX + 1)
        if not line:
            raise self._cut_off("it ends")
        self.number += 1
        if not line.endswith(b"\n"):
            if len(line) > LINE_BYTES_MAX:
                raise self.wrong(f"it is longer than {LINE_BYTES_MAX:,} bytes")
            raise self._cut_off("it ends in the middle")
        return line

    def _check_header(self, line: bytes) -> None:
        header = self._object(line)
        if not line.startswith(MARK) or type(header.get("version")) is not int:
            raise self.wrong("it is not the first line of an exported log")
        if header["version"] > VERSION:
            raise ReplayError(
                f"{self._path} was written by a newer release (version {header['version']}, this "
                f"one knows {VERSION}).",
                code="replay.newer",
                hint="Read it with that release's `kafkaman replay`.",
            )

    def _read(self, line: bytes) -> tuple[str, Json]:
        record = self._object(line)
        sort = next(iter(record), "")
        if len(record) != 1 or sort not in _SORTS or type(record[sort]) is not dict:
            raise self.wrong("it is none of the lines of an exported log")
        return sort, record[sort]

    def _object(self, line: bytes) -> Json:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise self.wrong("it is no JSON") from None
        if type(found) is not dict:
            raise self.wrong("it is no JSON object")
        return found

    def _check_end(self, record: Json, digest: str) -> None:
        if record.get("lines") != self.number - 1 or record.get("blake2b") != digest:
            raise self.wrong("the lines before it are not those that were written")
        if self._file.read(1):
            self.number += 1
            raise self.wrong("nothing may come after the end")
        self._check_complete()

    def _check_complete(self) -> None:
        log = self._log
        if log is not None and self._expected != log.head + 1:
            raise self._gap(self._expected, log.head)

    def _checked(self, sort: str, record: Json) -> Json:
        """Return a record with its bytes decoded."""
        checked: Json = getattr(self, f"_read_{sort}")(record)
        return checked

    def _read_account(self, record: Json) -> Json:
        return {"id": self._text(record, "id"), "username": self._text(record, "username")}

    def _read_device(self, record: Json) -> Json:
        return {name: self._text(record, name) for name in ("id", "name", "platform", "account")}

    def _read_workspace(self, record: Json) -> Json:
        self._check_complete()
        digest = None if record.get("digest") is None else self._hex(record, "digest")
        log = Log(
            self._id(record, "id"),
            self._text(record, "name"),
            self._count(record, "head"),
            digest,
            self._count(record, "horizon"),
            self._count(record, "horizon_at"),
        )
        self._log, self._expected = log, log.horizon + 1
        return {
            "id": log.workspace,
            "name": log.name,
            "head": log.head,
            "horizon": log.horizon,
            "horizon_at": log.horizon_at,
            "digest": digest,
        }

    def _read_base(self, record: Json) -> Json:
        self._current()
        return {"entity": self._text(record, "entity"), "body": self._bytes(record, "body")}

    def _read_event(self, record: Json) -> Json:
        log, seq = self._current(), self._count(record, "seq")
        if seq != self._expected:
            raise (
                self._gap(self._expected, seq - 1)
                if seq > self._expected
                else self.wrong(f"the event {seq} comes after the event {self._expected - 1}")
            )
        self._expected += 1
        body = self._bytes(record, "body")
        basis = self._bytes(record, "basis") if "basis" in record else None
        digest = self._hex(record, "digest") if "digest" in record else None
        logged = read_entry(log, seq, body, basis, digest).logged
        words = {} if logged is None else words_of(logged)
        told = {name: record.get(name) for name in words}
        if told != words:
            raise self.wrong("what it says of the event is not what the event's bytes say")
        entity = self._text(record, "stored_for") if "stored_for" in record else words.get("entity")
        if entity is None:
            raise self.wrong("it does not say of which entity the event is")
        return {
            "seq": seq,
            "entity": entity,
            "body": body,
            "basis": basis,
            "digest": digest,
            "purge": words.get("action") == Action.PURGE,
        }

    def _read_gap(self, record: Json) -> Json:
        self._current()
        first, last = self._count(record, "first"), self._count(record, "last")
        if first != self._expected or last < first:
            raise self.wrong(f"it is no gap after the event {self._expected - 1}")
        self._expected = last + 1
        return {"first": first, "last": last}

    def _read_row(self, record: Json) -> Json:
        self._current()
        kind = self._text(record, "kind")
        if kind not in KINDS or type(record.get("deleted")) is not bool:
            raise self.wrong("it is no row")
        texts = ("entity", "parent", "position", "writer")
        counts = ("place_version", "deleted_version", "version", "foreign_version")
        return {
            "kind": kind,
            "deleted": record["deleted"],
            **{name: self._text(record, name) for name in texts},
            **{name: self._count(record, name) for name in counts},
            "fields": self._bytes(record, "fields"),
        }

    def _read_dispute(self, record: Json) -> Json:
        self._current()
        return {
            "seq": self._count(record, "seq"),
            "entity": self._text(record, "entity"),
            "body": self._bytes(record, "body"),
        }

    def _current(self) -> Log:
        if self._log is None:
            raise self.wrong("no workspace comes before it")
        return self._log

    def _text(self, record: Json, name: str) -> str:
        value = record.get(name)
        if type(value) is not str:
            raise self.wrong(f"its {name!r} is no text")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise self.wrong(f"its {name!r} is no Unicode text") from None
        return value

    def _id(self, record: Json, name: str) -> str:
        text = self._text(record, name)
        if not is_id(text):
            raise self.wrong(f"its {name!r} is no id")
        return text

    def _count(self, record: Json, name: str) -> int:
        value = record.get(name)
        if type(value) is not int or not 0 <= value <= INTEGER_MAX:
            raise self.wrong(f"its {name!r} is no count")
        return value

    def _bytes(self, record: Json, name: str) -> bytes:
        try:
            return b64decode(self._text(record, name), validate=True)
        except ValueError:
            raise self.wrong(f"its {name!r} is no base64") from None

    def _hex(self, record: Json, name: str) -> bytes:
        try:
            return bytes.fromhex(self._text(record, name))
        except ValueError:
            raise self.wrong(f"its {name!r} is not hexadecimal") from None

    def wrong(self, why: str) -> ReplayError:
        """Return the error for what is wrong with the line that was read last."""
        return ReplayError(
            f"{self._path} is damaged in line {self.number}: {why}.",
            code="lines.damaged",
            hint="Export it again.",
            line=self.number,
        )

    def _cut_off(self, how: str) -> ReplayError:
        return ReplayError(
            f"{self._path} is cut off: {how} after line {self.number}, and the last line of an "
            "export says that it is the end.",
            code="lines.cut_off",
            hint="Export it again, or copy it whole.",
            line=self.number,
        )

    def _gap(self, first: int, last: int) -> ReplayError:
        events = f"event {first} is" if first == last else f"events {first} to {last} are"
        return ReplayError(
            f"{self._path} has a gap before line {self.number}: the {events} not there.",
            code="lines.gap",
            hint="Export it again. An export of a log that has gaps itself says so.",
            line=self.number,
            seq=first,
        )
