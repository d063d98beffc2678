"""Where a device keeps its things: one folder, KAFKAMAN_HOME, and nothing outside of it.

config.toml      settings a person writes (optional)
device.json      what the daemon remembers: the active account, sync on or off
control.sock     the control socket
daemon.lock      held by the one daemon of this home
starting.lock    held by whoever starts it
daemon.log       what the daemon has to say
accounts/        one database per account
scratch.db       the Scratch Pad
sealed/          archives of what could not be synced
damaged/         damaged databases, set aside whole
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

from kafkaman_sync.errors import UsageError

# sun_path holds 104 bytes on macOS and 108 on Linux, the closing zero included.
SOCKET_PATH_BYTES_MAX: Final = 103


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one device; paths only, nothing is created before `create`."""

    root: Path

    @classmethod
    def find(cls, root: Path | str | None = None) -> Home:
        """Return the home at `root`, else at KAFKAMAN_HOME, else the platform's usual place."""
        chosen = root or os.environ.get("KAFKAMAN_HOME")
        if chosen:
            return cls(Path(chosen).expanduser().absolute())
        return cls(platformdirs.user_data_path("kafkaman", appauthor=False).absolute())

    @property
    def config(self) -> Path:
        """The settings that a person may write."""
        return self.root / "config.toml"

    @property
    def memory(self) -> Path:
        """What the daemon remembers between its runs."""
        return self.root / "device.json"

    @property
    def starting(self) -> Path:
        """The file whose lock gives one starter at a time its turn."""
        return self.root / "starting.lock"

    @property
    def lock(self) -> Path:
        """The file whose lock makes a daemon the only one of its home."""
        return self.root / "daemon.lock"

    @property
    def log(self) -> Path:
        """The daemon's log."""
        return self.root / "daemon.log"

    @property
    def accounts(self) -> Path:
        """The folder of the accounts' databases."""
        return self.root / "accounts"

    @property
    def scratch(self) -> Path:
        """The Scratch Pad's database."""
        return self.root / "scratch.db"

    @property
    def sealed(self) -> Path:
        """The folder of sealed archives."""
        return self.root / "sealed"

    @property
    def damaged(self) -> Path:
        """The folder of databases that were damaged, each in a dated folder of its own."""
        return self.root / "damaged"

    @property
    def socket(self) -> Path:
        """The control socket; in a short folder of its own when the home's path is too long."""
        path = self.root / "control.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
            return path
        name = hashlib.blake2b(os.fsencode(self.root.resolve()), digest_size=8).hexdigest()
        return _runtime_folder() / f"{name}.sock"

    def account(self, account: str) -> Path:
        """Return the path of an account's database."""
        return self.accounts / f"{account}.db"

    def create(self) -> None:
        """Make the folders, readable by their owner only."""
        try:
            for folder in (self.root, self.accounts, self.sealed, self.damaged):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.root.chmod(0o700)
            self.socket.parent.mkdir(exist_ok=True, mode=0o700)
            self.check_socket_folder()
        except OSError as error:
            raise UsageError(
                f"The folder {self.root} cannot be used: {error.strerror}.",
                code="home.unusable",
                hint="Set KAFKAMAN_HOME to a folder that you may write to.",
            ) from error

    def check_socket_folder(self) -> None:
        """Raise UsageError `home.foreign` for a socket where another user may listen.

        Raises FileNotFoundError when there is no folder yet. Whoever connects asks this first: what
        listens there is told passwords.
        """
        folder = self.socket.parent
        if folder == self.root:
            return
        # Of a link it is the link that counts: what it points to may be another folder by then.
        found = folder.lstat()
        if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
            raise UsageError(
                f"The folder {folder} is not yours, or no folder.",
                code="home.foreign",
                hint="Set KAFKAMAN_HOME to a shorter path.",
            )


def _runtime_folder() -> Path:
    """Return a short folder that every process of this user finds alike, whatever its TMPDIR.

    Anybody may have made it first: see `Home.check_socket_folder`.
    """
    return Path(f"/tmp/kafkaman-{os.getuid()}")  # noqa: S108 - whose it is, is checked before use
