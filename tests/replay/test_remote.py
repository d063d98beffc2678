"""A log over the wire and through a daemon: the same as the server has it, and no place kept."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from kafkaman_sync.device.paths import Home
from kafkaman_sync.errors import ControlError, LinkError, ReplayError, WireError
from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import SUBPROTOCOL, EpochStart, Welcome, WorkspaceHead
from kafkaman_sync.replay import wire_log
from kafkaman_sync.replay.daemon_log import DaemonLog
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.records import Credentials, Log
from kafkaman_sync.replay.remote_log import RemoteLog
from kafkaman_sync.replay.source import SourceKind, choose_log
from kafkaman_sync.replay.wire_log import WireLog, _Seat, _Thread
from tests.end_to_end.processes import PASSWORD, DeviceHome, ServerProcess

ANNA = Credentials("anna", PASSWORD)


@pytest.fixture
def place() -> Iterator[Path]:
    """A short temporary folder: the path of a Unix socket is limited."""
    with tempfile.TemporaryDirectory(prefix="kfk-") as folder:
        yield Path(folder)


@pytest.fixture
def server(place: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(place / "server")
    server.start()
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture
def laptop(place: Path, server: ServerProcess) -> Iterator[DeviceHome]:
    """A device that has made a collection, a request, 12 edits of it, and a deletion."""
    device = DeviceHome(place / "laptop")
    device.sign_up(server)
    device.run("new", "collection", "name=My API")
    device.run("new", "request", "name=Ping", "--parent", "My API")
    for number in range(12):
        device.run("set", "My API/Ping", f"url=/{number}")
    device.run("rm", "My API/Ping")
    device.settled()
    yield device
    device.down()


def told(source: Any) -> list[Any]:
    log = choose_log(source, None)
    return [
        log,
        list(source.raw_events(log)),
        list(source.raw_events(log, backward=True, after=3, upto=9)),
        list(source.events(log)),
        list(source.rows(log)),
        list(source.bases(log)),
        list(source.disputes(log)),
    ]


def test_a_log_over_the_wire_and_through_a_daemon_is_the_server_s(
    server: ServerProcess, laptop: DeviceHome
) -> None:
    with open_source(str(server.folder)) as source:
        expected = told(source)
        entity = expected[3][-1].event.entity
        log = expected[0]
        of_one = list(source.events(log, entity=entity))
    with open_source(server.url, ANNA) as source:
        assert source.kind is SourceKind.WIRE
        assert told(source) == expected
        assert list(source.events(log, entity=entity)) == of_one
        (row,) = source.rows(log, entity)
        assert (row.id, row.deleted) == (entity, True)
        names = source.names()
        assert set(names.accounts.values()) == {"anna"}
        assert {"laptop", "replay"} == {each.name for each in names.devices.values()}
        assert [each["name"] for each in laptop.run("devices")["devices"]] == ["laptop", "replay"]
    assert [each["name"] for each in laptop.run("devices")["devices"]] == ["laptop"]
    with open_source(str(laptop.home), events=True) as source:
        assert source.kind is SourceKind.DAEMON
        assert told(source) == expected
    with open_source(str(laptop.home / "control.sock")) as source:
        assert source.kind is SourceKind.DAEMON
    with open_source(str(laptop.home)) as source:
        assert source.kind is SourceKind.STORE


def replay(*arguments: object, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "replay", *map(str, arguments)],
        input=f"{password}\n", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


PROGRAM = "from kafkaman_sync.cli.main import main; main()"
SIGNED_IN = ("--user", "anna", "--password-stdin")


def test_the_commands_sign_in_and_out_again(
    server: ServerProcess, laptop: DeviceHome, place: Path
) -> None:
    over_wire = replay("log", server.url, *SIGNED_IN, "-n", 3)
    assert over_wire.returncode == 0, over_wire.stderr
    assert over_wire.stdout == replay("log", server.folder, "-n", 3).stdout
    assert over_wire.stdout == replay("log", laptop.home, "-n", 3).stdout
    assert replay("export", server.url, *SIGNED_IN, "-o", place / "a.jsonl").returncode == 0
    whole = replay("export", server.folder, "-w", "Personal").stdout
    shared = [line for line in whole.splitlines() if '"event"' in line]
    exported = (place / "a.jsonl").read_text()
    assert [line for line in exported.splitlines() if '"event"' in line] == shared
    assert PASSWORD not in exported + server.log.read_text()
    assert [each["name"] for each in laptop.run("devices")["devices"]] == ["laptop"]


def test_what_was_exported_through_a_connection_verifies_as_sound(
    server: ServerProcess, laptop: DeviceHome, place: Path
) -> None:
    lines, database = place / "a.jsonl", place / "a.db"
    assert replay("export", laptop.home, "-o", lines).returncode == 0
    assert replay("import", lines, "-o", database).returncode == 0
    for source in (lines, database):
        verified = replay("verify", source)
        assert (verified.stdout, verified.returncode) == ("", 0)
        assert "Who wrote 2 of the 2 rows last" in verified.stderr
    assert "Who wrote" not in replay("verify", server.folder).stderr


def test_what_is_refused_is_told(server: ServerProcess, laptop: DeviceHome, place: Path) -> None:
    def code(*arguments: object, password: str = PASSWORD) -> tuple[str, int]:
        finished = replay(*arguments, "--json", password=password)
        assert PASSWORD not in finished.stdout + finished.stderr
        return json.loads(finished.stdout)["error"]["code"], finished.returncode

    assert code("log", server.url, *SIGNED_IN, password="wrong wrong wrong") == ("auth.failed", 4)
    assert code("log", server.url) == ("replay.credentials", 1)
    assert code("log", server.folder, *SIGNED_IN) == ("usage.user", 2)
    assert code("log", "ws://127.0.0.1:1", *SIGNED_IN) == ("network.unreachable", 3)
    assert code("log", "ws://", *SIGNED_IN) == ("server.invalid_url", 2)
    laptop.down()
    assert code("log", laptop.home / "control.sock")[0] in ("file.not_found", "daemon.not_running")
    others = [DeviceHome(place / name) for name in ("tablet", "phone")]
    try:
        for device in others:
            device.sign_in(server)
        finished = replay("log", server.url, *SIGNED_IN)
        assert finished.returncode == 4
        for name in ("laptop", "tablet", "phone", "devices sign-out"):
            assert name in finished.stderr
    finally:
        for device in others:
            device.down()


@pytest.mark.parametrize("source", ["wire", "daemon", "database"])
def test_following_hears_of_new_events_and_leaves_no_device_behind(
    server: ServerProcess, laptop: DeviceHome, source: str
) -> None:
    named: dict[str, list[object]] = {
        "wire": [server.url, *SIGNED_IN], "daemon": [laptop.home], "database": [server.folder],
    }  # fmt: skip
    words = [*map(str, named[source]), "--follow", "-n", "1", "--format", "{action} {field.name}"]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "replay", "log", *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(f"{PASSWORD}\n")
        process.stdin.close()
        assert process.stdout.readline() == "delete \n"
        for number in range(2):
            laptop.run("new", "collection", f"name=C{number}")
            assert process.stdout.readline() == f"create C{number}\n"
        process.send_signal(signal.SIGTERM if source == "wire" else signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr.read() == ""
    assert [each["name"] for each in laptop.run("devices")["devices"]] == ["laptop"]


def test_a_connection_that_was_cut_is_made_again(server: ServerProcess, laptop: DeviceHome) -> None:
    with open_source(server.url, ANNA) as source:
        log = choose_log(source, None)
        first = next(source.events(log))
        server.stop(signal.SIGKILL)
        server.start()
        assert next(source.events(log)) == first
    laptop.settled()
    assert [each["name"] for each in laptop.run("devices")["devices"]] == ["laptop"]


def test_a_device_that_could_not_sign_out_is_told(
    server: ServerProcess, laptop: DeviceHome
) -> None:
    with pytest.raises(ReplayError) as caught, open_source(server.url, ANNA):
        server.stop(signal.SIGKILL)
    assert caught.value.code == "replay.still_signed_in"
    assert caught.value.details["device"] in caught.value.hint


@pytest.mark.parametrize("welcomed", [0, 1])
async def test_a_server_that_falls_silent_instead_of_welcoming_is_told(
    monkeypatch: pytest.MonkeyPatch, welcomed: int
) -> None:
    monkeypatch.setattr(wire_log, "CALL_SECONDS_MAX", 0.2)
    met = 0

    async def meet(connection: ServerConnection) -> None:
        nonlocal met
        met += 1
        await connection.recv()
        if met <= welcomed:
            head = WorkspaceHead("7" * 32, "Personal", "owner", 0, (EpochStart("e", 1),))
            welcome = Welcome("s", "e", "", "a" * 32, "d" * 32, 0, (head,))
            await connection.send(encode(welcome))
        await connection.wait_closed()

    async with serve(meet, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]) as fake:
        port = fake.sockets[0].getsockname()[1]
        seat = _Seat(f"ws://127.0.0.1:{port}/", {"device": "d" * 32, "token": "t"})
        async with asyncio.timeout(20):
            with pytest.raises(LinkError) as caught:
                await seat.connect()
    assert caught.value.code == "network.silent"
    assert met == welcomed + 1


def test_a_daemon_that_ends_while_it_is_followed_is_told(place: Path) -> None:
    home = Home(place)

    def end() -> None:
        # Closed with what it was sent unread, a connection is reset.
        for _ in range(2):
            listening.accept()[0].close()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(home.socket))
        listening.listen()
        with DaemonLog.open(home) as source:
            ended = threading.Thread(target=end)
            ended.start()
            with pytest.raises(ControlError) as caught:
                source.wait(5)
            ended.join()
    assert caught.value.code == "daemon.gone"


class LateNews(threading.Event):
    """News that comes just when nobody waits any longer."""

    def wait(self, timeout: float | None = None) -> bool:
        told = super().wait(0)
        self.set()
        return told


def test_news_that_come_just_after_the_wait_are_not_forgotten() -> None:
    seat = _Seat("ws://127.0.0.1:1/", {"device": "d" * 32, "token": "t"})
    seat.news = LateNews()
    with _Thread.running() as thread:
        source = WireLog("ws://127.0.0.1:1/", thread, seat)
        assert [source.wait(1), source.wait(1)] == [False, True]


class Faked(RemoteLog):
    """A server that answers what it is told to."""

    kind = SourceKind.WIRE
    label = "faked"

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__()
        self.answer = answer

    def ask(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"head": 9, "horizon": 0, "more": False, **self.answer}

    def workspaces(self) -> list[str]:
        return ["7" * 32]

    def wait(self, seconds: float) -> bool:
        raise NotImplementedError


LOG = Log("7" * 32, "Personal", 9)


@pytest.mark.parametrize(
    "answer",
    [
        {"rows": 5}, {"rows": [5]}, {"rows": [[]]}, {"rows": [[1, b"x", None]]},
        {"rows": [["1", b"x", None, None]]}, {"rows": [[1, "x", None, None]]},
        {"rows": [[1, None, None, None]]}, {"rows": [], "more": True},
        {"rows": [[2, b"x", None, None], [1, b"x", None, None]]},
        {"rows": [[0, b"x", None, None]]}, {"rows": [], "head": "x"}, {"rows": [], "more": 1},
    ],
)  # fmt: skip
def test_a_server_that_answers_nonsense_is_told_so(answer: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        list(Faked(answer).raw_events(LOG))


@pytest.mark.parametrize("answer", [{"rows": [], "horizon": 3}, {"rows": [], "head": 10}])
def test_a_log_that_went_on_meanwhile_is_told(answer: dict[str, Any]) -> None:
    with pytest.raises(ReplayError) as caught:
        list(Faked(answer).rows(LOG))
    assert caught.value.code == "replay.moved_on"
