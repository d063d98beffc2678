"""`replay log --follow`, and how it ends; a reader that is gone."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kafkaman_sync.cli.main import cli
from tests.replay.logs import LogFile, id_of
from tests.replay.ping_log import make_log


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_log(tmp_path / "log.db").save()


def started(*arguments: object, **settings: Any) -> subprocess.Popen[str]:
    program = "from kafkaman_sync.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, "replay", "log", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings,
    )  # fmt: skip


def append(log: LogFile, path: Path, number: int) -> None:
    """Commit one more event, as the server does beside its readers."""
    log.update(id_of(3), {"name": f"Dev {number}"})
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        seq, entity, body, basis, digest = log.events[-1]
        database.execute("BEGIN IMMEDIATE")
        database.execute(
            "INSERT INTO events (workspace, seq, entity, body, basis, digest)"
            " VALUES (1, ?, ?, ?, ?, ?)",
            (seq, entity, body, basis, digest),
        )
        database.execute("UPDATE workspaces SET head = ?, digest = ?", (seq, digest))
        database.execute("COMMIT")


def test_following_shows_what_is_committed_until_it_is_interrupted(tmp_path: Path) -> None:
    log = make_log(tmp_path / "log.db")
    path = log.save()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
    with started(path, "--follow", "-n", 1, "--format", "{seq} {field.name}") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "15 \n"
        for number in range(3):
            append(log, path, number)
            assert process.stdout.readline() == f"{16 + number} Dev {number}\n"
        process.send_signal(2)
        assert process.wait(timeout=20) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_workspace_that_is_gone_meanwhile_is_told(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
    with started(path, "--follow", "-n", 1) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE workspaces SET id = ?", ("8" * 32,))
        assert process.wait(timeout=20) == 5
        assert "There is no workspace '77777777" in process.stderr.read()


def test_following_ends_when_nobody_reads_any_more(path: Path) -> None:
    process = started(path, "--follow", "-n", 1)
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=20) == 141
        assert process.stderr.read() == ""


def test_a_closed_pipe_is_no_error(path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    program = "from kafkaman_sync.cli.main import main; main()"
    finished = subprocess.run(
        [sys.executable, "-c", program, "replay", "log", str(path)],
        stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60,
    )  # fmt: skip
    os.close(writing)
    assert (finished.returncode, finished.stderr) == (141, b"")


def test_what_does_not_grow_cannot_be_followed(path: Path, tmp_path: Path) -> None:
    lines = tmp_path / "log.jsonl"
    CliRunner().invoke(cli, ["replay", "export", str(path), "-o", str(lines)])
    asked = ["replay", "log", str(lines), "--follow", "-n", "1", "--json"]
    result = CliRunner().invoke(cli, asked)
    assert json.loads(result.stdout.splitlines()[-1])["error"]["code"] == "replay.not_live"
    assert len(result.stdout.splitlines()) == 1, "nothing is shown that seems to be the beginning"


def test_following_begins_where_it_was_told_to(tmp_path: Path) -> None:
    log = make_log(tmp_path / "log.db")
    path = log.save()
    with started(path, "--follow", "--seq", "17..", "--format", "{seq}") as process:
        for number in range(2):
            append(log, path, number)
        assert process.stdout is not None
        assert process.stdout.readline() == "17\n"
        process.kill()
