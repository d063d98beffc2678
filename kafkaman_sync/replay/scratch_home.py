"""A scratch copy of a device's store, set to where a session began; the home is only read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from kafkaman_sync.device.paths import Home
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.faults import store_error
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.script import Script, needed
from kafkaman_sync.replay.session import Session
from kafkaman_sync.store import Identity, Store


@contextmanager
def scratch_home(home: Path, session: Session) -> Iterator[Home]:
    """Yield a home in a temporary folder, with a copy of the account's store if it is needed.

    For a session that begins with the whole state it is not: nothing that the store holds matters.
    Raises ReplayError `replay.elsewhere` when the store is at another seq than the session was.
    """
    source = Home(home).account(session.account)
    if not home.is_dir():
        raise ReplayError(
            f"{home} is no folder.",
            code="file.not_found",
            hint="Name a device's home, or an empty folder to begin from nothing.",
        )
    if not source.parent.is_dir() and any(home.iterdir()):
        raise ReplayError(
            f"{home} is no device's home, and is not empty.",
            code="replay.no_store",
            hint="Name a device's home, or an empty folder to begin from nothing.",
        )
    with TemporaryDirectory(prefix="kafkaman-replay-") as folder:
        scratch = Home(Path(folder))
        scratch.create()
        wanted = needed(session)
        if wanted:
            _copy(source, scratch.account(session.account))
            _check_place(scratch.account(session.account), wanted)
        yield scratch


def _check_place(path: Path, wanted: dict[str, int]) -> None:
    with open_source(str(path)) as store:
        cursors = {log.workspace: log.head for log in store.logs()}
    for workspace, cursor in wanted.items():
        if cursors.get(workspace) != cursor:
            raise ReplayError(
                f"The store is at seq {cursors.get(workspace, 0)} of the workspace "
                f"{workspace[:8]}, and the session began at {cursor}.",
                code="replay.elsewhere",
                hint="Name a copy of the home from that time, or record a session that begins "
                "with the whole state (`kafkaman reload --full`).",
            )


def _copy(source: Path, target: Path) -> None:
    """Copy a database as one consistent state, without a write to it."""
    if not source.exists():
        raise ReplayError(
            f"There is no store of the session's account in {source.parent.parent}.",
            code="replay.no_store",
            hint="Name a copy of the home that was recorded.",
        )
    # Without a log beside it nobody has it open, and then not even a lock need be left there.
    mode = "mode=ro" if source.with_name(f"{source.name}-wal").exists() else "immutable=1"
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?{mode}", uri=True)) as reader,
            closing(sqlite3.connect(target)) as writer,
        ):
            reader.backup(writer)
    except sqlite3.Error as error:
        raise store_error(error, source) from error


async def enter(home: Home, script: Script, url: str) -> None:
    """Make the scratch store the session's device, which gives the op numbers that it gave."""
    session, welcome = script.session, script.session.welcome
    hello = session.talks[0].hello
    async with Store.open(home.account(session.account)) as store:
        held = await store.identity()
        await store.save_identity(
            Identity(
                server_url=url,
                server=welcome.server,
                account=session.account,
                username="" if held is None else held.username,
                email="" if held is None else held.email,
                device=session.device,
                device_name="replay",
                token="replayed",  # noqa: S106 - nobody's: it never leaves this machine
                lease=hello.lease,
            )
        )
        await store.restart_at(max(hello.confirmed_op, welcome.last_op))
