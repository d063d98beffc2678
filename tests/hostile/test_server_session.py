"""Legal and illegal sequences of messages against the server's session, in this process.

10,000 of the 50,000 sequences run here; the device's side is in test_device_session. Whatever
arrives, either it is answered, or the connection ends with a goodbye of a stable code; never an
exception, never a change of anybody else's data, and honest devices sync afterwards.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Final

import pytest

from kafkaman_sync.model.digest import compute_digest
from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import (
    Call,
    Checkpoint,
    Entities,
    Events,
    Hello,
    Push,
    Reply,
    Welcome,
)
from kafkaman_sync.protocol.records import decode_entity, encode_change
from tests.hostile.attacker import GOODBYES, Attack, Identity, honest_change, sign_in, sign_up
from tests.hostile.peers import Peer, Site, server_without_socket

PARTS: Final = 5
SEQUENCES: Final = 2_000
# How often somebody honest looks whether all is well.
LOOK_EVERY: Final = 125


async def sync_honestly(site: Site, me: Identity, *, edit: bool) -> tuple[int, bytes]:
    """Come as a device that holds nothing; return head and digest, proved from the rows."""
    peer = Peer(site)

    async def frames() -> AsyncIterator[bytes]:
        yield encode(Hello(me.token, me.device, me.lease, ()))
        await peer.until(lambda: any(isinstance(one, Checkpoint) for one in peer.said))
        if edit:
            me.last_op += 1
            change = honest_change(me.workspace, me.last_op, f"{me.last_op:032x}")
            yield encode(Push((encode_change(change),)))
            await peer.until(lambda: isinstance(peer.said[-1], Events))
        yield encode(Call(1, "prove", {}))
        await peer.until(lambda: isinstance(peer.said[-1], Reply))

    await peer.run(frames())
    welcome, reply = peer.said[0], peer.said[-1]
    assert isinstance(welcome, Welcome), welcome
    assert isinstance(reply, Reply)
    me.lease, me.workspace = welcome.lease, welcome.workspaces[0].id
    assert reply.result is not None
    assert all(part["sound"] for part in reply.result["workspaces"])
    rows = [
        decode_entity(row)
        for message in peer.said
        if isinstance(message, Entities)
        for row in message.rows
    ]
    (checkpoint,) = (message for message in peer.said if isinstance(message, Checkpoint))
    assert compute_digest(me.workspace, rows) == checkpoint.digest
    return checkpoint.seq, checkpoint.digest


async def recover(site: Site, me: Identity) -> None:
    """Let the attacker go on under a new device when the old one is of no use any more."""
    facts = await Peer(site).ask(Call(1, "register", {"device": me.device, "token": me.token}))
    me.device, me.token, me.lease, me.last_op = facts["device"], facts["token"], "", 0


class Raid:
    """Attack after attack of one device on one server."""

    def __init__(self, site: Site, seed: str, attacker: Identity, victim: Identity) -> None:
        self.site = site
        self.random = Random(seed)
        self.attacker = attacker
        self.victim = victim
        self.entities: list[str] = []
        self.ends: Counter[str] = Counter()

    async def attack(self) -> None:
        attack = Attack(Peer(self.site), self.random, self.attacker, self.victim, self.entities)
        try:
            await attack.run()
            self.check(attack)
        except Exception as error:
            error.add_note(attack.trace())
            raise
        goodbye = attack.peer.goodbye
        self.ends[goodbye.code if goodbye else "answered"] += 1
        if goodbye and goodbye.code in ("device.reused", "lease.stale", "device.revoked"):
            await recover(self.site, self.attacker)
        del self.entities[:-20]

    def check(self, attack: Attack) -> None:
        goodbye = attack.peer.goodbye
        for message in attack.peer.said:
            if isinstance(message, Reply) and message.error is not None:
                assert message.error["code"] not in ("server.failed", "internal.error"), message
        if goodbye is not None:
            assert goodbye.code in GOODBYES, goodbye
        if attack.due.illegal and not attack.gone:
            assert goodbye is not None, "what is illegal ends the connection"


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.timeout(1200)  # with a large effort
async def test_whatever_arrives_is_answered_or_ends_in_a_goodbye(
    part: int, effort: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server_without_socket(tmp_path / "data", monkeypatch) as site:
        victim = await sign_up(site, "victim")
        await sync_honestly(site, victim, edit=False)
        # Two devices of one account at once: each hears what the other has pushed.
        raids = [
            Raid(site, f"server {part}, device {index}", who, victim)
            for index, who in enumerate(
                (await sign_up(site, "mallory"), await sign_in(site, "mallory"))
            )
        ]
        for number in range(int(SEQUENCES * effort) // len(raids)):
            try:
                await asyncio.gather(*(raid.attack() for raid in raids))
            except Exception as error:  # noqa: BLE001  any error is the find
                notes = "\n".join(getattr(error, "__notes__", ()))
                pytest.fail(f"{error!r}\nseed: part {part}, sequence {number}\n{notes}")
            if number % LOOK_EVERY == 0:
                before = victim.last_op
                head, _ = await sync_honestly(site, victim, edit=True)
                assert head == before, "only the victim writes what is the victim's"
        await sync_honestly(site, await sign_in(site, "mallory"), edit=False)
        await site.server.hub.wait_empty()
        assert not site.server.hub._by_workspace
        # Attacks that all end alike would test little.
        ends = raids[0].ends + raids[1].ends
        assert ends["answered"] > SEQUENCES * effort / 5
        assert ends["protocol.violation"] > SEQUENCES * effort / 5
        assert ends["device.reused"]
