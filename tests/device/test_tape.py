"""The flight recorder: the latest of everything, bounded, without a secret."""

from __future__ import annotations

import time

import pytest

from kafkaman_sync.device import rpc
from kafkaman_sync.device.feed import Feed
from kafkaman_sync.device.tape import BEGINNINGS_MAX, Tape
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import Call, Events, Hello, Push, Reply, Welcome
from kafkaman_sync.protocol.recording import Recorded, Sort
from tests.device.world import PASSWORD, World

W, D = "a" * 32, "d" * 32
HELLO = Hello("a token", D, "a lease", ())
WELCOME = encode(Welcome("s", "e", "another lease", "a", D, 0, ()))


def greeted(tape: Tape) -> int:
    number = tape.opened()
    tape.sent(number, HELLO, encode(HELLO))
    tape.came(number, WELCOME)
    return number


def sorts(tape: Tape) -> list[Sort]:
    return [record.sort for record in tape.last()]


def test_frames_and_transitions_stand_in_their_order() -> None:
    tape = Tape()
    number = greeted(tape)
    frame = encode(Events(W, (b"x",)))
    tape.came(number, frame)
    tape.stepped({"from": "SYNCING", "to": "IN_SYNC"})
    tape.closed(number, "network.dropped")
    found = list(tape.last())
    assert [record.sort for record in found] == [
        Sort.OPENED, Sort.UP, Sort.DOWN, Sort.DOWN, Sort.STATE, Sort.CLOSED,
    ]  # fmt: skip
    assert found[3].data == frame
    assert found[4].facts == {"from": "SYNCING", "to": "IN_SYNC"}
    assert found[5].facts == {"code": "network.dropped"}
    assert [record.at_us for record in found] == sorted(record.at_us for record in found)


def test_no_secret_leaves_it_and_no_password_enters() -> None:
    tape = Tape()
    number = greeted(tape)
    call = Call(1, "sign_in", {"password": "correct horse"})
    tape.sent(number, call, encode(call))
    tape.came(number, encode(Reply(1, result={"token": "a token"})))
    assert "correct horse" not in repr(vars(tape))
    for record in tape.last():
        for secret in (b"token", b"lease", b"horse"):
            assert b"a " + secret not in record.data
        if record.sort in (Sort.UP, Sort.DOWN):
            decode(record.data)


def test_it_keeps_the_latest_within_its_bounds_and_says_what_is_missing() -> None:
    tape = Tape(bytes_max=100_000, count_max=50)
    number = tape.opened()
    for at in range(200):
        push = Push((b"%d" % at,))
        tape.sent(number, push, encode(push))
    found = list(tape.last())
    assert found[0].sort is Sort.OPENED
    assert found[1].sort is Sort.LOST
    assert found[1].facts == {"records": 200 - 50}
    assert [decode(record.data) for record in found[2:]] == [
        Push((b"%d" % at,)) for at in range(150, 200)
    ]
    small = Tape(bytes_max=5000)
    for _ in range(100):
        small.came(small.opened(), encode(Events(W, (bytes(1000),))))
    assert sum(len(record.data) for record in small.last()) < 5000


def test_how_a_connection_began_outlives_the_ring() -> None:
    tape = Tape(count_max=10)
    number = greeted(tape)
    for _ in range(100):
        tape.came(number, encode(Events(W, (b"x",))))
    assert sorts(tape)[:4] == [Sort.OPENED, Sort.UP, Sort.DOWN, Sort.LOST]
    assert [type(decode(record.data)) for record in list(tape.last())[1:3]] == [Hello, Welcome]
    assert [record.sort for record in tape.beginnings()] == sorts(tape)[:4]


def test_beginnings_are_bounded_too() -> None:
    tape = Tape(count_max=1)
    for _ in range(100):
        greeted(tape)
    opened = [record for record in tape.last() if record.sort is Sort.OPENED]
    assert len(opened) == BEGINNINGS_MAX


def test_a_frame_larger_than_the_ring_is_not_kept() -> None:
    tape = Tape(bytes_max=10_000)
    tape.came(tape.opened(), encode(Events(W, (bytes(20_000),))))
    assert sorts(tape) == [Sort.OPENED, Sort.LOST]


def test_a_frame_that_is_no_message_leaves_its_size_only() -> None:
    tape = Tape()
    tape.came(tape.opened(), b"nonsense")
    last: Recorded = list(tape.last())[-1]
    assert last.sort is Sort.ILLEGIBLE
    assert last.facts == {"from": "server", "bytes": 8}


async def test_who_listens_hears_each_note() -> None:
    tape = Tape()
    with tape.feed.subscribe() as subscription:
        greeted(tape)
        lines = subscription.lines()
        heard = [rpc.load_line(await anext(lines)) for _ in range(3)]
    assert [each["params"]["sort"] for each in heard] == ["opened", "up", "down"]


def test_a_note_costs_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def publish(*_: object) -> None:
        raise AssertionError("nobody listens")

    monkeypatch.setattr(Feed, "publish", publish)
    tape, frame = Tape(), bytes(2000)
    began = time.process_time()
    for _ in range(10_000):
        tape.came(1, frame)
    # A frame carries up to 500 changes, of which each costs 100 microseconds elsewhere.
    assert (time.process_time() - began) / 10_000 < 50e-6


async def test_a_daemon_records_its_sign_in_and_sync_without_secrets(world: World) -> None:
    server = await world.server()
    device = await world.device("laptop")
    await device.sign_up(server)
    token = (device.daemon._signing.required().identity).token
    records = list(device.daemon._life.tape.last())
    steps = [each.facts["to"] for each in records if each.sort is Sort.STATE]
    assert steps[-3:] == ["CONNECTING", "SYNCING", "IN_SYNC"]
    messages = [decode(each.data) for each in records if each.sort in (Sort.UP, Sort.DOWN)]
    assert [type(each).__name__ for each in messages][:4] == ["Call", "Reply", "Hello", "Welcome"]
    for record in records:
        assert token.encode() not in record.data
        assert PASSWORD.encode() not in record.data
