"""Verifying replays a log by the real rules, and names the first thing that is wrong with it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kafkaman_server.server import RunningServer
from kafkaman_sync.cli.main import cli
from kafkaman_sync.model.changes import Action, Event
from kafkaman_sync.model.entities import Kind, Place, pack_fields, unpack_fields
from kafkaman_sync.model.values import encode_value, hash_value
from kafkaman_sync.protocol.records import decode_event, encode_event
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.verifying import Verification, verify
from tests.replay.logs import WORKSPACE, LogFile
from tests.replay.stores import store_of
from tests.server.device import sign_in, sign_up


def verified(path: Path) -> Verification:
    with open_source(str(path)) as source:
        (log,) = source.logs()
        return verify(source, log)


def change(path: Path, sql: str, *parameters: Any) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute(sql, parameters).rowcount > 0


def alter(path: Path, seq: int, how: Callable[[Event], Event]) -> None:
    """Forge an event of a saved log."""
    with closing(sqlite3.connect(path)) as database:
        (body,) = database.execute("SELECT body FROM events WHERE seq = ?", (seq,)).fetchone()
    event = how(decode_event(body))
    change(path, "UPDATE events SET body = ? WHERE seq = ?", encode_event(event), seq)


def written(event: Event, **facts: Any) -> Event:
    return replace(event, **facts)


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    """A log of nine events: a collection, two requests, edits of both, a delete and a restore."""
    made = LogFile(tmp_path / "log.db")
    api = made.create(Kind.COLLECTION, {"name": "api"})  # 1
    one = made.create(Kind.REQUEST, {"name": "one", "url": "a"}, parent=api)  # 2
    two = made.create(Kind.REQUEST, {"name": "two", "url": "b"}, parent=api, by="desktop")  # 3
    made.update(one, {"url": "c"})  # 4
    made.update(two, {"url": "d"}, by="desktop")  # 5
    made.update(one, {"url": "e", "name": "first"}, by="desktop")  # 6
    made.delete(two)  # 7
    made.restore(two, by="desktop")  # 8
    made.move(two, api, "W")  # 9
    return made


def first(log: LogFile) -> tuple[str, int, str]:
    found = verified(log.path)
    assert not found.sound
    assert found.first is not None
    return found.first.code, found.first.first or found.first.seq, found.first.field


def test_a_sound_log_is_sound(log: LogFile) -> None:
    before = log.save().read_bytes()
    found = verified(log.path)
    assert found.sound
    assert (found.upto, found.events, found.digests, found.rows) == (9, 9, 9, 3)
    assert found.unchecked == []
    assert log.path.read_bytes() == before


def random_log(path: Path, seed: int, count: int) -> LogFile:
    """Write a log of any kind of changes, also such as are refused or disputed."""
    random, made = Random(seed), LogFile(path)
    top = [made.create(Kind.COLLECTION, {"name": f"c{number}"}) for number in range(2)]
    folders, requests = list(top), list[str]()
    for _ in range(count):
        by = random.choice(("laptop", "desktop", "phone"))
        some = random.choice([*folders, *requests])
        base = max(0, made.head - random.choice((0, 0, 0, 1, 5)))
        dice = random.random()
        if dice < 0.2:
            kind = random.choice((Kind.FOLDER, Kind.REQUEST))
            new = f"{random.getrandbits(128):032x}"
            made.push(
                Action.CREATE, new, by=by, base=base, kind=kind,
                place=Place(random.choice(folders), "V"), fields={"name": encode_value("n")},
            )  # fmt: skip
            (folders if kind is Kind.FOLDER else requests).append(new)
        elif dice < 0.7:
            fields = {
                name: encode_value(random.randrange(3))
                for name in random.sample(("name", "url", "method"), random.randint(1, 3))
            }
            made.push(Action.UPDATE, some, by=by, base=base, fields=fields,
                      priors={"url": encode_value(random.randrange(3))})  # fmt: skip
        elif dice < 0.8:
            made.push(Action.MOVE, some, by=by, base=base, place=Place(random.choice(folders), "V"))
        elif dice < 0.9:
            made.push(Action.DELETE, some, by=by, base=base)
        elif dice < 0.97:
            made.push(Action.RESTORE, some, by=by, base=base)
        elif not made.world.children(some):
            made.purge(some)
    return made


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_rules_made_is_sound(tmp_path: Path, seed: int) -> None:
    made = random_log(tmp_path / "log.db", seed, 300)
    made.save()
    found = verified(made.path)
    assert found.findings == []
    if seed % 2:
        made.fold(made.head // 2)
        made.save()
        folded = verified(made.path)
        assert folded.findings == []
        assert folded.events < found.events
        assert "horizon" in folded.unchecked[0]


def test_an_altered_value_that_still_stands_is_named_exactly(log: LogFile) -> None:
    log.save()
    alter(log.path, 6, lambda event: written(
        event, fields={**event.fields, "url": encode_value("forged")}))  # fmt: skip
    assert first(log) == ("altered", 6, "url")


def test_an_altered_value_that_was_overwritten_since_fails_its_digest(log: LogFile) -> None:
    log.save()
    alter(log.path, 4, lambda event: written(event, fields={"url": encode_value("forged")}))
    code, seq, _ = first(log)
    assert (code, seq) == ("digest", 4)


def test_within_a_larger_commit_the_events_that_it_may_be_are_told(log: LogFile) -> None:
    log.save()
    change(log.path, "UPDATE events SET digest = NULL WHERE seq IN (3, 4)")
    alter(log.path, 4, lambda event: written(event, fields={"url": encode_value("forged")}))
    found = verified(log.path).first
    assert found is not None
    assert (found.code, found.first, found.seq) == ("digest", 3, 5)
    assert "one of the events 3 to 5" in found.message


def test_an_event_that_the_rules_would_not_have_accepted_is_told(log: LogFile) -> None:
    log.save()
    with closing(sqlite3.connect(log.path)) as database:
        (basis,) = database.execute("SELECT basis FROM events WHERE seq = 6").fetchone()
    # As if desktop had not seen what laptop wrote at seq 4, but something else.
    forged = basis.replace(b"\x05\xc4\x10", b"\x03\xc4\x10").replace(
        hash_value(encode_value("c")), hash_value(encode_value("x"))
    )
    change(log.path, "UPDATE events SET basis = ? WHERE seq = 6", forged)
    assert first(log) == ("rule", 6, "url")


def test_an_update_of_what_is_deleted_is_told(log: LogFile) -> None:
    log.save()
    entity = log.events[2][1]
    alter(log.path, 8, lambda event: written(
        event, action=Action.UPDATE, fields={"url": encode_value("z")}))  # fmt: skip
    found = verified(log.path).first
    assert found is not None
    assert (found.code, found.seq, found.entity) == ("rule", 8, entity)
    assert "deleted" in found.message


def test_missing_events_are_a_gap(log: LogFile) -> None:
    log.save()
    change(log.path, "DELETE FROM events WHERE seq IN (4, 5)")
    found = verified(log.path).first
    assert found is not None
    assert (found.code, found.seq, found.message) == (
        "gap", 4, "Seqs 4 to 5 are missing from the log.",
    )  # fmt: skip


def test_a_log_that_ends_before_its_head_is_told(log: LogFile) -> None:
    log.save()
    change(log.path, "DELETE FROM events WHERE seq = 9")
    assert first(log)[:2] == ("head", 9)


@pytest.mark.parametrize("head", [100_007, 10**18, 2**63 - 1])
def test_a_head_far_behind_the_log_is_told(log: LogFile, head: int) -> None:
    log.save()
    change(log.path, f"UPDATE workspaces SET head = {head}")
    assert first(log)[:2] == ("head", len(log.events) + 1)


def test_an_op_that_comes_twice_is_told(log: LogFile) -> None:
    log.save()
    alter(log.path, 6, lambda event: written(event, op=2))
    assert first(log)[:2] == ("op", 6)


def test_a_device_that_is_not_known_is_told(log: LogFile) -> None:
    log.save()
    alter(log.path, 5, lambda event: written(event, device="9" * 32))
    assert first(log)[:2] == ("device", 5)


def test_an_illegible_event_is_told_and_the_rest_is_judged(log: LogFile) -> None:
    log.save()
    change(log.path, "UPDATE events SET body = x'8101' WHERE seq = 5")
    found = verified(log.path)
    assert found.first is not None
    assert (found.first.code, found.first.seq) == ("illegible", 5)
    assert found.upto == 9


def test_an_event_filed_under_another_entity_is_told(log: LogFile) -> None:
    log.save()
    change(log.path, "UPDATE events SET entity = ? WHERE seq = 5", "f" * 32)
    assert first(log)[:2] == ("filed", 5)


def test_an_event_without_what_its_action_needs_is_told(log: LogFile) -> None:
    log.save()
    alter(log.path, 9, lambda event: written(event, place=None))
    assert first(log)[:2] == ("rule", 9)


def test_a_forged_purge_is_told(log: LogFile) -> None:
    log.save()
    alter(log.path, 9, lambda event: written(event, action=Action.PURGE, place=None))
    assert first(log)[:2] == ("purge", 9)


def test_a_forged_cycle_does_not_catch_the_verifier(tmp_path: Path) -> None:
    made = LogFile(tmp_path / "log.db")
    top = made.create(Kind.COLLECTION, {"name": "c"})
    outer = made.create(Kind.FOLDER, {"name": "o"}, parent=top)
    inner = made.create(Kind.FOLDER, {"name": "i"}, parent=outer)
    made.move(outer, top, "W")
    made.delete(top)
    made.save()
    alter(made.path, 4, lambda event: written(event, place=Place(inner, "V")))
    found = verified(made.path).first
    assert found is not None
    assert (found.code, found.seq) == ("rule", 4)
    assert "move.cycle" in found.message


def test_an_altered_row_is_told_with_its_field_and_version(log: LogFile) -> None:
    log.save()
    entity = log.events[1][1]
    with closing(sqlite3.connect(log.path)) as database:
        (data,) = database.execute("SELECT fields FROM entities WHERE id = ?", (entity,)).fetchone()
    fields = unpack_fields(data)
    fields["name"] = type(fields["name"])(encode_value("other"), 6)
    change(log.path, "UPDATE entities SET fields = ? WHERE id = ?", pack_fields(fields), entity)
    assert first(log) == ("value", 6, "name")


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("UPDATE workspaces SET digest = zeroblob(16)", "digest"),
        ("UPDATE workspaces SET head = 12", "head"),
        ("DELETE FROM entities WHERE version = 6", "row"),
        ("UPDATE entities SET id = 'ffffffffffffffffffffffffffffffff' WHERE version = 6", "row"),
        ("UPDATE entities SET fields = x'00' WHERE version = 6", "row"),
        ("UPDATE entities SET fields = 'text' WHERE version = 6", "row"),
        ("UPDATE entities SET writer = 'other' WHERE version = 6", "row"),
        ("UPDATE entities SET parent = '' WHERE version = 6", "value"),
        ("UPDATE events SET digest = zeroblob(16) WHERE seq = 3", "digest"),
        ("UPDATE devices SET last_op = 1", "op"),
        ("UPDATE events SET basis = x'00' WHERE seq = 4", "illegible"),
    ],
)
def test_whatever_is_stored_otherwise_is_told(log: LogFile, sql: str, code: str) -> None:
    log.save()
    change(log.path, sql)
    assert first(log)[0] == code


def test_what_an_older_log_does_not_tell_is_said_to_be_unchecked(log: LogFile) -> None:
    log.save()
    change(log.path, "UPDATE events SET basis = NULL, digest = NULL")
    found = verified(log.path)
    assert found.sound
    assert "based on" in found.unchecked[0]
    assert "digest at each commit" in found.unchecked[1]


async def test_it_works_beside_a_running_server(server: RunningServer, tmp_path: Path) -> None:
    one, two = await sign_up(server.url), await sign_in(server.url)
    async with one.live() as first_one, two.live() as second:
        entity = one.create("a")
        await one.flush(first_one)
        await two.take_until(second, two.workspace, 1)
        two.add(Action.UPDATE, entity, fields={"name": "b"}, prior="a")
        await two.flush(second)
        found = verified(tmp_path / "data")
    assert (found.sound, found.events) == (True, 2)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["replay", "verify", *arguments])


def test_the_command_ends_with_0_only_when_all_is_sound(log: LogFile) -> None:
    log.save()
    sound = run(str(log.path), "--json")
    assert (sound.exit_code, json.loads(sound.stdout)["sound"]) == (0, True)
    alter(log.path, 6, lambda event: written(event, fields={"url": encode_value("forged")}))
    wrong = run(str(log.path), "--json", "-w", WORKSPACE[:6])
    assert wrong.exit_code == 1
    (told,) = json.loads(wrong.stdout)["workspaces"]
    assert (told["first"]["code"], told["first"]["seq"]) == ("altered", 6)
    rows = run(str(log.path)).stdout.splitlines()
    assert rows[0].split("\t")[1:4] == ["altered", "6", "6"]


def test_an_exported_log_is_verified_like_its_database(log: LogFile, tmp_path: Path) -> None:
    log.save()
    lines = tmp_path / "log.jsonl"
    export = ["replay", "export", str(log.path), "-o", str(lines)]
    assert CliRunner().invoke(cli, export).exit_code == 0
    found = verified(lines)
    assert found.findings == []
    assert (found.events, found.digests) == (9, 9)


def test_what_a_store_cannot_be_asked_is_said(tmp_path: Path, log: LogFile) -> None:
    store = store_of(log, tmp_path / "store.db")
    entity = log.events[0][1]
    result = CliRunner().invoke(cli, ["replay", "explain", str(store), entity, "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["code"] == "replay.no_events"
