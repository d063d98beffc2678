"""Start the daemon on demand, detached, and wait until it answers; safe when many do it at once.

Starters take turns, so that no daemon is started that nobody waits for: it could outlive the one
that is asked to end meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from typing import Final

from kafkaman_sync.device import rpc
from kafkaman_sync.device.lock import single_instance
from kafkaman_sync.device.paths import Home
from kafkaman_sync.errors import ControlError

START_SECONDS_MAX: Final = 20.0
_LOOK_SECONDS: Final = 0.02

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(home: Home) -> Streams | None:
    """Return a connection to the home's daemon; None if none runs.

    Raises UsageError `home.foreign` where another user may be listening in its place.
    """
    try:
        home.check_socket_folder()
        return await asyncio.open_unix_connection(home.socket, limit=rpc.LINE_BYTES_MAX)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except OSError as error:
        raise ControlError(
            f"The control socket cannot be used: {error.strerror}.",
            code="daemon.unreachable",
            hint=f"Check who owns {home.socket}.",
        ) from error


async def connect_or_start(home: Home) -> Streams:
    """Return a connection to the home's daemon, which is started if it does not run."""
    streams = await connect(home)
    if streams is not None:
        return streams
    home.create()
    while True:
        with single_instance(home.starting) as my_turn:
            if my_turn:
                return await connect(home) or await _start(home)
        # A lock and a socket file have no event that both Linux and macOS can wait for.
        await asyncio.sleep(_LOOK_SECONDS)
        streams = await connect(home)
        if streams is not None:
            return streams


async def _start(home: Home) -> Streams:
    process = await asyncio.to_thread(_spawn, home)
    # It outlives us, as a rule; should it not, somebody has to take its exit status.
    threading.Thread(target=process.wait, name="daemon-reaper", daemon=True).start()
    assert process.stdout is not None
    with process.stdout:
        return await _answer(home, process)


async def _answer(home: Home, process: subprocess.Popen[bytes]) -> Streams:
    """Return a connection as soon as the daemon answers; raise why it never will."""
    deadline = asyncio.get_running_loop().time() + START_SECONDS_MAX
    while True:
        streams = await connect(home)
        if streams is not None:
            return streams
        # Status 0 means that another daemon holds the lock: its socket will come.
        if process.poll() not in (None, 0) or asyncio.get_running_loop().time() > deadline:
            raise await asyncio.to_thread(_failure, home, process)
        await asyncio.sleep(_LOOK_SECONDS)


def _failure(home: Home, process: subprocess.Popen[bytes]) -> ControlError:
    """Return why the daemon did not start, in its own words if it left any."""
    assert process.stdout is not None
    said = process.stdout.read() if process.poll() is not None else b""
    try:
        cause = rpc.load_line(said)
    except ControlError:
        cause = {}
    return ControlError(
        f"The daemon could not be started. {cause.get('message', '')}".rstrip(),
        code="daemon.not_started",
        hint=f"{cause.get('hint', '')} More is in {home.log}.".lstrip(),
        cause=cause.get("code", ""),
    )


def _spawn(home: Home) -> subprocess.Popen[bytes]:
    # What Python says before the log is set up, and a crash's traceback, belong into the log too.
    log = os.open(home.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "kafkaman_sync.device"],
            stdin=subprocess.DEVNULL,
            # Only a daemon that cannot start says something there: why.
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=home.root,
            env={**os.environ, "KAFKAMAN_HOME": str(home.root)},
            start_new_session=True,
        )
    finally:
        os.close(log)
