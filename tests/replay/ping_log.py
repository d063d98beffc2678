"""A small log with a bit of everything."""

from __future__ import annotations

from pathlib import Path

from kafkaman_sync.model.entities import Kind
from tests.replay.logs import LogFile, id_of

PING = id_of(2)


def make_log(path: Path, updates: int = 5) -> LogFile:
    """1 collection, 2 request, 3.. its urls by turns, then a purge, and an environment."""
    log = LogFile(path)
    collection = log.create(Kind.COLLECTION, {"name": "My API"})
    request = log.create(
        Kind.REQUEST, {"name": "Ping", "url": "/ping"}, parent=collection, by="phone"
    )
    assert request == PING
    for number in range(updates):
        log.update(request, {"url": f"/{number}"}, by="laptop" if number % 2 else "phone")
    log.update(request, {"body": {"mode": "raw", "raw": "x" * 300}})
    log.delete(request)
    log.restore(request)
    log.delete(request, by="phone")
    log.purge(request)
    environment = log.create(Kind.ENVIRONMENT, {"name": "Dev\x1b[31m"})
    log.update(environment, {"name": "Dev"})
    log.move(environment, "")
    return log
