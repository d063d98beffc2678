"""A capture as a source: the log as far as it was spoken of, and a clear word on the rest."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kafkaman_sync.cli.main import cli
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.apply import apply_event
from kafkaman_sync.model.changes import (
    Action,
    Change,
    ConflictCode,
    Disagreement,
    FieldEdit,
    Verdict,
)
from kafkaman_sync.model.digest import compute_digest
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.values import hash_value
from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import Hello, Message, Push, Verdicts
from kafkaman_sync.protocol.recording import Recorded, Sort
from kafkaman_sync.protocol.records import encode_change
from kafkaman_sync.replay.capture import Capture, CaptureWriter, Header
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.recorder import Wanted, record_last
from kafkaman_sync.replay.records import Log, Logged
from kafkaman_sync.replay.source import Source, SourceKind, choose_log
from tests.device.conftest import folder, world
from tests.device.world import Device, World

__all__ = ["folder", "world"]


async def busy(world: World) -> tuple[Path, Device]:
    """A server, and a device of whose whole life with another one the ring has everything."""
    server, laptop, desktop = await world.pair()
    entity = await laptop.client.create("collection", fields={"name": "a"})
    await seen(desktop, entity)
    await desktop.client.update(entity, {"name": "b"})
    await laptop.client.create("folder", entity, fields={"name": "f"})
    for device in (laptop, desktop):
        await device.client.wait("in-sync", 20)
    await seen(laptop, entity, "b")
    return server.data, laptop


async def busily_recorded(world: World, path: Path, *, values: bool = False) -> Path:
    _, laptop = await busy(world)
    await record_last(laptop.home, Wanted(path, values=values))
    return path


async def seen(device: Device, entity: str, name: str = "a") -> None:
    while name not in await device.names():  # noqa: ASYNC110 - it comes on the wire
        await asyncio.sleep(0.01)
    assert entity


def log_of(path: Path) -> list[Logged]:
    with open_source(str(path)) as source:
        return list(source.events(choose_log(source, None)))


def state_of(source: Source) -> dict[str, Entity]:
    log = choose_log(source, None)
    rows: dict[str, Entity | None] = {row.id: row for row in source.bases(log)}
    for logged in source.events(log):
        event = logged.event
        rows[event.entity] = apply_event(rows.get(event.entity), event)
    return {name: row for name, row in rows.items() if row is not None}


def rewrite(path: Path, records: list[Recorded]) -> Path:
    with Capture.open(path) as capture:
        header = capture.header
    changed = path.with_name("changed")
    with CaptureWriter.create(changed, header, force=True) as writer:
        for record in records:
            writer.add(record)
    return changed


async def test_a_capture_with_values_tells_the_log_that_the_server_has(
    world: World, tmp_path: Path
) -> None:
    data, laptop = await busy(world)
    path = tmp_path / "c"
    await record_last(laptop.home, Wanted(path, values=True))
    told, stored = log_of(path), log_of(data)
    assert [each.event for each in told] == [each.event for each in stored]
    own = [each for each in told if each.event.device == told[0].event.device]
    assert [each.basis for each in own] == [
        each.basis for each in stored if each.event.device == told[0].event.device
    ]
    with open_source(str(path)) as source, open_source(str(data)) as server:
        assert source.kind is SourceKind.CAPTURE
        log = choose_log(source, None)
        assert (log.head, log.digest, log.name) == (
            (at := choose_log(server, None)).head, at.digest, at.name,
        )  # fmt: skip
        rows = state_of(source)
        assert compute_digest(log.workspace, rows.values()) == log.digest
        assert source.names().accounts[told[0].event.account] == "anna"
        assert source.names().device(told[0].event.device) == "laptop"
        backward = list(source.events(log, backward=True, after=1, upto=2))
        assert [each.event.seq for each in backward] == [2]
        one = list(source.events(log, entity=told[-1].event.entity))
        assert [each.event.entity for each in one] == [told[-1].event.entity] * len(one)


async def test_without_values_it_tells_the_same_but_the_values(
    world: World, tmp_path: Path
) -> None:
    data, laptop = await busy(world)
    path = tmp_path / "c"
    await record_last(laptop.home, Wanted(path))
    for told, stored in zip(log_of(path), log_of(data), strict=True):
        assert (told.event.seq, told.event.entity) == (stored.event.seq, stored.event.entity)
        assert told.event.fields.keys() == stored.event.fields.keys()
        assert told.event.fields.values() != stored.event.fields.values()


async def test_a_state_that_came_whole_is_what_lies_before_the_first_event(
    world: World, tmp_path: Path
) -> None:
    data, laptop = await busy(world)
    path = tmp_path / "c"
    tablet = await world.device("tablet")
    url = laptop.daemon._signing.required().identity.server_url
    await tablet.client.sign_in(server=url, user="anna", password="correct horse battery")
    await tablet.client.wait("in-sync", 20)
    await tablet.client.create("collection", fields={"name": "later"})
    await tablet.client.wait("in-sync", 20)
    await record_last(tablet.home, Wanted(path, values=True))
    with open_source(str(path)) as source, open_source(str(data)) as server:
        log = choose_log(source, None)
        assert log.horizon == 3
        assert [each.event.seq for each in source.events(log)] == [4]
        stored = {row.id: row for row in server.rows(choose_log(server, None))}
        assert state_of(source) == stored


async def test_what_it_has_not_got_is_refused_with_the_next_step(
    world: World, tmp_path: Path
) -> None:
    path = await busily_recorded(world, tmp_path / "c")
    with open_source(str(path)) as source:
        with pytest.raises(ReplayError) as rows:
            source.rows(choose_log(source, None))
        assert rows.value.code == "replay.no_rows"
    # Cut out what tells the first event, and then one in the middle.
    with Capture.open(path) as capture:
        records = list(capture.records())
    events = [at for at, each in enumerate(records) if b"\xa6events" in each.data[:16]]
    without = {
        "replay.no_state": records[events[0] + 1 :],
        "replay.gap": records[: events[1]] + records[events[1] + 1 :],
    }
    for code, left in without.items():
        changed = rewrite(path, left)
        with open_source(str(changed)) as source:
            log = choose_log(source, None)
            assert list(source.events(log))
            with pytest.raises(ReplayError) as caught:
                list(source.bases(log))
            assert caught.value.code == code
            assert caught.value.hint


async def test_a_damaged_capture_and_a_cut_one_are_read_as_far_as_they_go(
    world: World, tmp_path: Path
) -> None:
    path = await busily_recorded(world, tmp_path / "c")
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    assert len(log_of(path)) == 3
    path.write_bytes(whole[:-60] + bytes((whole[-60] ^ 1,)) + whole[-59:])
    with pytest.raises(ReplayError) as caught:
        log_of(path)
    assert caught.value.code == "replay.capture_damaged"


def test_a_verdict_that_came_twice_is_one(tmp_path: Path) -> None:
    workspace, entity, device = "7" * 32, "e" * 32, "d" * 32
    edits = {"name": FieldEdit(b"x", 1, hash_value(b"y"))}
    change = Change(4, 3, workspace, Action.UPDATE, entity, base=1, fields=edits)
    conflict = Verdict(4, disagreements=(Disagreement(ConflictCode.FIELD, "name", b"z", 2),))
    said: list[tuple[Sort, Message]] = [
        (Sort.UP, Hello("t", device, "", ())),
        (Sort.UP, Push((encode_change(change),))),
        (Sort.DOWN, Verdicts((conflict,))),
    ]
    path = tmp_path / "c"
    with CaptureWriter.create(path, Header(what="server", began_ms=0)) as writer:
        for connection in (1, 2):
            for sort, message in said:
                writer.add(Recorded(sort, 0, 0, connection, encode(message)))
            writer.add(Recorded(Sort.CLOSED, 0, 0, connection, b"\x80"))
    with open_source(str(path)) as source:
        (dispute,) = source.disputes(Log(workspace, "", 0))
        assert (dispute.device, dispute.op, list(dispute.fields)) == (device, 4, ["name"])


async def test_a_capture_is_shown_up_to_its_damage_which_is_told(
    world: World, tmp_path: Path
) -> None:
    path = await busily_recorded(world, tmp_path / "c")
    path.write_bytes(path.read_bytes() + b"what does not belong to it")
    shown = CliRunner().invoke(cli, ["replay", "log", str(path)])
    assert [row.split("\t")[0] for row in shown.stdout.splitlines()] == ["1", "2", "3"]
    assert shown.exit_code == 1
    assert "is the end, and something follows it" in shown.stderr


async def test_a_person_is_told_that_a_capture_was_cut_off(world: World, tmp_path: Path) -> None:
    path = await busily_recorded(world, tmp_path / "c")
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    shown = CliRunner().invoke(cli, ["replay", "log", str(path)])
    assert (len(shown.stdout.splitlines()), shown.exit_code) == (3, 0)
    assert shown.stderr == f"{path} was cut off: what came behind the cut is not in it.\n"
    path.write_bytes(whole[: len(whole) // 2])
    shown = CliRunner().invoke(cli, ["replay", "log", str(path)])
    assert (shown.stdout, shown.exit_code) == ("", 1)
    assert "was cut off before a workspace was spoken of" in shown.stderr


@pytest.mark.parametrize("values", [True, False])
async def test_what_a_capture_cannot_know_is_no_finding(
    world: World, tmp_path: Path, values: bool
) -> None:
    path = await busily_recorded(world, tmp_path / "c", values=values)
    verified = CliRunner().invoke(cli, ["replay", "verify", str(path)])
    assert (verified.stdout, verified.exit_code) == ("", 0)
    assert ("The digests: they are of the values" in verified.stderr) is not values
    assert "of what other devices wrote that was not said" in verified.stderr


async def test_an_entity_is_explained_from_a_capture_which_is_not_exported(
    world: World, tmp_path: Path
) -> None:
    path = await busily_recorded(world, tmp_path / "c", values=True)
    told = CliRunner().invoke(cli, ["replay", "explain", str(path), "b", "name"])
    assert [row.split("\t")[0] for row in told.stdout.splitlines()] == ["1", "2"]
    refused = CliRunner().invoke(cli, ["replay", "export", str(path)])
    assert (refused.stdout, refused.exit_code) == ("", 1)
    assert "and not what anybody stores" in refused.stderr


async def test_a_reader_that_goes_away_is_no_fault_of_the_capture(
    world: World, tmp_path: Path
) -> None:
    path = await busily_recorded(world, tmp_path / "c", values=True)
    program = "from kafkaman_sync.cli.main import main; main()"
    reading, writing = os.pipe()
    os.close(reading)
    finished = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, "replay", "log", str(path),
        stdout=writing, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    os.close(writing)
    _, told = await finished.communicate()
    assert (finished.returncode, told) == (141, b"")
