"""Explaining tells each change of an entity, the rule it fared by, and where what was lost is."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kafkaman_sync.cli.main import cli
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import Kind, Place
from kafkaman_sync.model.values import REMOVED, encode_value
from kafkaman_sync.replay.explaining import Story, explain
from kafkaman_sync.replay.opening import open_source
from tests.device.world import open_world
from tests.replay.captures import capture_of
from tests.replay.logs import LogFile


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    return LogFile(tmp_path / "log.db")


def told(log: LogFile, entity: str, part: str = "") -> Story:
    log.save()
    with open_source(str(log.path)) as source:
        (one,) = source.logs()
        return explain(source, one, entity, part)


def edit(
    log: LogFile, entity: str, value: str, *, by: str = "laptop", base: int, seen: str | None
) -> None:
    prior = REMOVED if seen is None else encode_value(seen)
    log.push(
        Action.UPDATE, entity, by=by, base=base,
        fields={"url": encode_value(value)}, priors={"url": prior},
    )  # fmt: skip


def rules(story: Story) -> list[tuple[int, str, int | None, int | None]]:
    return [
        (step.seq, part.rule, part.base, part.seen)
        for step in story.steps
        for part in step.parts
        if part.name == "url"
    ]


def test_each_accepted_edit_names_its_rule_and_what_its_author_had_seen(log: LogFile) -> None:
    one = log.create(Kind.COLLECTION, {"name": "one"})  # 1
    edit(log, one, "a", base=1, seen=None)  # 2: a new field
    edit(log, one, "b", base=2, seen="a")  # 3: nobody had written since
    edit(log, one, "b", by="desktop", base=2, seen="a")  # 4: the same value
    edit(log, one, "c", base=4, seen="b")  # 5
    edit(log, one, "b", base=5, seen="c")  # 6
    edit(log, one, "d", by="desktop", base=4, seen="b")  # 7: what they saw stands again
    assert rules(told(log, one, "url")) == [
        (2, "new", 1, 0),
        (3, "base", 2, 2),
        (4, "equal", 2, 2),
        (5, "base", 4, 4),
        (6, "base", 5, 5),
        (7, "prior", 4, 4),
    ]


def test_an_edit_on_top_of_ones_own_pending_edit_is_understood(log: LogFile) -> None:
    one = log.create(Kind.COLLECTION, {"name": "one", "url": "a"})
    edit(log, one, "b", by="desktop", base=1, seen="a")
    edit(log, one, "c", by="desktop", base=1, seen="b")
    assert rules(told(log, one))[1:] == [(2, "base", 1, 1), (3, "prior", 1, 2)]


def test_what_lost_is_told_with_who_stood_in_its_way(log: LogFile) -> None:
    one = log.create(Kind.COLLECTION, {"name": "one", "url": "a"})
    edit(log, one, "b", base=1, seen="a")
    edit(log, one, "c", by="desktop", base=1, seen="a")
    edit(log, one, "both", by="desktop", base=2, seen="b")
    story = told(log, one, "url")
    assert [(step.seq, step.device[:1], len(step.losses)) for step in story.steps] == [
        (1, "1", 0), (2, "1", 0), (2, "2", 1), (3, "2", 0),
    ]  # fmt: skip
    (loss,) = story.steps[2].losses
    assert (loss.name, loss.rule, loss.against, loss.base, loss.seen) == ("url", "field", 2, 1, 1)
    assert loss.by is not None
    assert (loss.by.seq, loss.by.device, loss.by.op) == (2, "1" * 32, 2)
    assert (loss.again_at, loss.stands_at) == (3, 0)


def test_a_change_accepted_in_part_is_one_step(log: LogFile) -> None:
    one = log.create(Kind.COLLECTION, {"name": "one", "url": "a"})
    edit(log, one, "b", base=1, seen="a")
    log.push(
        Action.UPDATE, one, by="desktop", base=1,
        fields={"url": encode_value("c"), "method": encode_value("GET")},
        priors={"url": encode_value("a")},
    )  # fmt: skip
    step = told(log, one).steps[-1]
    assert ([part.name for part in step.parts], [loss.name for loss in step.losses]) == (
        ["method"], ["url"],
    )  # fmt: skip


def test_moves_deletions_restorations_and_refusals_are_told(log: LogFile) -> None:
    top = log.create(Kind.COLLECTION, {"name": "c"})
    outer = log.create(Kind.FOLDER, {"name": "outer"}, parent=top)
    inner = log.create(Kind.FOLDER, {"name": "inner"}, parent=outer)
    log.push(Action.MOVE, outer, place=Place(inner, "V"))  # a cycle
    log.move(outer, top, "W")
    edit(log, inner, "x", base=4, seen=None)
    log.push(Action.DELETE, outer, by="desktop", base=4)  # laptop changed inner at 5
    log.delete(outer)
    log.push(Action.UPDATE, inner, by="desktop", base=5, fields={"name": encode_value("n")})
    log.restore(outer)
    story = told(log, outer)
    assert [(step.action.value, [part.rule for part in step.parts]) for step in story.steps] == [
        ("create", ["create", "create"]),
        ("move", []),
        ("move", ["move"]),
        ("delete", []),
        ("delete", ["delete"]),
        ("restore", ["restore"]),
    ]
    cycle, changed = story.steps[1].losses[0], story.steps[3].losses[0]
    assert (cycle.name, cycle.rule) == ("place", "move.cycle")
    assert (changed.name, changed.rule, changed.against) == ("deleted", "changed", 5)
    deleted = told(log, inner).steps[-1].losses[0]
    assert (deleted.rule, deleted.against) == ("deleted", 6)
    assert deleted.by is not None
    assert deleted.by.entity == outer, "an ancestor's deletion stood in the way"
    assert len(told(log, outer, "deleted").steps) == 3
    assert [step.seq for step in told(log, outer, "place").steps] == [2, 3, 4]


def test_what_was_purged_and_what_never_was_are_told_apart(log: LogFile) -> None:
    one = log.create(Kind.COLLECTION, {"name": "one"})
    log.delete(one)
    log.purge(one)
    story = told(log, one)
    assert (story.steps[-1].parts[0].rule, story.entity) == ("purge", None)
    assert story.last is not None
    with pytest.raises(ReplayError) as caught:
        told(log, "f" * 32)
    assert caught.value.code == "entity.not_found"


def test_what_is_older_than_the_horizon_is_said(log: LogFile) -> None:
    one = log.create(Kind.COLLECTION, {"name": "one", "url": "a"})
    edit(log, one, "b", base=1, seen="a")
    log.fold(1)
    story = told(log, one)
    assert story.older
    assert rules(story) == [(2, "base", 1, 1)]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["replay", "explain", *arguments])


def test_the_command_tells_it_by_rows_and_as_json(log: LogFile) -> None:
    one = log.create(Kind.COLLECTION, {"name": "one", "url": "a\x1b[31m"})
    edit(log, one, "b", base=0, seen="other")
    log.save()
    before = log.path.read_bytes()
    rows = [line.split("\t") for line in run(str(log.path), "one", "url").stdout.splitlines()]
    assert [row[2] for row in rows] == ["accepted", "lost"]
    assert rows[0][8] == '"a\\u001b[31m"'
    document = json.loads(run(str(log.path), one[:6], "--json").stdout)
    assert (document["entity"], document["name"], document["now"]["version"]) == (one, "one", 1)
    assert document["steps"][1]["losses"][0]["rule"] == "field"
    assert log.path.read_bytes() == before


def test_an_entity_that_is_not_there_is_an_error(log: LogFile) -> None:
    log.create(Kind.COLLECTION, {"name": "one"})
    log.save()
    result = run(str(log.path), "two", "--json")
    assert result.exit_code == 5
    assert json.loads(result.stdout)["error"]["code"] == "entity.not_found"


def test_a_capture_explains_as_well_and_finds_by_path(log: LogFile, tmp_path: Path) -> None:
    one = log.create(Kind.COLLECTION, {"name": "one"})
    log.update(one, {"url": "a"})
    capture = str(capture_of(log, tmp_path / "c"))
    document = json.loads(run(capture, "one", "url", "--json").stdout)
    assert (document["entity"], [step["seq"] for step in document["steps"]]) == (one, [2])
    result = run(capture, "f" * 32, "--json")
    assert json.loads(result.stdout)["error"]["code"] == "entity.not_found"


async def test_the_losing_value_is_found_on_its_device(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        server, laptop, desktop = await world.pair()
        one = await laptop.client.create("collection", fields={"name": "One"})
        while "One" not in await desktop.names():  # noqa: ASYNC110 - fetched by another process
            await asyncio.sleep(0.01)
        await desktop.client.sync(on=False)
        await laptop.client.update(one, {"name": "by laptop"})
        await laptop.client.wait("in-sync", 20)
        await desktop.client.update(one, {"name": "by desktop"})
        await desktop.client.sync(on=True)
        await desktop.client.wait("in-sync", 20)
        (record,) = await desktop.client.conflicts()
        home = str(desktop.home.root)
        words = (str(server.data), one, "name", "--device", home, "--json")
        document = json.loads(run(*words).stdout)
        (loss,) = document["steps"][-1]["losses"]
        assert (loss["where"]["kind"], loss["where"]["id"]) == ("conflict", record.id)
        assert loss["where"]["state"] == "open"
        assert "by desktop" not in json.dumps(document)
        other = (str(server.data), one, "--device", str(server.data))
        assert run(*other).exit_code == 1


def test_a_field_that_it_never_had_is_told(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "server.db")
    entity = log.create(Kind.COLLECTION, {"name": "API"})
    asked = ["replay", "explain", str(log.save()), entity]
    result = CliRunner().invoke(cli, [*asked, "nmae"])
    assert (result.stdout, result.exit_code) == ("", 5)
    assert "It never had a field 'nmae'" in result.stderr
    assert "It had: name." in result.stderr
    for known in ("name", "place", "deleted"):
        assert CliRunner().invoke(cli, [*asked, known]).exit_code == 0
