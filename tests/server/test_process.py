"""The server as a process: signals, kill -9, clear errors at the start."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.server.device import sign_in, sign_up

COMMAND = (sys.executable, "-m", "kafkaman_server.cli")


async def launch(*arguments: str, environment: dict[str, str] | None = None) -> Process:
    return await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdout=PIPE, stderr=PIPE, env={**os.environ, **(environment or {})}
    )


async def outcome(process: Process) -> tuple[int, str, str]:
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def serving(data: Path, *more: str) -> AsyncIterator[tuple[Process, str]]:
    process = await launch("serve", "--listen", "127.0.0.1:0", "--data", str(data), *more)
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    try:
        assert line.startswith("listening on ws://127.0.0.1:"), await outcome(process)
        yield process, line.split()[-1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_sigterm_ends_it_with_a_goodbye_and_exit_code_0(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as (process, url):
        one = await sign_up(url)
        async with one.live() as first:
            for _ in range(500):
                one.create(size=1000)
            await one.push(first)
            await one.take(first)
            process.send_signal(signal.SIGTERM)
            goodbye = await one.take_goodbye(first)
            assert goodbye.code == "server.stopping"
            assert 0 < goodbye.retry_after <= 3
            with pytest.raises(ConnectionClosed):
                await first.recv()
            assert not one.outbox, "what was submitted is decided and answered first"
        async with asyncio.timeout(5):
            assert await process.wait() == 0


async def test_a_database_with_a_name_that_is_no_text_is_damaged(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as (process, _):
        process.send_signal(signal.SIGTERM)
        await process.wait()
    path = tmp_path / "data" / "kafkaman.db"
    data = bytearray(path.read_bytes())
    data[data.index(b"tableeventsevents") + 6] = 0x8B
    path.write_bytes(data)
    arguments = ("--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"))
    code, _, errors = await outcome(await launch("serve", *arguments))
    assert code != 0
    assert "damaged" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_server_stops_at_once(tmp_path: Path, number: signal.Signals) -> None:
    async with serving(tmp_path / "data") as (process, _):
        process.send_signal(number)
        async with asyncio.timeout(3):
            code, _, errors = await outcome(process)
        assert code == 0
        assert "Traceback" not in errors


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    one = None
    for _ in range(4):
        async with serving(tmp_path / "data") as (process, url):
            if one is None:
                one = await sign_up(url)
            one.url = url
            async with one.live() as first:
                for _ in range(400):
                    one.create(size=500)
                await one.push(first)
                acknowledged = len(one.verdicts)
                while len(one.verdicts) < acknowledged + 50:
                    await one.take(first)
                process.kill()
    assert one is not None
    async with serving(tmp_path / "data") as (_, url):
        one.url = url
        async with one.live() as first:
            await one.flush(first)
            assert one.cursors[one.workspace] == 1600, "each change took effect once"
            (proof,) = (await one.ask(first, "prove"))["workspaces"]
            assert proof["sound"]
        two = await sign_in(url)
        async with two.live():
            assert two.rows == one.rows


async def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path / "data"):
        process = await launch("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"))
        code, _, errors = await outcome(process)
        assert code == 4
        assert "Another server runs on the data directory" in errors
        assert "Traceback" not in errors


async def test_a_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        process = await launch("serve", "--listen", listen, "--data", str(tmp_path / "data"))
        code, _, errors = await outcome(process)
    assert code == 3
    assert f"Cannot listen on {listen}" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("listen", ["no-such-host.invalid:1", "203.0.113.1:1"])
async def test_an_impossible_address_is_a_clear_error(tmp_path: Path, listen: str) -> None:
    process = await launch("serve", "--listen", listen, "--data", str(tmp_path / "data"))
    code, _, errors = await outcome(process)
    assert code == 3
    assert "Cannot listen on" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("content", [b"", b"no database, but long enough to look like one" * 99])
async def test_data_that_cannot_be_used_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    data = tmp_path / "data"
    if content:
        data.mkdir()
        (data / "kafkaman.db").write_bytes(content)
    else:
        data.write_text("a file in place of the directory")
    process = await launch("serve", "--listen", "127.0.0.1:0", "--data", str(data))
    code, _, errors = await outcome(process)
    assert code == 4
    assert str(data) in errors or "not a database" in errors
    assert "Traceback" not in errors


async def test_wrong_settings_end_the_start_with_exit_code_2() -> None:
    process = await launch("serve", environment={"KAFKAMAN_SERVER_LISTEN": "nonsense"})
    code, _, errors = await outcome(process)
    assert code == 2
    assert "KAFKAMAN_SERVER_LISTEN" in errors


async def test_config_check_shows_where_settings_come_from(tmp_path: Path) -> None:
    process = await launch("config", "check", "--data", str(tmp_path))
    code, out, _ = await outcome(process)
    assert code == 0
    assert "data: from the flag --data" in out
    process = await launch("config", "check", "--log-level", "loud")
    assert (await outcome(process))[0] == 2


async def test_machines_get_json_and_no_secrets(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", "--log-format", "json", "--log-level", "debug") as (
        process,
        url,
    ):
        one = await sign_up(url)
        async with one.live() as first:
            one.create("a very private name")
            await one.flush(first)
        process.send_signal(signal.SIGTERM)
        _, _, errors = await outcome(process)
    lines = [json.loads(line) for line in errors.splitlines()]
    assert {"listening", "device connected", "stopping"} <= {line["event"] for line in lines}
    assert one.token not in errors
    assert "private" not in errors


async def test_version_and_help_are_there() -> None:
    code, out, _ = await outcome(await launch("--version"))
    assert code == 0
    assert out.startswith("kafkaman-server, version ")
    code, out, _ = await outcome(await launch("serve", "--help"))
    assert code == 0
    assert "--listen" in out


def test_a_log_that_cannot_be_written_ends_nothing() -> None:
    code = (
        "import structlog\n"
        "from kafkaman_server.diary import configure_logging\n"
        "configure_logging('json', 'info')\n"
        "for _ in range(3): structlog.get_logger('x').error('lost', reason='x' * 9000)\n"
        "print('goes on')\n"
    )
    reader, writer = os.pipe()
    os.close(reader)  # every write fails, as on a full disk
    ran = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=writer, check=False
    )
    os.close(writer)
    assert ran.stdout == b"goes on\n"
