"""What leaves the outbox, whichever ops these are."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kafkaman_sync.database import Database, Writer
from kafkaman_sync.store.outbox import drop_outbox
from kafkaman_sync.store.schema import APPLICATION_ID, MIGRATIONS

_ops = st.integers(1, 12)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(_ops), st.sets(_ops), st.dictionaries(_ops, _ops))
async def test_what_leaves_the_outbox_is_gone_and_what_it_covered_is_shown(
    tmp_path: Path, waiting: set[int], leaving: set[int], covered: dict[int, int]
) -> None:
    async def fill(writer: Writer) -> None:
        await writer.run("DELETE FROM outbox")
        await writer.run_many(
            "INSERT INTO outbox (op, workspace, entity, action, base, lowest_base, change, seen,"
            " covered_by) VALUES (?, 'w', 'e', 'update', 0, 0, x'', x'', ?)",
            [(op, covered.get(op)) for op in waiting],
        )

    opening = Database.open(
        tmp_path / "store.db", application_id=APPLICATION_ID, migrations=MIGRATIONS
    )
    async with opening as database:
        await database.transact(fill)
        await database.transact(lambda writer: drop_outbox(writer, leaving))
        left: dict[int, int | None] = dict(
            await database.fetch("SELECT op, covered_by FROM outbox")
        )
    assert left == {
        op: None if covered.get(op) in leaving else covered.get(op) for op in waiting - leaving
    }
