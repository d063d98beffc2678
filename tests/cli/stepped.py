"""A log to step through."""

from __future__ import annotations

from pathlib import Path

from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.values import encode_value
from tests.replay.logs import LogFile, id_of

API, USERS, PING = (id_of(number) for number in range(1, 4))


def stepped_log(tmp_path: Path) -> LogFile:
    """1..3: a tree; 4: of two who wrote an address at once, the phone; 5: a move; 6: a deletion."""
    log = LogFile(tmp_path / "kafkaman.db")
    log.create(Kind.COLLECTION, {"name": "API\x1b[31m"})
    log.create(Kind.FOLDER, {"name": "Users"}, parent=API)
    log.create(Kind.REQUEST, {"name": "Ping"}, parent=API)
    log.update(PING, {"url": "of the phone"}, by="phone")
    log.push(
        Action.UPDATE, PING, base=3, fields={"url": encode_value("of the laptop")},
        priors={"url": b"\xc0"},
    )  # fmt: skip
    log.move(PING, USERS)
    log.delete(USERS, by="phone")
    log.save()
    return log
