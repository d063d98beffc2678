"""What is plainly accepted is what the rules accept, also of a server that often forgets them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from kafkaman_server.decide import RULES, Author, World
from kafkaman_sync.model.changes import Action, Basis, Change, Verdict
from kafkaman_sync.protocol.records import decode_basis, encode_basis
from tests.replay.test_sharing import proved
from tests.replay.test_verify import random_log, verified

Rule = Callable[[World, Change, Author], Verdict]
SEEDS = range(24)


def lax(rule: Rule, random: Random) -> Rule:
    """Return a rule that now and then accepts whatever can be applied."""

    def decide(world: World, change: Change, author: Author) -> Verdict:
        known = world.get(change.entity)
        inside = change.place is not None and (
            change.place.parent == change.entity
            or any(each.id == change.entity for each in world.path_to_root(change.place.parent))
        )
        possible = (known is None) is (change.action is Action.CREATE) and not inside
        if random.random() < 0.02 and possible:
            names = tuple(sorted(change.fields))
            return Verdict(change.op, seq=world.head + 1, event=True, accepted=names)
        return rule(world, change, author)

    return decide


@contextmanager
def a_lax_server(seed: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        random = Random(seed)
        for action, rule in RULES.items():
            patch.setitem(RULES, action, lax(rule, random))
        yield


def test_whatever_a_lax_server_made_is_proved_only_if_it_is_sound(tmp_path: Path) -> None:
    outcomes = []
    for seed in SEEDS:
        with a_lax_server(seed):
            made = random_log(tmp_path / f"{seed}.db", seed, 100)
        made.save()
        sound = verified(made.path).sound
        assert proved(made.path) is sound, seed
        outcomes.append(sound)
    assert set(outcomes) == {True, False}


def test_whatever_was_not_seen_is_proved_only_if_it_is_sound(tmp_path: Path) -> None:
    outcomes = []
    for seed in SEEDS:
        random = Random(seed)
        made = random_log(tmp_path / f"{seed}.db", seed, 100)
        made.save()
        with closing(sqlite3.connect(made.path)) as database, database:
            found = database.execute("SELECT seq, basis FROM events WHERE basis NOTNULL").fetchall()
            for seq, data in random.sample(found, 3):
                basis = decode_basis(data)
                base = max(0, basis.base + random.choice((-3, -2, -1, 0, 1)))
                forged = encode_basis(Basis(basis.previous, base, basis.fields))
                database.execute("UPDATE events SET basis = ? WHERE seq = ?", (forged, seq))
        sound = verified(made.path).sound
        assert proved(made.path) is sound, seed
        outcomes.append(sound)
    assert set(outcomes) == {True, False}
