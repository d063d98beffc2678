"""`replay log`: which events it shows, in which forms, and what of a log that is not sound."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len
from rich.console import Console

from kafkaman_sync.cli.main import cli
from kafkaman_sync.cli.replay.log_table import TablePrinter
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import Events
from kafkaman_sync.protocol.recording import Recorded, Sort
from kafkaman_sync.protocol.records import decode_event, encode_event
from kafkaman_sync.replay.capture import CaptureWriter, Header
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.reading import Gap
from kafkaman_sync.replay.selecting import Selection, Selector
from kafkaman_sync.replay.source import choose_log
from tests.cli.terminal import Terminal
from tests.replay.logs import LogFile, id_of
from tests.replay.ping_log import PING, make_log


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_log(tmp_path / "log.db").save()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["replay", "log", *map(str, arguments)])


def seqs(*arguments: object) -> list[int]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line)["seq"] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], list(range(1, 16))),
        (["--last", 2], [14, 15]), (["-n", 99], list(range(1, 16))),
        (["--entity", PING], list(range(2, 13))), (["--entity", "00000003"], [13, 14, 15]),
        (["--entity", "My API"], [1]),
        (["--kind", "environment"], [13, 14, 15]),
        (["--kind", "collection", "--kind", "environment"], [1, 13, 14, 15]),
        (["--kind", "request", "--action", "purge"], [12]),
        (["--device", "phone", "--action", "update"], [3, 5, 7]),
        (["--device", "PHONE", "--device", "1111", "-n", 3], [13, 14, 15]),
        (["--account", "ann", "--account", "aaaa", "-n", 1], [15]),
        (["--field", "body"], [8]), (["--field", "body", "--field", "name"], [1, 2, 8, 13, 14]),
        (["--action", "delete", "--action", "restore"], [9, 10, 11]),
        (["--seq", "3..5"], [3, 4, 5]), (["--seq", "14.."], [14, 15]), (["--seq", "..2"], [1, 2]),
        (["--seq", "7"], [7]), (["--seq", "3..5", "-n", 2], [4, 5]), (["--seq", "9..99"],
         list(range(9, 16))),
        (["--since", "2023-11-14T22:13:34Z"], [14, 15]),
        (["--until", "2023-11-14T22:13:22.999Z"], [1, 2]),
        (["--since", "2023-11-14T22:13:24Z", "--until", "2023-11-14T22:13:25Z"], [4, 5]),
        (["--since", "1h"], []),
        (["--where", "size > 400"], [8]), (["--where", "kind == environment and seq > 13"],
         [14, 15]),
        (["--where", "before.url != after.url and field.url exists"], [2, 3, 4, 5, 6, 7]),
        (["--where", "deleted"], [9, 11, 12]), (["--where", "deleted", "-n", 2], [11, 12]),
        (["--where", "before.url == '/1' and after.url == '/2'"], [5]),
        (["--where", "name == 'Ping' and action == restore"], [10]),
        (["--where", "parent == 00000001", "--device", "phone"], [2, 3, 5, 7, 11]),
    ],
)  # fmt: skip
def test_events_are_selected(path: Path, options: list[object], expected: list[int]) -> None:
    assert seqs(path, *options) == expected


@pytest.mark.parametrize(
    ("options", "code", "exit_code"),
    [
        (["--seq", "5..3"], "usage.range", 2), (["--seq", "x"], "usage.range", 2),
        (["--seq", ".."], "usage.range", 2), (["--seq", "9" * 19], "usage.range", 2),
        (["--seq", "..0"], "usage.range", 2),
        (["--seq", "16.."], "replay.future", 1),
        (["--since", "12"], "usage.moment", 2), (["--until", "soon"], "usage.moment", 2),
        (["--since", "1h", "--until", "2h"], "usage.range", 2),
        (["--entity", "f" * 32], "entity.not_found", 5), (["--entity", "Nope"], "entity.not_found",
         5),
        (["--device", "tablet"], "replay.device_unknown", 1),
        (["--account", "eve"], "replay.account_unknown", 1),
        (["--kind", "banana"], "usage.invalid", 2), (["--action", "banana"], "usage.invalid", 2),
        (["--where", "nmae == 'x'"], "usage.expression", 2),
        (["--last", "0"], "usage.invalid", 2), (["--follow", "--seq", "..3"], "usage.follow", 2),
        (["--follow", "--until", "1h"], "usage.follow", 2),
        (["--format", "{seq}"], "usage.format", 2), (["--workspace", "nope"], "workspace.unknown",
         5),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(
    path: Path, options: list[object], code: str, exit_code: int
) -> None:
    result = run(path, *options, "--json")
    assert result.exit_code == exit_code
    error = json.loads(result.stdout)["error"]
    assert error["code"] == code
    assert error["message"].endswith((".", "?"))


def test_seqs_that_are_gone_are_told(tmp_path: Path) -> None:
    log = make_log(tmp_path / "log.db")
    log.fold(4)
    log.save()
    assert seqs(log.path)[0] == 5
    assert seqs(log.path, "--seq", "2..6") == [5, 6]
    assert seqs(log.path, "--since", "2023-11-14T22:13:22Z")[0] == 5
    assert json.loads(run(log.path, "--seq", "..4", "--json").stdout)["error"]["code"] == (
        "replay.purged"
    )
    assert seqs(log.path, "--kind", "collection") == []
    assert seqs(log.path, "--where", "before.url == '/1'", "-n", 1) == [5]


def test_json_tells_all_and_values_when_asked(path: Path) -> None:
    (line,) = run(path, "--seq", "2", "--json", "--values").stdout.splitlines()
    facts = json.loads(line)
    assert facts == {
        "seq": 2, "at": "2023-11-14T22:13:22.000+00:00", "action": "create", "entity": PING,
        "kind": "request", "name": "Ping", "account": "a" * 32, "username": "ann",
        "device": "2" * 32, "device_name": "phone", "op": 1, "base": 1, "parent": id_of(1),
        "position": "00002V", "fields": ["name", "url"], "size": facts["size"],
        "digest": facts["digest"],
        "values": {"name": {"value": "Ping"}, "url": {"value": "/ping"}},
    }  # fmt: skip
    assert "/ping" not in run(path, "--seq", "2", "--json").stdout


def test_rows_are_for_programs_and_no_name_breaks_them(path: Path) -> None:
    purged, created = run(path, "--seq", "12..13").stdout.splitlines()
    assert purged == f"12\t2023-11-14T22:13:32.000+00:00\tpurge\trequest\t{PING}\tPing\t\t\t"
    assert created.split("\t")[2:] == ["create", "environment", id_of(3), "Dev", "ann", "laptop",
                                       "name"]  # fmt: skip
    shown = run(path, "--seq", "13", "--values").stdout.splitlines()[1]
    assert shown == "\tname\tDev\\x1b[31m"
    long = run(path, "--seq", "8", "--values").stdout.splitlines()[1]
    assert "... and 206 characters more" in long


def test_raw_shows_the_bytes(path: Path) -> None:
    (line,) = run(path, "--seq", "4", "--format", "raw").stdout.splitlines()
    seq, body, basis, digest = line.split("\t")
    assert decode_event(bytes.fromhex(body)).seq == int(seq) == 4
    assert bytes.fromhex(basis)
    assert len(digest) == 32


@pytest.mark.parametrize(
    ("layout", "line"),
    [
        ("{seq}", "4"), ("{seq:>5}|{action:<8}|{entity:.8}", "    4|update  |00000002"),
        ("{at:%H:%M}|{at}", None), (r"{device}\t{op}\\{{x}}", "laptop\t2\\{x}"),
        ("{field.url} {field.nope}.", "/1 ."),
        ("{kind} {name} {username} {base}", "request Ping ann 3"),
        ("{fields} {size:>3.1}", None), ("plain", "plain"), ("{parent}{digest:.0}", ""),
    ],
)  # fmt: skip
def test_a_format_string_says_what_to_show(path: Path, layout: str, line: str | None) -> None:
    result = run(path, "--seq", "4", "--format", layout)
    assert result.exit_code == 0, result.output
    assert line is None or result.stdout == f"{line}\n"


@pytest.mark.parametrize(
    "layout",
    ["{sek}", "{field.}", "{seq", "seq}", "{}", "{0}", "{seq!r}", "{seq:d}", "{seq:>99999}",
     "{at:%Q}", "{seq.real}", "{seq:{op}}", "{entity[0]}"],
)  # fmt: skip
def test_a_wrong_format_string_is_refused(path: Path, layout: str) -> None:
    result = run(path, "--format", layout)
    assert result.exit_code == 2
    assert "{seq}" in result.stderr


def test_the_last_of_many_are_turned_round_in_bounded_memory(tmp_path: Path) -> None:
    log = make_log(tmp_path / "log.db", updates=1200)
    log.save()
    assert seqs(log.path, "--last", 1100) == list(range(111, 1211))


def test_the_last_touch_only_what_they_show(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE events SET body = x'c1' WHERE seq < 10")
        database.commit()
    assert seqs(path, "--last", 3) == [13, 14, 15]


def test_a_log_that_is_not_sound_is_shown_as_far_as_it_goes(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        (body,) = database.execute("SELECT body FROM events WHERE seq = 6").fetchone()
        event = decode_event(body)
        forged = encode_event(type(event)(event.workspace, 99, event.action, event.entity, "a", "d",
                                          1, 0))  # fmt: skip
        database.execute("DELETE FROM events WHERE seq IN (3, 4)")
        database.execute("UPDATE events SET body = x'c1' WHERE seq = 5")
        database.execute("UPDATE events SET body = ? WHERE seq = 6", (forged,))
        database.execute("UPDATE events SET basis = x'c1' WHERE seq = 7")
        database.commit()
    result = run(path, "--json")
    assert result.exit_code == 1
    *lines, end = map(json.loads, result.stdout.splitlines())
    assert lines[2] == {"gap": {"first": 3, "last": 4}}
    assert lines[3]["seq"] == 5
    assert "problem" in lines[3]
    assert lines[4]["problem"] == "the event says that it is 99"
    assert "judged" in lines[5]["problem"]
    assert [line["seq"] for line in lines[6:]] == list(range(8, 16))
    assert end["error"]["code"] == "replay.log_damaged"
    assert (end["error"]["seq"], "verify" in end["error"]["hint"]) == (3, True)
    assert "4 places" in end["error"]["message"]
    assert "There are no events 3 to 4." in run(path).stderr
    assert run(path, "--format", "raw").stdout.splitlines()[2] == "5\tc1\t" + lines_of(path, 5)


def lines_of(path: Path, seq: int) -> str:
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT basis, digest FROM events WHERE seq = ?", (seq,))
        return "\t".join(each.hex() for each in found.fetchone())


@pytest.mark.parametrize("backward", [False, True])
def test_gaps_at_either_end_are_found(path: Path, backward: bool) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("DELETE FROM events WHERE seq IN (1, 2, 15)")
        database.commit()
    with open_source(str(path)) as source:
        log = choose_log(source, None)
        found = list(Selector(source, log, source.names(), Selection()).select(backward=backward))
    gaps = [each for each in found if isinstance(each, Gap)]
    assert gaps == ([Gap(15, 15), Gap(1, 2)] if backward else [Gap(1, 2), Gap(15, 15)])


def test_reading_changes_no_byte(path: Path) -> None:
    before = path.read_bytes()
    for options in ((), ("--last", 3), ("--where", "deleted"), ("--values",)):
        run(path, *options)
    assert path.read_bytes() == before
    assert {each.name for each in path.parent.iterdir()} == {"log.db"}


def test_a_missing_package_is_named_with_what_to_do(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.startswith(("lark", "kafkaman_sync.replay.expression")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lark", None)
    result = run(path, "--where", "seq == 1", "--json")
    error = json.loads(result.stdout)["error"]
    assert error["code"] == "replay.package_missing"
    assert "pip install 'kafkaman-sync[replay]'" in error["hint"]


def test_a_database_that_is_being_written_is_read_as_of_one_moment(tmp_path: Path) -> None:
    log = make_log(tmp_path / "log.db")
    path = log.save()
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM events WHERE seq > 5")
        assert seqs(path) == list(range(1, 16))
        writer.execute("ROLLBACK")


def test_a_terminal_shows_each_device_in_its_colour(path: Path) -> None:
    out = StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", width=60)
    with open_source(str(path)) as source:
        log, names = choose_log(source, None), source.names()
        selector, printer = (
            Selector(source, log, names, Selection()),
            TablePrinter(console, values=True),
        )
        printer.begin(selector, names)
        for each in selector.select():
            printer.show(each)
        printer.show(Gap(16, 17))
    text = out.getvalue()
    assert "\x1b[36mlaptop" in text
    assert "\x1b[35mphone" in text
    assert "There are no events 16 to 17." in text
    assert "Dev\\x1b[31m" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "the server  purge" in plain
    assert max(map(len, plain.splitlines())) <= 60


def test_a_person_on_a_terminal_sees_a_table(path: Path, tmp_path: Path) -> None:
    with Terminal(tmp_path, "replay", "log", str(path), "-n", "1") as terminal:
        terminal.see("laptop      move    environment   00000003  Dev")
        assert terminal.end() == 0


def test_a_capture_names_kinds_and_entities_by_the_events_in_it(path: Path, tmp_path: Path) -> None:
    with open_source(str(path)) as source:
        log = choose_log(source, None)
        events = tuple(encode_event(logged.event) for logged in source.events(log))
    frame = encode(Events(log.workspace, events, log.digest))
    capture = tmp_path / "capture"
    with CaptureWriter.create(capture, Header(what="daemon", began_ms=0)) as writer:
        writer.add(Recorded(Sort.DOWN, 1, 0, 1, frame))
    assert seqs(capture, "--kind", "environment", "--action", "update") == [14]
    assert seqs(capture, "--entity", "Dev") == [13, 14, 15]
    assert seqs(capture, "--entity", PING, "-n", 2) == [11, 12]
    assert seqs(capture, "--where", "before.url == '/1' and after.url == '/2'") == [5]
    result = run(capture, "--entity", "f" * 32, "--json")
    assert json.loads(result.stdout)["error"]["code"] == "entity.not_found"
    assert "replay.no_rows" in CliRunner().invoke(
        cli, ["replay", "export", str(capture), "--json"]
    ).output  # fmt: skip


@pytest.mark.parametrize("seqs", ["0", "..0", "0..0"])
def test_there_is_no_event_0(path: Path, seqs: str) -> None:
    result = CliRunner().invoke(cli, ["replay", "log", str(path), "--seq", seqs])
    assert result.exit_code == 2
    assert "Seqs begin at 1" in result.stderr


@pytest.mark.parametrize("form", [(), ("--format", "{seq}")])
def test_what_is_wrong_with_an_event_is_told_beside_it(path: Path, form: tuple[str, ...]) -> None:
    with closing(sqlite3.connect(path)) as database:
        (body,) = database.execute("SELECT body FROM events WHERE seq = 2").fetchone()
        database.execute("UPDATE events SET body = ? WHERE seq = 3", (body,))
        database.commit()
    result = CliRunner().invoke(cli, ["replay", "log", str(path), *form])
    assert result.exit_code == 1
    assert "3\\tthe event says that it is 2\n" in result.stderr


def test_names_of_wide_characters_leave_the_columns_where_they_are(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "wide.db")
    for device in ("laptop", "笔记本", "desk 💻"):
        log.create(Kind.COLLECTION, {"name": "A"}, by=device)
    out = StringIO()
    with open_source(str(log.save())) as source:
        selector = Selector(source, choose_log(source, None), source.names(), Selection())
        printer = TablePrinter(Console(file=out, width=80), values=False)
        printer.begin(selector, source.names())
        for each in selector.select():
            printer.show(each)
    before = [line.partition("create")[0] for line in out.getvalue().splitlines()]
    assert len(set(map(cell_len, before))) == 1
