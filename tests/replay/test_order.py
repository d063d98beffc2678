"""Orders of a log: what is skipped, moved and swapped, told apart from what stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.replay.order import Edit, Move, Run, Skip, Swap, first_touched, reorder


def seqs(runs: list[Run]) -> list[int]:
    return [slot // 2 for start, end in runs for slot in range(start, end + 1) if slot % 2 == 0]


def between(runs: list[Run]) -> list[int]:
    return [slot // 2 for start, end in runs for slot in range(start, end + 1) if slot % 2]


@pytest.mark.parametrize(
    ("edits", "order"),
    [
        ([], [3, 4, 5, 6]),
        ([Skip(4)], [3, 5, 6]),
        ([Skip(3), Skip(6)], [4, 5]),
        ([Move(6, 4)], [3, 6, 4, 5]),
        ([Move(3, 7)], [4, 5, 6, 3]),
        ([Move(4, 4)], [3, 4, 5, 6]),
        ([Swap(3, 6)], [6, 4, 5, 3]),
        ([Swap(5, 4)], [3, 5, 4, 6]),
        ([Swap(5, 5)], [3, 4, 5, 6]),
        ([Move(6, 4), Move(5, 6), Skip(4)], [3, 5, 6]),
    ],
)
def test_edits_make_an_order(edits: list[Edit], order: list[int]) -> None:
    runs = reorder(edits, 3, 6)
    assert seqs(runs) == order
    assert between(runs) == [3, 4, 5, 6], "what became no event stays where it was"


@pytest.mark.parametrize(
    "edits",
    [
        [Skip(2)], [Skip(7)], [Skip(4), Skip(4)], [Move(4, 8)], [Move(7, 4)],
        [Skip(5), Move(4, 5)], [Swap(4, 7)], [Skip(4), Swap(4, 5)],
    ],
)  # fmt: skip
def test_an_event_that_is_not_there_is_named(edits: list[Edit]) -> None:
    with pytest.raises(ReplayError) as caught:
        reorder(edits, 3, 6)
    assert caught.value.code == "replay.order"
    assert f" {caught.value.details['seq']} " in caught.value.message


def test_the_first_seq_that_is_touched_counts() -> None:
    assert first_touched([], 9) == 9
    assert first_touched([Skip(7), Swap(5, 8), Move(6, 4)], 9) == 4


@given(st.data())
def test_a_long_log_takes_few_runs(data: st.DataObject) -> None:
    numbers = st.integers(1, 1_000_000)
    edits: list[Edit] = data.draw(
        st.lists(st.builds(Move, numbers, numbers) | st.builds(Swap, numbers, numbers), max_size=6)
    )
    runs = reorder(edits, 1, 1_000_000)
    assert len(runs) <= 1 + 4 * len(edits)
    assert sum(end // 2 - (start - 1) // 2 for start, end in runs) == 1_000_000
