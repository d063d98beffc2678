"""An entity in a log is named as on a device: by id, beginning of an id, or path of names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.entities import Entity, Kind
from kafkaman_sync.replay.naming import find_id, name_of
from tests.replay.logs import LogFile


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    return LogFile(tmp_path / "log.db")


def rows(log: LogFile) -> Callable[[], Iterator[Entity]]:
    return lambda: (entry.entity for entry in log.world.entries.values())


def test_an_id_its_beginning_and_a_path_name_it(log: LogFile) -> None:
    api = log.create(Kind.COLLECTION, {"name": "My/API"})
    ping = log.create(Kind.REQUEST, {"name": "Ping"}, parent=api)
    key = log.create(Kind.GLOBAL_VARIABLE, {"key": "token", "name": "other"})
    for text in (ping, ping[:8], "My\\/API/Ping"):
        assert find_id(rows(log), text) == ping
    assert find_id(rows(log), "token") == key
    assert find_id(rows(log), "f" * 32) == "f" * 32, "also what is gone is named by its id"


def test_what_is_deleted_is_named_by_its_id_only(log: LogFile) -> None:
    api = log.create(Kind.COLLECTION, {"name": "api"})
    log.delete(api)
    assert find_id(rows(log), api[:6]) == api
    with pytest.raises(ReplayError) as caught:
        find_id(rows(log), "api")
    assert caught.value.code == "entity.not_found"


def test_a_name_of_several_is_ambiguous(log: LogFile) -> None:
    ids = [log.create(Kind.COLLECTION, {"name": "api"}) for _ in range(2)]
    with pytest.raises(ReplayError) as caught:
        find_id(rows(log), "api")
    assert caught.value.code == "entity.ambiguous"
    assert [each["id"] for each in caught.value.details["candidates"]] == ids


def test_what_has_no_name_has_none(log: LogFile) -> None:
    nameless = log.create(Kind.COLLECTION, {"name": 7})
    assert name_of(log.world.entries[nameless].entity) == ""
