"""The call `log`: the stored bytes, in bounded pieces either way, for members only."""

from __future__ import annotations

from typing import Any

import pytest

from kafkaman_server.server import RunningServer
from kafkaman_sync.errors import RefusedError
from kafkaman_sync.model.limits import MESSAGE_BYTES_TARGET
from kafkaman_sync.protocol.records import decode_basis, decode_event
from tests.server.device import Device, sign_up


async def asked(device: Device, connection: Any, **params: Any) -> dict[str, Any]:
    return await device.ask(connection, "log", workspace=device.workspace, **params)


async def test_pieces_lead_through_the_log_in_both_directions(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as connection:
        entities = [one.create(f"{number}") for number in range(7)]
        await one.flush(connection)
        seqs: list[int] = []
        more, after = True, 0
        while more:
            piece = await asked(one, connection, after=after, limit=3)
            assert len(piece["rows"]) <= 3
            assert (piece["head"], piece["horizon"]) == (7, 0)
            for seq, body, basis, _ in piece["rows"]:
                assert decode_event(body).seq == seq
                assert decode_basis(basis).base == 0
                seqs.append(seq)
            more, after = piece["more"], seqs[-1]
        assert seqs == list(range(1, 8))
        back = await asked(one, connection, after=2, upto=6, backward=1, limit=2)
        assert ([row[0] for row in back["rows"]], back["more"]) == ([6, 5], True)
        (only,) = (await asked(one, connection, entity=entities[3]))["rows"]
        assert decode_event(only[1]).entity == entities[3]
        rows = await asked(one, connection, part="rows", after="", limit=4)
        assert [row[0] for row in rows["rows"]] == sorted(entities)[:4]
        assert rows["more"] is True
        for part in ("bases", "disputes"):
            assert (await asked(one, connection, part=part))["rows"] == []


async def test_a_piece_is_bounded_in_bytes(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as connection:
        for number in range(4):
            one.create(f"{number}", size=MESSAGE_BYTES_TARGET // 2 + 1)
        await one.flush(connection)
        piece = await asked(one, connection)
        assert (len(piece["rows"]), piece["more"]) == (1, True)


async def test_the_head_names_members_and_their_devices(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as connection:
        one.create("a")
        await one.flush(connection)
        head = await asked(one, connection, part="head")
    assert (head["name"], head["head"], head["horizon"]) == ("Personal", 1, 0)
    assert len(head["digest"]) == 16
    assert head["accounts"] == {one.account: "ann"}
    assert head["devices"] == [[one.id, "ann-1", "test", one.account]]


async def test_nobody_else_is_answered(server: RunningServer) -> None:
    one, other = await sign_up(server.url), await sign_up(server.url, "bob")
    async with one.live(), other.live() as connection:
        for part in ("head", "events", "rows", "bases", "disputes"):
            with pytest.raises(RefusedError) as caught:
                await other.ask(connection, "log", workspace=one.workspace, part=part)
            assert caught.value.code == "workspace.unknown"


@pytest.mark.parametrize(
    "params",
    [
        {"part": "devices"}, {"part": 5}, {"after": "x"}, {"after": -1},
        {"part": "rows", "after": 1},
        {"entity": "x"}, {"upto": "x"}, {"backward": 2}, {"limit": 1001}, {"workspace": "x"},
    ],
)  # fmt: skip
async def test_a_wrong_parameter_is_named(server: RunningServer, params: dict[str, Any]) -> None:
    one = await sign_up(server.url)
    async with one.live() as connection:
        with pytest.raises(RefusedError) as caught:
            await one.ask(connection, "log", **{"workspace": one.workspace, **params})
    assert caught.value.code == "call.invalid"
