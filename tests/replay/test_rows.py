"""Rows that do not fit into memory come back from the scratch file as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafkaman_sync.model.entities import pack_fields
from kafkaman_sync.replay import rows as rows_module
from kafkaman_sync.replay.held import hold
from kafkaman_sync.replay.rows import Rows
from tests.replay.logs import LogFile
from tests.replay.stores import rows_of
from tests.replay.test_sharing import proved
from tests.replay.test_verify import random_log, verified


def test_what_was_spilled_is_there_all_the_same(tmp_path: Path) -> None:
    log = random_log(tmp_path / "log.db", 1, 100)
    rows = Rows(log.world.workspace, bytes_max=0)
    for entity in rows_of(log):
        rows.put(entity.id, hold(entity, "w", 1, pack_fields(entity.fields)))
        assert rows.full
        rows.spill()
    assert rows.count == len(rows_of(log))
    assert set(rows.ids()) == {entity.id for entity in rows_of(log)}
    for entity in rows_of(log):
        row = rows.peek(entity.id)
        assert row is not None
        assert row.entity() == entity
        assert rows.children(entity.id) == set(log.world.children(entity.id))
        if not rows.children(entity.id):
            rows.take(entity.id)
            assert rows.held[entity.id] is None
    assert rows.held["f" * 32] is None


@pytest.mark.parametrize("seed", range(3))
def test_a_log_is_verified_in_whatever_memory(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: LogFile = random_log(tmp_path / "log.db", seed, 300)
    made.save()
    whole = verified(made.path)
    assert whole.sound
    monkeypatch.setattr(rows_module, "HELD_BYTES_MAX", 2_000)
    spilled, spill = [], Rows.spill

    def noted(rows: Rows) -> None:
        spilled.append(rows.count)
        spill(rows)

    monkeypatch.setattr(Rows, "spill", noted)
    assert verified(made.path) == whole
    assert proved(made.path)
    assert len(spilled) > 3
