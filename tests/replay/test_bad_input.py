"""Whatever is given as a source or wanted as output: a sentence, a next step and an exit code."""

from __future__ import annotations

import errno
import gzip
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner

from kafkaman_server.storage.schema import MIGRATIONS
from kafkaman_sync.cli.main import cli
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.replay import sqlite_file
from tests.replay.captures import capture_of
from tests.replay.logs import LogFile, id_of
from tests.replay.ping_log import make_log

PROGRAM = "from kafkaman_sync.cli.main import main; main()"
COMMANDS = (("log",), ("log", "--last", "3"), ("stats",), ("export",))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    log = LogFile(tmp_path / "log.db")
    entity = log.create(Kind.COLLECTION, {"name": "A"})
    for number in range(300):
        log.update(entity, {"description": f"{number}" * 20})
    return log.save()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def scribbled(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for page in range(4, len(data) // 8192):
        data[page * 8192 : page * 8192 + 200] = b"\xa5" * 200
    path.write_bytes(data)


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1:d}")


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def zipped(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes()))


def foreign(path: Path) -> None:
    path.write_bytes(b"%PDF-1.7 and so on")


def foreign_lines(path: Path) -> None:
    path.write_bytes(b'{"level": "info", "message": "a log of another program"}\n')


def gone(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def unused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE workspaces SET head = 0")
        database.execute("DELETE FROM workspaces")
        database.commit()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("spoil", "code", "exit_code"),
    [
        (cut, "store.damaged", 1), (scribbled, "store.damaged", 1), (newer, "store.newer", 1),
        (emptied, "replay.empty", 1), (zipped, "replay.packed", 1),
        (foreign, "replay.foreign", 1), (foreign_lines, "replay.foreign", 1),
        (gone, "file.not_found", 5), (folder, "replay.directory", 1),
        (pipe, "replay.not_a_file", 1),
    ],
)  # fmt: skip
def test_a_source_that_is_none_is_told(
    path: Path,
    command: tuple[str, ...],
    spoil: Callable[[Path], None],
    code: str,
    exit_code: int,
) -> None:
    spoil(path)
    result = CliRunner().invoke(cli, ["replay", *command, str(path), "--json"])
    error = json.loads(result.stdout.splitlines()[-1])["error"]
    assert (error["code"], result.exit_code) == (code, exit_code)
    assert error["hint"]
    plain = CliRunner().invoke(cli, ["replay", *command, str(path)])
    assert plain.exit_code == exit_code
    assert plain.stderr.startswith("Error: ")
    assert "Traceback" not in plain.output


@pytest.mark.parametrize(
    "where",
    [
        "events SET body", "events SET basis", "events SET digest", "entities SET fields",
        "disputes SET body", "bases SET body", "workspaces SET digest",
    ],
)  # fmt: skip
def test_text_that_somebody_wrote_where_bytes_belong_is_told_as_what_it_is(
    tmp_path: Path, where: str
) -> None:
    log = make_log(tmp_path / "log.db")
    name, other = {"name": b"x"}, {"name": b"y"}
    log.push(Action.UPDATE, id_of(3), by="phone", fields=name, priors=other, base=2)
    log.fold(3)
    path = log.save()
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute(f"UPDATE {where} = 'garbage'").rowcount
    for command in (
        ("log",), ("stats",), ("export",), ("verify",), ("at", "5", "--tree"),
        ("at", "5", "--from-log"), ("diff", "4", "9"), ("bisect", "--where", "name == 'x'"),
        ("explain", id_of(3)), ("what-if", "--skip", "5"),
    ):  # fmt: skip
        arguments = ["replay", command[0], str(path), *command[1:], "--json"]
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code in (0, 1), command
        assert "internal.error" not in result.stdout, command


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_server_that_nobody_has_used_yet_has_nothing_to_show(
    path: Path, command: tuple[str, ...]
) -> None:
    unused(path)
    result = CliRunner().invoke(cli, ["replay", *command, str(path)])
    if command == ("export",):
        assert result.exit_code == 0
        assert '{"end":' in result.stdout
    else:
        assert result.exit_code == 5
        assert "There is no workspace" in result.stderr


@pytest.mark.parametrize("command", [*COMMANDS, ("at", "5", "--tree")], ids=" ".join)
def test_a_reader_that_goes_away_is_no_error(path: Path, command: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, "replay", command[0], str(path), *command[1:]],
        stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60,
    )  # fmt: skip
    os.close(writing)
    assert (finished.returncode, finished.stderr) == (141, b"")


@pytest.mark.parametrize("command", ["log", "stats"])
def test_a_capture_that_was_cut_off_is_read_and_said_to_be(tmp_path: Path, command: str) -> None:
    capture = capture_of(make_log(tmp_path / "log.db"), tmp_path / "c")
    whole = CliRunner().invoke(cli, ["replay", command, str(capture)])
    os.truncate(capture, capture.stat().st_size - 5)
    result = CliRunner().invoke(cli, ["replay", command, str(capture)])
    assert (result.exit_code, result.stdout) == (0, whole.stdout)
    assert (whole.stderr, "was cut off" in result.stderr) == ("", True)


@pytest.mark.parametrize("command", [("log",), ("at", "1"), ("diff", "0", "1")], ids=" ".join)
def test_a_reader_of_a_capture_that_goes_away_is_no_error(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    capture = capture_of(make_log(tmp_path / "log.db"), tmp_path / "c")
    reading, writing = os.pipe()
    os.close(reading)
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, "replay", command[0], str(capture), *command[1:]],
        stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60,
    )  # fmt: skip
    os.close(writing)
    assert (finished.returncode, finished.stderr) == (141, b"")


def test_an_event_that_is_none_is_named_and_nothing_else_is_said(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE events SET body = x'' WHERE seq = 250")
        database.commit()
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, "replay", "at", str(path), "250", "A"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert finished.returncode == 1
    assert finished.stderr.startswith("Error: Damage: the event 250 cannot be read")
    assert "Traceback" not in finished.stderr


def test_an_export_that_is_interrupted_leaves_nothing_behind(path: Path, tmp_path: Path) -> None:
    program = (
        "import os, signal; import kafkaman_sync.cli.replay.copying as copying;"
        "real = copying.write_lines;"
        "copying.write_lines = lambda *a: (os.kill(os.getpid(), signal.SIGINT) or line"
        f" for line in real(*a)); {PROGRAM}"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program, "replay", "export", str(path), "-o", tmp_path / "a.jsonl"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert finished.returncode == 130, finished.stderr
    assert finished.stderr == "Error: Interrupted.\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log.db"]


def test_an_import_of_damage_leaves_nothing_behind(path: Path, tmp_path: Path) -> None:
    lines = tmp_path / "log.jsonl"
    CliRunner().invoke(cli, ["replay", "export", str(path), "-o", str(lines)])
    lines.write_bytes(lines.read_bytes()[:-50])
    result = CliRunner().invoke(
        cli, ["replay", "import", str(lines), "-o", str(tmp_path / "new.db"), "--json"]
    )
    assert json.loads(result.stdout)["error"]["code"] == "lines.cut_off"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log.db", "log.jsonl"]


def test_a_disk_that_is_full_is_told_with_the_file_that_did_not_fit(
    path: Path, tmp_path: Path
) -> None:
    program = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); {PROGRAM}"
    )
    target = tmp_path / "a.jsonl"
    finished = subprocess.run(
        [sys.executable, "-c", program, "replay", "export", str(path), "-o", target],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert finished.returncode == 1
    assert finished.stderr.startswith(f"Error: The file {target} cannot be written: File too large")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log.db"]


@pytest.mark.parametrize("command", [*COMMANDS, ("verify",), ("import", "-o", "new.db")])
def test_what_may_not_be_read_is_told_by_whoever_reads_it(
    path: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    for method in ("stat", "open"):
        monkeypatch.setattr(Path, method, refused)
    asked = ["replay", command[0], str(path), *command[1:], "--json"]
    result = CliRunner().invoke(cli, asked)
    assert json.loads(result.stdout)["error"]["code"] == "file.unreadable"
    assert result.exit_code == 1


def test_a_folder_that_takes_nothing_is_told_before_the_work_begins(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = tmp_path / "log.jsonl"
    CliRunner().invoke(cli, ["replay", "export", str(path), "-o", str(lines)])
    monkeypatch.setattr(os, "access", lambda _, mode, **__: not mode & os.W_OK)
    target = tmp_path / "new.db"
    asked = ["replay", "import", str(lines), "-o", str(target), "--json"]
    error = json.loads(CliRunner().invoke(cli, asked).stdout)["error"]
    assert (error["code"], error["file"]) == ("file.unwritable", str(target))


def test_a_database_that_somebody_is_writing_is_not_read_past_the_writer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "_BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        result = CliRunner().invoke(cli, ["replay", "log", str(path), "--json"])
        assert json.loads(result.stdout)["error"]["code"] == "store.locked"
        writer.execute("ROLLBACK")
    assert CliRunner().invoke(cli, ["replay", "log", str(path)]).exit_code == 0


def test_a_write_that_was_not_finished_is_told_and_left_as_it_is(path: Path) -> None:
    program = (
        "import os, sqlite3, sys; database = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "database.execute('PRAGMA cache_size=1'); database.execute('BEGIN');"
        "database.execute('UPDATE events SET body = zeroblob(900)'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True, timeout=60)
    before = path.read_bytes()
    result = CliRunner().invoke(cli, ["replay", "log", str(path), "--json"])
    assert json.loads(result.stdout)["error"]["code"] == "replay.unfinished"
    assert path.read_bytes() == before
