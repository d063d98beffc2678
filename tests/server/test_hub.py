"""Who hears of a commit, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kafkaman_server.hub import Decided, Hub, News
from kafkaman_sync.model.digest import EMPTY_DIGEST
from kafkaman_sync.protocol.messages import Goodbye

WORKSPACE = "1" * 32


class Ear:
    """A listener that notes in a common list when it hears something."""

    leaving = False

    def __init__(self, device: str, heard: list[str]) -> None:
        self.device = device
        self._heard = heard

    def settled(self, changes: int, size: int) -> None:
        raise NotImplementedError

    def hear(self, news: News) -> None:
        self._heard.append(self.device)

    def hear_own(self, decided: Sequence[Decided], digests: Mapping[str, bytes]) -> None:
        raise NotImplementedError

    def ask_again(self, op: int) -> None:
        raise NotImplementedError

    def say_goodbye(self, message: Goodbye | None) -> None:
        raise NotImplementedError


def test_a_commit_is_told_in_the_order_in_which_sessions_joined() -> None:
    """Not in that of their addresses in memory, which no two runs have in common."""
    hub, heard = Hub(), list[str]()
    ears = [Ear(f"{number:02}", heard) for number in range(40)]
    for ear in reversed(ears):
        assert hub.join(ear, {WORKSPACE: 0})
    hub.leave(ears[7], [WORKSPACE])
    hub.announce(News(WORKSPACE, EMPTY_DIGEST, [(1, b"event")]))
    assert heard == [f"{number:02}" for number in reversed(range(40)) if number != 7]
