"""The index of events by blocks of seqs: it finds all that an entity has, whatever the seqs are."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from kafkaman_server.storage.schema import MIGRATIONS, seqs_of
from kafkaman_sync.model.limits import INTEGER_MAX

_ENTITIES = ("a" * 32, "b" * 32)
# Near the edges of blocks, far apart, and as far as a forged row may claim to be.
_seqs = st.one_of(
    st.integers(0, 5).flatmap(
        lambda block: st.integers(-2, 2).map(lambda off: block * 16384 + off)
    ),
    st.integers(0, INTEGER_MAX),
    st.sampled_from([-1, INTEGER_MAX]),
)


@given(
    st.dictionaries(_seqs, st.sampled_from(_ENTITIES), max_size=30),
    st.integers(0, INTEGER_MAX) | st.integers(0, 40_000),
    st.integers(0, INTEGER_MAX) | st.integers(0, 90_000),
)
def test_an_entity_s_seqs_are_those_that_looking_at_each_event_finds(
    log: dict[int, str], first: int, last: int
) -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        for script in MIGRATIONS:
            database.executescript(script)
        for workspace in (1, 2):
            database.executemany(
                "INSERT INTO events (workspace, seq, entity, body) VALUES (?, ?, ?, x'')",
                [(workspace, seq, entity) for seq, entity in log.items()],
            )
        found = database.execute(
            seqs_of("?1", "?2", "?3", "?4"), (2, first, last, _ENTITIES[0])
        ).fetchall()
    wanted = {seq for seq, entity in log.items() if entity == _ENTITIES[0] and first <= seq <= last}
    assert sorted(seq for (seq,) in found) == sorted(wanted)
