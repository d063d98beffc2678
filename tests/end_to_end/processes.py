"""A real server and real devices, each a process of its own, driven by the command line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
PASSWORD = "correct horse battery staple"
COMMAND_SECONDS = 90


def free_port() -> int:
    """Return a loopback port that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """`kafkaman-server` on one port and one data folder; may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server runs"
        return self._process.pid

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    def start(self) -> None:
        """Start it and wait until it says where it listens."""
        listen = f"127.0.0.1:{self.port}"
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [BIN / "kafkaman-server", "serve", "--listen", listen, "--data", self.folder],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "listening on" in line:
                return
        raise AssertionError(self.log.read_text())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal and return its exit status; -1 if it was not running."""
        process, self._process = self._process, None
        if process is None:
            return -1
        process.send_signal(number)
        process.communicate(timeout=30)
        return process.returncode


class CommandFailedError(AssertionError):
    """A command exited with another status than expected."""


class DeviceHome:
    """One device: a KAFKAMAN_HOME and the command line that works in it."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, *words: object, stdin: str = "", status: int | None = 0) -> Any:
        """Run a command with --json and return what it printed, decoded."""
        finished = self.start(*words, stdin=stdin)
        out, err = finished.communicate(input=stdin, timeout=COMMAND_SECONDS)
        if status is not None and finished.returncode != status:
            raise CommandFailedError(f"{words} exited with {finished.returncode}: {out}\n{err}")
        assert "Traceback" not in err, err
        return json.loads(out) if out.strip() else None

    def start(self, *words: object, stdin: str = "") -> subprocess.Popen[str]:
        """Start a command with --json and return the process."""
        return subprocess.Popen(
            [BIN / "kafkaman", *map(str, words), "--json"],
            env={**os.environ, "KAFKAMAN_HOME": str(self.home), "NO_COLOR": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def sign_up(self, server: ServerProcess, user: str = "anna") -> Any:
        """Create an account and sign this device in."""
        account = ["--email", f"{user}@example.com", "--username", user]
        return self.run(
            "sign-up", "--server", server.url, *account, "--password-stdin",
            "--device-name", self.home.name, stdin=PASSWORD + "\n",
        )  # fmt: skip

    def sign_in(
        self, server: ServerProcess, *more: str, user: str = "anna", status: int = 0
    ) -> Any:
        """Sign this device in."""
        return self.run(
            "sign-in", "--server", server.url, "--user", user, "--password-stdin",
            "--device-name", self.home.name, *more, stdin=PASSWORD + "\n", status=status,
        )  # fmt: skip

    def wait(self, until: str, seconds: int = 60) -> Any:
        """Wait for a state."""
        return self.run("wait", "--until", until, "--timeout", seconds)

    def settled(self) -> Any:
        """Wait until this device is in sync and return its status."""
        self.wait("in-sync")
        return self.run("status")

    def catch_up_with(self, other: DeviceHome) -> None:
        """Wait until this device is in sync and has all that `other` had confirmed by now."""
        wanted = {workspace["id"]: workspace["seq"] for workspace in other.settled()["workspaces"]}
        deadline = time.monotonic() + COMMAND_SECONDS
        while time.monotonic() < deadline:
            held = {each["id"]: each["seq"] for each in self.settled()["workspaces"]}
            if all(held.get(workspace, 0) >= seq for workspace, seq in wanted.items()):
                return
        raise AssertionError(f"{self.home.name} did not catch up with {other.home.name}")

    def ids(self) -> dict[str, dict[str, Any]]:
        """Return what `ls` lists, by id."""
        return {entity["id"]: entity for entity in self.run("ls")}

    def exported(self, entity: str) -> Any:
        """Export to a file and return the JSON in it."""
        target = self.home.parent / f"{self.home.name}-export.json"
        self.run("export", entity, "-o", target)
        return json.loads(target.read_text(encoding="utf-8"))

    def kill(self) -> None:
        """Kill the daemon without a word."""
        pid = self.run("status")["pid"]
        os.kill(pid, signal.SIGKILL)

    def down(self) -> None:
        """Stop the daemon."""
        if self.home.exists():
            self.run("down", status=None)
