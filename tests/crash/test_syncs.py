"""Nothing is acknowledged before it is on the disk, as the system calls show."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.processes import DaemonProgram, Program, ServerProgram, removed_at_the_end
from tests.crash.trace import Acknowledgement, acknowledgements, read_trace, relaxed, steps, traced
from tests.server.device import sign_up

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="strace is Linux's"),
    pytest.mark.timeout(600),
]

ACKNOWLEDGEMENTS = 200
SECONDS = 60.0
Work = Callable[..., Awaitable[list[Acknowledgement]]]
GOOD = Acknowledgement(written=True, synced=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    if shutil.which("strace") is None:
        pytest.fail("strace is missing: install the package strace")
    with tempfile.TemporaryDirectory(prefix="kft-") as name:
        yield Path(name)


class Traced:
    """Puts a program under strace, and tells what it did."""

    def __init__(self, program: Program, trace: Path, *, normal: bool = False) -> None:
        command = relaxed(program.command) if normal else program.command
        program.command = traced(command, trace)
        self._program = program
        self._trace = trace

    def end(self) -> list[str]:
        """End the program and return the trace."""
        process = self._program.pid
        self._program.stop()
        return read_trace(self._trace, process)


async def edits(folder: Path, count: int, *, normal: bool) -> list[Acknowledgement]:
    """Make edits on a device whose server is away; return how they were acknowledged."""
    server, device = ServerProgram(folder / "server"), DaemonProgram(folder / "laptop")
    watched = Traced(device, folder / "trace", normal=normal)
    with removed_at_the_end([server, device]):
        for program in (server, device):
            program.spawn()
            await program.ready()
        await device.sign_up(server, "anna")
        async with device.client() as client:
            await client.wait("in-sync", SECONDS)
            server.kill()
            await client.wait("offline", SECONDS)
            for number in range(count):
                workspace = "scratch" if number % 4 == 0 else None
                await client.create("collection", fields={"name": "x"}, workspace=workspace)
        found = acknowledgements(watched.end(), r"{\"jsonrpc\":\"2.0\",\"id\":")
    return found[-count:]


async def verdicts(folder: Path, count: int, *, normal: bool) -> list[Acknowledgement]:
    """Push changes to a server, one at a time; return how they were acknowledged."""
    server = ServerProgram(folder / "server")
    watched = Traced(server, folder / "trace", normal=normal)
    with removed_at_the_end([server]):
        server.spawn()
        await server.ready()
        device = await sign_up(server.url)
        async with device.live() as connection:
            for _ in range(count):
                device.create()
                await device.push(connection, [device.last_op])
                await device.take_until_settled(connection)
        # A binary frame: the verdicts are the last that is sent.
        found = acknowledgements(watched.end(), r"\202")
    return found[-count:]


@pytest.mark.parametrize("work", [edits, verdicts])
async def test_a_sync_to_the_disk_precedes_each_acknowledgement(folder: Path, work: Work) -> None:
    assert await work(folder, ACKNOWLEDGEMENTS, normal=False) == [GOOD] * ACKNOWLEDGEMENTS


@pytest.mark.parametrize("work", [edits, verdicts])
async def test_commits_that_do_not_sync_are_seen(folder: Path, work: Work) -> None:
    found = await work(folder, ACKNOWLEDGEMENTS // 10, normal=True)
    assert found == [Acknowledgement(written=True, synced=False)] * (ACKNOWLEDGEMENTS // 10)


async def test_a_sealed_archive_is_on_the_disk_before_anything_is_deleted(folder: Path) -> None:
    server, device = ServerProgram(folder / "server"), DaemonProgram(folder / "laptop")
    watched = Traced(device, folder / "trace")
    with removed_at_the_end([server, device]):
        for program in (server, device):
            program.spawn()
            await program.ready()
        await device.sign_up(server, "anna")
        async with device.client() as client:
            await client.wait("in-sync", SECONDS)
            server.kill()
            await client.wait("offline", SECONDS)
            await client.create("collection", fields={"name": "x"})
            archive = (await client.sign_out()).sealed
        assert archive is not None
        told = [(step.kind, step.file) for step in steps(watched.end())]
    sealed = str(device.home.sealed)
    written = _last(told, lambda kind, file: kind == "write" and file.startswith(sealed))
    synced = _last(told, lambda kind, file: kind == "synced" and file.startswith(f"{sealed}/"))
    named = _last(told, lambda kind, file: (kind, file) == ("rename", archive))
    kept = _last(told, lambda kind, file: (kind, file) == ("synced", sealed))
    accounts = str(device.home.accounts)
    deleted = next(
        number
        for number, (kind, file) in enumerate(told)
        if kind == "unlink" and file.startswith(accounts) and file.endswith(".db")
    )
    assert written < synced < named < kept < deleted


def _last(told: list[tuple[str, str]], wanted: Callable[[str, str], bool]) -> int:
    return max(number for number, (kind, file) in enumerate(told) if wanted(kind, file))
