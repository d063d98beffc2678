"""What the talk with the server makes of edits that come at awkward moments."""

from __future__ import annotations

import asyncio
import json

import pytest

from kafkaman_server.calls import Proof
from kafkaman_server.journal import Journal, Submission
from kafkaman_server.outgoing import Frame
from kafkaman_server.session import Session
from kafkaman_sync import State
from kafkaman_sync.device.account import Account
from kafkaman_sync.device.conversation import Conversation
from kafkaman_sync.errors import LinkError, RefusedError
from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import Reply
from kafkaman_sync.store import Counts
from tests.device.world import SECONDS, Device, World

# Long enough for what must not happen to happen.
A_WHILE = 0.2


def account_of(device: Device) -> Account:
    account = device.daemon._signing.account
    assert account is not None
    return account


def talk_of(device: Device) -> Conversation:
    conversation = account_of(device).sync._conversation
    assert conversation is not None
    return conversation


async def until_names(device: Device, *names: str) -> None:
    async with asyncio.timeout(SECONDS):
        while set(await device.names()) != set(names):  # noqa: ASYNC110  no event of its own
            await asyncio.sleep(0.01)


async def test_an_edit_made_while_the_outbox_is_counted_is_not_called_in_sync(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, laptop, desktop = await world.pair()
    store, conversation = account_of(laptop).store, talk_of(laptop)
    count = store.counts

    async def count_then_edit() -> Counts:
        monkeypatch.setattr(store, "counts", count)
        counts = await count()
        await laptop.client.create("collection", fields={"name": "API"})
        return counts

    monkeypatch.setattr(store, "counts", count_then_edit)
    await conversation.recount()
    assert laptop.daemon._life.state is State.SYNCING
    await laptop.client.wait("in-sync", SECONDS)
    await until_names(desktop, "API")


async def test_an_edit_whose_client_has_gone_is_pushed_all_the_same(world: World) -> None:
    _, laptop, desktop = await world.pair()
    lock = account_of(laptop).store._database._write_lock
    request = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "edit",
        "params": {
            "edits": [{"action": "create", "kind": "collection", "fields": {"name": "API"}}]
        },
    }
    async with lock:
        _, writer = await asyncio.open_unix_connection(laptop.home.socket)
        writer.write(json.dumps(request).encode() + b"\n")
        while not lock._waiters:  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(A_WHILE)
    await until_names(desktop, "API")


async def test_what_the_server_asks_for_again_is_pushed_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, laptop, desktop = await world.pair()
    submit = Journal.submit

    def forget_once(journal: Journal, submission: Submission) -> None:
        monkeypatch.setattr(Journal, "submit", submit)
        op = submission.changes[0][0].op
        asyncio.get_running_loop().call_later(A_WHILE, submission.session.ask_again, op)

    monkeypatch.setattr(Journal, "submit", forget_once)
    await laptop.client.create("collection", fields={"name": "API"})
    await laptop.client.wait("in-sync", SECONDS)
    await until_names(desktop, "API")


@pytest.mark.parametrize("stated", [None, 5, "text", [5], [{}], [{"id": "x", "seq": "y"}]])
async def test_a_proof_that_makes_no_sense_is_an_error_and_not_the_end_of_the_talk(
    world: World, monkeypatch: pytest.MonkeyPatch, stated: object
) -> None:
    _, laptop, _ = await world.pair()

    def reply(session: Session, proof: Proof) -> None:
        nonsense = Reply(proof.call, result={"workspaces": stated})
        session._outgoing.put(Frame(encode(nonsense), kept=True))

    monkeypatch.setattr(Session, "_reply_proof", reply)
    with pytest.raises(RefusedError) as caught:
        await laptop.client.prove()
    assert caught.value.code == "wire.invalid"
    assert laptop.daemon._life.state.online


async def test_an_edit_that_is_being_made_at_a_sign_out_is_sealed(world: World) -> None:
    server, laptop, _ = await world.pair()
    await server.stop()
    await laptop.client.wait("offline", SECONDS)
    lock = account_of(laptop).store._database._write_lock
    async with lock:
        edit = asyncio.create_task(laptop.client.create("collection", fields={"name": "Late"}))
        while not lock._waiters:  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0)
        sign_out = asyncio.create_task(laptop.client.sign_out())
        await asyncio.wait({sign_out}, timeout=A_WHILE)
    await edit
    left = await sign_out
    assert left.sealed_changes == 1


async def test_when_both_halves_of_a_talk_fail_at_once_the_receiver_says_why(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, laptop, _ = await world.pair()
    conversation = talk_of(laptop)

    async def nothing() -> None:
        pass

    async def fail(code: str) -> None:
        raise LinkError("The talk is over.", code=code)

    for name in ("_count", "_greet"):
        monkeypatch.setattr(conversation, name, nothing)
    monkeypatch.setattr(conversation, "_receive", lambda: fail("device.revoked"))
    monkeypatch.setattr(conversation, "_push", lambda: fail("link.broken"))
    for _ in range(40):
        with pytest.raises(LinkError) as caught:
            await conversation.talk()
        assert caught.value.code == "device.revoked"
