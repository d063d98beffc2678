"""One device's session out of a capture: its connections, and what was said on each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kafkaman_sync.errors import ReplayError, WireError
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.limits import MIB
from kafkaman_sync.protocol.codec import decode
from kafkaman_sync.protocol.messages import Hello, Message, Welcome
from kafkaman_sync.protocol.recording import Recorded, Sort
from kafkaman_sync.protocol.records import decode_entity
from kafkaman_sync.replay.capture import FRAMES, Capture

# What is run again is held in memory.
SESSION_BYTES_MAX: Final = 64 * MIB


@dataclass(frozen=True, slots=True)
class Step:
    """A message of a talk, from the device (`up`) or from the server."""

    at_us: int
    up: bool
    message: Message


@dataclass(slots=True)
class Talk:
    """One connection, from the device's hello on; `lost` tells whether records are missing."""

    connection: int
    at_us: int
    hello: Hello
    steps: list[Step] = field(default_factory=list)
    lost: bool = False

    @property
    def welcome(self) -> Welcome | None:
        """The answer to the hello, None where it was none."""
        for step in self.steps:
            if isinstance(step.message, Welcome):
                return step.message
        return None


@dataclass(slots=True)
class Session:
    """What one device and its server said to each other; `values` are there as they were."""

    device: str
    account: str
    talks: list[Talk]
    values: bool
    label: str = ""
    bases: dict[str, tuple[int, dict[str, Entity]]] = field(default_factory=dict)
    """Rows that were there before, by workspace, with the seq at which: a capture may hold them."""
    cut_off: bool = False
    """Whether the capture was cut off, so that more may have been said."""

    @property
    def welcome(self) -> Welcome:
        """The first welcome."""
        found = self.talks[0].welcome
        assert found is not None, "a session begins with one"
        return found


def load_session(path: Path, device: str = "") -> Session:
    """Read the session of a device, whose id may be shortened; of the only one, if none is named.

    Raises ReplayError: `replay.no_session` when there is none that could be run again, and
    `replay.which_device` when there are several.
    """
    bases: dict[str, tuple[int, dict[str, Entity]]] = {}
    with Capture.open(path) as capture:
        talks = list(_talks(capture.records(), capture.path, bases))
        values, cut_off = capture.header.values, capture.cut_off
    devices = sorted({talk.hello.device for talk in talks})
    chosen = [each for each in devices if each.startswith(device.lower())]
    if len(chosen) > 1:
        raise ReplayError(
            f"{path} has the sessions of {len(chosen)} devices.",
            code="replay.which_device",
            hint=f"Name one with --as: {', '.join(each[:8] for each in chosen[:20])}.",
        )
    kept = [talk for talk in talks if talk.hello.device in chosen]
    # What was refused, or broke, before the first welcome has nothing to go on from.
    while kept and kept[0].welcome is None:
        del kept[0]
    if not kept:
        whose = f" of the device {device[:32]}" if device else ""
        raise ReplayError(
            f"{path} has no session{whose} from its beginning: no hello and welcome are in it.",
            code="replay.no_session",
            hint="Record again, and then let the device connect anew: `kafkaman reload`.",
        )
    missing = next((talk for talk in kept if talk.lost), None)
    if missing is not None:
        raise ReplayError(
            f"{path} misses records within the session, after its hello.",
            code="replay.gap",
            hint="Record again, and then let the device connect anew: `kafkaman reload`.",
        )
    welcome = kept[0].welcome
    assert welcome is not None
    return Session(chosen[0], welcome.account, kept, values, str(path), bases, cut_off)


def _talks(
    records: Iterator[Recorded], path: Path, bases: dict[str, tuple[int, dict[str, Entity]]]
) -> Iterator[Talk]:
    open_talks: dict[int, Talk] = {}
    size = 0
    for record in records:
        if record.sort is Sort.LOST:
            for talk in open_talks.values():
                talk.lost = True
        if record.sort is Sort.CLOSED:
            open_talks.pop(record.connection, None)
        if record.sort is Sort.STATE and "base" in record.facts:
            workspace, seq, rows = _read_base(record, path)
            bases[workspace] = (seq, rows)
        if record.sort not in FRAMES:
            continue
        size += len(record.data)
        if size > SESSION_BYTES_MAX:
            raise ReplayError(
                f"{path} is too large to be run again: more than {SESSION_BYTES_MAX // MIB} MiB.",
                code="replay.too_large",
                hint="Record a shorter time.",
            )
        try:
            message = decode(record.data)
        except WireError as error:
            raise _illegal(path, "a frame that is no legal message", error) from error
        if isinstance(message, Hello):
            talk = open_talks[record.connection] = Talk(record.connection, record.at_us, message)
            yield talk
        elif record.connection in open_talks:
            step = Step(record.at_us, record.sort is Sort.UP, message)
            open_talks[record.connection].steps.append(step)


def _read_base(record: Recorded, path: Path) -> tuple[str, int, dict[str, Entity]]:
    """Return a workspace, a seq and the rows at it, which `to-test` has put into a capture."""
    facts = record.facts
    try:
        rows = [decode_entity(row) for row in facts["rows"]]
        return str(facts["base"]), int(facts["seq"]), {row.id: row for row in rows}
    except WireError as error:
        raise _illegal(path, "a row that is not legal", error) from error
    except (KeyError, TypeError, ValueError) as error:
        raise _illegal(path, "rows that are not legal", WireError("they are no rows")) from error


def _illegal(path: Path, what: str, error: WireError) -> ReplayError:
    return ReplayError(
        f"{path} holds {what}: {error.message}",
        code="replay.capture_damaged",
        hint="Record again.",
    )
