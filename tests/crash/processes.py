"""A server and daemons as processes of their own, to be killed at any moment and started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from kafkaman_sync import Client
from kafkaman_sync.device.paths import Home
from kafkaman_sync.engine.states import State
from kafkaman_sync.errors import KafkamanError
from tests.end_to_end.processes import PASSWORD

_LOOK_SECONDS: Final = 0.005
# Below those that Linux (32768) and macOS (49152) give out.
_PORTS: Final = range(10_000, 32_768)
# What must never be read in a log, whatever is killed when: an error of ours, a state of ERROR, and
# a store that is taken for a copy of another one.
_ALARMS: Final = (
    "Traceback",
    "internal.error",
    '"level": "error"',
    '"level": "critical"',
    '"state": "ERROR"',
    "registered anew",
)


def _lasting_port() -> int:
    """Return a free port that stays ours while its server is dead.

    One of those that the system gives out by itself could go to a client meanwhile: even to one
    that connects to this very port, and then talks to itself.
    """
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Program:
    """One program that is started, killed and started again; its log is one file for all runs.

    `up` is set from when it answers until it is killed.
    """

    def __init__(self, name: str, log: Path, command: Sequence[str], **environment: str) -> None:
        self.name = name
        self.log = log
        self.command = [sys.executable, "-m", *command]
        self.up = asyncio.Event()
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._read = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def spawn(self) -> None:
        """Start the process, and do not wait until it is ready."""
        assert not self.running
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it without a word; a process that has ended by itself is a failure."""
        status = self._end(signal.SIGKILL)
        assert status == -signal.SIGKILL, f"{self.name} had ended by itself, with {status}"

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        status = self._end(signal.SIGTERM)
        assert status == 0, f"{self.name} ended with {status}"

    def _end(self, number: signal.Signals) -> int:
        self.up.clear()
        process, self._process = self._process, None
        assert process is not None, f"{self.name} does not run"
        process.send_signal(number)
        return process.wait()

    def remove(self) -> None:
        """End it, whatever became of it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    async def ready(self) -> None:
        """Wait until it answers."""
        while not await self.answers():  # a socket that will be there has no event
            assert self.running, f"{self.name} ended before it was ready:\n{self.log.read_text()}"
            await asyncio.sleep(_LOOK_SECONDS)
        self.up.set()

    def check_log(self) -> None:
        """Nothing in what was logged since the last look is a failure."""
        with self.log.open("rb") as log:
            size = self.log.stat().st_size
            log.seek(self._read if self._read <= size else 0)  # a log begins anew when it is full
            text = log.read().decode("utf-8", "replace")
            self._read = log.tell()
        for alarm in _ALARMS:
            assert alarm not in text, f"{self.name} logged {alarm!r}:\n{text[-4000:]}"

    async def answers(self) -> bool:
        raise NotImplementedError


class ServerProgram(Program):
    """`kafkaman-server` on one port and one data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _lasting_port()
        serve = ["serve", "--listen", f"127.0.0.1:{self.port}", "--data", str(folder)]
        command = ["kafkaman_server.cli", *serve, "--log-format", "json"]
        super().__init__("server", folder.with_suffix(".log"), command)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def database(self) -> Path:
        return self.folder / "kafkaman.db"

    async def answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True


class DaemonProgram(Program):
    """A device's daemon in a home of its own."""

    def __init__(self, root: Path) -> None:
        self.home = Home.find(root)
        self.home.create()
        command = ["kafkaman_sync.device"]
        super().__init__(root.name, self.home.log, command, KAFKAMAN_HOME=str(root))

    async def answers(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(self.home.socket)
        except OSError:
            return False
        writer.close()
        return True

    def client(self) -> contextlib.AbstractAsyncContextManager[Client]:
        """Connect to the daemon, which must run."""
        return Client.open(self.home.root, start=False)

    async def sign_up(self, server: ServerProgram, user: str) -> None:
        async with self.client() as client:
            await client.sign_up(
                server=server.url,
                email=f"{user}@example.com",
                username=user,
                password=PASSWORD,
                device_name=self.name,
            )

    async def sign_in(self, server: ServerProgram, user: str) -> None:
        async with self.client() as client:
            await client.sign_in(
                server=server.url, user=user, password=PASSWORD, device_name=self.name
            )

    async def settle(self) -> int:
        """Wait until all is in sync and proved equal; return the seq up to which it is."""
        while True:
            async with self.client() as client:
                await self._in_sync(client)
                try:
                    (proof,) = await client.prove()
                except KafkamanError as error:
                    # It had not noticed yet that its connection was gone.
                    if error.code.startswith("link."):
                        continue
                    raise
                status = await client.status()
                if status.pending == 0:
                    assert proof.equal, f"{self.name}: the proof failed: {proof}"
                    return proof.seq

    async def _in_sync(self, client: Client) -> None:
        async with contextlib.aclosing(client.transitions()) as transitions:
            async for transition in transitions:
                cause = transition.cause
                assert transition.after is not State.ERROR, f"{self.name}: {cause}"
                if transition.after is State.OFFLINE:
                    await client.retry()  # the server is there: no need to sit the wait out
                if transition.after is State.IN_SYNC:
                    return


@contextlib.contextmanager
def removed_at_the_end(programs: Iterable[Program]) -> Iterator[None]:
    """End what still runs when the block ends."""
    try:
        yield
    finally:
        for program in programs:
            program.remove()
