"""Signing up, in and out; the cap on devices; tokens; attempts."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from kafkaman_server.attempts import Attempts
from kafkaman_server.server import RunningServer
from kafkaman_sync.errors import RefusedError
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import Call, Goodbye, Reply
from tests.server.conftest import StartServer
from tests.server.device import PASSWORD, Device, call_once, dial, receive, sign_in, sign_up


async def refused(url: str, method: str, **params: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        await call_once(url, method, **params)
    return caught.value


def person(**changes: str) -> dict[str, str]:
    return {
        "email": "ann@example.org",
        "username": "ann",
        "password": PASSWORD,
        "device_name": "laptop",
        "platform": "linux",
        **changes,
    }


async def test_signing_up_gives_an_account_a_device_and_a_personal_workspace(
    server: RunningServer,
) -> None:
    result = await call_once(server.url, "sign_up", **person())
    assert set(result) == {"account", "username", "email", "device", "token", "server"}
    assert len(result["token"]) == 64
    device = Device(server.url, result["account"], result["device"], result["token"])
    async with device.live() as connection:
        (workspace,) = (await device.ask(connection, "workspaces"))["workspaces"]
        assert workspace == {"id": device.workspace, "name": "Personal", "role": "owner", "head": 0}
        assert await device.ask(connection, "ping") == {}
        assert device.welcome is not None
        assert device.welcome.server == result["server"]


@pytest.mark.parametrize("user", ["ann", "ANN", "ann@example.org", "Ann@Example.ORG"])
async def test_email_and_username_sign_in_in_any_case(server: RunningServer, user: str) -> None:
    await sign_up(server.url)
    await sign_in(server.url, user)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"email": "nobody"}, "account.invalid_email"),
        ({"email": "a b@c"}, "account.invalid_email"),
        ({"username": "a@b"}, "account.invalid_username"),
        ({"username": ""}, "account.invalid_username"),
        ({"password": "1234567"}, "account.weak_password"),
        ({"password": "x" * 2000}, "account.weak_password"),
    ],
)
async def test_bad_sign_ups_are_refused_by_name(
    server: RunningServer, changes: dict[str, str], code: str
) -> None:
    assert (await refused(server.url, "sign_up", **person(**changes))).code == code


@pytest.mark.parametrize(
    "changes",
    [{"username": "bob"}, {"email": "bob@example.org"}, {"username": "ANN", "email": "b@c.d"}],
)
async def test_a_taken_email_or_username_gets_one_answer(
    server: RunningServer, changes: dict[str, str]
) -> None:
    await sign_up(server.url)
    assert (await refused(server.url, "sign_up", **person(**changes))).code == "account.exists"


async def test_sign_up_can_be_closed(start_server: StartServer) -> None:
    async with start_server(sign_up_open=False) as server:
        assert (await refused(server.url, "sign_up", **person())).code == "auth.sign_up_closed"


async def test_an_unknown_user_and_a_wrong_password_get_one_answer(server: RunningServer) -> None:
    await sign_up(server.url)
    wrong = await refused(server.url, "sign_in", user="ann", password="wrong password")
    unknown = await refused(server.url, "sign_in", user="bob", password="wrong password")
    assert wrong.as_dict() == unknown.as_dict()
    assert wrong.code == "auth.failed"


async def test_the_fourth_device_is_refused_with_the_list_of_three(server: RunningServer) -> None:
    one = await sign_up(server.url)
    two = await sign_in(server.url)
    await sign_in(server.url)
    async with two.live():
        error = await refused(
            server.url, "sign_in", user="ann", password=PASSWORD, device_name="d", platform="p"
        )
        assert error.code == "auth.device_limit"
        devices = error.details["devices"]
        assert [device["connected"] for device in devices].count(True) == 1
        assert {device["id"] for device in devices} >= {one.id, two.id}
        assert set(devices[0]) == {"id", "name", "platform", "last_seen", "connected"}


async def test_the_fourth_takes_the_place_of_the_named_device(server: RunningServer) -> None:
    one = await sign_up(server.url)
    await sign_in(server.url)
    await sign_in(server.url)
    async with one.live() as first:
        four = await sign_in(server.url, replace=one.id)
        assert (await one.take_goodbye(first)).code == "device.revoked"
    async with four.live():
        pass
    async with dial(server.url) as connection:
        one.goodbye = None
        await one.greet(connection)
        assert await one.take_goodbye(connection) == Goodbye(
            "device.revoked", "This device was signed out."
        )


async def test_replacing_a_device_of_nobody_or_somebody_else_is_refused(
    server: RunningServer,
) -> None:
    await sign_up(server.url)
    eve = await sign_up(server.url, "eve")
    for other in (eve.id, "0" * 32):
        error = await refused(server.url, "sign_in", user="ann", password=PASSWORD, replace=other)
        assert error.code == "auth.replace_unknown"
    error = await refused(server.url, "sign_in", user="ann", password=PASSWORD, replace="x")
    assert error.code == "call.invalid"


async def test_the_cap_holds_under_concurrent_sign_ins(server: RunningServer) -> None:
    await sign_up(server.url)
    outcomes = await asyncio.gather(
        *(sign_in(server.url) for _ in range(12)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Device) for outcome in outcomes) == 2
    refusals = [outcome for outcome in outcomes if isinstance(outcome, RefusedError)]
    assert {refusal.code for refusal in refusals} == {"auth.device_limit"}
    assert len(refusals) == 10


async def test_signing_out_frees_the_place_and_ends_the_connection(server: RunningServer) -> None:
    one = await sign_up(server.url)
    await sign_in(server.url)
    await sign_in(server.url)
    async with one.live() as first:
        assert await one.ask(first, "sign_out") == {}
        with pytest.raises(ConnectionClosed):
            await one.take(first)
    await sign_in(server.url)
    async with dial(server.url) as connection:
        await one.greet(connection)
        assert one.goodbye is not None
        assert one.goodbye.code == "device.revoked"


async def test_another_device_can_be_signed_out_within_a_second(server: RunningServer) -> None:
    one = await sign_up(server.url)
    two = await sign_in(server.url)
    async with one.live() as first, two.live() as second:
        listed = (await one.ask(first, "devices"))["devices"]
        assert [device["current"] for device in listed] == [True, False]
        began = time.monotonic()
        await one.ask(first, "devices_sign_out", device=two.id)
        assert (await two.take_goodbye(second)).code == "device.revoked"
        with pytest.raises(ConnectionClosed):
            await second.recv()
        assert time.monotonic() - began < 1
        with pytest.raises(RefusedError) as caught:
            await one.ask(first, "devices_sign_out", device=two.id)
        assert caught.value.code == "device.unknown"


async def test_a_revoked_device_that_does_not_read_is_cut_off_within_a_second(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    deaf = await sign_in(server.url)
    async with one.live() as first, dial(server.url) as second:
        await deaf.greet(second)
        for _ in range(25):
            one.create(size=700_000)
            await one.push(first, [one.last_op])
            await one.take_until_settled(first)
        (session,) = [one for one in server.hub.sessions() if one.device == deaf.id]
        began = time.monotonic()
        await one.ask(first, "devices_sign_out", device=deaf.id)
        while session in server.hub.sessions():
            await one.ask(first, "ping")
        assert time.monotonic() - began < 1


async def test_pushes_of_a_device_revoked_meanwhile_are_not_decided(server: RunningServer) -> None:
    one = await sign_up(server.url)
    two = await sign_in(server.url)
    async with one.live() as first, two.live() as second:
        (session,) = [one for one in server.hub.sessions() if one.device == two.id]
        server.hub.exit(session)  # as if its goodbye were late
        await one.ask(first, "devices_sign_out", device=two.id)
        two.create("late")
        await two.push(second)
        assert (await two.take_goodbye(second)).code == "device.revoked"
        assert (await one.ask(first, "workspaces"))["workspaces"][0]["head"] == 0


async def test_a_server_that_was_set_back_revokes_only_devices_whose_data_it_has(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    two = await sign_in(server.url)
    async with one.live() as first:
        one.create("shop")
        await one.push(first)
        await one.take_until_settled(first)
        async with two.live():
            pass
        await one.ask(first, "devices_sign_out", device=two.id)
    (known,) = two.epochs.values()
    assert two.cursors == {two.workspace: 1}
    for epoch, cursor, mark, code in (
        (known, 1, 0, "device.revoked"),
        ("", 0, 0, "device.revoked"),
        (known, 2, 0, "device.unknown"),
        (known, 1, 2, "device.unknown"),
        ("f" * 32, 1, 0, "device.unknown"),
    ):
        two.epochs, two.cursors = {two.workspace: epoch}, {two.workspace: cursor}
        two.marks = {two.workspace: mark}
        async with dial(server.url) as connection:
            await two.greet(connection)
            assert two.goodbye is not None
            assert two.goodbye.code == code


async def test_an_unknown_device_or_token_says_unknown_and_never_revoked(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    for device in (
        Device(server.url, one.account, "0" * 32, one.token),
        Device(server.url, one.account, one.id, "0" * 64),
    ):
        async with dial(server.url) as connection:
            await device.greet(connection)
            assert device.goodbye is not None
            assert device.goodbye.code == "device.unknown"


async def test_too_many_wrong_passwords_have_to_wait(start_server: StartServer) -> None:
    async with start_server(sign_in_attempts_per_minute=3) as server:
        await sign_up(server.url)
        for _ in range(3):
            error = await refused(server.url, "sign_in", user="ann", password="wrong password")
            assert error.code == "auth.failed"
        error = await refused(server.url, "sign_in", user="ANN", password=PASSWORD)
        assert error.code == "auth.too_many_attempts"
        assert 0 < error.details["retry_after"] <= 20


async def test_one_address_may_try_so_often_whoever_it_tries(start_server: StartServer) -> None:
    async with start_server(address_attempts_per_minute=4) as server:
        codes = [
            (await refused(server.url, "sign_in", user=f"u{n}", password="wrong password")).code
            for n in range(6)
        ]
        assert codes == ["auth.failed"] * 4 + ["auth.too_many_attempts"] * 2


def test_attempts_come_back_with_time_and_success_and_are_bounded() -> None:
    now = 0.0
    attempts = Attempts(2, monotonic=lambda: now)
    assert [attempts.take("a") for _ in range(3)] == [0, 0, 30]
    now = 30.0
    assert attempts.take("a") == 0
    attempts.give_back("a")
    assert attempts.take("a") == 0
    for number in range(20_000):
        attempts.take(f"x{number}")
    assert len(attempts._buckets) == 10_000


async def test_calls_after_the_hello_are_not_for_strangers(server: RunningServer) -> None:
    for method in ("devices", "sign_out", "prove", "nonsense"):
        assert (await refused(server.url, method)).code == "call.unknown"


async def test_parameters_of_a_wrong_type_are_named(server: RunningServer) -> None:
    error = await refused(server.url, "sign_in", user=7, password=PASSWORD)
    assert error.code == "call.invalid"
    assert "'user'" in error.message


async def test_tokens_and_passwords_are_not_stored_in_clear(
    server: RunningServer, tmp_path: Any
) -> None:
    one = await sign_up(server.url)
    async with one.live():
        pass
    kept = [path for path in (tmp_path / "data").iterdir() if not path.is_socket()]
    stored = b"".join(path.read_bytes() for path in kept)
    assert one.token.encode() not in stored
    assert bytes.fromhex(one.token) not in stored
    assert PASSWORD.encode() not in stored


async def test_a_name_for_lists_is_made_of_what_can_be_printed(server: RunningServer) -> None:
    result = await call_once(server.url, "sign_up", **person(device_name="\x1b[31m lap\ntop"))
    device = Device(server.url, result["account"], result["device"], result["token"])
    async with device.live() as connection:
        (listed,) = (await device.ask(connection, "devices"))["devices"]
        assert listed["name"] == "[31m laptop"


async def test_unknown_calls_and_foreign_proofs_are_refused_on_a_session(
    server: RunningServer,
) -> None:
    ann = await sign_up(server.url)
    eve = await sign_up(server.url, "eve")
    async with ann.live() as first, eve.live() as second:
        with pytest.raises(RefusedError) as caught:
            await eve.ask(second, "prove", workspaces=[ann.workspace])
        assert caught.value.code == "workspace.unknown"
        with pytest.raises(RefusedError) as caught:
            await ann.ask(first, "nonsense")
        assert caught.value.code == "call.unknown"


async def test_several_calls_on_one_connection_before_the_hello(server: RunningServer) -> None:
    async with dial(server.url) as connection:
        for number, username in enumerate(("ann", "bob"), start=1):
            params = person(username=username, email=f"{username}@example.org")
            await connection.send(encode(Call(number, "sign_up", params)))
            reply = decode(await receive(connection))
            assert isinstance(reply, Reply)
            assert reply.id == number
            assert reply.error is None
