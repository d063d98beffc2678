"""The hub: who is connected, and who hears of which commit.

`publish` and `join` run without an await, so a session that has read up to the last seq fanned out
joins without a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import structlog

from kafkaman_sync.model.changes import Verdict
from kafkaman_sync.model.immutable import immutable
from kafkaman_sync.model.limits import MESSAGE_BYTES_TARGET
from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import Events, Goodbye

REVOKED: Final = Goodbye("device.revoked", "This device was signed out.")
UNKNOWN: Final = Goodbye("device.unknown", "This server does not know the device.")

_log = structlog.get_logger("hub")


class Listener(Protocol):
    """A session as the journal and the hub know it."""

    @property
    def device(self) -> str:
        """The device that is connected."""
        ...

    @property
    def leaving(self) -> bool:
        """Whether it has been told to say goodbye: nothing more of it is decided."""
        ...

    def settled(self, changes: int, size: int) -> None:
        """Note that a push of so many changes and bytes waits no longer."""
        ...

    def hear(self, news: News) -> None:
        """Take one workspace's part of a commit, in which nothing is the session's own."""
        ...

    def hear_own(self, decided: Sequence[Decided], digests: Mapping[str, bytes]) -> None:
        """Take a commit that answers some of the session's own changes."""
        ...

    def ask_again(self, op: int) -> None:
        """Ask the device to push again from `op` on."""
        ...

    def say_goodbye(self, message: Goodbye | None) -> None:
        """Send a goodbye behind what is queued, and close; None closes without one."""
        ...


@immutable
class Decided:
    """A decided change: who pushed it, the verdict, and the encoded event if it has a new one."""

    session: Listener
    workspace: str
    verdict: Verdict
    event: bytes | None


@dataclass(slots=True)
class Outcome:
    """What came of a commit, in the order in which it was decided."""

    decided: list[Decided] = field(default_factory=list)
    digests: dict[str, bytes] = field(default_factory=dict)
    resends: dict[Listener, int] = field(default_factory=dict)
    goodbyes: list[tuple[Listener, Goodbye | None]] = field(default_factory=list)


@dataclass(slots=True)
class News:
    """One workspace's part of a commit; its frames are encoded once, for all who hear it."""

    workspace: str
    digest: bytes
    events: list[tuple[int, bytes]] = field(default_factory=list)
    _frames: list[tuple[int, bytes]] | None = None

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        """The messages as (last seq in it, bytes), the last one with the digest."""
        if self._frames is None:
            self._frames = event_frames(self.workspace, self.events, self.digest)
        return self._frames


class Hub:
    """The connected sessions, by device and by workspace."""

    def __init__(self) -> None:
        self._by_device: dict[str, Listener] = {}
        # In the order of joining: who hears first is nobody's address in memory.
        self._by_workspace: dict[str, dict[Listener, None]] = {}
        self._heads: dict[str, int] = {}
        self.closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    def connected(self, device: str) -> bool:
        """Tell whether a device has a connection."""
        return device in self._by_device

    def close(self) -> None:
        """Let nobody new in: the server stops."""
        self.closed = True

    def sessions(self) -> list[Listener]:
        """Return all sessions that have said hello."""
        return list(self._by_device.values())

    def enter(self, session: Listener) -> Listener | None:
        """Make `session` its device's connection; return the one that it replaces."""
        older = self._by_device.get(session.device)
        self._by_device[session.device] = session
        self._empty.clear()
        return older

    def exit(self, session: Listener) -> None:
        """Forget a session."""
        if self._by_device.get(session.device) is session:
            del self._by_device[session.device]
        if not self._by_device:
            self._empty.set()

    async def wait_empty(self) -> None:
        """Return when no session is left."""
        await self._empty.wait()

    def close_device(self, device: str, message: Goodbye | None) -> None:
        """Close the connection of a device, if there is one; None closes without a goodbye."""
        session = self._by_device.get(device)
        if session is not None:
            session.say_goodbye(message)

    def head(self, workspace: str) -> int:
        """Return the last seq that was fanned out in this run, 0 if none was."""
        return self._heads.get(workspace, 0)

    def join(self, session: Listener, positions: Mapping[str, int]) -> bool:
        """Let the session hear what follows its positions; False when it is behind somewhere."""
        if any(self.head(workspace) > seq for workspace, seq in positions.items()):
            return False
        for workspace in positions:
            self._by_workspace.setdefault(workspace, {})[session] = None
        return True

    def leave(self, session: Listener, workspaces: Iterable[str]) -> None:
        """Let the session hear no more."""
        for workspace in workspaces:
            listeners = self._by_workspace.get(workspace, {})
            listeners.pop(session, None)
            if not listeners:
                self._by_workspace.pop(workspace, None)

    def announce(self, news: News) -> None:
        """Fan out a commit that answers nobody."""
        self._heads[news.workspace] = news.events[-1][0]
        self._fan_out(news, {})

    def publish(self, outcome: Outcome) -> None:
        """Answer and fan out a commit."""
        news: dict[str, News] = {}
        own: dict[int, Listener] = {}
        for one in outcome.decided:
            own.setdefault(id(one.session), one.session)
            if one.event is not None and one.verdict.seq is not None:
                part = news.get(one.workspace)
                if part is None:
                    part = news[one.workspace] = News(one.workspace, outcome.digests[one.workspace])
                part.events.append((one.verdict.seq, one.event))
        for part in news.values():
            self._heads[part.workspace] = part.events[-1][0]
        for session in own.values():
            _tell(session, partial(session.hear_own, outcome.decided, outcome.digests))
        for part in news.values():
            self._fan_out(part, own)
        for session, op in outcome.resends.items():
            session.ask_again(op)
        for session, message in outcome.goodbyes:
            session.say_goodbye(message)

    def _fan_out(self, news: News, own: Mapping[int, Listener]) -> None:
        for listener in list(self._by_workspace.get(news.workspace, ())):
            if id(listener) not in own:
                _tell(listener, partial(listener.hear, news))


def _tell(session: Listener, news: Callable[[], None]) -> None:
    """Pass news to a session; a fault there is that session's end, and nobody else's."""
    try:
        news()
    except Exception:  # noqa: BLE001 - the edge between one session and all the others
        _log.exception("session failed to take news", device=session.device)
        session.say_goodbye(Goodbye("server.failed", "The server failed.", 5.0))


def event_frames(
    workspace: str, events: Iterable[tuple[int, bytes | Verdict]], digest: bytes | None
) -> list[tuple[int, bytes]]:
    """Encode events and stubs into messages of about the target size, as (last seq, bytes)."""
    frames: list[tuple[int, bytes]] = []
    items: list[bytes | Verdict] = []
    size = last = 0
    for seq, item in events:
        weight = len(item) if isinstance(item, bytes) else 256
        if items and size + weight > MESSAGE_BYTES_TARGET:
            frames.append((last, encode(Events(workspace, tuple(items)))))
            items, size = [], 0
        items.append(item)
        size += weight
        last = seq
    if items:
        frames.append((last, encode(Events(workspace, tuple(items), digest))))
    return frames
