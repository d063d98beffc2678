"""Somebody who says a few things by hand, and what is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from kafkaman_sync.model.changes import Verdict
from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import (
    Checkpoint,
    Events,
    Goodbye,
    Hello,
    Message,
    Verdicts,
    Welcome,
)
from tests.hostile.attacker import Due, Identity
from tests.hostile.peers import Peer, Site

ID: Final = "0" * 32


async def say(site: Site, *frames: bytes | str, me: Identity | None = None) -> list[Message]:
    """Say these, as a device that is live if `me` is given; return all that is answered."""
    peer, due = Peer(site), Due()

    async def talk() -> AsyncIterator[bytes | str]:
        if me is not None:
            yield encode(Hello(me.token, me.device, me.lease, ()))
            await peer.until(lambda: any(isinstance(one, Checkpoint) for one in peer.said))
            welcome = peer.said[0]
            assert isinstance(welcome, Welcome)
            me.lease, me.workspace = welcome.lease, welcome.workspaces[0].id
        heard = len(peer.said)
        for frame in frames:
            due.note(frame, greeted=me is not None)
            yield frame

        def answered() -> bool:
            nonlocal heard
            fresh, heard = peer.said[heard:], len(peer.said)
            return due.answered(fresh)

        await peer.until(answered)

    await peer.run(talk())
    return peer.said


def code_of(said: list[Message]) -> str:
    assert isinstance(said[-1], Goodbye), said[-1]
    return said[-1].code


def verdicts_of(said: list[Message]) -> dict[int, Verdict]:
    found: dict[int, Verdict] = {}
    for message in said:
        items: tuple[Any, ...] = ()
        if isinstance(message, Events):
            items = message.items
        elif isinstance(message, Verdicts):
            items = message.verdicts
        found |= {item.op: item for item in items if isinstance(item, Verdict)}
    return found
