"""Runs a captured session again, and reports the first difference from the recording."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.replay.against import server_at
from kafkaman_sync.replay.as_device import AsDevice, Pace
from kafkaman_sync.replay.as_server import AsServer
from kafkaman_sync.replay.faults import Faults
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.outcome import Difference, Rules
from kafkaman_sync.replay.scratch import scratch_server
from kafkaman_sync.replay.scratch_home import scratch_home
from kafkaman_sync.replay.script import Script, write_script
from kafkaman_sync.replay.session import load_session
from kafkaman_sync.replay.silence import silence


@dataclass(frozen=True, slots=True)
class Report:
    """What came of running a session again; the same, when there is no difference."""

    against: str
    device: str
    connections: int
    facts: int
    """How many facts were compared or, when one differs, how many there are."""
    difference: Difference | None = None
    faults: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    """Calls that were not made again."""
    cut_off: bool = False
    """Whether the capture was cut off: what came behind that was not run."""

    @property
    def same(self) -> bool:
        """Whether all came out as it was recorded."""
        return self.difference is None

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON shows it."""
        return {
            "same": self.same,
            "against": self.against,
            "device": self.device,
            "connections": self.connections,
            "facts": self.facts,
            "difference": None if self.difference is None else self.difference.as_dict(),
            "faults": self.faults,
            "skipped": sorted(set(self.skipped)),
            "cut_off": self.cut_off,
        }


def load_script(path: Path, *, device: str = "", base: str | None = None) -> Script:
    """Read the session of a capture, and what must come out of it; see `write_script`."""
    session = load_session(path, device)
    with ExitStack() as stack:
        source = None if base is None else stack.enter_context(open_source(base))
        return write_script(session, source)


async def rerun_scratch(
    path: Path,
    *,
    device: str = "",
    base: str | None = None,
    pace: Pace | None = None,
    faults: int | None = None,
) -> Report:
    """Run a session again as its device, against a server of its own.

    `base` names a source with the rows that were there before the session, where the capture does
    not tell them. Raises ReplayError for a capture that cannot be run.
    """
    script = load_script(path, device=device, base=base)
    kept = script.session.values
    rules = Rules(digests=kept, theirs=kept or not (base or script.session.bases))
    drawn = Faults(faults)
    async with scratch_server(script.seed) as server:
        run = AsDevice(script, server, rules, pace or Pace(), drawn)
        difference = await run.run()
    return report_of("a scratch server", script, difference, drawn, run.skipped)


async def rerun_against(
    path: Path,
    url: str,
    user: str,
    password: str,
    *,
    device: str = "",
    pace: Pace | None = None,
    faults: int | None = None,
) -> Report:
    """Run a session again as a device of its own, against a server that runs.

    What the session did is done to that account. Rows and digests are not compared: other things
    may be there. Raises RefusedError and LinkError of the signing in, and ReplayError.
    """
    script = load_script(path, device=device)
    rules = Rules(whole=False, ignored=frozenset({"account", "device", "op"}))
    drawn = Faults(faults)
    async with server_at(url, user, password, script) as server:
        run = AsDevice(script, server, rules, pace or Pace(), drawn)
        difference = await run.run()
    return report_of(url, script, difference, drawn, run.skipped)


async def rerun_device(
    path: Path,
    home: Path,
    *,
    device: str = "",
    pace: Pace | None = None,
    faults: int | None = None,
) -> Report:
    """Run a session again as its server, for a scratch copy of the store in a home.

    The home is only read. In an empty folder the store begins from nothing. Raises ReplayError for
    a capture, or a store, with which that cannot be.
    """
    session = load_session(path, device)
    drawn = Faults(faults)
    with silence(), scratch_home(home, session) as scratch, ExitStack() as stack:
        store = scratch.account(session.account)
        source = stack.enter_context(open_source(str(store))) if store.exists() else None
        script = write_script(session, source)
        check_redacted(script)
        stack.close()
        difference = await AsServer(script, pace or Pace(), drawn).run(scratch)
    against = f"a copy of {home}" if source is not None else "a new store"
    return report_of(against, script, difference, drawn, [])


def check_redacted(script: Script) -> None:
    """Refuse to mix real rows with redacted ones, whose digests nobody could tell."""
    if not script.session.values and any(rows for _, rows in script.before.values()):
        raise ReplayError(
            f"{script.session.label} has no values, and the rows of the store have.",
            code="replay.redacted",
            hint="Record with --values, or record a session that begins with the whole state "
            "(`kafkaman reload --full`).",
        )


def report_of(
    against: str,
    script: Script,
    difference: Difference | None,
    faults: Faults,
    skipped: list[str],
) -> Report:
    """Put together what came of a run."""
    return Report(
        against=against,
        device=script.session.device,
        connections=len(script.session.talks),
        facts=len(script.outcome.order),
        difference=difference,
        faults=faults.counts,
        skipped=skipped,
        cut_off=script.session.cut_off,
    )
