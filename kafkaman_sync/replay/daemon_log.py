"""A running daemon as a source: it asks its server for the log, over its own connection."""

from __future__ import annotations

import select
import socket
from base64 import b64decode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from kafkaman_sync.device import rpc
from kafkaman_sync.device.paths import Home
from kafkaman_sync.errors import ControlError, ReplayError, WireError
from kafkaman_sync.replay.remote_log import RemoteLog
from kafkaman_sync.replay.source import SourceKind


class DaemonLog(RemoteLog):
    """The log of the account that is signed in at a device's home."""

    kind = SourceKind.DAEMON

    def __init__(self, home: Home, stack: ExitStack) -> None:
        super().__init__()
        self.label = str(home.root)
        self._home = home
        self._stack = stack
        self._numbers = count(1)
        self._socket = stack.enter_context(_connected(home))
        self._lines = stack.enter_context(self._socket.makefile("rb"))
        self._watching: socket.socket | None = None

    @classmethod
    @contextmanager
    def open(cls, home: Home) -> Iterator[DaemonLog]:
        """Connect to the daemon of a home. Raises ControlError `daemon.not_running`."""
        with ExitStack() as stack:
            yield cls(home, stack)

    def ask(self, params: dict[str, Any]) -> dict[str, Any]:
        """Make the call."""
        return self._call("log", params)

    def workspaces(self) -> list[str]:
        """Return the workspaces of the account that is signed in."""
        status = self._call("status", {})
        if not status.get("account"):
            raise ReplayError(
                f"No account is signed in at the device of {self.label}.",
                code="replay.signed_out",
                hint="Sign in first: kafkaman sign-in.",
            )
        return [str(workspace["id"]) for workspace in status["workspaces"]]

    def wait(self, seconds: float) -> bool:
        """Wait until the daemon tells of a change.

        It tells of an edit of its own when that is made, and not again when the server has taken
        it: so there may always be something.
        """
        if self._watching is None:
            self._watching = self._stack.enter_context(_connected(self._home))
            _send(self._watching, rpc.request(1, "changes", {}))
        if select.select([self._watching], [], [], seconds)[0] and not _heard(self._watching):
            raise _gone()
        return True

    def raw(self, value: Any) -> bytes | None:
        """Return bytes, which the control socket carries as base64."""
        if value is None:
            return None
        try:
            return b64decode(value, validate=True)
        except (ValueError, TypeError) as error:
            raise WireError("The daemon's answer holds bytes that are none.") from error

    def _call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        _send(self._socket, rpc.request(next(self._numbers), method, params))
        answer = _line(self._lines)
        if answer.get("error") is not None:
            raise rpc.read_failure(answer["error"])
        result = answer.get("result")
        if not isinstance(result, dict):
            raise WireError("The daemon's answer is none.")
        return result


@contextmanager
def _connected(home: Home) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(home.socket))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise ControlError(
                "The daemon is not running.", code="daemon.not_running", hint="Run `kafkaman up`."
            ) from error
        except OSError as error:
            raise ControlError(
                f"The control socket cannot be used: {error.strerror}.",
                code="daemon.unreachable",
                hint=f"Check who owns {home.socket}.",
            ) from error
        yield connection


def _send(connection: socket.socket, line: bytes) -> None:
    try:
        connection.sendall(line)
    except OSError as error:
        raise _gone() from error


def _heard(connection: socket.socket) -> bool:
    """Take what the daemon has said; return whether that was anything, and not its end."""
    try:
        return connection.recv(65_536) != b""
    except OSError as error:
        raise _gone() from error


def _line(lines: BinaryIO) -> dict[str, Any]:
    try:
        line = lines.readline(rpc.LINE_BYTES_MAX)
    except OSError as error:
        raise _gone() from error
    if not line.endswith(b"\n"):
        raise _gone()
    return rpc.load_line(line)


def _gone() -> ControlError:
    return ControlError(
        "The daemon has ended.", code="daemon.gone", hint="`kafkaman up` starts it again."
    )


def home_of(path: Path) -> Home | None:
    """Return the home whose control socket a path is or whose folder it is, if its daemon runs.

    Of a socket it need not run: to connect tells what is wrong.
    """
    if path.is_socket():
        return Home.find(path.parent)
    home = Home.find(path)
    try:
        with _connected(home):
            return home
    except ControlError:
        return None
