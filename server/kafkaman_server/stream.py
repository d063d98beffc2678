"""A commit as the connection hears it that pushed some of it.

Its own events come as stubs, which are their verdicts, and its other verdicts stand between them,
so that all its verdicts arrive in op order.
"""

from __future__ import annotations

from collections.abc import Mapping

from kafkaman_server.hub import event_frames
from kafkaman_server.outgoing import Frame
from kafkaman_sync.model.changes import Verdict
from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import Verdicts


class OwnStream:
    """Collects what a commit decided, in its order, into messages."""

    def __init__(self, digests: Mapping[str, bytes]) -> None:
        self._digests = digests
        # Runs of events of one workspace, as (seq, event or stub), and, under "", of verdicts.
        self._runs: list[tuple[str, list[tuple[int, bytes | Verdict]]]] = []

    def add_event(self, workspace: str, verdict: Verdict, event: bytes, *, own: bool) -> None:
        """Add an event, as a stub if it is the connection's own."""
        assert verdict.seq is not None
        self._add(workspace, verdict.seq, verdict if own else event)

    def add_verdict(self, verdict: Verdict) -> None:
        """Add a verdict that has no event in this stream."""
        self._add("", 0, verdict)

    def _add(self, workspace: str, seq: int, item: bytes | Verdict) -> None:
        if not self._runs or self._runs[-1][0] != workspace:
            self._runs.append((workspace, []))
        self._runs[-1][1].append((seq, item))

    def frames(self) -> list[Frame]:
        """Return the messages; the last one of each workspace carries its digest."""
        frames: list[Frame] = []
        last_runs = {workspace: index for index, (workspace, _) in enumerate(self._runs)}
        for index, (workspace, items) in enumerate(self._runs):
            if not workspace:
                verdicts = tuple(item for _, item in items if isinstance(item, Verdict))
                frames.append(Frame(encode(Verdicts(verdicts)), op=verdicts[-1].op))
                continue
            digest = self._digests[workspace] if last_runs[workspace] == index else None
            frames += _with_ops(workspace, items, event_frames(workspace, items, digest))
        return frames


def _with_ops(
    workspace: str, items: list[tuple[int, bytes | Verdict]], frames: list[tuple[int, bytes]]
) -> list[Frame]:
    """Note in each message the last op that it answers."""
    result: list[Frame] = []
    index = 0
    for last_seq, data in frames:
        op = 0
        while index < len(items) and items[index][0] <= last_seq:
            item = items[index][1]
            op = item.op if isinstance(item, Verdict) else op
            index += 1
        result.append(Frame(data, workspace, last_seq, op))
    return result
