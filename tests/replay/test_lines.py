"""A log as JSON lines comes back byte for byte, is a source itself, and damage has a line."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from kafkaman_sync.cli.main import cli
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.values import encode_value
from kafkaman_sync.replay.line_file import import_lines
from kafkaman_sync.replay.line_reader import LineReader
from kafkaman_sync.replay.lines import write_lines
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.source import SourceKind, choose_log
from tests.replay.logs import LogFile, id_of

TABLES = ("events", "entities", "bases", "disputes", "purges")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["replay", *map(str, arguments)])


def exported(path: Path) -> bytes:
    with open_source(str(path)) as source:
        return b"".join(write_lines(source, source.logs()))


def stored(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return all that an export promises to keep, as the tables have it."""
    with closing(sqlite3.connect(path)) as database:
        found = {}
        for table in TABLES:
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            told = ", ".join(name for name in columns if name != "number")
            found[table] = database.execute(f"SELECT {told} FROM {table} ORDER BY 1, 2").fetchall()
        told = "id, name, head, digest, horizon, horizon_at"
        found["workspaces"] = database.execute(f"SELECT {told} FROM workspaces").fetchall()
        found["names"] = database.execute(
            "SELECT id, username FROM accounts UNION SELECT id, name || platform || account"
            " FROM devices ORDER BY 1"
        ).fetchall()
        return found


def fill(log: LogFile, steps: list[tuple[int, int, int, bytes]], fold: int) -> None:
    """Make a log of numbers: what to do, to which entity, by whom, with which bytes."""
    for what, which, who, value in steps:
        entity, by = id_of(which % 4 + 1), f"device {who}"
        if log.world.get(entity) is None:
            log.create(Kind.COLLECTION, {"name": f"{which}"}, entity=entity, by=by)
        elif what == 0:
            log.push(Action.DELETE, entity, by=by, base=max(log.head - who, 0))
        elif what == 1:
            log.push(Action.RESTORE, entity, by=by)
        elif what == 2:
            log.purge(entity)
        else:
            base = max(log.head - 2 * who, 0)
            priors = {"x": b"\xc0"} if who else None
            log.push(Action.UPDATE, entity, by=by, fields={"x": value}, priors=priors, base=base)
    log.fold(min(fold, log.head))


steps = st.lists(
    st.tuples(
        st.integers(0, 5), st.integers(0, 3), st.integers(0, 2),
        st.one_of(st.binary(max_size=8), st.text(max_size=8).map(encode_value)),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=40)
@given(steps, st.integers(0, 10))
def test_a_log_comes_back_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[int, int, int, bytes]],
    fold: int,
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    log = LogFile(folder / "log.db")
    fill(log, steps, fold)
    log.save()
    lines = exported(log.path)
    (folder / "log.jsonl").write_bytes(lines)
    import_lines(folder / "log.jsonl", folder / "again.db")
    assert stored(folder / "again.db") == stored(log.path)
    assert exported(folder / "again.db") == lines
    assert exported(folder / "log.jsonl") == lines


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    log = LogFile(tmp_path / "log.db")
    entity = log.create(Kind.COLLECTION, {"name": "My API"})
    for number in range(6):
        log.update(entity, {"description": f"{number}"}, by="phone" if number % 2 else "laptop")
    log.push(Action.UPDATE, entity, by="phone", fields={"name": b"\xa1x"}, priors={"name": b"y"},
             base=0)  # fmt: skip
    log.fold(2)
    log.save()
    return log


@pytest.fixture
def lines(log: LogFile, tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    assert run("export", log.path, "-o", path).exit_code == 0
    return path


def test_json_lines_are_a_source(lines: Path, log: LogFile) -> None:
    with open_source(str(lines)) as source, open_source(str(log.path)) as other:
        assert source.kind is SourceKind.LINES
        assert source.label == str(lines)
        mine, theirs = choose_log(source, None), choose_log(other, None)
        assert mine == theirs
        assert source.names() == other.names()
        assert list(source.events(mine)) == list(other.events(theirs))
        assert list(source.rows(mine)) == list(other.rows(theirs))
        assert list(source.bases(mine)) == list(other.bases(theirs))
        assert list(source.disputes(mine)) == list(other.disputes(theirs))
    assert run("log", lines).stdout == run("log", log.path).stdout


def test_what_it_lays_out_is_gone_afterwards(
    lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    before = lines.read_bytes()
    with open_source(str(lines)):
        assert len(list(place.iterdir())) == 1
    assert list(place.iterdir()) == []
    assert lines.read_bytes() == before


def test_it_is_gone_also_when_the_program_is_ended(lines: Path, tmp_path: Path) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    program = (
        "import os, signal, sys; from kafkaman_sync.replay.opening import open_source\n"
        "with open_source(sys.argv[1]): os.kill(os.getpid(), signal.SIGTERM)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program, lines],
        env={**os.environ, "TMPDIR": str(place)}, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert finished.returncode != 0
    assert b"KeyboardInterrupt" in finished.stderr
    assert list(place.iterdir()) == []


def test_an_import_is_the_same_source(lines: Path, tmp_path: Path) -> None:
    made = run("import", lines, "-o", tmp_path / "new.db", "--json")
    assert json.loads(made.stdout) == {
        "file": str(tmp_path / "new.db"),
        "workspaces": [{"id": "7" * 32, "name": "Personal", "head": 7, "horizon": 2}],
    }
    assert exported(tmp_path / "new.db") == lines.read_bytes()
    assert run("export", tmp_path / "new.db").stdout_bytes == lines.read_bytes()


def test_an_export_holds_no_secret(log: LogFile, tmp_path: Path) -> None:
    with closing(sqlite3.connect(log.path)) as database:
        database.execute("UPDATE accounts SET password = 'argon2-hash', email = 'me@example.org'")
        database.execute("UPDATE devices SET token_hash = ?, lease = 'lease-1'", (b"token-hash",))
        database.commit()
    told = exported(log.path)
    for secret in (b"argon2", b"example.org", b"token", b"lease"):
        assert secret not in told


def test_a_log_with_gaps_and_forged_events_comes_back_as_it_is(
    log: LogFile, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(log.path)) as database:
        database.execute("DELETE FROM events WHERE seq IN (4, 7)")
        database.execute("UPDATE events SET body = x'c1', basis = x'c1' WHERE seq = 5")
        database.execute("UPDATE events SET entity = ? WHERE seq = 6", ("f" * 32,))
        database.commit()
    told = exported(log.path)
    assert b'{"gap":{"first":4,"last":4}}' in told
    (tmp_path / "log.jsonl").write_bytes(told)
    import_lines(tmp_path / "log.jsonl", tmp_path / "again.db")
    assert stored(tmp_path / "again.db") == stored(log.path)
    assert exported(tmp_path / "again.db") == told


def test_output_that_is_there_or_is_the_input_is_refused(
    log: LogFile, lines: Path, tmp_path: Path
) -> None:
    before = log.path.read_bytes()
    os.link(log.path, tmp_path / "link.db")
    for arguments, code in (
        (("export", log.path, "-o", lines), "replay.output_exists"),
        (("export", log.path, "-o", log.path, "--force"), "replay.output_is_input"),
        (("export", log.path, "-o", tmp_path / "link.db", "--force"), "replay.output_is_input"),
        (("export", log.path, "-o", tmp_path, "--force"), "replay.output_exists"),
        (("export", log.path, "-o", tmp_path / "no" / "file"), "file.not_found"),
        (("import", lines, "-o", lines, "--force"), "replay.output_is_input"),
        (("import", lines, "-o", log.path), "replay.output_exists"),
        (("import", log.path, "-o", tmp_path / "new.db"), "replay.foreign"),
    ):
        result = run(*arguments, "--json")
        assert (json.loads(result.stdout)["error"]["code"], bool(result.exit_code)) == (code, True)
    assert log.path.read_bytes() == before
    assert run("export", log.path, "-o", lines, "--force").exit_code == 0
    assert not list(tmp_path.glob(".*part"))


def test_a_database_in_use_is_not_written_over(lines: Path, tmp_path: Path) -> None:
    (tmp_path / "live.db-wal").touch()
    result = run("import", lines, "-o", tmp_path / "live.db", "--force", "--json")
    assert json.loads(result.stdout)["error"]["code"] == "replay.output_exists"


def damaged(path: Path, lines: list[bytes]) -> ReplayError:
    path.write_bytes(b"".join(lines))
    with pytest.raises(ReplayError) as caught, open_source(str(path)):
        pass
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value


def test_damage_is_named_by_its_line(lines: Path, tmp_path: Path) -> None:
    whole = lines.read_bytes().splitlines(keepends=True)
    event = next(number for number, line in enumerate(whole) if b'"event"' in line)
    path = tmp_path / "damaged.jsonl"

    def changed(number: int, old: bytes, new: bytes) -> list[bytes]:
        assert old in whole[number]
        return [*whole[:number], whole[number].replace(old, new, 1), *whole[number + 1 :]]

    for found, code, line in (
        (whole[:-1], "lines.cut_off", len(whole) - 1),
        ([*whole[:-1], whole[-1][:-9]], "lines.cut_off", len(whole)),
        (whole[:1], "lines.cut_off", 1),
        ([*whole[: event + 1], *whole[event + 2 :]], "lines.gap", event + 2),
        ([*whole, b"{}\n"], "lines.damaged", len(whole) + 1),
        ([*whole[:event], whole[event], *whole[event:]], "lines.damaged", event + 2),
        ([*whole[:2], whole[1], *whole[2:]], "lines.damaged", 3),
        (changed(0, b'"version":1', b'"version":"1"'), "lines.damaged", 1),
        (changed(event, b"}}\n", b"}\n"), "lines.damaged", event + 1),
        (changed(event, b'"body":"', b'"body":"!'), "lines.damaged", event + 1),
        (changed(event, b'"action":"update"', b'"action":"delete"'), "lines.damaged", event + 1),
        (changed(event, b'"digest":"', b'"digest":"x'), "lines.damaged", event + 1),
        (changed(event, b'"event"', b'"evnt"'), "lines.damaged", event + 1),
        (changed(4, b'"head":7', b'"head":-7'), "lines.damaged", 5),
        (changed(4, b'"head":7', b'"head":8'), "lines.damaged", len(whole)),
        (changed(1, b'"ann"', b'"eve"'), "lines.damaged", len(whole)),
        (changed(1, b'"ann"', b'"\\ud800"'), "lines.damaged", 2),
        ([whole[0], *whole[event:]], "lines.damaged", 2),
        ([whole[0], b"[" * 100_000 + b"\n"], "lines.damaged", 2),
    ):
        error = damaged(path, found)
        assert (error.code, error.details["line"]) == (code, line)
        assert f"line {line}" in error.message
    newer = changed(0, b'"version":1', b'"version":2')
    path.write_bytes(b"".join(newer))
    with pytest.raises(ReplayError) as caught, open_source(str(path)):
        pass
    assert caught.value.code == "replay.newer"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    log = LogFile(tmp_path_factory.mktemp("sample") / "log.db")
    fill(log, [(3, 0, 1, b"\x01"), (3, 0, 0, b"\x02"), (0, 0, 0, b""), (3, 1, 0, b"")], 1)
    return exported(log.save())


@given(data=st.data())
def test_no_change_of_a_byte_goes_unnoticed(sample: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(sample) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != sample[place]))
    changed = sample[:place] + bytes([other]) + sample[place + 1 :]
    cut = data.draw(st.integers(0, len(sample) - 1))
    for each in (changed, sample[:cut]):
        with pytest.raises(ReplayError) as caught:
            list(LineReader(BytesIO(each), Path("log.jsonl")).records())
        assert "line" in caught.value.message or caught.value.code == "replay.newer"
